package installation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/installation/walorigin"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// way is how a recovery target is reached.
type way struct {
	point    cofre.PointID
	target   cofre.RecoveryTarget
	recovery *recovery.Recovery // nil if the WAL in the base backup itself is enough
	used     cofre.Timeline     // the highest that a base backup of the cluster is on
}

// recoveryWay chooses the base backup, and proves that the target can be reached from it.
//
// Errors: *cofre.UnreachableError, *cofre.GapError; those of the catalog and of the store.
func (in *Installation) recoveryWay(ctx context.Context, cat *catalog.Catalog, target cofre.RecoveryTarget, ref string) (way, error) {
	want := catalog.Want{Installation: in.cfg.Name, Kind: cofre.KindCluster}
	named := ref != ""
	// The WAL leads to a moment from any base backup of before. Where it ends, and where the newest base backup does, only those say that are gone.
	if moment := !target.At.IsZero() || target.LSN != 0 || target.XID != 0 || target.Name != ""; moment && !named {
		want.There = true
		if why := cat.Missing(); why != nil {
			in.warn(cofre.Say("recover.from_what_is_there", "{{.why}}; the way begins with a base backup that is there", "why", why))
		}
	}
	ref = cmp.Or(ref, catalog.Latest)
	point, comp, err := cat.Component(ref, want)
	if err != nil {
		return way{}, err
	}
	in.warn(loss.Incomplete(cat, ref, point, want)...)
	summary, err := physical.ParseSummary(comp.Facts)
	if err != nil {
		return way{}, fmt.Errorf("read the facts of the base backup of %s: %w", point.ID, err)
	}
	if summary.OwnWALOnly {
		if !named && target != (cofre.RecoveryTarget{}) {
			return way{}, cofre.WithHint(&cofre.UnreachableError{Target: target.Message(), Why: cofre.Say("recover.other_cluster", "the newest base backup, {{.point}}, is of a cluster whose WAL is not in the archive: another's is", "point", point.ID)},
				cofre.Say("target.name_base_backup", "name the base backup to begin with: cofre restore cluster POINT; cofre list names them"))
		}
		return withoutArchive(point, summary, target, cofre.Say("recover.other_wal", "the WAL in the archive is not of the cluster that this base backup was taken of"))
	}
	backups, highest, err := basesOf(cat, point, summary.SystemID, named)
	if err != nil {
		return way{}, err
	}
	st, err := walstore.Open(ctx, in.cfg.Repository)
	if err != nil {
		return way{}, err
	}
	systems, err := wal.Systems(ctx, st)
	if err != nil {
		return way{}, err
	}
	if !slices.Contains(systems, summary.SystemID) {
		return withoutArchive(point, summary, target, cofre.Say("recover.no_wal", "the repository holds no WAL of this cluster"))
	}
	found, inv, err := in.throughArchive(ctx, st, summary, target, backups)
	if err != nil {
		if w, ok := ownWAL(point, summary, target); ok && (inv != nil || errors.Is(err, cofre.ErrCorrupt)) {
			return w, nil
		}
		return way{}, err
	}
	target.Timeline = found.Timeline
	w := way{point: found.Backup.Point, target: target, recovery: found, used: highest}
	return w, historyOf(cat, w, inv, want)
}

// basesOf lists the base backups of a system that may be begun with: all, or the one that was named. It returns the highest timeline
// of all of them, too.
func basesOf(cat *catalog.Catalog, point cofre.RecoveryPoint, system cofre.SystemID, named bool) ([]recovery.BaseBackup, cofre.Timeline, error) {
	backups, _, err := physical.BaseBackups(cat.List(catalog.Want{Installation: point.Installation}))
	var highest cofre.Timeline
	backups = slices.DeleteFunc(backups, func(b recovery.BaseBackup) bool {
		if b.SystemID == system {
			highest = max(highest, b.Timeline)
		}
		return b.SystemID != system || named && b.Point != point.ID
	})
	return backups, highest, err
}

