package installation

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walmend"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/recovery"
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
		cofre.Tell(in.observer, cofre.KeyMade{Repository: r.URL, Key: "wal", Public: recipient.String()})
	}
	return made, err
}

// baseBackups lists the base backups of an installation, oldest first, with the size of WAL segments by system.
func baseBackups(cat *catalog.Catalog, installation string) ([]recovery.BaseBackup, map[cofre.SystemID]int64, error) {
	var backups []recovery.BaseBackup
	sizes := map[cofre.SystemID]int64{}
	for p := range cat.List(catalog.Want{Installation: installation, Kind: cofre.KindCluster}) {
		for _, c := range p.Components {
			if c.Kind != cofre.KindCluster {
				continue
			}
			s, err := physical.ParseSummary(c.Facts)
			if err != nil {
				return nil, nil, fmt.Errorf("read the facts of the base backup of %s: %w", p.ID, err)
			}
			sizes[s.SystemID] = s.WALSegmentSize
			backups = append(backups, recovery.BaseBackup{
				Point: p.ID, SystemID: s.SystemID, Timeline: s.Timeline, Start: s.StartLSN, Stop: s.StopLSN,
				StartedAt: s.StartedAt, StoppedAt: s.StoppedAt, Bytes: c.Bytes, OwnWAL: s.WALIncluded, OwnWALOnly: s.OwnWALOnly, ForeignWAL: s.ForeignWAL, Partial: c.Partial, Dropping: s.Dropping,
			})
		}
	}
	return backups, sizes, nil
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

// walArchive lets a base backup ask which of its segments have been archived.
type walArchive struct {
	cfg   *config.Config
	store cofre.Store
	all   []wal.Archive // the repository and its copies
}

// Holds asks the repository.
func (a walArchive) Holds(ctx context.Context, system cofre.SystemID, name string, content []byte) (bool, error) {
	file, err := pgdata.ParseWALName(name)
	if err != nil {
		return false, err
	}
	return wal.Holds(ctx, wal.Archive{Store: a.store}, system, file, content)
}

// Put puts it into the repository and its copies.
func (a walArchive) Put(ctx context.Context, system cofre.SystemID, name string, content []byte) error {
	file, err := pgdata.ParseWALName(name)
	if err != nil {
		return err
	}
	var errs []error
	for _, to := range a.all {
		_, err := wal.Restore(ctx, to, system, file, content)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Readable looks at the keys of the repository and its copies.
func (a walArchive) Readable(ctx context.Context) error {
	for i, of := range a.all {
		if of.Unusable != nil {
			continue // whatever needs it says so
		}
		if err := wal.Readable(ctx, of.Store, walstore.Unlock(ctx, a.cfg.Repositories()[i], of.Store)); err != nil {
			return err
		}
	}
	return nil
}

// Mend looks at the repository and its copies, each of which may have what another has lost.
func (a walArchive) Mend(ctx context.Context, system cofre.SystemID, read func(context.Context, string) ([]byte, error)) (healed, lost []cofre.Message, err error) {
	m := walmend.Mender{All: a.all, Unlock: unlocking(ctx, a.cfg, a.all), Read: read}
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
func (a walArchive) Missing(ctx context.Context, system cofre.SystemID, segments []string) ([]string, error) {
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
func (a walArchive) Refused(ctx context.Context, system cofre.SystemID, file string) (string, error) {
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
