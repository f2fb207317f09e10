package due

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/trustlayer/cofre/schedule"
)

// Job is what is done by a schedule.
type Job struct {
	// Name is of the job in its installation, and the same on every machine: the jitter follows from it.
	Name     string
	Schedule schedule.Schedule
	Zone     *time.Location // of the schedule; nil is UTC
	// Jitter is the longest time by which the job begins after its schedule says: always by the same, so that many installations with one
	// schedule do not begin at once.
	Jitter time.Duration
	// Window is how long after it was due a run is to have ended; 0 is for ever.
	Window time.Duration
	// From is before when no moment counts: what was not missed is not caught up.
	From time.Time
}

// Outcome is what became of an attempt.
type Outcome string

// The outcomes.
const (
	Running Outcome = "running"
	Done    Outcome = "done" // also with something missing, that another attempt would miss as well
	Failed  Outcome = "failed"
	Killed  Outcome = "killed"  // nothing says when it ended
	Stopped Outcome = "stopped" // called off, or kept waiting by another: no failure
)

// Attempt is one run of the job, as it is recorded.
type Attempt struct {
	BeganAt time.Time
	EndedAt time.Time // zero if that is not known
	Outcome Outcome
}

// State is what is to be done about a job.
type State string

// The states.
const (
	Never    State = "never"    // it has no schedule, or a day that never comes
	Waiting  State = "waiting"  // until it is due
	Due      State = "due"      // it is to begin now
	Retrying State = "retrying" // it has failed, and waits until it is tried again
	Busy     State = "busy"     // it runs
)

// Decision is how one job stands at a moment.
type Decision struct {
	State State
	// For is the moment at which it was due: of Due and Retrying the newest that has passed, of Busy the newest before the run began. Zero if there is none.
	For time.Time
	// Until is when it is to be looked at again: when it is due next, or is tried again, or, of Busy, when its window ends. Zero is never.
	Until time.Time
	// Next is when the schedule says that it is due next.
	Next time.Time
	// Missed is how many moments before For passed without a run; at most MostMissed.
	Missed int
	// Failures is how often it has failed since it was done last, or since For, whichever is later.
	Failures int
	// Ends is when the window of For ends; zero without one.
	Ends time.Time
	// Overrun says that a run that began within its window goes on beyond it.
	Overrun bool
}

// CaughtUp reports whether what is due now was due so long ago that it was missed.
func (d Decision) CaughtUp(now time.Time) bool {
	return d.Failures == 0 && (d.Missed > 0 || now.Sub(d.For) > Late)
}

const (
	// MostMissed bounds what is counted: more says nothing more.
	MostMissed = 1000
	// Late is how long after it was due a run begins that is caught up.
	Late = 5 * time.Minute
	// Skew is by how much the clock of another machine may be ahead. What is recorded to have begun later than that was recorded by a clock
	// that was wrong, or before ours was set back, and counts for nothing: it would keep the job from running until that time has come.
	Skew = 5 * time.Minute

	firstPause   = time.Minute
	longestPause = time.Hour
)

// Pause is how long a job waits after it has failed so many times in a row.
func Pause(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	pause := firstPause
	for ; failures > 1 && pause < longestPause; failures-- {
		pause *= 2
	}
	return min(pause, longestPause)
}

// Decide says how a job stands. The attempts are in any order, and may be those of years.
func Decide(j Job, attempts []Attempt, now time.Time) Decision {
	d := Decision{State: Never, Next: j.Next(now)}
	if running, ok := newest(attempts, func(a Attempt) bool { return a.Outcome == Running }); ok {
		return j.busy(d, running, now)
	}
	d.For = j.last(now)
	if d.For.IsZero() || d.For.Before(j.From) {
		d.For = time.Time{}
		return d.wait(d.Next)
	}
	believed := func(a Attempt) bool { return !a.BeganAt.After(now.Add(Skew)) }
	done, ever := newest(attempts, func(a Attempt) bool { return a.Outcome == Done && believed(a) })
	if ever && !done.BeganAt.Before(d.For) {
		return d.wait(d.Next)
	}
	if j.Window > 0 {
		d.Ends = d.For.Add(j.Window)
	}
	if ever {
		d.Missed = j.missed(done.BeganAt, d.For)
	}
	var last Attempt
	for _, a := range attempts {
		if a.BeganAt.Before(d.For) || !believed(a) || a.Outcome != Failed && a.Outcome != Killed {
			continue
		}
		d.Failures++
		if a.end().After(last.end()) {
			last = a
		}
	}
	failures := d.Failures
	if last.Outcome == Killed {
		failures-- // a machine that is back goes on at once; one that the job itself brings down does not do so for ever
	}
	again := last.end().Add(Pause(failures))
	if d.Failures > 0 && now.Before(again) && again.Sub(now) <= longestPause { // of a clock that was set back there is nothing to wait for
		d.State, d.Until = Retrying, again
		return d
	}
	d.State, d.Until = Due, now
	return d
}

func (d Decision) wait(until time.Time) Decision {
	if !until.IsZero() {
		d.State, d.Until = Waiting, until
	}
	return d
}

// busy is how a job stands that runs.
func (j Job) busy(d Decision, running Attempt, now time.Time) Decision {
	d.State, d.For = Busy, j.last(running.BeganAt)
	if d.For.IsZero() || j.Window == 0 {
		return d
	}
	d.Ends = d.For.Add(j.Window)
	if !running.BeganAt.Before(d.Ends) {
		return d // it was caught up, outside of any window
	}
	if d.Overrun = now.After(d.Ends); !d.Overrun {
		d.Until = d.Ends
	}
	return d
}

// end is when an attempt ended, or, if nobody knows, when it began.
func (a Attempt) end() time.Time {
	if a.EndedAt.After(a.BeganAt) {
		return a.EndedAt
	}
	return a.BeganAt
}

func newest(attempts []Attempt, which func(Attempt) bool) (newest Attempt, ok bool) {
	for _, a := range attempts {
		if which(a) && (!ok || a.BeganAt.After(newest.BeganAt)) {
			newest, ok = a, true
		}
	}
	return newest, ok
}

// Next is the first moment after another at which the job is due.
func (j Job) Next(t time.Time) time.Time { return j.shifted(t, j.Schedule.Next) }

// last is the newest moment, not after another, at which the job was due. It is in whole seconds, as recorded runs are.
func (j Job) last(t time.Time) time.Time { return j.shifted(t, j.Schedule.Last) }

func (j Job) shifted(t time.Time, of func(time.Time) time.Time) time.Time {
	if j.Schedule.IsZero() {
		return time.Time{}
	}
	zone := j.Zone
	if zone == nil {
		zone = time.UTC
	}
	at := of(t.Add(-j.Offset()).In(zone))
	if at.IsZero() {
		return at
	}
	return at.Add(j.Offset())
}

// Offset is by how much the job begins after its schedule says: whole seconds, up to the jitter.
func (j Job) Offset() time.Duration {
	n := uint64(j.Jitter / time.Second)
	if n == 0 {
		return 0
	}
	sum := sha256.Sum256([]byte(j.Name))
	return time.Duration(binary.BigEndian.Uint64(sum[:8])%(n+1)) * time.Second
}

// missed counts the moments after one and before another.
func (j Job) missed(after, before time.Time) int {
	n := 0
	for at := j.Next(after); n < MostMissed && !at.IsZero() && at.Before(before); at = j.Next(at) {
		n++
	}
	return n
}
