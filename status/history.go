package status

import (
	"encoding/json"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
)

// History is what a status goes by of the journal. The zero History is that of a repository without one.
type History struct {
	Installation string
	Checkpoint   string // the newest, as a line

	backup   *Run // the newest that was published
	failed   *Run // the newest that failed since
	sealed   string
	log      string
	verified *Verification
	covered  *Coverage
	proven   map[component]proof
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
	if b.Installation != h.Installation {
		return
	}
	switch b.Event {
	case journal.EventPublished:
		h.backup = &Run{ID: b.Run, Kind: cofre.RunBackup, At: b.At, Code: cofre.CodeOK, Point: b.Point}
		if h.failed != nil && h.failed.Kind == cofre.RunBackup && !h.failed.At.After(b.At) {
			h.failed, h.sealed = nil, ""
		}
	case journal.EventFailed:
		h.failure(b)
	}
}

func (h *History) failure(b journal.Body) {
	var f runs.FailedFacts
	if json.Unmarshal(b.Facts, &f) != nil || b.Code == cofre.CodeInterrupted || b.Code == cofre.CodeLocked || f.Published {
		return
	}
	if f.Kind != cofre.RunBackup || h.backup != nil && f.Later && b.At.Before(h.backup.At) {
		return
	}
	h.failed, h.sealed = &Run{ID: b.Run, Kind: f.Kind, At: b.At, Code: b.Code}, b.Sealed
}

func (h *History) verification(b journal.Body) {
	var f struct {
		Reached  cofre.Level `json:"level_reached"`
		Findings int         `json:"findings"`
		Coverage *struct {
			Window int64 `json:"window_s"`
			Bytes  int64 `json:"bytes"`
			Proven int64 `json:"proven_bytes"`
		} `json:"coverage"`
		Components []struct {
			Point cofre.PointID  `json:"point"`
			Root  cofre.ObjectID `json:"root"`
			Level cofre.Level    `json:"level"`
			At    time.Time      `json:"at"`
		} `json:"components"`
		Continued bool `json:"continued"`
	}
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
	if c := f.Coverage; c != nil {
		h.covered = &Coverage{At: b.At, Window: time.Duration(c.Window) * time.Second, Bytes: c.Bytes, Proven: c.Proven}
		if c.Bytes > 0 {
			h.covered.Share = float64(c.Proven) / float64(c.Bytes)
		}
	}
}

// Failed is the newest backup that failed since the last one that was published, and the name of what is sealed of why; "" if there is none.
func (h *History) Failed() (run cofre.RunID, sealed string) {
	if h.failed == nil {
		return "", ""
	}
	return h.failed.ID, h.sealed
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

// lastRuns are the newest backup and the newest failure since, as journal and this host know them.
func (in *Input) lastRuns() (last, failed *Run) {
	if h := in.History; h.backup != nil {
		last = new(*h.backup)
	}
	if h := in.History; h.failed != nil {
		failed = new(*h.failed)
	}
	if last == nil && len(in.Points) > 0 { // of before there was a journal
		p := in.Points[len(in.Points)-1]
		last = &Run{Kind: cofre.RunBackup, At: p.PublishedAt, Code: cofre.CodeOK, Point: p.ID}
	}
	for _, u := range in.Unended {
		if u.Running || u.Kind != cofre.RunBackup || u.Published != "" || u.Installation != in.Installation {
			continue
		}
		r := &Run{ID: u.Run, Kind: u.Kind, At: u.At, Code: cofre.CodeKilled}
		if l := u.Log; l != nil {
			if l.Code == cofre.CodeInterrupted || l.Code == cofre.CodeLocked {
				continue
			}
			r.At, r.Code, r.Message, r.Hint, r.Messages = l.EndedAt, l.Code, l.Message, l.Hint, l.Messages
		}
		if (last == nil || r.At.After(last.At)) && (failed == nil || r.At.After(failed.At)) {
			failed = r
		}
	}
	if failed != nil && failed.Message == "" {
		if w, ok := in.Why[failed.ID]; ok {
			failed.Message, failed.Hint, failed.Messages = w.Message, w.Hint, w.Messages
		}
	}
	return last, failed
}
