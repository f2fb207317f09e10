package agent

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/agent/due"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/schedule"
)

// Job is one thing that an agent does by a schedule.
type Job struct {
	due.Job
	Kind  cofre.RunKind
	Of    cofre.SourceID // of a backup or a drill
	Limit time.Duration  // of each run

	// pardoned is when the configuration was changed: what failed before it did so with another.
	pardoned time.Time
}

// Label is what a person calls the job.
func (j Job) Label() string {
	if j.Kind == cofre.RunBackup || j.Kind == cofre.RunDrill {
		return string(j.Kind) + " " + string(j.Of.Kind)
	}
	return string(j.Kind)
}

// Jobs are those of a configuration.
func Jobs(cfg *config.Config) []Job {
	var all []Job
	add := func(name string, kind cofre.RunKind, s schedule.Schedule, window time.Duration, of cofre.SourceID) {
		if s.IsZero() {
			return
		}
		all = append(all, Job{Kind: kind, Of: of, Limit: cmp.Or(cfg.Serve.Limit.Duration, Limit), Job: due.Job{
			Name: cfg.Name + "/" + name, Schedule: s, Zone: cfg.Location(), Jitter: cfg.Serve.Jitter.Duration, Window: window,
		}})
	}
	for _, kind := range sources.Configured(cfg) {
		var s config.Schedule
		var window config.Duration
		switch kind {
		case cofre.KindDatabase:
			s, window = cfg.Database.Schedule, cfg.Database.Window
		case cofre.KindCluster:
			s, window = cfg.Cluster.Schedule, cfg.Cluster.Window
		case cofre.KindStorage:
			s, window = cfg.Storage.Schedule, cfg.Storage.Window
		case cofre.KindConfig:
			s, window = cfg.Files.Schedule, cfg.Files.Window
		}
		add("backup-"+string(kind), cofre.RunBackup, s.Schedule, window.Duration, sources.ID(cfg, kind))
	}
	of := cofre.SourceID{Installation: cfg.Name}
	add("expire", cofre.RunExpire, cfg.Serve.Expire.Or(config.UsualExpire), 0, of)
	add("prune", cofre.RunPrune, cfg.Serve.Prune.Or(config.UsualPrune), 0, of)
	add("verify", cofre.RunVerify, cfg.Serve.Verify.Or(config.UsualVerify), 0, of)
	for _, kind := range sources.Configured(cfg) {
		add("drill-"+string(kind), cofre.RunDrill, cfg.Serve.Drill.Schedule.Schedule, 0, sources.ID(cfg, kind))
	}
	return all
}

// job is a job, and how it is with it.
type job struct {
	Job
	attempts []attempt // as was read last, and what this agent did since
	first    time.Time // of all backups; zero if there is none
	// notBefore is until when another holds it.
	notBefore time.Time
	gone      bool // of a configuration that is no more
	active    bool
	do        *doing // what is done; nil if it is not active
	overran   time.Time
}

// attempt is one, with the run that it is, if there is one.
type attempt struct {
	due.Attempt
	run  cofre.RunID
	code cofre.Code // that it ended with; "" if that is not known
	own  bool
}

// doing is one attempt under way.
type doing struct {
	beganAt time.Time
	late    bool // it did not end, though it was told to

	mu  sync.Mutex
	run cofre.RunID
}

func (d *doing) id() cofre.RunID {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.run
}

// Observe learns which run it is.
func (d *doing) Observe(e cofre.Event) {
	if began, ok := e.Fact.(cofre.RunBegan); ok && began.Within == "" {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.run = cmp.Or(d.run, e.Run)
	}
}

func jobsOf(cfg *config.Config) []*job {
	var all []*job
	for _, j := range Jobs(cfg) {
		all = append(all, &job{Job: j})
	}
	return all
}

// remembered is how many attempts are kept of a job: what was before says nothing of what is due.
const remembered = 100

// learn takes what was read of all runs. What this agent did, and the journal does not say, stays.
func (j *job) learn(all []runs.Run, first time.Time) {
	j.first = first
	attempts := attemptsOf(j.Job, all)
	for _, a := range j.attempts {
		if a.own && (a.run == "" || !slices.ContainsFunc(attempts, func(b attempt) bool { return b.run == a.run })) {
			attempts = append(attempts, a)
		}
	}
	j.keep(attempts)
}

func (j *job) keep(attempts []attempt) {
	slices.SortStableFunc(attempts, func(a, b attempt) int { return a.BeganAt.Compare(b.BeganAt) })
	if n := len(attempts) - remembered; n > 0 {
		attempts = slices.Clone(attempts[n:])
	}
	j.attempts = attempts
}

