package installation

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
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

// walCopies adds to an inventory what the copies hold, and returns them to be read from. One that cannot be asked is
// told of and left out: what is planned then comes from the others.
func walCopies(ctx context.Context, cfg *config.Config, inv *wal.Inventory, warn func(string)) []*fetch.Copy {
	var copies []*fetch.Copy
	for i, r := range cfg.Copies {
		open := func(ctx context.Context) (cofre.Store, wal.Identity, error) {
			st, err := walstore.Open(ctx, r)
			if err != nil {
				return nil, wal.Identity{}, err
			}
			id, err := walstore.Unlock(ctx, r, st)()
			return st, id, err
		}
		st, id, err := open(ctx)
		var held *wal.Inventory
		if err == nil {
			held, err = wal.ReadInventory(ctx, st, inv.SystemID, inv.SegmentSize, func() (wal.Identity, error) { return id, nil })
		}
		if err != nil {
			warn(fmt.Sprintf("copies[%d] is left out of the plan: %s", i, cofre.OneLine(err)))
			continue
		}
		inv.Merge(held)
		copies = append(copies, &fetch.Copy{URL: r.URL, Open: func(context.Context) (cofre.Store, wal.Identity, error) { return st, id, nil }})
	}
	return copies
}
