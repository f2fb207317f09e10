package check

import (
	"context"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Histories finds the timelines of every system along which nothing can be recovered, because their history is missing.
//
// Errors: the store's.
func Histories(ctx context.Context, st cofre.Store, id wal.Identity) ([]cofre.Finding, error) {
	systems, err := wal.Systems(ctx, st)
	if err != nil {
		return nil, err
	}
	var found []cofre.Finding
	for _, system := range systems {
		having, histories, err := timelines(ctx, st, id, system)
		if err != nil {
			return found, err
		}
		for _, tli := range wal.OrphansOf(having, histories) {
			object := wal.ObjectName(system, pgdata.HistoryOf(tli))
			missing := wal.ErrNoHistory(tli)
			found = append(found, cofre.Finding{Check: string(cofre.LevelContent), Kind: cofre.KindCluster, Object: object}.Saying(cofre.Series(cofre.SayError(missing), cofre.HintOf(missing))))
		}
	}
	return found, nil
}

// timelines lists those of which a store holds segments, and the histories in it that can be read.
func timelines(ctx context.Context, st cofre.Store, id wal.Identity, system cofre.SystemID) (having map[cofre.Timeline]bool, histories map[cofre.Timeline]pgdata.History, err error) {
	having, histories = map[cofre.Timeline]bool{}, map[cofre.Timeline]pgdata.History{}
	for o, err := range st.List(ctx, wal.Prefix(system)) {
		if err != nil {
			return nil, nil, fmt.Errorf("list WAL of %s: %w", st.URL(), err)
		}
		text, err := wal.NameOf(system, o.Name)
		if err != nil {
			continue // nobody reads it there
		}
		switch n, err := pgdata.ParseWALName(text); {
		case err != nil:
		case n.Kind == pgdata.WALSegment:
			having[n.Timeline] = true
		case n.Kind == pgdata.WALHistory:
			// What is wrong with one that cannot be read, CheckSegments says.
			histories[n.Timeline] = pgdata.History{Timeline: n.Timeline}
			if b, err := wal.Open(ctx, st, id, o.Name, 1<<20); err == nil {
				if h, err := pgdata.ParseHistory(n.Timeline, b); err == nil {
					histories[n.Timeline] = h
				}
			}
		}
	}
	return having, histories, nil
}

// DeriveHistory makes the history of one of inv.Orphans out of the oldest segment that is there of it, which read reads.
//
// Errors: cofre.ErrNotFound if that segment does not say where the timeline began; those of read and of pgdata.DeriveHistory.
func DeriveHistory(inv *wal.Inventory, tli cofre.Timeline, read func(pgdata.WALName) ([]byte, error)) (pgdata.History, error) {
	var first pgdata.Segment
	for s := range inv.Segments {
		if s.Timeline == tli && (first.Timeline == 0 || s.Number < first.Number) {
			first = s
		}
	}
	content, err := read(first.File(inv.SegmentSize))
	if err != nil {
		return pgdata.History{}, fmt.Errorf("derive the history of timeline %d: %w", tli, err)
	}
	return pgdata.DeriveHistory(first, content, func(parent cofre.Timeline) (pgdata.History, bool) {
		h, known := inv.Histories[parent]
		return h, known || parent == 1
	})
}
