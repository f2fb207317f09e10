package agent

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/agent/due"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/runs"
)

// loop looks at every job, begins what is due, and waits until something is to be looked at again.
func (a *agent) loop(ctx context.Context) {
	for ctx.Err() == nil {
		a.beaten()
		if a.o.Manager.Told() {
			a.o.Manager.Alive(a.status())
		}
		wait := a.look(ctx)
		if a.o.Listen != "" {
			a.publish()
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case do := <-a.events:
			do()
		case <-a.o.Reload:
			a.reload(ctx)
		case <-timer.C:
		}
		timer.Stop()
	}
}

// look begins what is due, and says how long there is nothing to do.
func (a *agent) look(ctx context.Context) time.Duration {
	wait := tick
	if w := a.o.Manager.Watchdog() / 2; w > 0 {
		wait = min(wait, w)
	}
	if !a.known {
		return min(wait, a.read(ctx))
	}
	now := a.o.Now()
	for _, name := range slices.Sorted(maps.Keys(a.jobs)) {
		j := a.jobs[name]
		d := j.decide(now)
		switch {
		case j.active:
			a.watch(j, d, now)
		case j.gone:
			delete(a.jobs, name)
			continue
		case d.State == due.Busy: // by another process of this host: nobody says when it ends
			wait = min(wait, a.read(ctx))
		case d.State == due.Due && !now.Before(j.notBefore):
			a.begin(ctx, j, d, now)
			continue
		case d.State == due.Due:
			wait = min(wait, j.notBefore.Sub(now))
		}
		if until := d.Until; until.After(now) {
			wait = min(wait, until.Sub(now))
		}
	}
	return max(wait, time.Millisecond)
}

// read reads what ran, beside the loop: a repository that does not answer stops nothing. It says when to look again.
func (a *agent) read(ctx context.Context) time.Duration {
	now := a.o.Now()
	if a.reads {
		return tick
	}
	if left := a.readAt.Sub(now); left > 0 && left <= again {
		return left
	}
	a.reads = true
	with := a.with
	a.run.Go(func() {
		all, err := with.Runs(ctx)
		a.post(func() {
			if a.reads = false; a.with != with {
				return // of a configuration that is no more
			}
			a.learn(all, err)
		})
	})
	return tick
}

// learn takes what was read of what ran. A journal that is damaged says less than it should, and stops no backup.
func (a *agent) learn(all []runs.Run, err error) {
	a.readAt = a.o.Now().Add(again)
	if err != nil && !usable(err) {
		if !a.known {
			a.unready(err)
			a.tell(warned, cofre.Say("agent.unread", "what ran could not be read, so nothing is begun; it is read again in {{.after}}: {{.why}}", "after", again, "why", cofre.SayError(err)))
		}
		return
	}
	if err != nil {
		a.tell(warned, cofre.Say("agent.read_in_part", "what ran could not be read whole, so something may be done twice: {{.why}}", "why", cofre.SayError(err)))
	}
	if !a.known {
		a.known = true
		a.unready(nil)
	}
	first := firstBackup(all)
	for _, j := range a.jobs {
		j.learn(all, first)
		a.report(j)
	}
	if err == nil {
		a.tells.Informed()
	}
}

// usable reports whether what was read beside an error is what there is: there is nothing more to wait for.
func usable(err error) bool {
	return errors.Is(err, cofre.ErrFindings) || errors.Is(err, cofre.ErrCorrupt)
}

// take takes a configuration: its jobs, and what runs beside them. Jobs that run go on with the one that they began with.
func (a *agent) take(ctx context.Context, cfg *config.Config) {
	other := a.cfg == nil || a.cfg.Repository.URL != cfg.Repository.URL || a.cfg.Name != cfg.Name
	a.cfg, a.with = cfg, a.o.With(cfg, a.o.Observer)
	if other && a.known {
		a.known = false
		a.unready(errors.New("what ran was not read yet"))
	}
	for _, j := range a.jobs {
		j.gone = true
	}
	for _, j := range jobsOf(cfg) {
		if had := a.jobs[j.Name]; had != nil && !other {
			had.Job, had.gone = j.Job, false
			continue
		} else if had != nil && had.active {
			j.active, j.do = true, had.do // its end is waited for under its name
		}
		a.jobs[j.Name] = j
	}
	if a.alone != nil {
		a.alone()
	}
	beside, stop := context.WithCancelCause(ctx)
	a.alone = func() { stop(cofre.ErrInterrupted) }
	a.employ(beside, cfg)
	a.inform()
	a.accompany(beside, cfg)
}

// reload reads the configuration again. One that is wrong is refused, and the old one stays.
func (a *agent) reload(ctx context.Context) {
	a.o.Manager.Reloading()
	defer func() { a.o.Manager.Ready(a.status()) }()
	cfg, err := a.o.Load()
	if err != nil {
		a.tell(warned, cofre.Say("agent.refused", "the configuration is wrong, and is refused; the one of before stays: {{.why}}", "why", cofre.SayError(err)))
		return
	}
	changed := config.Changes(a.cfg, cfg)
	if len(changed) == 0 {
		a.tell(cofre.Event{}, cofre.Say("agent.same", "the configuration was read again, and says what it said"))
		return
	}
	a.take(ctx, cfg)
	for _, j := range a.jobs {
		j.pardoned = a.o.Now()
	}
	a.tell(cofre.Event{}, cofre.Say("agent.reloaded", "the configuration was read again; changed: {{.keys}}; next: {{.jobs}}", "keys", strings.Join(changed, ", "), "jobs", a.names()))
}

// names says which jobs there are, and when each is due next.
func (a *agent) names() string {
	var all []string
	now := a.o.Now()
	for _, name := range slices.Sorted(maps.Keys(a.jobs)) {
		j := a.jobs[name]
		if next := j.Next(now); !next.IsZero() && !j.gone {
			all = append(all, j.Label()+" "+next.Format(time.RFC3339))
		}
	}
	if len(all) == 0 {
		return "-"
	}
	return strings.Join(all, ", ")
}

// running names what runs, for the manager and for whoever waits for it to end.
func (a *agent) running() string {
	var all []string
	for _, j := range a.jobs {
		if j.active {
			all = append(all, j.Label())
		}
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// status is a line for the service manager.
func (a *agent) status() string {
	switch running := a.running(); {
	case running != "":
		return "running: " + running
	case !a.known:
		return "reading what ran"
	}
	next, of := time.Time{}, ""
	now := a.o.Now()
	for _, j := range a.jobs {
		if at := j.Next(now); !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next, of = at, j.Label()
		}
	}
	if of == "" {
		return "nothing has a schedule"
	}
	return "next: " + of + " at " + next.Format(time.RFC3339)
}