func (j *job) decide(now time.Time) due.Decision {
	return decide(j.Job, j.attempts, j.first, j.do, now)
}

// decide is what due decides. What is done beside backups is not caught up from before the first of them.
func decide(j Job, attempts []attempt, first time.Time, doing *doing, now time.Time) due.Decision {
	if j.Kind != cofre.RunBackup {
		if j.From = first; first.IsZero() {
			j.From = now
		}
	}
	var all []due.Attempt
	for _, a := range attempts {
		if doing != nil && a.run != "" && a.run == doing.id() {
			continue
		}
		if a.BeganAt.Before(j.pardoned) && (a.Outcome == due.Failed || a.Outcome == due.Killed) {
			continue
		}
		all = append(all, a.Attempt)
	}
	if doing != nil {
		all = append(all, due.Attempt{BeganAt: doing.beganAt, Outcome: due.Running})
	}
	return due.Decide(j.Job, all, now)
}

// attemptsOf are the runs that were attempts at a job.
func attemptsOf(j Job, all []runs.Run) []attempt {
	var out []attempt
	for _, r := range all {
		if r.Kind != j.Kind || r.Installation != "" && r.Installation != j.Of.Installation {
			continue
		}
		if outcome := outcomeOf(j, r); outcome != "" {
			out = append(out, attempt{run: r.ID, code: r.Code, Attempt: due.Attempt{BeganAt: r.BeganAt, EndedAt: r.EndedAt, Outcome: outcome}})
		}
	}
	return out
}

// outcomeOf is what a run means to a job; "" if it was no attempt at it.
func outcomeOf(j Job, r runs.Run) due.Outcome {
	outcome := outcomeOfCode(r.Code)
	switch r.State {
	case runs.StateRunning:
		outcome = due.Running
	case runs.StateKilled:
		outcome = due.Killed
	case runs.StateDone:
		outcome = due.Done
	}
	switch j.Kind {
	case cofre.RunBackup:
		kind := j.Of.Kind
		if captured := r.Captured(); len(captured) > 0 && outcome != due.Running {
			if slices.Contains(captured, kind) {
				return due.Done // whatever became of the others, or of the run behind its point
			}
			if outcome == due.Done {
				return "" // it was asked for others
			}
		} else if len(r.Entries) == 0 && r.Local == nil && outcome != due.Running && outcome != due.Killed {
			return "" // there is a log, and nothing says of what
		}
		if !runs.IsOf(r.What, kind) {
			return ""
		}
	case cofre.RunDrill:
		if r.What != string(j.Of.Kind) {
			return ""
		}
	case cofre.RunVerify:
		if outcome == due.Done && r.Asked() != cofre.LevelContent {
			return ""
		}
	}
	return outcome
}

// outcomeOfCode is how an attempt ended. What was found by looking was looked for, and what is known to be missing would be missing again.
func outcomeOfCode(code cofre.Code) due.Outcome {
	switch code {
	case cofre.CodeOK, cofre.CodePartial, cofre.CodeFindings:
		return due.Done
	case cofre.CodeInterrupted:
		return due.Stopped
	case cofre.CodeKilled:
		return due.Killed
	}
	return due.Failed
}

func firstBackup(all []runs.Run) (first time.Time) {
	for _, r := range all {
		if r.Kind == cofre.RunBackup && len(r.Points) > 0 && (first.IsZero() || r.BeganAt.Before(first)) {
			first = r.BeganAt
		}
	}
	return first
}

// begin does a job beside the loop.
func (a *agent) begin(ctx context.Context, j *job, d due.Decision, now time.Time) {
	if d.CaughtUp(now) {
		a.tell(cofre.Event{Source: j.Of}, cofre.Say("agent.caught_up", "{{.job}} was due at {{.at}}, and is caught up now", "job", j.Label(), "at", d.For.Format(time.RFC3339)))
	}
	j.active, j.do = true, &doing{beganAt: now}
	doing, of, with, attempts := j.do, j.Job, a.with, slices.Clone(j.attempts)
	a.run.Go(func() {
		outcome := a.attempt(ctx, with, of, doing, attempts)
		a.post(func() {
			if had := a.jobs[of.Name]; had != nil {
				a.ended(had, doing, outcome)
			}
		})
	})
}

// outcome is what became of an attempt.
type outcome struct {
	err  error
	held bool // by another
	done bool // it was not due any more: another does it, or did
}

