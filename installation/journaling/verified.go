package journaling

import (
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// inOneEntry is how many components one entry names: an entry has less than 64 KiB.
const inOneEntry = 350

// verifiedFacts are what an entry says of a verification for everybody to read.
func verifiedFacts(v *cofre.VerificationEnded) journal.VerifiedFacts {
	facts := journal.VerifiedFacts{Asked: v.Asked, Reached: v.Reached, Points: v.Points, Findings: v.Findings}
	if c := v.Coverage; c != nil {
		facts.Coverage = &journal.CoverageFacts{Window: int64(c.Window.Seconds()), Bytes: c.Bytes, Proven: c.Proven, Read: c.Read, Deepest: c.Deepest, Objects: c.Objects}
	}
	for _, c := range v.Components {
		level, at := c.Deepest()
		facts.Components = append(facts.Components, journal.ProvenFacts{Point: c.Point, Kind: c.Source.Kind, Root: c.Root, Level: level, At: at})
	}
	return facts
}

// inParts divides an entry that names many components among several: the first has everything else.
func inParts(e entry) []entry {
	facts, ok := e.facts.(journal.VerifiedFacts)
	if !ok || len(facts.Components) <= inOneEntry {
		return []entry{e}
	}
	var all []entry
	for some := range slices.Chunk(facts.Components, inOneEntry) {
		part := e
		if len(all) > 0 {
			part.sealed = nil
			part.facts = journal.VerifiedFacts{Asked: facts.Asked, Reached: facts.Reached, Components: some, Continued: true}
		} else {
			first := facts
			first.Components = some
			part.facts = first
		}
		all = append(all, part)
	}
	return all
}
