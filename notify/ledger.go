package notify

import (
	"maps"
	"slices"
	"time"

	"github.com/trustlayer/cofre/status"
)

// Bounds of how much is told.
const (
	// gather is how long one condition waits for others, so that what breaks together is told together.
	gather = time.Second
	// calm is how long what is over waits for others: good news are not urgent.
	calm = 10 * time.Second
	// patience is how long something may be unreadable before that is told: networks fail for a moment.
	patience = 4 * time.Minute
	// atOnce is how many messages may follow one another; after that one is told each pause, with everything that has come together since.
	atOnce = 6
	pause  = 5 * time.Minute
)

// Entry is one condition, as one recipient was told of it.
type Entry struct {
	Condition
	Since  time.Time      `json:"since"`
	ToldAt time.Time      `json:"told_at,omitzero"` // zero: not yet
	Told   status.Verdict `json:"told,omitempty"`   // what it was then
	GoneAt time.Time      `json:"gone_at,omitzero"` // since it is over; zero: it is not
}

// Ledger is what one recipient was told, and is to be told. The zero Ledger is of one who was told nothing.
type Ledger struct {
	Entries map[string]*Entry `json:"conditions"`
	// DigestAt is for which moment the newest digest was; zero before there was any.
	DigestAt time.Time   `json:"digest_at,omitzero"`
	Sent     []time.Time `json:"sent,omitempty"` // the newest messages, atOnce at most
}

// Batch is what is told in one message.
type Batch struct {
	New   []Entry // also what has become worse
	Still []Entry // what was told long ago, and still is
	Over  []Entry
}

// Empty reports whether there is nothing to tell.
func (b Batch) Empty() bool { return len(b.New)+len(b.Still)+len(b.Over) == 0 }

// Take takes what is wrong now. unclear says of a condition that is not among it that nobody knows whether it is over. It reports whether anything has changed that
// must be remembered.
func (l *Ledger) Take(now time.Time, all []Condition, unclear func(Condition) bool) (changed bool) {
	if l.Entries == nil {
		l.Entries = map[string]*Entry{}
	}
	l.noLater(now)
	seen := map[string]bool{}
	for _, c := range all {
		seen[c.Key] = true
		e := l.Entries[c.Key]
		if e == nil {
			l.Entries[c.Key] = &Entry{Condition: c, Since: now}
			changed = true
			continue
		}
		changed = changed || !e.GoneAt.IsZero()
		e.Condition, e.GoneAt = c, time.Time{}
	}
	for k, e := range l.Entries {
		if seen[k] || !e.GoneAt.IsZero() || unclear(e.Condition) {
			continue
		}
		changed = true
		if e.GoneAt = now; e.ToldAt.IsZero() && e.waits() > gather {
			delete(l.Entries, k) // it was not yet time to tell it
		}
	}
	return changed
}

// noLater takes times that are yet to come, since the clock was set back, for now: nothing waits for as long as the clock was ahead.
func (l *Ledger) noLater(now time.Time) {
	times := []*time.Time{&l.DigestAt}
	for _, e := range l.Entries {
		times = append(times, &e.Since, &e.ToldAt, &e.GoneAt)
	}
	for i := range l.Sent {
		times = append(times, &l.Sent[i])
	}
	for _, t := range times {
		if t.After(now) {
			*t = now
		}
	}
}

// waits is how long an entry waits before it is told.
func (e *Entry) waits() time.Duration {
	if e.Kind == status.ConditionUnread {
		return patience
	}
	return gather
}

func (e *Entry) worse() bool { return status.Worst(e.Told, e.Verdict) != e.Told }

// Next is what is to be told now, or when there may be something: zero if that is not known. What is over is told after it was told that it is.
func (l *Ledger) Next(now time.Time, repeat time.Duration) (b Batch, at time.Time) {
	sooner := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	// One whose time has come takes along what has only just come or gone, but not what may be back in a moment.
	var coming, going []Entry
	for _, k := range slices.Sorted(maps.Keys(l.Entries)) {
		switch e := l.Entries[k]; {
		case e.ToldAt.IsZero():
			if due := e.Since.Add(e.waits()); !now.Before(due) {
				b.New = append(b.New, *e)
			} else if sooner(due); e.waits() == gather {
				coming = append(coming, *e)
			}
		case !e.GoneAt.IsZero():
			if due := e.GoneAt.Add(calm); now.Before(due) {
				sooner(due)
				going = append(going, *e)
			} else {
				b.Over = append(b.Over, *e)
			}
		case e.worse():
			b.New = append(b.New, *e)
		default:
			if due := e.ToldAt.Add(repeat); now.Before(due) {
				sooner(due)
			} else {
				b.Still = append(b.Still, *e)
			}
		}
	}
	if len(b.New) > 0 {
		b.New = append(b.New, coming...)
	}
	if len(b.Over) > 0 {
		b.Over = append(b.Over, going...)
	}
	if b.Empty() {
		return b, at
	}
	if n := len(l.Sent); n >= atOnce {
		// A message each pause is had back.
		if free := l.Sent[n-atOnce].Add(atOnce * pause); now.Before(free) && now.Before(l.Sent[n-1].Add(pause)) {
			return Batch{}, l.Sent[n-1].Add(pause)
		}
	}
	for _, list := range [][]Entry{b.New, b.Still, b.Over} {
		slices.SortStableFunc(list, func(a, b Entry) int { return rank(a.Kind) - rank(b.Kind) })
	}
	return b, time.Time{}
}

// Keep remembers that a batch was told.
func (l *Ledger) Keep(now time.Time, b Batch) {
	for _, e := range slices.Concat(b.New, b.Still) {
		if have := l.Entries[e.Key]; have != nil {
			have.ToldAt, have.Told = now, e.Verdict
		}
	}
	for _, e := range b.Over {
		if have := l.Entries[e.Key]; have != nil && !have.GoneAt.IsZero() {
			delete(l.Entries, e.Key)
		}
	}
	l.Sent = append(l.Sent, now)
	if len(l.Sent) > atOnce {
		l.Sent = slices.Clone(l.Sent[len(l.Sent)-atOnce:])
	}
}
