package check

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Files lists the segments and the histories that a store holds of a cluster, by name alone.
//
// Errors: the store's.
func Files(ctx context.Context, st cofre.Store, system cofre.SystemID) (map[pgdata.WALName]bool, error) {
	all := map[pgdata.WALName]bool{}
	for o, err := range st.List(ctx, wal.Prefix(system)) {
		if err != nil {
			return nil, fmt.Errorf("list WAL of %s: %w", st.URL(), err)
		}
		text, err := wal.NameOf(system, o.Name)
		if err != nil {
			continue // nobody reads it there
		}
		if n, err := pgdata.ParseWALName(text); err == nil && (n.Kind == pgdata.WALSegment || n.Kind == pgdata.WALHistory) {
			all[n] = true
		}
	}
	return all, nil
}

// Holes lists, oldest first, the files of the others that one does not have and whose neighbours it has: segments older and newer
// than each, of the same timeline. A history is always one of them.
func Holes(one map[pgdata.WALName]bool, others ...map[pgdata.WALName]bool) []pgdata.WALName {
	type ends struct{ first, last string }
	has := map[cofre.Timeline]ends{}
	for n := range one {
		if text := n.String(); n.Kind == pgdata.WALSegment {
			e, ok := has[n.Timeline]
			if !ok || text < e.first {
				e.first = text
			}
			e.last = max(e.last, text)
			has[n.Timeline] = e
		}
	}
	var all []pgdata.WALName
	for _, other := range others {
		for n := range other {
			e := has[n.Timeline]
			within := n.Kind == pgdata.WALHistory || e.first < n.String() && n.String() < e.last
			if within && !one[n] && !slices.Contains(all, n) {
				all = append(all, n)
			}
		}
	}
	slices.SortFunc(all, func(a, b pgdata.WALName) int { return strings.Compare(a.String(), b.String()) })
	return all
}
