package vouching

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/kopia/kopia/repo/blob"
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/pruning"
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
	gone, err := missing(ctx, storage, l, there)
	if err != nil || gone == "" {
		return err
	}
	// Somebody else may have removed it on purpose meanwhile, and has said so before.
	if l, err = ledger(ctx); err != nil {
		return err
	}
	if gone, err = missing(ctx, storage, l, there); err != nil || gone == "" {
		return err
	}
	return cofre.WithHint(cofre.Fail(cofre.Say("repository.is_missing", "{{.object}} is missing", "object", gone), cofre.ErrCorrupt), hint)
}

// missing is an index that has a seal and is not there; "" if there is none. One in whose place another is read is not needed: a run that slept in
// the middle of deleting it may have said so where others did not see it.
func missing(ctx context.Context, storage *blobs.Storage, l *seal.Ledger, there map[string]bool) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(l.Records)) {
		id, ok := storage.Naming.ID(name)
		if !ok || id[0] != 'x' || there[name] || l.Records[name].State != seal.Stored || replaced(storage, id, there) {
			continue
		}
		if _, err := storage.Store.Stat(ctx, name); errors.Is(err, cofre.ErrNotFound) {
			return name, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", nil
}

// replaced reports whether an index that is there is read in the place of one.
func replaced(storage *blobs.Storage, id blob.ID, there map[string]bool) bool {
	from, to, isRange := pruning.Replaces(id)
	if !isRange {
		from = pruning.Epoch(id)
		to = from
	}
	for name := range there {
		other, _ := storage.Naming.ID(name)
		if first, last, ok := pruning.Replaces(other); ok && first <= from && to <= last {
			return true
		}
	}
	return from < 0 // a marker
}
