package status

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/drills"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
)

// History is what a status goes by of the journal. The zero History is that of a repository without one.
type History struct {
	Installation string
	Checkpoint   string // the newest, as a line
	// UnknownBefore is before when nobody vouches for the journal; zero if somebody does.
	UnknownBefore time.Time

	backup   *Run // the newest that was published
	failing  runs.Failing
	verified *Verification
	found    *Verification // the newest with findings, if none that looked as deep found none since
	foundBy  cofre.Level
	read     time.Time // when everything was to be read back last
	covered  *Coverage
	proven   map[component]proof
	attempts []attempt // at backups
	drills   []drills.Drill
	drilled  map[component]drills.Drill // the newest drill of each, if it found nothing
}

// component is one, as a verification names it.
type component struct {
	point cofre.PointID
	root  cofre.ObjectID
}

type proof struct {
	level cofre.Level
	at    time.Time
}

// Take takes the next entry of the journal.
func (h *History) Take(e journal.Numbered) {
	b := e.Body
	if b.Event == journal.EventVerified { // of whatever installation: it is of the repository
		h.verification(b)
	}
	if h.covered != nil && b.Event == journal.EventPublished {
		h.covered.Newer++
	}
	if b.Installation != h.Installation {
		return
	}
	h.tried(b)
	switch b.Event {
	case journal.EventPublished:
		h.backup = &Run{ID: b.Run, Kind: cofre.RunBackup, At: b.At, Code: cofre.CodeOK, Point: b.Point}
		h.failing.Take(b)
	case journal.EventFailed:
		h.failing.Take(b)
	case journal.EventDrilled:
		h.drill(b)
	}
}

func (h *History) drill(b journal.Body) {
	d, ok := drills.Of(b)
	if !ok {
		return
	}
	h.drills = append(h.drills, d)
	of := component{d.Point, d.Root}
	if d.Red() || d.Depth == "" {
		delete(h.drilled, of)
		return
	}
	if h.drilled == nil {
		h.drilled = map[component]drills.Drill{}
	}
	h.drilled[of] = d
}

func (h *History) verification(b journal.Body) {
	var f journal.VerifiedFacts
	if json.Unmarshal(b.Facts, &f) != nil {
		return
	}
	for _, c := range f.Components {
		if h.proven == nil {
			h.proven = map[component]proof{}
		}
		h.proven[component{c.Point, c.Root}] = proof{c.Level, c.At}
	}
	if f.Continued || b.Point != "" { // of one point alone
		return
	}
	h.verified = &Verification{At: b.At, Reached: f.Reached, Findings: f.Findings, Code: b.Code}
	asked := cmp.Or(f.Asked, f.Reached)
	if asked != cofre.LevelStructure {
		h.read = b.At
	}
	// What was found by reading is not gone because somebody looked without reading.
	if f.Findings > 0 {
		h.found = h.verified
		if h.foundBy != cofre.LevelContent {
			h.foundBy = asked
		}
	} else if asked != cofre.LevelStructure || h.foundBy == cofre.LevelStructure {
		h.found, h.foundBy = nil, ""
	}
	if c := f.Coverage; c != nil {
		h.covered = &Coverage{At: b.At, Window: time.Duration(c.Window) * time.Second, Bytes: c.Bytes, Proven: c.Proven}
		if c.Bytes > 0 {
			h.covered.Share = float64(c.Proven) / float64(c.Bytes)
		}
	}
}

// Failed is the newest backup of a source that failed and was not made good, and the name of what is sealed of why; "" if there is none.
func (h *History) Failed(of Configured) (run cofre.RunID, sealed string) {
	b, _ := h.failing.Newest([]cofre.Kind{of.ID.Kind})
	return b.Run, b.Sealed
}

func kindsOf(of []Configured) (kinds []cofre.Kind) {
	for _, c := range of {
		kinds = append(kinds, c.ID.Kind)
	}
	return kinds
}

// levelOf is the deepest level that is proven of a component, and when. That it refers to nothing that is missing was proven when it was published.
func (h *History) levelOf(p cofre.RecoveryPoint, c cofre.Component) (cofre.Level, time.Time) {
	if found, ok := h.proven[component{p.ID, c.Root}]; ok && found.level != "" {
		return found.level, found.at
	}
	if v := h.verified; v != nil && v.Findings == 0 && v.Reached != "" && v.At.After(p.PublishedAt) {
		return v.Reached, v.At
	}
	return cofre.LevelStructure, p.PublishedAt
}

// lastRun is the newest backup, as the journal knows it; nil if there is none.
func (in *Input) lastRun() *Run {
	if h := in.History; h.backup != nil {
		return new(*h.backup)
	}
	if len(in.Points) > 0 { // of before there was a journal
		p := in.Points[len(in.Points)-1]
		return &Run{Kind: cofre.RunBackup, At: p.PublishedAt, Code: cofre.CodeOK, Point: p.ID}
	}
	return nil
}

// lastFailure is the newest backup of any of these sources that failed and was not made good, as journal and this host know it; nil if there is none. A backup
// of one says nothing of another, so that each is asked for by itself, too.
func (in *Input) lastFailure(of ...Configured) (failed *Run) {
	kinds := kindsOf(of)
	if b, ok := in.History.failing.Newest(kinds); ok {
		var f runs.FailedFacts
		_ = json.Unmarshal(b.Facts, &f) // which was read once
		failed = &Run{ID: b.Run, Kind: cofre.RunBackup, What: f.What, At: b.At, Code: b.Code}
	}
	for _, u := range in.Unended {
		if u.Running || u.Kind != cofre.RunBackup || u.Published != "" || u.Installation != in.Installation {
			continue
		}
		r := &Run{ID: u.Run, Kind: u.Kind, What: u.What, At: u.At, Code: cofre.CodeKilled}
		if l := u.Log; l != nil {
			if l.Code == cofre.CodeInterrupted || l.Code == cofre.CodeLocked {
				continue
			}
			r.At, r.Code, r.Message, r.Hint, r.Messages = l.EndedAt, l.Code, l.Message, l.Hint, l.Messages
		}
		if !in.History.failing.MadeGood(u.What, r.At, kinds) && (failed == nil || r.At.After(failed.At)) {
			failed = r
		}
	}
	if failed != nil && failed.Message == "" {
		if w, ok := in.Why[failed.ID]; ok {
			failed.Message, failed.Hint, failed.Messages = w.Message, w.Hint, w.Messages
		}
	}
	return failed
}
