// Package record holds the catalog of an installation against what the journal says of it: which recovery points are gone, which were changed, and
// which a run left behind that ended before the journal could say so. It is pure. Read Ledger first, then Compare.
package record

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// Ledger is what the journal says of the recovery points of an installation.
type Ledger struct {
	Installation string

	points map[cofre.PointID]*known
}

// known is what the journal says of one point.
type known struct {
	number   int64  // of the entry that says that it is there, from 1; 0 if none does
	digest   string // with which it is stored; "" if that is not known
	changed  int64  // number of the entry that says so
	expired  bool   // nothing of it is left
	lost     bool   // and a person knows it
	expiring cofre.RunID
	whole    bool // of what is expiring
	begun    time.Time

	facts json.RawMessage   // of the entry that says that it is there
	left  []json.RawMessage // of those that say what expired of it
}

// Take takes the next entry of the journal.
func (l *Ledger) Take(e journal.Numbered) {
	if l.points == nil {
		l.points = map[cofre.PointID]*known{}
	}
	b := e.Body
	if b.Installation != l.Installation {
		return
	}
	switch b.Event {
	case journal.EventPublished, journal.EventFound:
		p := l.at(b.Point)
		if p.number == 0 {
			p.number, p.facts = e.Number+1, b.Facts
		}
		p.digest, p.changed, p.lost, p.expiring = digestOf(e, b.Point), e.Number+1, false, ""
	case journal.EventExpiring:
		var f cofre.ExpiryBegun
		if json.Unmarshal(b.Facts, &f) == nil {
			l.settle(b.Run)
			for _, x := range f.Points {
				p := l.at(x.Point)
				p.expiring, p.whole, p.begun = b.Run, x.Whole, b.At
			}
		}
	case journal.EventExpired:
		var f struct {
			Whole bool `json:"whole"`
		}
		if b.Point == "" || json.Unmarshal(b.Facts, &f) != nil {
			return
		}
		p := l.at(b.Point)
		p.expired, p.expiring = p.expired || f.Whole, ""
		p.left = append(p.left, b.Facts)
		p.digest, p.changed = digestOf(e, b.Point), e.Number+1
	case journal.EventLoss:
		l.at(b.Point).lost = true
	}
}

// settle forgets what other runs were about to take out: a run that begins to has looked at what became of it, and said so.
func (l *Ledger) settle(by cofre.RunID) {
	for _, p := range l.points {
		if p.expiring != by {
			p.expiring = ""
		}
	}
}

func (l *Ledger) at(id cofre.PointID) *known {
	if l.points[id] == nil {
		l.points[id] = &known{}
	}
	return l.points[id]
}

func digestOf(e journal.Numbered, id cofre.PointID) string {
	for _, s := range e.Subject {
		if s.Name == string(id) {
			return s.Digest["sha256"]
		}
	}
	return ""
}

// Catalog is what is there.
type Catalog struct {
	Points  []cofre.RecoveryPoint
	Digests map[cofre.PointID][]string // nil compares none
	// First is how many entries the journal had before the catalog was read: what later ones are of may be on its way.
	First int64
	Now   time.Time
}

// Difference is how the catalog and the journal differ.
type Difference struct {
	Gone    []cofre.PointID       // published, not expired, and not there
	Changed []cofre.PointID       // not as it was published, or as what expired left it
	Found   []cofre.RecoveryPoint // that no entry knows: a run ended before it said so
	Ended   []cofre.PointExpired  // of runs that ended before they said so
	Back    []cofre.PointID       // that have expired whole, and are there
}

// UnderWay is how long a run may take between what it does and what the journal says of it.
const UnderWay = 2 * time.Minute

// expiringAt reports whether a run may just be taking something out of the point.
func (k *known) expiringAt(now time.Time) bool {
	return k.expiring != "" && now.Sub(k.begun).Abs() < UnderWay
}

