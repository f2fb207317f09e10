package status

import (
	"cmp"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/physical/archiving"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Verdict is how something stands.
type Verdict string

// The verdicts, from the best to the worst. That something is not known is worse than that something is to be looked at: it may be anything.
const (
	OK        Verdict = "ok"
	Attention Verdict = "attention" // something is to be looked at, and everything that is promised can be restored
	Unclear   Verdict = "unknown"   // something could not be read
	AtRisk    Verdict = "at_risk"   // something that is promised cannot be restored right now, or soon will not be
)

func (v Verdict) rank() int { return slices.Index([]Verdict{OK, Attention, Unclear, AtRisk}, v) }

// Worst is the worst of several verdicts, OK of none.
func Worst(all ...Verdict) Verdict {
	worst := OK
	for _, v := range all {
		if v.rank() > worst.rank() {
			worst = v
		}
	}
	return worst
}

// Err is nil of OK, and else an error with the code of the verdict.
func (v Verdict) Err() error {
	switch v {
	case Attention:
		return cofre.Fail(cofre.Say("status.is_attention", "something is to be looked at"), cofre.ErrAttention)
	case Unclear:
		return cofre.Fail(cofre.Say("status.is_unknown", "something could not be read, so nobody knows whether everything can be restored"), cofre.ErrUnknown)
	case AtRisk:
		return cofre.Fail(cofre.Say("status.is_at_risk", "something that is promised cannot be restored now, or soon will not be"), cofre.ErrAtRisk)
	}
	return nil
}

// Status is how an installation stands.
type Status struct {
	Installation string    `json:"installation"`
	At           time.Time `json:"at"`
	Verdict      Verdict   `json:"verdict"`
	Sources      []Source  `json:"sources"`
	// Others are sources that have recovery points, and that nobody configures any more.
	Others     []cofre.SourceID `json:"not_configured"`
	Repository Repository       `json:"repository"`
	Copies     []string         `json:"copies"` // addresses; what is in them is not looked at
	// RTO is the objective for how long a restore may take; 0 if there is none.
	RTO time.Duration `json:"rto_objective_ns,omitempty"`
	// WAL is what the repository and each copy hold of the archived WAL; empty without copies.
	WAL []wal.Holding `json:"wal_repositories,omitempty"`
	// Archiver is what the server says of its archiving; nil if it archives nothing, or was not asked.
	Archiver *archiving.Archiver `json:"archiver,omitempty"`
	// Gone is how many recovery points were published, did not expire, and are not in the catalog.
	Gone int `json:"points_gone"`
	// Holds is how many holds there are that have not ended, and HoldEnds when the first of them ends; zero if none does.
	Holds    int           `json:"holds"`
	HoldEnds time.Time     `json:"next_hold_ends,omitzero"`
	Coverage *Coverage     `json:"coverage,omitempty"`
	Verified *Verification `json:"last_verification,omitempty"`
	// Found is the newest verification that had findings, if none that looked as deep has found none since.
	Found *Verification `json:"open_verification,omitempty"`
	// Unread is since when nothing was read back: since everything was to be, last, or since the first backup. Zero if there is no backup, or it is not known.
	Unread time.Time `json:"unread_since,omitzero"`
	// Window is the time within which everything is to be read back.
	Window      time.Duration `json:"verify_window_ns"`
	LastRun     *Run          `json:"last_backup,omitempty"` // the newest run that backed up
	LastFailure *Run          `json:"last_failure,omitempty"`
	Checkpoint  string        `json:"checkpoint,omitempty"` // the newest of the journal
	// UnknownBefore is since when this machine knows the journal, if nobody vouches for what was before: whether anything was taken back then is not known.
	UnknownBefore time.Time `json:"past_unknown_before,omitzero"`
	// Ending are the holds that end within HoldNotice: what they keep expires then.
	Ending []cofre.Hold `json:"holds_ending"`
	// Breaches are the times in which an objective was not reached, by the journal.
	Breaches []Breach  `json:"breaches"`
	Findings []Finding `json:"findings"` // the worst first
}

// Finding is something to act on.
type Finding struct {
	Verdict Verdict `json:"verdict"`
	// Condition is what kind of trouble it is.
	Condition Condition      `json:"condition"`
	Source    cofre.SourceID `json:"source,omitzero"` // zero if it is of none, or of all
	Area      Area           `json:"area,omitempty"`  // of what could not be read
	Code      cofre.Code     `json:"code,omitempty"`  // of the error, if it is one
	What      string         `json:"what"`
	Next      string         `json:"next"` // what to do, with its command
	Messages  cofre.Messages `json:"messages"`
}

// Run is an execution.
type Run struct {
	ID       cofre.RunID    `json:"run"`
	Kind     cofre.RunKind  `json:"kind"`
	What     string         `json:"what,omitempty"` // the kinds that it was asked for, with commas; "" if it was all
	At       time.Time      `json:"at"`             // when it ended, or began if it was killed
	Code     cofre.Code     `json:"code"`
	Point    cofre.PointID  `json:"point,omitempty"`
	Message  string         `json:"message,omitempty"`
	Hint     string         `json:"hint,omitempty"`
	Messages cofre.Messages `json:"messages,omitempty"`
}

// Coverage is how much of what is stored was read back.
type Coverage struct {
	At     time.Time     `json:"at"` // of the verification that said so
	Window time.Duration `json:"window_ns"`
	Bytes  int64         `json:"bytes"`
	Proven int64         `json:"proven_bytes"` // read back within the window
	Share  float64       `json:"share"`
	Newer  int           `json:"newer_points"` // published since that verification, of whatever installation: nothing of them counts here
}

// Verification is the newest one of the whole repository.
type Verification struct {
	At       time.Time   `json:"at"`
	Reached  cofre.Level `json:"level_reached"`
	Findings int         `json:"findings"`
	Code     cofre.Code  `json:"code"`
}

// HoldNotice is how long before its end a hold is said to end.
const HoldNotice = 7 * 24 * time.Hour

// Of computes a status.
func Of(in Input) *Status {
	if in.History == nil {
		in.History = &History{}
	}
	in.byName = make(map[cofre.PointID]int, len(in.Points))
	for i, p := range in.Points {
		in.byName[p.ID] = i
	}
	s := &Status{
		Installation: in.Installation, At: in.Now.UTC(), Sources: []Source{}, Others: []cofre.SourceID{}, Copies: append([]string{}, in.Copies...), Findings: []Finding{}, Ending: []cofre.Hold{},
		Checkpoint: in.History.Checkpoint, UnknownBefore: in.History.UnknownBefore, Repository: grown(in),
		RTO: in.RTO, WAL: holdings(in.WAL), Archiver: in.Archiver, Gone: len(in.Gone), Found: in.History.found, Window: cmp.Or(in.Window, DefaultWindow),
	}
	s.LastRun, s.LastFailure = in.lastRun(), in.lastFailure(in.Sources...)
	if v := in.History.verified; v != nil {
		s.Verified = v
	}
	if c := in.History.covered; c != nil {
		s.Coverage = c
	}
	for _, c := range in.Sources {
		s.Sources = append(s.Sources, newJudged(&in, s, c).source())
	}
	s.Breaches = s.breaches(in)
	for _, h := range in.Holds {
		if !h.Until.IsZero() && !h.Until.After(in.Now) {
			continue
		}
		if s.Holds++; !h.Until.IsZero() && (s.HoldEnds.IsZero() || h.Until.Before(s.HoldEnds)) {
			s.HoldEnds = h.Until
		}
	}
	if s.Unread = in.History.read; s.Unread.IsZero() && len(in.Points) > 0 && !in.unknown(AreaJournal) {
		s.Unread = in.Points[0].PublishedAt
	}
	s.others(in)
	s.judge(in)
	for _, h := range in.Holds {
		if left := h.Until.Sub(in.Now); !h.Until.IsZero() && left > 0 && left <= HoldNotice {
			s.Ending = append(s.Ending, h)
		}
	}
	slices.SortStableFunc(s.Findings, func(a, b Finding) int { return cmp.Compare(b.Verdict.rank(), a.Verdict.rank()) })
	for _, f := range s.Findings {
		s.Verdict = Worst(s.Verdict, f.Verdict)
	}
	s.Verdict = cmp.Or(s.Verdict, OK)
	return s
}

func (s *Status) others(in Input) {
	for _, p := range in.Points {
		for _, c := range p.Components {
			id := cofre.SourceID{Installation: p.Installation, Kind: c.Kind, Name: c.Name}
			if !slices.Contains(s.Others, id) && !slices.ContainsFunc(in.Sources, func(x Configured) bool { return x.ID == id }) {
				s.Others = append(s.Others, id)
			}
		}
	}
}

// holdings are what each repository holds of the WAL of every system that goes on.
func holdings(of []Archived) []wal.Holding {
	var all []wal.Holding
	for _, a := range of {
		if a.Former {
			continue
		}
		for _, h := range a.Repositories {
			i := slices.IndexFunc(all, func(x wal.Holding) bool { return x.URL == h.URL })
			if i < 0 {
				h.Missing, h.Damaged = slices.Clip(h.Missing), slices.Clip(h.Damaged) // they are another's
				all = append(all, h)
				continue
			}
			to := &all[i]
			to.Segments += h.Segments
			to.Missing, to.Damaged = append(to.Missing, h.Missing...), append(to.Damaged, h.Damaged...)
			if h.NewestAt.After(to.NewestAt) {
				to.NewestAt = h.NewestAt
			}
			if to.Err == nil {
				to.Err, to.Error = h.Err, h.Error
			}
		}
	}
	return all
}

// find adds something to act on.
func (s *Status) find(v Verdict, of Condition, source cofre.SourceID, what, next cofre.Message) {
	s.Findings = append(s.Findings, Finding{Verdict: v, Condition: of, Source: source, What: what.Text, Next: next.Text, Messages: cofre.Messages{what, next}})
}
