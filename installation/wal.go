package installation

import (
	"context"
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/wal"
)

// createWALKeys gives a repository that has no key for WAL one, and reports whether it had none.
func (in *Installation) createWALKeys(ctx context.Context, r config.Repository) (made bool, err error) {
	st, err := walstore.Open(ctx, r)
	if err != nil {
		return false, err
	}
	password, err := r.Password.Read()
	if err != nil {
		return false, err
	}
	_, had := wal.LoadRecipient(ctx, st)
	recipient, err := wal.CreateKeys(ctx, st, password)
	if made = err == nil && errors.Is(had, cofre.ErrNotFound); made {
		if err := walstore.Pin(in.cfg, r, recipient); err != nil {
			in.warn(cofre.Say("wal.not_pinned", "the recipient of WAL is not remembered on this host: {{.cause}}", "cause", err))
		}
		in.observer.Observe(cofre.Event{Type: cofre.TypeNote}.Saying(cofre.Say("wal.pin", "WAL is encrypted for {{.recipient}}; this host refuses another one from now on, and so does every host whose configuration says, under the repository: wal_recipient: {{.recipient}}", "recipient", recipient.String())))
		cofre.Tell(in.observer, cofre.KeyMade{Repository: r.URL, Key: "wal", Public: recipient.String()})
	}
	return made, err
}
