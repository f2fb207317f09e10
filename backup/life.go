package backup

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/guard"
)

// How long a source may report nothing before a person is told where it stands, and from when on it is a warning, which
// --quiet shows too. Each silence that follows is twice as long.
const (
	firstSilence = 30 * time.Second
	longSilence  = 16 * time.Minute
)

// step runs a step of a source. While the source says nothing, because a server, a disk or a lock holds it, its observer
// is told so. Once ctx ends, the step has releaseBound to return: a system call cannot be interrupted, and nobody is to
// have to kill the process for it. A step that was left behind keeps its session.
//
// Errors: those of the step; the error of ctx.
func (r *run) step(ctx context.Context, c *capturing, what cofre.Message, step func() error) error {
	c.life.begin(what)
	defer c.life.end()
	done := make(chan error, 1)
	go func() { done <- guard.Run(step) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	bound := time.NewTimer(releaseBound)
	defer bound.Stop()
	select {
	case err := <-done:
		return err
	case <-bound.C:
		c.left = true
		return errors.Join(context.Cause(ctx), cofre.Fail(cofre.Say("backup.unended", "the source did not end within {{.time}}{{.last}}", "time", releaseBound, "last", c.life.where())))
	}
}

// life is an observer that notices that nothing is observed during a step.
type life struct {
	to cofre.Observer

	mu    sync.Mutex
	what  cofre.Message // the step under way, or nothing
	last  cofre.Event   // the newest that says where the source is
	heard time.Time
	after time.Duration // of silence until the next word
	timer *time.Timer
}

func (l *life) begin(what cofre.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.what, l.heard, l.after = what, time.Now(), firstSilence
	l.timer = time.AfterFunc(l.after, l.speak)
}

func (l *life) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.what = cofre.Message{}
	l.timer.Stop()
}

// Observe passes an event on.
func (l *life) Observe(e cofre.Event) {
	l.mu.Lock()
	l.heard = time.Now()
	if e.Task != "" || e.Text != "" {
		l.last = e
	}
	l.mu.Unlock()
	l.to.Observe(e)
}

// speak says what is known of a source that is silent, and looks again when there may be more to say.
func (l *life) speak() {
	l.mu.Lock()
	if l.what.IsZero() {
		l.mu.Unlock()
		return
	}
	silent := time.Since(l.heard)
	if silent < l.after {
		if silent < firstSilence {
			l.after = firstSilence
		}
		l.timer.Reset(l.after - silent)
		l.mu.Unlock()
		return
	}
	l.after *= 2
	l.timer.Reset(l.after - silent)
	e := cofre.Event{At: time.Now(), Type: cofre.TypeNote}.Saying(cofre.Say("backup.silent", "{{.step}}: no sign of life for {{.time}}{{.last}}; cofre waits for it",
		"step", l.what, "time", silent.Round(time.Second), "last", l.position()))
	l.mu.Unlock()
	if silent >= longSilence {
		e.Type = cofre.TypeWarning
	}
	l.to.Observe(e)
}

// where is position, for those who do not hold mu.
func (l *life) where() cofre.Message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position()
}

// position is the last that the source said, for the end of a sentence.
func (l *life) position() cofre.Message {
	switch said := l.last.Messages.Of(cmp.Or(l.last.Text, l.last.Task)); {
	case said.IsZero():
		return cofre.Message{}
	case l.last.Item != "":
		return cofre.Say("backup.last_item", " (the last: {{.what}}, {{.item}})", "what", said, "item", l.last.Item)
	default:
		return cofre.Say("backup.last", " (the last: {{.what}})", "what", said)
	}
}
