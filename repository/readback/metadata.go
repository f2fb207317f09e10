package readback

import (
	"context"
	"maps"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/seal"
)

// Metadata names the files that Kopia cannot be opened without, or lists no points without, and that are not as they were written, as far as the store says so.
func Metadata(ctx context.Context, st cofre.Store, naming blobs.Naming, l *seal.Ledger) (damaged []string) {
	for _, name := range slices.Sorted(maps.Keys(l.Records)) {
		rec := l.Records[name]
		id, ok := naming.ID(name)
		if ok && id[0] == 'p' {
			continue
		}
		what, err := seal.Check(ctx, st, rec)
		if err != nil {
			return damaged
		}
		if what != "" && !(rec.State == seal.Announced && what == "is missing") {
			damaged = append(damaged, name+" "+what)
		}
	}
	return damaged
}