// throughArchive plans a recovery with what the repository and its copies hold of a system's WAL. The inventory is returned as soon as it
// was read.
func (in *Installation) throughArchive(ctx context.Context, st cofre.Store, s physical.Summary, target cofre.RecoveryTarget, backups []recovery.BaseBackup) (*recovery.Recovery, *wal.Inventory, error) {
	unlock := sync.OnceValues(walstore.Unlock(ctx, in.cfg, in.cfg.Repository, st))
	id, unusable := unlock()
	if unusable != nil {
		if len(in.cfg.Copies) == 0 || !errors.Is(unusable, cofre.ErrCorrupt) {
			return nil, nil, unusable
		}
		in.warn(cofre.Say("wal.key_from_copies", "the WAL is read from the copies: {{.cause}}", "cause", unusable))
	}
	heard, _ := in.hear(ctx) // of a journal that cannot be read the catalog says so
	inv, err := wal.ReadInventory(ctx, st, s.SystemID, s.WALSegmentSize, unlock)
	if err == nil && unusable == nil {
		err = walorigin.StillSaid(ctx, id, s.SystemID, backups, heard.Origins...)
	}
	if err != nil {
		return nil, nil, err
	}
	copies := walstore.Copies(ctx, in.cfg, inv, func(text string) { in.warn(cofre.Verbatim(text)) })
	inv.Hear(backups)
	from := &fetch.Fetcher{Store: st, Identity: id, Unusable: unusable, Copies: copies}
	found, err := recovery.Recover(target, backups, &inv.WAL, from.Scan(ctx, inv))
	if n := id.Unproven(); n > 0 && unusable == nil {
		in.observer.Observe(cofre.Event{Type: cofre.TypeNote}.Saying(cofre.SayN("wal.unknown_origin_here", n, "1 file of WAL on the way is of unknown origin: no admitted key has signed it; cofre wal admit lists the keys", "{{.n}} files of WAL on the way are of unknown origin: no admitted key has signed them; cofre wal admit lists the keys")))
	}
	return found, inv, inv.WayOn(id, err)
}

// historyOf makes sure of the history that the server asks for first: archived, or in the base backup.
//
// Errors: *cofre.GapError with what mends it.
func historyOf(cat *catalog.Catalog, w way, inv *wal.Inventory, want catalog.Want) error {
	if _, ok := inv.Histories[w.target.Timeline]; ok || w.target.Timeline == 1 {
		return nil
	}
	_, comp, err := cat.Component(string(w.point), want)
	if err != nil {
		return err
	}
	s, err := physical.ParseSummary(comp.Facts)
	if err == nil && !(s.WALIncluded && s.StopTimeline == w.target.Timeline) {
		err = wal.ErrNoHistory(w.target.Timeline)
	}
	return err
}

// withoutArchive is the way if no WAL was archived that goes on from the base backup: only its end can be reached, and only
// if it carries the WAL that makes it consistent.
func withoutArchive(point cofre.RecoveryPoint, s physical.Summary, target cofre.RecoveryTarget, why cofre.Message) (way, error) {
	if w, ok := ownWAL(point, s, target); ok {
		return w, nil
	}
	if target == (cofre.RecoveryTarget{}) && s.WALIncluded {
		return way{point: point.ID, target: target}, nil
	}
	return way{}, cofre.WithHint(&cofre.UnreachableError{
		Target: target.Message(), Why: why,
		Nearest: []cofre.Message{recovery.EndOf(point.ID, s.StoppedAt, "--immediate")},
	}, cofre.Say("target.archive", "archive WAL with: archive_command = 'cofre wal archive %p'"))
}

// ownWAL is the way to the end of a base backup that carries its own WAL.
func ownWAL(point cofre.RecoveryPoint, s physical.Summary, target cofre.RecoveryTarget) (way, bool) {
	return way{point: point.ID, target: target}, target.Immediate && s.WALIncluded
}
