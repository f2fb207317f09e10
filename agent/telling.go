package agent

import (
	"cmp"
	"context"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/agent/due"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/notify"
	"github.com/trustlayer/cofre/status"
)

// employ has people told, until ctx ends, of what a configuration says that they are to be told. It is beside everything: whoever is told never delays what is done.
func (a *agent) employ(ctx context.Context, cfg *config.Config) {
	if a.told != nil { // both write what was told
		timer := time.NewTimer(notify.LastWords * 2)
		select {
		case <-a.told:
		case <-timer.C:
		}
		timer.Stop()
	}
	with := a.with
	a.tells = notify.New(notify.Options{
		Config: cfg, Language: a.o.Language, Now: a.o.Now, Open: a.o.Recipient,
		Look: func(ctx context.Context) (*status.Status, error) {
			ctx, cancel := context.WithTimeout(ctx, scrapeBound)
			defer cancel()
			return a.scraped.newStatus(ctx, with)
		},
		Say: func(warning bool, what cofre.Message) {
			e := cofre.Event{Source: cofre.SourceID{Installation: cfg.Name}}
			if warning {
				e.Type = cofre.TypeWarning
			}
			a.tellBeside(e, what)
		},
	})
	tells, over := a.tells, make(chan struct{})
	if a.told = nil; tells == nil {
		return
	}
	a.told = over
	a.run.Go(func() {
		defer close(over)
		tells.Run(ctx)
	})
}

// known reports whether a status says how it is with a job.
func known(j *job) bool { return j.Kind == cofre.RunBackup }

// report tells what the newest attempt at a job has come to, as it was read: what failed, or was killed, while this agent was not there is told by the next.
func (a *agent) report(j *job) {
	var newest attempt
	for _, t := range j.attempts {
		if t.Outcome != due.Running && t.Outcome != due.Stopped && !t.BeganAt.Before(newest.BeganAt) && !t.BeganAt.After(a.o.Now()) {
			newest = t
		}
	}
	a.reportAttempt(j, newest, cofre.Message{})
}

// reportEnd tells what an attempt of this agent has come to, at once.
func (a *agent) reportEnd(j *job, made attempt, err error) {
	var why cofre.Message
	if err != nil {
		why = cofre.SayError(err)
	}
	a.reportAttempt(j, made, why)
	a.tells.Look()
}

// inform tells a new notifier what is known of the jobs.
func (a *agent) inform() {
	if !a.known || a.tells == nil {
		return
	}
	for _, j := range a.jobs {
		if j.gone {
			continue
		}
		a.report(j)
		j.overran = time.Time{} // it is said again, if it goes on
	}
	a.tells.Informed()
}

func (a *agent) reportAttempt(j *job, of attempt, why cofre.Message) {
	at := of.EndedAt
	if at.IsZero() {
		at = of.BeganAt
	}
	switch of.Outcome {
	case due.Done:
		a.tells.Well(j.Label(), at, !known(j))
	case due.Killed:
		a.tells.Failed(j.Label(), j.Of, of.run, of.BeganAt, cofre.CodeKilled, cofre.Message{}, !known(j))
	case due.Failed:
		if of.code == cofre.CodeLocked {
			return // another does it
		}
		a.tells.Failed(j.Label(), j.Of, of.run, at, cmp.Or(of.code, cofre.CodeError), why, !known(j))
	}
}
