package status

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
)

// Breach is a time in which an objective was not reached.
type Breach struct {
	Source    cofre.SourceID `json:"source"`
	Of        Condition      `json:"of"` // rpo or rto
	From      time.Time      `json:"from"`
	To        time.Time      `json:"to,omitzero"`   // zero if it goes on
	Objective time.Duration  `json:"objective_ns"`  // of today: the journal does not say what it was
	Worst     time.Duration  `json:"worst_ns"`      // that was reached in it
	Run       cofre.RunID    `json:"run,omitempty"` // that caused it, if one is known
	Cause     string         `json:"cause"`
	Messages  cofre.Messages `json:"messages"`
}

// attempt is what the journal says of a backup: that it was published, or failed.
type attempt struct {
	at    time.Time
	run   cofre.RunID
	code  cofre.Code          // "" of one that was published
	what  string              // that failed, as runs.IsOf takes it
	began time.Time           // of one that was published
	whole map[cofre.Kind]bool // the kinds that were published, and whether the first of each is whole
}

// tried takes what a ledger of breaches goes by.
func (h *History) tried(b journal.Body) {
	switch b.Event {
	case journal.EventPublished:
		if a, ok := captured(b); ok {
			h.attempts = append(h.attempts, a)
		}
	case journal.EventFailed:
		var f runs.FailedFacts
		if json.Unmarshal(b.Facts, &f) == nil && f.Kind == cofre.RunBackup && !f.Published {
			h.attempts = append(h.attempts, attempt{at: b.At, run: b.Run, code: cmp.Or(b.Code, cofre.CodeError), what: f.What})
		}
	}
}

// breaches are the times in which an objective was not reached, as the journal says it, the first first. How old WAL was is not in the journal: a cluster whose WAL is archived,
// and a database in it, have none of the RPO.
func (s *Status) breaches(in Input) []Breach {
	all := []Breach{}
	if in.unknown(AreaJournal) {
		return all
	}
	for i, of := range s.Sources {
		c := in.Sources[i]
		if in.RPO > 0 && c.ID.Kind != cofre.KindConfig && of.Within == (cofre.SourceID{}) && !c.Archives {
			all = append(all, in.lost(c)...)
		}
		if in.RTO > 0 {
			all = append(all, in.slow(c)...)
		}
	}
	slices.SortStableFunc(all, func(a, b Breach) int { return a.From.Compare(b.From) })
	return all
}

// lost are the times in which more work than is promised would have been lost: from when the newest backup that was whole was too old, until a newer one was published.
func (in *Input) lost(c Configured) (all []Breach) {
	var moment time.Time // of the newest backup that is whole
	var failed []attempt // since
	partial := cofre.RunID("")
	until := func(end, goesOn time.Time) {
		worst := goesOn.Sub(moment)
		if moment.IsZero() || worst <= in.RPO {
			return
		}
		b := Breach{Source: c.ID, Of: ConditionRPO, From: moment.Add(in.RPO), To: end, Objective: in.RPO, Worst: worst}
		cause := cofre.Say("status.breach_none", "no backup was made")
		switch n := len(failed); {
		case n > 0:
			cause = cofre.SayN("status.breach_failed", n, "a backup failed: {{.code}}", "{{.n}} backups failed, the last one: {{.code}}", "code", string(failed[n-1].code))
			b.Run = failed[n-1].run
		case partial != "":
			cause, b.Run = cofre.Say("status.breach_partial", "a backup was not whole"), partial
		case c.Next != nil && c.Next(moment).Sub(moment) > in.RPO:
			cause = cofre.Say("status.breach_rare", "its schedule is rarer than the objective")
		}
		b.Cause, b.Messages = cause.Text, cofre.Messages{cause}
		all = append(all, b)
	}
	for _, a := range in.History.attempts {
		if a.code != "" {
			if runs.IsOf(a.what, c.ID.Kind) {
				failed = append(failed, a)
			}
			continue
		}
		whole, has := a.whole[c.ID.Kind]
		switch {
		case !has, a.began.After(a.at.Add(skew)), !a.began.After(moment):
		case !whole:
			partial = a.run
		default:
			until(a.at, a.at)
			moment, failed, partial = a.began, nil, ""
		}
	}
	until(time.Time{}, in.Now)
	return all
}

// captured reads what was published; false if that cannot be read.
func captured(b journal.Body) (a attempt, ok bool) {
	var f struct {
		StartedAt  time.Time `json:"started_at"`
		Components []struct {
			Kind    cofre.Kind `json:"kind"`
			Partial bool       `json:"partial"`
		} `json:"components"`
	}
	if json.Unmarshal(b.Facts, &f) != nil {
		return a, false
	}
	a = attempt{at: b.At, run: b.Run, began: f.StartedAt, whole: make(map[cofre.Kind]bool, len(f.Components))}
	if a.began.IsZero() {
		a.began = a.at
	}
	for _, c := range f.Components {
		if _, had := a.whole[c.Kind]; !had {
			a.whole[c.Kind] = !c.Partial
		}
	}
	return a, true
}

// slow are the times in which a recovery took longer than is promised, by what drills took: from one that did until one that did not. A red drill measures nothing.
func (in *Input) slow(c Configured) (all []Breach) {
	var open *Breach
	for _, d := range in.drillsOf(c.ID) {
		took := d.Recovery()
		switch {
		case d.Red() || d.Depth == "":
		case took > in.RTO && open == nil:
			cause := cofre.Say("status.breach_slow", "a drill took {{.time}}", "time", Span(took))
			all = append(all, Breach{Source: c.ID, Of: ConditionRTO, From: d.At, Objective: in.RTO, Worst: took, Run: d.Run, Cause: cause.Text, Messages: cofre.Messages{cause}})
			open = &all[len(all)-1]
		case took > in.RTO:
			open.Worst = max(open.Worst, took)
		case open != nil:
			open.To, open = d.At, nil
		}
	}
	return all
}
