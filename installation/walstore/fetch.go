package walstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// FetchOptions say how WAL is fetched for a server. The zero value keeps nothing between two calls.
type FetchOptions struct {
	Spool string         // a folder on the data directory's file system, for fetching ahead and for the key; "" keeps neither
	Ahead bool           // this process fills the spool of a recovery beside it
	Claim cofre.Timeline // the timeline recovered to: the number of the one that begins is reserved in the repository
	Used  cofre.Timeline // with Claim, the highest that is known to be used
	Edits string         // changes to what is fetched, as pgdata.ParseEdits reads them
}

// Fetcher reads from the repository and, if it must, from its copies: a repository that cannot be opened is no failure before none of
// them has what is asked for.
//
// Errors: those of Open and Unlock without copies; those of the spool and of the edits.
func Fetcher(ctx context.Context, cfg *config.Config, o FetchOptions) (*fetch.Fetcher, error) {
	f := &fetch.Fetcher{Spool: o.Spool, Claim: o.Claim, Used: o.Used}
	if o.Edits != "" {
		var err error
		if f.Edits, err = pgdata.ParseEdits(o.Edits); err != nil {
			return nil, err
		}
	}
	if o.Spool != "" {
		var err error
		if f.Spool, err = filepath.Abs(o.Spool); err != nil {
			return nil, err
		}
		if !o.Ahead {
			if err := inside.MkdirAll(f.Spool, 0o700); err != nil {
				return nil, fmt.Errorf("make spool: %w", err)
			}
		}
		if err := inside.Own(f.Spool); err != nil { // a segment in it is delivered, and a key in it believed
			return nil, fmt.Errorf("use spool: %w", err)
		}
	}
	for n, r := range cfg.Copies {
		f.Copies = append(f.Copies, &fetch.Copy{URL: r.URL, Open: func(ctx context.Context) (cofre.Store, wal.Identity, error) {
			return o.open(ctx, cfg, r, fetch.CopyIdentityFile(f.Spool, n+1))
		}})
	}
	f.Store, f.Identity, f.Unusable = o.open(ctx, cfg, cfg.Repository, fetch.IdentityFile(f.Spool))
	if len(f.Copies) == 0 {
		return f, f.Unusable
	}
	return f, nil
}

// open opens a repository's store and its key, which a spool keeps in a file: unlocking takes a moment on purpose.
func (o FetchOptions) open(ctx context.Context, cfg *config.Config, r config.Repository, file string) (cofre.Store, wal.Identity, error) {
	st, err := Open(ctx, r)
	if err != nil {
		return nil, wal.Identity{}, err
	}
	unlock := Unlock(ctx, cfg, r, st)
	if o.Spool == "" {
		id, err := unlock()
		return st, id, err
	}
	if o.Ahead {
		// The key file exists only during recovery; a process beside it must not bring it back.
		unlock = func() (wal.Identity, error) { return wal.Identity{}, errors.New("the recovery has ended") }
	}
	recipient, err := wal.LoadRecipient(ctx, st)
	if err != nil && !errors.Is(err, cofre.ErrCorrupt) { // to read, the identity is enough
		return nil, wal.Identity{}, err
	}
	id, err := wal.KeepIdentity(file, recipient, unlock)
	if err != nil {
		return st, id, err
	}
	return st, remembering(st, id, file), nil
}
