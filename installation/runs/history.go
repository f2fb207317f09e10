package runs

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// State is what is known of how a run is.
type State string

// The states. A run that was killed began, and its process is gone.
const (
	StateRunning State = "running"
	StateDone    State = "done"
	StateFailed  State = "failed" // Code says why
	StateKilled  State = "killed"
)

// Run is one execution, as journal, logs and marks together know it.
type Run struct {
	ID           cofre.RunID     `json:"run"`
	Kind         cofre.RunKind   `json:"kind"`
	What         string          `json:"what,omitempty"`
	State        State           `json:"state"`
	Code         cofre.Code      `json:"code,omitempty"` // "" while it runs, and of one that was killed
	Installation string          `json:"installation,omitempty"`
	By           cofre.Actor     `json:"actor"`
	BeganAt      time.Time       `json:"began_at"`
	EndedAt      time.Time       `json:"ended_at,omitzero"` // zero if that is not known
	Points       []cofre.PointID `json:"points"`
	Entries      []int64         `json:"entries"`        // of the journal
	Log          *Stored         `json:"log,omitempty"`  // nil without one
	Local        *Log            `json:"local,omitzero"` // of a run that only this host knows of as yet

	facts  json.RawMessage // of what it published
	asked  cofre.Level     // of a verification of everything
	digest string          // of the log, as an entry says it
	sealed string          // what an entry has sealed of it
}

// Digest is what an entry says of the log, or "".
func (r Run) Digest() string { return r.digest }

// Sealed names what an entry has sealed of the run, or is empty.
func (r Run) Sealed() string { return r.sealed }

// Captured are the kinds that a backup has published, as the journal says; nil if it published nothing, or the journal does not say which.
func (r Run) Captured() []cofre.Kind {
	var f struct {
		Components []struct {
			Kind cofre.Kind `json:"kind"`
		} `json:"components"`
	}
	if r.Kind != cofre.RunBackup || json.Unmarshal(r.facts, &f) != nil {
		return nil
	}
	var kinds []cofre.Kind
	for _, c := range f.Components {
		kinds = append(kinds, c.Kind)
	}
	return kinds
}

// Asked is how deep a verification of everything was to look, as the journal says; "" if it does not say, or it was of one point.
func (r Run) Asked() cofre.Level { return r.asked }

// Failed reports whether the run did not do all that it was to do.
func (r Run) Failed() bool { return r.State == StateFailed || r.State == StateKilled }

// History collects runs. The zero History has none.
type History struct{ by map[cofre.RunID]*Run }

// Take adds what an entry of the journal says of a run.
func (h *History) Take(e journal.Numbered) {
	b := e.Body
	kind, what, code := kindOf(b)
	if b.Run == "" || kind == "" {
		return
	}
	r := h.of(b.Run)
	r.Kind, r.What = cmp.Or(r.Kind, kind), cmp.Or(r.What, what)
	r.Installation, r.By = b.Installation, cofre.Actor{Host: b.Host, User: b.User, Version: b.Version}
	r.Entries = append(r.Entries, e.Number)
	switch {
	case b.Event == journal.EventPublished:
		r.facts = b.Facts
	case b.Event == journal.EventVerified && b.Point == "":
		var f struct {
			Asked   cofre.Level `json:"level_asked"`
			Reached cofre.Level `json:"level_reached"`
		}
		if json.Unmarshal(b.Facts, &f) == nil {
			r.asked = cmp.Or(f.Asked, f.Reached)
		}
	}
	r.digest, r.sealed = cmp.Or(r.digest, b.Log), cmp.Or(r.sealed, b.Sealed)
	if b.Point != "" && !slices.Contains(r.Points, b.Point) {
		r.Points = append(r.Points, b.Point)
	}
	if b.At.After(r.EndedAt) {
		r.EndedAt = b.At
	}
	if code != "" {
		r.is(code)
	}
}

// kindOf says which kind of run an entry is of, and how it ended, as far as the entry says so: "" for entries that another run makes on its way.
func kindOf(b journal.Body) (kind cofre.RunKind, what string, code cofre.Code) {
	switch b.Event {
	case journal.EventFailed:
		var f FailedFacts
		if json.Unmarshal(b.Facts, &f) == nil {
			return f.Kind, f.What, b.Code
		}
	case journal.EventPublished:
		var f FailedFacts
		_ = json.Unmarshal(b.Facts, &f) // entries of before do not say what was asked for
		return cofre.RunBackup, f.What, cofre.CodeOK
	case journal.EventVerified:
		return cofre.RunVerify, "", cmp.Or(b.Code, cofre.CodeOK)
	case journal.EventDrilled:
		var f journal.DrilledFacts
		_ = json.Unmarshal(b.Facts, &f) // without it the run is shown without what it drilled
		return cofre.RunDrill, f.What, cmp.Or(b.Code, cofre.CodeOK)
	case journal.EventRestored:
		var f FailedFacts
		_ = json.Unmarshal(b.Facts, &f) // without it the run is shown without what it restored
		return cofre.RunRestore, f.What, cmp.Or(b.Code, cofre.CodeOK)
	case journal.EventExpired:
		return cofre.RunExpire, "", cofre.CodeOK
	case journal.EventPruned:
		return cofre.RunPrune, "", cofre.CodeOK
	case journal.EventSealed:
		return cofre.RunSeal, "", cofre.CodeOK
	case journal.EventHeld:
		return cofre.RunHold, "", cofre.CodeOK
	case journal.EventReleased:
		return cofre.RunLiftHold, "", cofre.CodeOK
	case journal.EventSignedOff:
		return cofre.RunSign, "", cofre.CodeOK
	case journal.EventAcknowledged:
		return cofre.RunAcknowledge, "", cofre.CodeOK
	case journal.EventOrigin:
		var f journal.OriginFacts
		if json.Unmarshal(b.Facts, &f) == nil && !f.Own {
			return cofre.RunAdmit, "", cofre.CodeOK
		}
	case journal.EventAdopted:
		return cofre.RunAdopt, "", cofre.CodeOK
	case journal.EventExported:
		return cofre.RunExport, "", cofre.CodeOK
	}
	return "", "", ""
}

