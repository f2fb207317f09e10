package sources

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walmend"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// archive lets a base backup ask which of its segments have been archived.
type archive struct {
	cfg   *config.Config
	store cofre.Store
	all   []wal.Archive // the repository and its copies
}

// Holds asks the repository.
func (a archive) Holds(ctx context.Context, system cofre.SystemID, name string, content []byte) (bool, error) {
	file, err := pgdata.ParseWALName(name)
	if err != nil {
		return false, err
	}
	return wal.Holds(ctx, a.all[0], system, file, content)
}

// Signed reports whether the repository believes nothing but what an admitted key has signed, and the keys that it does not believe any more.
func (a archive) Signed(ctx context.Context, system cofre.SystemID) (required bool, revoked []string) {
	id, err := walstore.Unlock(ctx, a.cfg, a.cfg.Repository, a.store)()
	if err != nil {
		return false, nil
	}
	origins, err := id.Origins(ctx, system)
	if err != nil {
		return false, nil
	}
	for _, k := range origins.Keys {
		if k.State == origin.Revoked {
			revoked = append(revoked, k.ID)
		}
	}
	return origins.Required, revoked
}

// Put puts it into the repository and its copies.
func (a archive) Put(ctx context.Context, system cofre.SystemID, name string, content []byte) error {
	file, err := pgdata.ParseWALName(name)
	if err != nil {
		return err
	}
	var errs []error
	unlock := Unlocking(ctx, a.cfg, a.all)
	for i, to := range a.all {
		_, err := wal.Restore(ctx, to.Owned(unlock[i]), system, file, content)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Readable looks at the keys of the repository and its copies.
func (a archive) Readable(ctx context.Context) error {
	for i, of := range a.all {
		if of.Unusable != nil {
			continue // whatever needs it says so
		}
		if err := wal.Readable(ctx, of.Store, walstore.Unlock(ctx, a.cfg, a.cfg.Repositories()[i], of.Store)); err != nil {
			return err
		}
	}
	return nil
}

// Mend looks at the repository and its copies, each of which may have what another has lost.
func (a archive) Mend(ctx context.Context, system cofre.SystemID, read func(context.Context, string) ([]byte, error)) (healed, lost []cofre.Message, err error) {
	m := walmend.Mender{All: a.all, Unlock: Unlocking(ctx, a.cfg, a.all), Read: read}
	wanted, err := m.Damaged(ctx, system)
	holes, holesErr := m.Holes(ctx, system)
	mended, mendErr := m.Mend(ctx, append(wanted, holes...))
	for _, f := range mended {
		switch {
		case f.From != "":
			healed = append(healed, f.Message())
		case !f.Acknowledged:
			lost = append(lost, f.Message())
		}
	}
	return healed, lost, errors.Join(err, holesErr, mendErr)
}

// Missing asks for each segment by name.
func (a archive) Missing(ctx context.Context, system cofre.SystemID, segments []string) ([]string, error) {
	var missing []string
	for _, s := range segments {
		file, err := pgdata.ParseWALName(s)
		if err != nil {
			return nil, err
		}
		switch _, err := a.store.Stat(ctx, wal.ObjectName(system, file)); {
		case errors.Is(err, cofre.ErrNotFound):
			missing = append(missing, s)
		case err != nil:
			return nil, err
		}
	}
	return missing, nil
}

// Refused says what the archive has noted about a file that it holds another of.
func (a archive) Refused(ctx context.Context, system cofre.SystemID, file string) (string, error) {
	name, err := pgdata.ParseWALName(file)
	if err != nil {
		return "", err
	}
	notes, err := wal.Refused(ctx, a.store, system, name)
	if err != nil || len(notes) == 0 {
		return "", err
	}
	return fmt.Sprintf("the repository holds another %s; %s", file, notes[len(notes)-1].Offered()), nil
}

// Unlocking reads the key of each archive when it is needed, once.
func Unlocking(ctx context.Context, cfg *config.Config, all []wal.Archive) []func() (wal.Identity, error) {
	unlock := make([]func() (wal.Identity, error), len(all))
	for i, of := range all {
		unlock[i] = sync.OnceValues(func() (wal.Identity, error) {
			if of.Unusable != nil {
				return wal.Identity{}, of.Unusable
			}
			return walstore.Unlock(ctx, cfg, cfg.Repositories()[i], of.Store)()
		})
	}
	return unlock
}
