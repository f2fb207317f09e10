package standing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash/maphash"
	"iter"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walhealth"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/status"
	"github.com/trustlayer/cofre/store"
)

// walPrefix begins the names of what is archived.
const walPrefix = "wal/"

// indexPrefix begins the names of indexes, which change whenever a point is published, or expires: x0/… or xn0_….
const indexPrefix = "x"

// listed is a store whose listing was read once: of a repository of years it is what takes longest.
type listed struct {
	cofre.Store
	objects []cofre.StoredObject // in the order of names
	bytes   int64                // of everything; -1 if not everything was listed
	others  uint64               // a sum of what else there is, for this process
}

// list reads the names of what is in the repository: all of a folder, and of S3 only of WAL, because there each thousand of names is a request.
func (g *gathering) list(ctx context.Context) {
	st, err := walstore.Open(ctx, g.cfg.Repository)
	if err != nil {
		g.floorErr = err
		return
	}
	prefix := ""
	if g.cfg.Repository.IsS3() {
		prefix = walPrefix
	} else if state, err := g.cfg.StateFolder(); err == nil {
		// Sizes and times are for sums here. Which objects there are is not remembered.
		sum := sha256.Sum256([]byte(st.URL()))
		st = store.Remembering(st, filepath.Join(state, "sizes", hex.EncodeToString(sum[:8])))
	}
	g.floor, g.floorErr = listing(ctx, st, prefix)
	if prefix != "" && g.seen != nil && g.floorErr == nil {
		var indexes *listed
		if indexes, g.floorErr = listing(ctx, st, indexPrefix); g.floorErr == nil {
			g.floor.others = indexes.others
		}
	}
	g.free, g.freeErr = st.Free(ctx)
}

func listing(ctx context.Context, st cofre.Store, prefix string) (*listed, error) {
	l := &listed{Store: st}
	var sum maphash.Hash
	sum.SetSeed(seed)
	for o, err := range st.List(ctx, prefix) {
		if err != nil {
			return nil, err
		}
		l.bytes += o.Size
		if strings.HasPrefix(o.Name, walPrefix) {
			if len(l.objects) == cap(l.objects) {
				l.objects = slices.Grow(l.objects, len(l.objects)) // by itself it grows by a quarter, and is copied as often
			}
			l.objects = append(l.objects, o)
			continue
		}
		maphash.WriteComparable(&sum, [3]any{o.Name, o.Size, o.ModifiedAt.UnixNano()})
	}
	l.others = sum.Sum64()
	if prefix != "" {
		l.bytes = -1
	}
	return l, nil
}

// List yields what was listed.
func (l *listed) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	if !strings.HasPrefix(prefix, walPrefix) {
		return l.Store.List(ctx, prefix)
	}
	return func(yield func(cofre.StoredObject, error) bool) {
		from, _ := slices.BinarySearchFunc(l.objects, prefix, func(o cofre.StoredObject, name string) int { return strings.Compare(o.Name, name) })
		for _, o := range l.objects[from:] {
			if !strings.HasPrefix(o.Name, prefix) || !yield(o, nil) {
				return
			}
		}
	}
}

// held is what one repository holds of WAL.
type held struct {
	config.Repository
	store cofre.Store
	err   error
}

// wal reads what is archived of each system, in the repository and its copies. Segments themselves are not read: cofre wal status, and cofre verify, do that.
//
// Errors: those of the repository. One of a copy is in what is said of it.
func (g *gathering) wal(ctx context.Context, in *status.Input) error {
	if g.opened.Catalog == nil {
		return nil // which base backups there are is not known either
	}
	backups, sizes, err := physical.BaseBackups(g.opened.Catalog.List(catalog.Want{}))
	if err != nil {
		return err
	}
	own, foreign, newest := g.own(backups)
	all := []held{{g.cfg.Repository, g.floor, nil}}
	for _, r := range g.cfg.Copies {
		st, err := walstore.Open(ctx, r)
		all = append(all, held{r, st, err})
	}
	if _, err := walstore.ArchiveOf(ctx, &g.cfg, g.cfg.Repository).Find(ctx); errors.Is(err, cofre.ErrWrongKey) {
		return err
	}
	systems, err := wal.Systems(ctx, g.floor)
	if err != nil {
		return err
	}
	for _, b := range own {
		systems = append(systems, b.SystemID)
	}
	slices.Sort(systems)
	since := g.now.Add(-status.Growth)
	for _, system := range slices.Compact(systems) {
		of, added, err := archived(ctx, &g.cfg, all, system, sizes[system], own, since)
		if err != nil {
			return err
		}
		if foreign[system] {
			in.Repository.WALAdded += added
			continue
		}
		of.Former = newest != 0 && system != newest
		in.WAL = append(in.WAL, of)
		in.Repository.WALAdded += added
	}
	return nil
}

