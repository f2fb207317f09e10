// Package remedy says what mends what a verification has found.
package remedy

import (
	"path"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/check"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/repository/told"
	"github.com/trustlayer/cofre/verify"
)

// Of says what mends what was found, each kind of it by its own way: a backup puts back nothing that somebody took out of the catalog, and a journal that is compared brings back no bytes.
func Of(res *verify.Result, url string) cofre.Message {
	var said []error
	for _, f := range res.Findings {
		said = append(said, origin.Said(f.Messages)...)
	}
	if way := origin.WayOn(said...); !way.IsZero() {
		return way
	}
	var ways []cofre.Message
	var stored, seals, taken []cofre.Finding
	var format, indexes, shards bool
	for _, f := range res.Findings {
		// What is kept twice is put right by the next backup as long as one copy is whole.
		twice := told.IsMendable(f)
		switch {
		case f.Check == journal.Check:
			if len(ways) == 0 {
				ways = append(ways, cofre.Say("verify.journal", "somebody took something back: compare the repository with a copy of it, and the journal with a line that was kept: cofre journal verify --since LINE. If a recovery point is lost for good, say so: cofre journal acknowledge POINT --why REASON"))
			}
		case isTaken(f):
			taken = append(taken, f)
		case strings.HasPrefix(f.Object, "cofre/seals/"):
			seals = append(seals, f)
		case !twice && strings.HasPrefix(f.Object, "kopia."):
			format = true
		case !twice && f.Kind == "" && strings.HasPrefix(f.Object, "x"):
			indexes = true
		case f.Object == ".shards":
			shards = true
		default:
			stored = append(stored, f)
		}
	}
	all := len(res.Findings) == res.Count()
	if len(stored) > 0 || !all {
		ways = append(ways, ofStored(stored, all, url))
	}
	for _, f := range taken {
		if way := putBack(f); !slices.ContainsFunc(ways, func(w cofre.Message) bool { return w.Text == way.Text }) {
			ways = append(ways, way)
		}
	}
	if format {
		ways = append(ways, cofre.Say("verify.format", "put the format back from the printed recovery kit: cofre kit --restore FILE"))
	}
	if indexes {
		ways = append(ways, cofre.Say("verify.index", "bring the index back from a copy of the repository, or go on without it, with all that the packs themselves still name: cofre seal --without-lost"))
	}
	if shards {
		ways = append(ways, cofre.Say("verify.shards", "have the file written again that says how the folder is laid out: cofre seal"))
	}
	if len(seals) > 0 {
		ways = append(ways, cofre.Say("verify.seal", "find out who has written to the storage: somebody without the password, or an older version of cofre. Then prove by decryption what is stored, and take these seals away, with: cofre seal"))
	}
	return cofre.Series(ways...)
}

// isTaken reports whether somebody took away what a person had said of WAL: a backup does not say it again.
func isTaken(f cofre.Finding) bool {
	return slices.ContainsFunc(f.Messages, func(m cofre.Message) bool {
		switch m.Code {
		case "wal.record_gone", "wal.requirement_gone", "wal.revocation_gone", "wal.requirement_journaled", "wal.revocation_journaled", "wal.acknowledgement_gone":
			return true
		}
		return false
	})
}

func putBack(f cofre.Finding) cofre.Message {
	if m := f.Messages[0]; m.Code == "wal.acknowledgement_gone" {
		return wal.AgainMessage(m)
	}
	return origin.PutBack(f.Object)
}

// ofStored is of what is stored for recovery points, and of WAL. A backup stores afresh what it reads again, and of WAL what the
// server or a copy still has; if nobody has it, all that helps is a base backup that does not need it. all is false if something was found of points, too.
func ofStored(found []cofre.Finding, all bool, url string) cofre.Message {
	ofOne := func(f cofre.Finding) bool { return f.Repository != "" && strings.HasPrefix(f.Object, "wal/") }
	if all && !slices.ContainsFunc(found, func(f cofre.Finding) bool { return !ofOne(f) }) {
		return cofre.Say("verify.wal_mend", "cofre wal mend stores in each repository what it has lost of WAL and another has; then: cofre verify --level content. What nobody has any more, cofre backup cluster stores afresh if the server still has it, and is a base backup that does not need it")
	}
	if segment := damagedSegment(found); all && segment != "" {
		return cofre.Say("verify.damaged_wal", "cofre backup cluster stores it afresh if the server or a copy still has it, and is a base backup that does not need it; if it says that nobody has it, record that the loss is known: cofre wal acknowledge {{.segment}} {{.segment}} --why 'damaged in the repository'", "segment", segment)
	}
	if i := slices.IndexFunc(found, func(f cofre.Finding) bool {
		return f.Object == wal.IdentityObject || f.Object == wal.RecipientObject || check.IsCopy(f)
	}); i >= 0 {
		if check.IsCopy(found[i]) {
			return check.KeepAgain()
		}
		return wal.KeyLost(url)
	}
	return cofre.Say("verify.back_up", "back up again now: cofre backup stores afresh what is damaged and still exists at its source, and says what is whole again")
}

// damagedSegment is the first archived segment of which something was found; "" if anything else was found, which a backup mends.
func damagedSegment(found []cofre.Finding) string {
	for _, f := range found {
		if !strings.HasPrefix(f.Object, "wal/") || !pgdata.IsSegmentName(path.Base(f.Object)) {
			return ""
		}
	}
	if len(found) == 0 {
		return ""
	}
	return path.Base(found[0].Object)
}
