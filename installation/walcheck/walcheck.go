// Package walcheck looks at the archived WAL of a repository and of every copy, as cofre verify does: each is proven by itself, and
// what one lacks and another has is found.
//
// What it finds missing, package walmend stores.
package walcheck

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	reading "github.com/trustlayer/cofre/postgres/wal/check"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/verify"
)

// Repository is one of those that are looked at.
type Repository struct {
	URL    string
	Store  cofre.Store
	Unlock func() (wal.Identity, error)
	// Recipient is what its WAL is encrypted for, compared with the one that this host knows.
	Recipient func(context.Context) (wal.Recipient, error)
	Err       error // why it could not be opened
}

// Open opens the floor of every repository.
func Open(ctx context.Context, cfg *config.Config) []Repository {
	var all []Repository
	for _, r := range cfg.Repositories() {
		a := walstore.ArchiveOf(ctx, cfg, r)
		all = append(all, Repository{URL: r.URL, Store: a.Store, Recipient: a.Find, Unlock: walstore.Unlock(ctx, cfg, r, a.Store), Err: a.Unusable})
	}
	return all
}

// Options say what is looked at.
type Options struct {
	// Level is LevelStructure, which looks at what segments say of one another and whether all are there, or LevelContent, which
	// reads all of it back, and the keys, too.
	Level cofre.Level
	// Backups are the base backups of every installation, for WAL belongs to a system, and Sizes the size of segments by system.
	Backups []recovery.BaseBackup
	Sizes   map[cofre.SystemID]int64
	Points  []cofre.RecoveryPoint // that say which WAL was there when they were published
	Origins []origin.Witness      // of whom the repositories believe, beside the base backups
	// Acknowledged are the gaps that a person is known to have acknowledged, in the repository itself.
	Acknowledged map[cofre.SystemID][]wal.Acknowledgement
	Since        time.Time    // where the promised window begins; zero promises every moment
	Proven       cofre.Proven // what was read back before; nil remembers nothing: everything is read
}

// check is one look at all of them.
type check struct {
	Options
	looked []*look
}

// look is one repository in it.
type look struct {
	verify.WAL
	store       cofre.Store
	recipient   func(context.Context) (wal.Recipient, error)
	copy        string // its address, if it is one
	inventories map[cofre.SystemID]*wal.Inventory
}

// Run looks at the WAL of every repository, the first of which is no copy, and returns what was established of each, in order. What
// is damaged is remembered in the repository that holds it. What keeps one repository from being looked at is said of that one.
func Run(ctx context.Context, repositories []Repository, o Options) []verify.WAL {
	c := &check{Options: o}
	for i, r := range repositories {
		l := &look{inventories: map[cofre.SystemID]*wal.Inventory{}}
		if l.URL, l.store, l.recipient = r.URL, r.Store, r.Recipient; i > 0 {
			l.copy = r.URL
		}
		if l.Err = r.Err; l.Err == nil {
			l.Err = c.look(ctx, l, sync.OnceValues(r.Unlock))
		}
		c.looked = append(c.looked, l)
	}
	if ctx.Err() == nil {
		c.compare(ctx)
	}
	var all []verify.WAL
	for i, l := range c.looked {
		switch {
		case l.Err != nil && i > 0:
			l.Err = fmt.Errorf("verify the WAL of copies[%d]: %w", i-1, l.Err)
		case l.Err != nil:
			l.Err = fmt.Errorf("verify the WAL of the repository: %w", l.Err)
		}
		for j := range l.Findings {
			if len(c.looked) > 1 {
				l.Findings[j].Repository = l.URL
			}
		}
		all = append(all, l.WAL)
	}
	return all
}

// look looks at one repository by itself.
func (c *check) look(ctx context.Context, l *look, unlock func() (wal.Identity, error)) (err error) {
	if _, err := l.recipient(ctx); errors.Is(err, cofre.ErrWrongKey) {
		l.Findings = append(l.Findings, cofre.Finding{Check: string(c.Level), Kind: cofre.KindCluster, Object: wal.RecipientObject}.Saying(cofre.Series(cofre.SayError(err), cofre.HintOf(err))))
		return nil
	}
	if c.Level == cofre.LevelContent {
		if l.Findings, err = reading.Keys(ctx, l.store, unlock); err != nil || len(l.Findings) > 0 {
			return err
		}
	}
	if l.Findings, err = reading.Copies(ctx, l.store); err != nil {
		return err
	}
	if err := c.chains(ctx, l, unlock); err != nil {
		return err
	}
	of := reading.Options{Proven: c.Proven, Copy: l.copy, Acknowledged: map[cofre.SystemID][]wal.Acknowledgement{}}
	for system, inv := range l.inventories {
		of.Acknowledged[system] = inv.Acknowledged
	}
	if c.Level != cofre.LevelContent {
		return reading.Count(ctx, l.store, of)
	}
	id, err := unlock()
	if errors.Is(err, cofre.ErrNotFound) {
		return nil // a repository without a key for WAL holds none
	}
	if err != nil {
		return err
	}
	read, err := reading.Segments(ctx, l.store, id, of)
	if err == nil {
		var histories []cofre.Finding
		histories, err = reading.Histories(ctx, l.store, id)
		read = append(read, histories...)
	}
	for _, f := range read {
		l.find(f)
	}
	return err
}

// find adds what was found, unless something was found of the same object before.
func (l *look) find(f cofre.Finding) {
	if !slices.ContainsFunc(l.Findings, func(known cofre.Finding) bool { return known.Object == f.Object }) {
		l.Findings = append(l.Findings, f)
	}
}