// own are the base backups of this installation that are whole, as far as is known, the systems that only others have base backups of, and the system of its newest
// base backup; 0 if it has none.
func (g *gathering) own(backups []recovery.BaseBackup) (own []recovery.BaseBackup, foreign map[cofre.SystemID]bool, newest cofre.SystemID) {
	mine := map[cofre.PointID]bool{}
	for p := range g.opened.Catalog.List(catalog.Want{Installation: g.cfg.Name}) {
		mine[p.ID] = true
	}
	known, foreign := map[cofre.SystemID]bool{}, map[cofre.SystemID]bool{}
	var at time.Time
	for _, b := range backups {
		if !mine[b.Point] {
			foreign[b.SystemID] = true
			continue
		}
		known[b.SystemID] = true
		if !b.StartedAt.Before(at) {
			newest, at = b.SystemID, b.StartedAt
		}
		if !slices.ContainsFunc(g.opened.Damage[b.Point], func(f cofre.Finding) bool { return f.Kind == cofre.KindCluster }) {
			own = append(own, b)
		}
	}
	maps.DeleteFunc(foreign, func(s cofre.SystemID, _ bool) bool { return known[s] })
	return own, foreign, newest
}

// archived is what is archived of one system, and how much of it was stored since a moment in the repository itself.
func archived(ctx context.Context, cfg *config.Config, all []held, system cofre.SystemID, size int64, backups []recovery.BaseBackup, since time.Time) (of status.Archived, added int64, err error) {
	there := make([]walhealth.Held, len(all))
	for i, h := range all {
		if all[i].err == nil {
			there[i].Inventory, all[i].err = wal.ReadInventory(ctx, h.store, system, size, walstore.Unlock(ctx, cfg, h.Repository, h.store))
		}
		if i == 0 && all[0].err != nil {
			return of, 0, all[0].err
		}
		there[i].URL, there[i].Err = h.URL, all[i].err
	}
	own := there[0].Inventory
	segments, holdings := len(own.Segments), walhealth.Compared(there)
	for _, other := range there[1:] {
		if other.Err == nil {
			own.Merge(other.Inventory)
		}
	}
	own.Hear(backups)
	of.Status = wal.StatusOf(own, backups)
	of.Segments, of.Repositories = segments, holdings
	for _, w := range of.Windows {
		at, err := storedAt(ctx, all, own, w)
		if err != nil {
			return of, 0, err
		}
		of.StoredAt = append(of.StoredAt, at)
	}
	return of, own.StoredSince(since), nil
}

// storedAt is when the newest segment of a window was stored: everything that was committed before the server finished it can be recovered. Of a segment that is received
// in parts it is when the newest part was.
func storedAt(ctx context.Context, all []held, inv *wal.Inventory, w recovery.Window) (time.Time, error) {
	s := pgdata.Segment{Timeline: w.Timeline, Number: uint64(w.To-1) / uint64(inv.SegmentSize)}
	var newest time.Time
	for _, h := range all {
		if h.err != nil {
			continue
		}
		o, err := h.store.Stat(ctx, wal.ObjectName(inv.SystemID, s.File(inv.SegmentSize)))
		if errors.Is(err, cofre.ErrNotFound) {
			continue
		}
		if err != nil {
			return newest, err
		}
		return o.ModifiedAt, nil
	}
	for part, err := range all[0].store.List(ctx, wal.ObjectName(inv.SystemID, s.File(inv.SegmentSize))) {
		if err != nil {
			return newest, err
		}
		if part.ModifiedAt.After(newest) {
			newest = part.ModifiedAt
		}
	}
	if newest.IsZero() {
		newest = w.FromAt // it ends with the base backup
	}
	return newest, nil
}
