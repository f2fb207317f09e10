package journaling

import (
	"context"
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
)

// end writes the log of a run that has ended, and its last entry, which names the log. The entry is written also if the log could not be.
func (b *Book) end(ctx context.Context, e entry) error {
	digest, err := b.keep(ctx, e.end.log.Log())
	if e.body.Event != "" {
		e.body.Log = digest
		if written := b.write(ctx, e.body, e.facts, e.sealed, e.about...); written != nil {
			return errors.Join(err, written)
		}
	}
	e.end.settled()
	return err
}

func (b *Book) keep(ctx context.Context, l runs.Log) (string, error) {
	digest, err := l.Keep(ctx, b.vault)
	if errors.Is(err, cofre.ErrExists) { // its answer was lost, or another process has settled it
		err = nil
	}
	return digest, err
}

// settled notes that the journal knows how the run ended.
func (of *run) settled() { of.mark.End() }

// Close gives up what has not been written: a run that failed, and of which the journal could not be told, is remembered on this host, and the next run tells it.
func (r *Recording) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, of := range r.runs {
		if l := of.log.Log(); of.told && l.Code != cofre.CodeOK {
			_ = of.mark.Leave(l) // or it is forgotten: the error was said
			continue
		}
		of.mark.End()
	}
}

// settle tells the journal of the runs of this host that were killed, and of those that could not tell it.
func (r *Recording) settle(ctx context.Context, b *Book) error {
	return r.marks.Settle(func(u runs.Unended) error {
		body := journal.Body{
			Event: journal.EventFailed, Installation: u.Installation, Host: u.By.Host, User: u.By.User, Version: u.By.Version,
			Run: u.Run, Point: u.Published, Code: cofre.CodeKilled, Configuration: u.Configuration, At: u.At,
		}
		facts := runs.FailedFacts{Kind: u.Kind, What: u.What, BeganAt: u.At, Published: u.Published != "", Later: true}
		if u.Kind == "" {
			return nil // cut off before anything was written of it
		}
		if u.Log == nil {
			return b.write(ctx, body, facts, nil)
		}
		var err error
		body.At, body.Code = u.Log.EndedAt, u.Log.Code
		if body.Log, err = b.keep(ctx, *u.Log); err != nil {
			return err
		}
		return b.write(ctx, body, facts, reasons(u.Log.Message, u.Log.Hint, u.Log.Messages))
	})
}
