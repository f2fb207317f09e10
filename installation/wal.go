package installation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/check"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// createWALKeys gives a repository that has no key for WAL one, and reports whether it had none.
func createWALKeys(ctx context.Context, r config.Repository) (made bool, err error) {
	st, err := walstore.Open(ctx, r)
	if err != nil {
		return false, err
	}
	password, err := r.Password.Read()
	if err != nil {
		return false, err
	}
	_, had := wal.LoadRecipient(ctx, st)
	_, err = wal.CreateKeys(ctx, st, password)
	return err == nil && errors.Is(had, cofre.ErrNotFound), err
}

// checkWAL looks at the WAL of a repository, which no recovery point refers to: with LevelStructure at what segments say
// of one another; with LevelContent it reads all of it back, and the key, too.
func checkWAL(ctx context.Context, cfg *config.Config, cat *catalog.Catalog, level cofre.Level) ([]cofre.Finding, error) {
	r := cfg.Repository
	st, err := walstore.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	unlock := sync.OnceValues(walstore.Unlock(ctx, r, st))
	if level == cofre.LevelContent {
		found, err := wal.CheckKeys(ctx, st, unlock)
		if err != nil || len(found) > 0 {
			return found, err
		}
	}
	found, err := checkChains(ctx, cfg, cat, st, unlock)
	if err != nil || level != cofre.LevelContent {
		return found, err
	}
	id, err := unlock()
	if errors.Is(err, cofre.ErrNotFound) {
		return found, nil // a repository without a key for WAL holds none
	}
	if err != nil {
		return found, err
	}
	read, err := check.Segments(ctx, st, id)
	if err == nil {
		var histories []cofre.Finding
		histories, err = wal.CheckHistories(ctx, st, id)
		read = append(read, histories...)
	}
	for _, f := range read {
		if !slices.ContainsFunc(found, func(known cofre.Finding) bool { return known.Object == f.Object }) {
			found = append(found, f)
		}
	}
	return found, err
}

func checkChains(ctx context.Context, cfg *config.Config, cat *catalog.Catalog, st cofre.Store, unlock func() (wal.Identity, error)) ([]cofre.Finding, error) {
	_, sizes, err := baseBackups(cat, cfg.Name)
	if err != nil {
		return nil, err
	}
	systems, err := wal.Systems(ctx, st)
	if err != nil {
		return nil, err
	}
	var found []cofre.Finding
	for _, system := range systems {
		inv, err := wal.ReadInventory(ctx, st, system, sizes[system], unlock)
		if err != nil {
			// What cannot be read is found where it is read back.
			if errors.Is(err, cofre.ErrCorrupt) {
				continue
			}
			return found, err
		}
		broken, err := check.Chain(ctx, st, inv)
		if err != nil {
			return found, err
		}
		found = append(found, broken...)
	}
	return found, nil
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
	unlocked := make([]func() (wal.Identity, error), len(a.all))
	for i, of := range a.all {
		unlocked[i] = sync.OnceValues(func() (wal.Identity, error) {
			if of.Unusable != nil {
				return wal.Identity{}, of.Unusable
			}
			return walstore.Unlock(ctx, a.cfg.Repositories()[i], of.Store)()
		})
	}
	var errs []error
	for i, to := range a.all {
		if to.Unusable != nil {
			continue // whatever needs it says so
		}
		known, err := wal.KnownDamage(ctx, to.Store, system)
		errs = append(errs, err)
		for _, d := range known {
			from, why := a.mend(ctx, i, d, read, unlocked)
			switch {
			case ctx.Err() != nil:
				return healed, lost, context.Cause(ctx)
			case why == nil:
				healed = append(healed, cofre.Say("wal.healed", "{{.name}} was damaged in {{.url}}, and is stored afresh, from {{.from}}", "name", d.Name, "url", to.URL(), "from", from))
			case !d.Acknowledged:
				lost = append(lost, cofre.Say("wal.lost", "{{.name}} is damaged in {{.url}} and could not be stored afresh ({{.why}}): recovery from an older base backup ends before it", "name", d.Name, "url", to.URL(), "why", cofre.OneLine(why)))
			}
		}
	}
	return healed, lost, errors.Join(errs...)
}

// mend stores one file afresh in an archive, from the first that has it whole.
func (a walArchive) mend(ctx context.Context, in int, d wal.Damage, read func(context.Context, string) ([]byte, error), unlocked []func() (wal.Identity, error)) (from string, err error) {
	var why []error
	if content, err := read(ctx, d.Name.String()); err == nil {
		if _, err = wal.Restore(ctx, a.all[in], d.System, d.Name, content); err == nil {
			return "the server", nil
		}
		why = append(why, err)
	}
	for i, of := range a.all {
		if i == in {
			continue
		}
		id, err := unlocked[i]()
		var content []byte
		if err == nil {
			content, err = wal.Read(ctx, of.Store, id, d.System, d.Name)
		}
		if err == nil {
			_, err = wal.Restore(ctx, a.all[in], d.System, d.Name, content)
		}
		if err == nil {
			return of.URL(), nil
		}
		why = append(why, err)
	}
	if len(why) == 0 {
		why = append(why, errors.New("the server no longer has it, and there is no copy"))
	}
	return "", errors.Join(why...)
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
