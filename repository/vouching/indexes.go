package vouching

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/seal"
)

// Indexes refuses indexes that have no seal under the key, and that one which has a seal is missing, if only such seals are believed.
//
// Errors: cofre.ErrCorrupt with the name of one; those of the store.
func Indexes(ctx context.Context, storage *blobs.Storage, ledger func(context.Context) (*seal.Ledger, error)) error {
	// The indexes are listed before the seals are read: one that is listed was announced before it was written.
	there := map[string]bool{}
	for m, err := range storage.List(ctx, "x") {
		if err != nil {
			return err
		}
		there[storage.Naming.Name(m.BlobID)] = true
	}
	l, err := ledger(ctx)
	if err != nil || !l.Raised {
		return err
	}
	hint := cofre.Say("repository.damaged", "find out what is damaged: cofre verify --level content")
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if _, ok := l.Records[name]; !ok && !l.Removed[name] {
			return cofre.WithHint(cofre.Fail(cofre.Say("repository.index_of_others", "{{.name}}: nobody with the password has written this index", "name", name), cofre.ErrCorrupt), hint)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.Records)) {
		id, ok := storage.Naming.ID(name)
		if !ok || id[0] != 'x' || there[name] || l.Records[name].State != seal.Stored {
			continue
		}
		if _, err := storage.Store.Stat(ctx, name); errors.Is(err, cofre.ErrNotFound) {
			return cofre.WithHint(cofre.Fail(cofre.Say("repository.is_missing", "{{.object}} is missing", "object", name), cofre.ErrCorrupt), hint)
		} else if err != nil {
			return err
		}
	}
	return nil
}