// attempt takes the lease of a job, looks whether it is still due, and does it. What keeps it from the lease, or from reading, keeps it from nothing:
// the run itself says then what is wrong, where a person looks for it, and to do something twice loses nothing.
func (a *agent) attempt(ctx context.Context, with Hands, j Job, doing *doing, attempts []attempt) (o outcome) {
	ctx, cancel := context.WithTimeoutCause(ctx, j.Limit, errLimit)
	defer cancel()
	defer func() {
		if o.err != nil && errors.Is(context.Cause(ctx), errLimit) && !errors.Is(o.err, errLimit) {
			o.err = errors.Join(errLimit, o.err)
		}
		if o.err != nil && errors.Is(context.Cause(ctx), cofre.ErrInterrupted) { // what ended by that may say only that a context was cancelled
			o.err = errors.Join(cofre.ErrInterrupted, o.err)
		}
	}()
	held, giveBack, err := with.Alone(ctx, j)
	switch {
	case errors.Is(err, cofre.ErrLocked):
		return outcome{err: err, held: true}
	case err != nil:
		held, giveBack = ctx, func() {}
	}
	defer giveBack()
	all, err := with.Runs(held)
	if err == nil || usable(err) {
		a.post(func() {
			if a.with == with {
				a.learn(all, err)
			}
		})
		seen := attemptsOf(j, all)
		for _, a := range attempts {
			if a.own && !slices.ContainsFunc(seen, func(b attempt) bool { return b.run == a.run }) {
				seen = append(seen, a)
			}
		}
		if d := decide(j, seen, firstBackup(all), nil, a.o.Now()); d.State != due.Due {
			o.done = true
			return o
		}
	}
	if err := context.Cause(held); err != nil {
		o.err = err
		return o
	}
	o.err = with.Do(held, j, doingObserver{a.o.Observer, doing})
	return o
}

type doingObserver struct {
	to    cofre.Observer
	doing *doing
}

// Observe tells of an event.
func (o doingObserver) Observe(e cofre.Event) { o.doing.Observe(e); o.to.Observe(e) }

// ended is what the loop learns of an attempt.
func (a *agent) ended(j *job, did *doing, o outcome) {
	now := a.o.Now()
	j.active, j.do = false, nil
	if !j.overran.IsZero() {
		a.tells.Late(j.Label(), j.Of, did.id(), now, cofre.Message{})
	}
	switch {
	case o.held:
		j.notBefore = now.Add(again)
		a.tell(cofre.Event{Source: j.Of}, cofre.Say("agent.held", "{{.job}} is due, and another does it: {{.who}}", "job", j.Label(), "who", cofre.SayError(o.err)))
		return
	case o.done:
		return
	}
	code := cofre.CodeOf(o.err)
	if errors.Is(o.err, cofre.ErrInterrupted) {
		code = cofre.CodeInterrupted
	}
	made := attempt{run: did.id(), code: code, own: true, Attempt: due.Attempt{BeganAt: did.beganAt, EndedAt: now, Outcome: outcomeOfCode(code)}}
	if errors.Is(o.err, errLimit) {
		made.Outcome = due.Failed
	}
	attempts := slices.DeleteFunc(slices.Clone(j.attempts), func(b attempt) bool { return made.run != "" && b.run == made.run })
	j.keep(append(attempts, made))
	a.scraped.ended(a.with)
	a.reportEnd(j, made, o.err)
	if made.Outcome == due.Failed {
		e := warned
		e.Source, e.Run = j.Of, made.run
		again := j.decide(now).Until
		a.tell(e, cofre.Say("agent.failed", "{{.job}} failed, and is tried again at {{.at}}: {{.why}}", "job", j.Label(), "at", again.Format(time.RFC3339), "why", cofre.SayError(o.err)))
	}
}

// watch tells once of a run that goes on beyond its window, and of one that does not end though it was told to.
func (a *agent) watch(j *job, d due.Decision, now time.Time) {
	e := cofre.Event{Type: cofre.TypeWarning, Source: j.Of, Run: j.do.id()}
	if d.Overrun && !j.overran.Equal(d.For) {
		j.overran = d.For
		what := cofre.Say("agent.overrun", "{{.job}} was due at {{.at}}, and is still running at the end of its window, {{.end}}", "job", j.Label(), "at", d.For.Format(time.RFC3339), "end", d.Ends.Format(time.RFC3339))
		a.tell(e, what)
		a.tells.Late(j.Label(), j.Of, j.do.id(), now, what)
	}
	if !j.do.late && now.Sub(j.do.beganAt) > j.Limit+hung {
		j.do.late = true
		a.tell(e, cofre.Say("agent.hangs", "{{.job}} took longer than serve.limit, was told to end, and does not: it is not begun again before this agent is restarted", "job", j.Label()))
	}
}
