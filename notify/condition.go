package notify

import (
	"cmp"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/status"
)

// Condition is one thing that is wrong.
type Condition struct {
	Key     string           `json:"key"` // the same as long as it is the same thing that is wrong
	Kind    status.Condition `json:"kind"`
	Verdict status.Verdict   `json:"verdict"`
	Source  string           `json:"source,omitempty"` // its label
	Run     cofre.RunID      `json:"run,omitempty"`
	What    cofre.Message    `json:"what"`
	Next    cofre.Message    `json:"next"` // what to do, with its command
}

// Of are the conditions of a status, the worst news first.
func Of(s *status.Status) []Condition {
	var all []Condition
	add := func(c Condition) {
		i := slices.IndexFunc(all, func(o Condition) bool { return o.Key == c.Key })
		switch {
		case i < 0:
			all = append(all, c)
		case status.Worst(all[i].Verdict, c.Verdict) != all[i].Verdict: // of several of one kind the worst is told
			all[i] = c
		}
	}
	failing := false
	for _, of := range s.Sources {
		if f := of.Failure; f != nil {
			failing = true
			add(failure(of.ID, *f))
		}
		if of.EveryMoment && of.Objective > 0 && of.Met && of.RPO > of.Objective/2 {
			add(Condition{
				Key: key(status.ConditionRPO, of.ID.Label()), Kind: status.ConditionRPO, Verdict: status.Attention, Source: of.ID.Label(),
				What: cofre.Say("notify.rpo_soon", "{{.lost}} of work would be lost now, more than half of what is promised, {{.objective}}", "lost", status.Span(of.RPO), "objective", status.Span(of.Objective)),
				Next: cofre.Say("status.check_wal", "see why with: cofre check"),
			})
		}
	}
	for _, f := range s.Findings {
		if f.Condition == status.ConditionFailure && failing {
			continue // it was told of its source
		}
		c := Condition{Kind: f.Condition, Verdict: f.Verdict, Source: f.Source.Label(), What: f.Messages.Of(f.What), Next: f.Messages.Of(f.Next)}
		c.Key = key(f.Condition, cmp.Or(c.Source, string(f.Area)))
		add(c)
	}
	for _, h := range s.Ending {
		add(Condition{
			Key: key(status.ConditionHold, h.ID), Kind: status.ConditionHold, Verdict: status.Attention,
			What: cofre.Say("notify.hold_ends", "the hold {{.hold}} on {{.point}} ends at {{.until}}; what it keeps may expire then", "hold", h.ID, "point", h.Point, "until", h.Until),
			Next: cofre.Say("notify.hold_longer", "list what is held with: cofre hold; to keep it longer, hold it again: cofre hold {{.point}} --why 'kept longer'", "point", h.Point),
		})
	}
	slices.SortStableFunc(all, func(a, b Condition) int { return cmp.Compare(rank(a.Kind), rank(b.Kind)) })
	return all
}

// blind reports whether something could not be read without which nobody can say that a condition is over.
func blind(s *status.Status, kind status.Condition) bool {
	return slices.ContainsFunc(s.Findings, func(f status.Finding) bool {
		switch f.Area {
		case status.AreaRepository, status.AreaCatalog, status.AreaJournal, status.AreaPoints:
			return true
		case status.AreaWAL, status.AreaServer:
			return kind == status.ConditionGap || kind == status.ConditionRPO || kind == status.ConditionCopy
		case status.AreaSpace, status.AreaSize:
			return kind == status.ConditionSpace
		}
		return false
	})
}

func rank(kind status.Condition) int { return slices.Index(status.Conditions, kind) }

func key(kind status.Condition, of string) string { return string(kind) + "/" + of }

// FailureKey is the key of what went wrong with a job: "backup database", "verify".
func FailureKey(job string) string { return key(status.ConditionFailure, job) }

func failure(of cofre.SourceID, f status.Failure) Condition {
	why := cofre.Verbatim(f.Message)
	if f.Message != "" {
		why = f.Messages.Of(f.Message)
	}
	return Failed("backup "+string(of.Kind), of, f.Run, f.At, f.Code, why)
}

// Failed is the condition of a job whose newest run did not do its work. why may be the zero message.
func Failed(job string, of cofre.SourceID, run cofre.RunID, at time.Time, code cofre.Code, why cofre.Message) Condition {
	c := Condition{Key: FailureKey(job), Kind: status.ConditionFailure, Verdict: status.Attention, Run: run}
	if of.Kind != "" {
		c.Source = of.Label()
	}
	if why.Text == "" {
		why = cofre.Verbatim(string(code))
	}
	switch code {
	case cofre.CodeKilled:
		c.What = cofre.Say("notify.run_killed", "{{.job}}, which began at {{.at}}, was killed", "job", job, "at", at)
	case cofre.CodePartial:
		c.What = cofre.Say("notify.run_partial", "{{.job}} of {{.at}} is not whole: {{.why}}", "job", job, "at", at, "why", why)
	default:
		c.What = cofre.Say("notify.run_failed", "{{.job}} failed at {{.at}}: {{.why}}", "job", job, "at", at, "why", why)
	}
	c.Next = cofre.Verbatim("cofre runs")
	if run != "" {
		c.Next = cofre.Verbatim("cofre runs show " + string(run))
	}
	return c
}