// Compare says how they differ. Points of other installations are passed over.
func (l *Ledger) Compare(c Catalog) *Difference {
	d := &Difference{}
	there := map[cofre.PointID]bool{}
	for _, p := range c.Points {
		if p.Installation != l.Installation {
			continue
		}
		there[p.ID] = true
		k := l.points[p.ID]
		switch {
		case k == nil || k.number == 0:
			if c.Now.Sub(p.PublishedAt).Abs() >= UnderWay {
				d.Found = append(d.Found, p)
			}
		case k.expired && k.digest == "" && k.changed <= c.First: // what is published again has a digest
			d.Back = append(d.Back, p.ID)
		case k.changed > c.First || k.digest == "" || c.Digests == nil || len(c.Digests[p.ID]) == 0 || slices.Contains(c.Digests[p.ID], k.digest):
		case k.expiringAt(c.Now):
		case k.expiring != "" && len(p.Expired) > 0:
			d.Ended = append(d.Ended, cofre.PointExpired{Point: p.ID, Components: p.Expired, Late: true, Left: p})
		default:
			d.Changed = append(d.Changed, p.ID)
		}
	}
	for id, k := range l.points {
		switch {
		case there[id] || k.number == 0 || k.number > c.First || k.expired || k.lost:
		case k.expiringAt(c.Now):
		case k.expiring != "" && k.whole:
			d.Ended = append(d.Ended, cofre.PointExpired{Point: id, Whole: true, Components: []cofre.ExpiredComponent{}, Late: true})
		default:
			d.Gone = append(d.Gone, id)
		}
	}
	slices.Sort(d.Gone)
	slices.Sort(d.Back)
	slices.SortFunc(d.Ended, func(a, b cofre.PointExpired) int { return strings.Compare(string(a.Point), string(b.Point)) })
	return d
}

// Tell has the journal say what it did not know.
func (d *Difference) Tell(to cofre.Observer) {
	for _, p := range d.Found {
		fact := cofre.PointFound{Point: p}
		to.Observe(cofre.Event{Type: fact.EventType(), Point: p.ID, Fact: fact})
	}
	for _, x := range d.Ended {
		to.Observe(cofre.Event{Type: x.EventType(), Point: x.Point, Fact: x})
	}
}

// Messages say what was found and is no damage.
func (d *Difference) Messages() []cofre.Message {
	var all []cofre.Message
	if n := len(d.Found); n > 0 {
		all = append(all, cofre.SayN("journal.point_found", n,
			"recovery point {{.point}} was not in the journal: it was published by a run that ended before its entry, or by a version without a journal",
			"{{.n}} recovery points were not in the journal, {{.point}} first: they were published by runs that ended before their entries, or by a version without a journal", "point", d.Found[0].ID))
	}
	if n := len(d.Ended); n > 0 {
		all = append(all, cofre.SayN("journal.expiry_ended", n,
			"{{.point}} expired by a run that ended before its entry", "{{.n}} recovery points, {{.point}} first, expired by runs that ended before their entries", "point", d.Ended[0].Point))
	}
	if n := len(d.Back); n > 0 {
		all = append(all, cofre.SayN("journal.point_back", n,
			"recovery point {{.point}} has expired, as the journal says, and is in the catalog again: what said so in the repository is lost, or somebody took it back; what it needs may have been pruned; cofre expire lets it go again",
			"{{.n}} recovery points, {{.point}} first, have expired, as the journal says, and are in the catalog again: what said so in the repository is lost, or somebody took it back; what they need may have been pruned; cofre expire lets them go again", "point", d.Back[0]))
	}
	return all
}

// Findings are what may be damage, or somebody's work.
func (d *Difference) Findings() []cofre.Finding {
	var found []cofre.Finding
	for _, id := range d.Gone {
		found = append(found, cofre.Finding{Check: journal.Check, Object: string(id)}.Saying(cofre.Say("journal.point_gone", "the journal says that it was published and not that it expired, and the catalog does not have it")))
	}
	for _, id := range d.Changed {
		found = append(found, cofre.Finding{Check: journal.Check, Object: string(id)}.Saying(cofre.Say("journal.point_changed", "it is not what the journal says was published: somebody put another in its place")))
	}
	return found
}

// Lost reports whether the journal says of a point that it was published and did not expire, whether or not a person knows already.
func (l *Ledger) Lost(id cofre.PointID, there []cofre.RecoveryPoint) bool {
	k := l.points[id]
	return k != nil && k.number > 0 && !k.expired && !slices.ContainsFunc(there, func(p cofre.RecoveryPoint) bool { return p.ID == id })
}