// FailedFacts is what an entry says of a run that failed, for everybody to read.
type FailedFacts struct {
	Kind cofre.RunKind `json:"kind"`
	What string        `json:"what,omitempty"`
	// BeganAt is when it began. Entries of before do not say.
	BeganAt time.Time `json:"began_at,omitzero"`
	// Published is set if it had published a point before it was killed.
	Published bool `json:"published,omitempty"`
	// Later is set if the journal was told by another run, later: the order of entries says nothing of when it failed.
	Later bool `json:"told_later,omitempty"`
}

// Logs adds the logs that are stored. Each says how its run ended, whatever an entry that was written on the way says.
func (h *History) Logs(all []Stored) {
	for _, s := range all {
		r := h.of(s.Run)
		if r.EndedAt.IsZero() {
			r.EndedAt = s.EndedAt
		}
		r.Kind, r.Log = s.Kind, &s
		r.is(s.Code)
	}
}

// Marks adds what this host remembered before the rest was read: a run that went on then may have ended.
func (h *History) Marks(all []Unended) {
	for _, u := range all {
		r := h.of(u.Run)
		if len(r.Entries) == 0 {
			r.Installation, r.By = u.Installation, u.By
		}
		r.Kind, r.What = cmp.Or(r.Kind, u.Kind), cmp.Or(r.What, u.What)
		if !u.At.IsZero() {
			r.BeganAt = u.At
		}
		if u.Published != "" && !slices.Contains(r.Points, u.Published) {
			r.Points = append(r.Points, u.Published)
		}
		switch {
		case u.Running && (r.Log != nil || r.Failed()):
		case u.Running:
			r.State, r.Code, r.EndedAt = StateRunning, "", time.Time{}
		case u.Log != nil:
			r.Local, r.EndedAt = u.Log, u.Log.EndedAt
			r.is(u.Log.Code)
		default:
			r.is(cofre.CodeKilled)
		}
	}
}

func (h *History) of(id cofre.RunID) *Run {
	if h.by == nil {
		h.by = map[cofre.RunID]*Run{}
	}
	r := h.by[id]
	if r == nil {
		r = &Run{ID: id, BeganAt: beganAt(id), Points: []cofre.PointID{}, Entries: []int64{}}
		h.by[id] = r
	}
	return r
}

// beganAt is the second that a run's id begins with.
func beganAt(id cofre.RunID) time.Time {
	const layout = "20060102T150405Z"
	if len(id) < len(layout) {
		return time.Time{}
	}
	at, _ := time.Parse(layout, string(id[:len(layout)])) // or the zero time
	return at
}

func (r *Run) is(code cofre.Code) {
	r.Code = code
	switch code {
	case cofre.CodeOK:
		r.State = StateDone
	case cofre.CodeKilled:
		r.State, r.EndedAt = StateKilled, time.Time{}
	default:
		r.State = StateFailed
	}
}

// Want chooses runs. The zero Want takes all.
type Want struct {
	Installation string
	Kind         cofre.RunKind
	Since        time.Time // that began then, or later
	Failed       bool      // that did not do all that they were to do
	Last         int       // only so many newest ones; 0 is all
}

// Runs lists runs, the newest last.
func (h *History) Runs(want Want) []Run {
	all := []Run{}
	for _, r := range h.by {
		if want.Installation != "" && r.Installation != "" && r.Installation != want.Installation || want.Kind != "" && r.Kind != want.Kind || r.BeganAt.Before(want.Since) || want.Failed && !r.Failed() {
			continue
		}
		all = append(all, *r)
	}
	// An id has the second in which its run began.
	slices.SortFunc(all, func(a, b Run) int {
		return cmp.Or(a.BeganAt.Compare(b.BeganAt), a.EndedAt.Compare(b.EndedAt), cmp.Compare(a.ID, b.ID))
	})
	if want.Last > 0 && len(all) > want.Last {
		all = all[len(all)-want.Last:]
	}
	return all
}