// chains lists what one repository holds, and compares neighbours.
func (c *check) chains(ctx context.Context, l *look, unlock func() (wal.Identity, error)) error {
	systems, err := wal.Systems(ctx, l.store)
	if err != nil {
		return err
	}
	for _, b := range c.Backups {
		systems = append(systems, b.SystemID)
	}
	for _, p := range c.Points {
		for _, h := range p.WAL {
			systems = append(systems, h.System)
		}
	}
	slices.Sort(systems)
	for _, system := range slices.Compact(systems) {
		inv, err := wal.ReadInventory(ctx, l.store, system, c.Sizes[system], unlock)
		if errors.Is(err, cofre.ErrCorrupt) {
			continue // what cannot be read is found where it is read back
		}
		if err != nil {
			return err
		}
		if err := inv.BelieveAs(ctx, unlock); err != nil {
			return err
		}
		inv.Remember(c.Backups, c.Origins...)
		if l.copy == "" {
			inv.Recall(c.Acknowledged[system])
		}
		l.inventories[system] = inv
		l.Segments += len(inv.Segments)
		broken, err := reading.Chain(ctx, l.store, inv)
		if err != nil {
			return err
		}
		for _, f := range broken {
			l.find(f)
		}
	}
	return nil
}

// compare finds what is missing: what another repository has, and what stands between a base backup and the present.
func (c *check) compare(ctx context.Context) {
	systems := map[cofre.SystemID][]*wal.Inventory{}
	for _, l := range c.looked {
		if l.Err != nil {
			continue
		}
		for system, inv := range l.inventories {
			systems[system] = append(systems[system], inv)
		}
	}
	for system, inventories := range systems {
		together := wal.Together(inventories...)
		for _, l := range c.looked {
			if inv := l.inventories[system]; inv != nil && l.Err == nil {
				l.Err = cmp.Or(c.lacks(ctx, l, inv, together), c.heads(ctx, l, inv))
				l.gaps(inv, c.Backups)
			}
		}
		if !slices.ContainsFunc(c.looked, func(l *look) bool { return l.Err != nil }) {
			c.unusable(together)
		}
	}
}

// onItsWay is how long what is archived may take from one repository to the next.
const onItsWay = 10 * time.Minute

// lacks finds what a repository does not hold and another has. What follows all that it holds may be on its way.
//
// Errors: those of the stores.
func (c *check) lacks(ctx context.Context, l *look, inv, together *wal.Inventory) error {
	for _, s := range wal.Spans(wal.MissingOf(inv, together, c.Backups, c.Since), inv.SegmentSize) {
		object, err := objectNamed(inv.SystemID, s.From)
		if err != nil {
			return err
		}
		if inv.Trails(s) {
			at, err := c.storedAt(ctx, object)
			if err != nil {
				return err
			}
			if time.Since(at) < onItsWay {
				continue
			}
		}
		l.find(lacking(object, cofre.SayN("verify.wal_lacks", s.Segments, "segment {{.from}} is missing here, and another repository has it", "{{.n}} segments are missing here, {{.from}} to {{.to}}, and another repository has them", "from", s.From, "to", s.To)))
	}
	for tli := range together.Histories {
		if _, ok := inv.Histories[tli]; !ok {
			name := pgdata.HistoryOf(tli)
			l.find(lacking(wal.ObjectName(inv.SystemID, name), cofre.Say("verify.wal_lacks_history", "{{.file}} is missing here, or cannot be read, and another repository has it", "file", name)))
		}
	}
	return nil
}

func lacking(object string, what cofre.Message) cofre.Finding {
	return cofre.Finding{Check: string(cofre.LevelStructure), Kind: cofre.KindCluster, Object: object}.Saying(what)
}

func objectNamed(system cofre.SystemID, segment string) (string, error) {
	name, err := pgdata.ParseWALName(segment)
	return wal.ObjectName(system, name), err
}

// storedAt is when the first repository that has an object got it; zero if none has it.
func (c *check) storedAt(ctx context.Context, object string) (time.Time, error) {
	for _, l := range c.looked {
		if l.store == nil {
			continue
		}
		o, err := l.store.Stat(ctx, object)
		if err == nil {
			return o.ModifiedAt, nil
		}
		if !errors.Is(err, cofre.ErrNotFound) {
			return time.Time{}, err
		}
	}
	return time.Time{}, nil
}

// gaps finds what keeps the present from being recovered with what a repository holds alone.
func (l *look) gaps(inv *wal.Inventory, backups []recovery.BaseBackup) {
	inv.Hear(backups)
	for _, g := range wal.StatusOf(inv, backups).Gaps {
		object, err := objectNamed(inv.SystemID, g.From)
		if err != nil || !g.Alarm || l.within(inv.SystemID, g.From) {
			continue
		}
		l.find(lacking(object, g.Message()))
	}
}

// within reports whether a segment is one of those that another repository has.
func (l *look) within(system cofre.SystemID, segment string) bool {
	object, err := objectNamed(system, segment)
	return err != nil || slices.ContainsFunc(l.Findings, func(f cofre.Finding) bool { return f.Object == object })
}

// unusable finds the base backups that do not become consistent with the WAL of all repositories together.
func (c *check) unusable(together *wal.Inventory) {
	for _, p := range wal.StatusOf(together, c.Backups).Unusable {
		c.looked[0].find(lacking(string(p), cofre.Say("wal.unusable", "base backup {{.point}} needs WAL that is not archived: it cannot be restored", "point", p)))
	}
}
