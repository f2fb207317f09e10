package vouching

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/epochs"
	"github.com/trustlayer/cofre/repository/pruning"
	"github.com/trustlayer/cofre/repository/seal"
)

// Indexes leaves out of what is read, until it is undone, the indexes that nobody with the password has written, and refuses if that is not enough: because one of them says
// something that no other says, so that somebody may have written it who knows no key; or because one that has a seal is missing or cannot be read.
// It has refresh read them again.
//
// Errors: cofre.ErrCorrupt with the name of one; those of the store.
func Indexes(ctx context.Context, kopia repo.DirectRepositoryWriter, storage *blobs.Storage, ledger func(context.Context) (*seal.Ledger, error), refresh func(context.Context) error) (undo func(), err error) {
	undo = func() {}
	// The indexes are listed before the seals are read: one that is listed was announced before it was written.
	there := map[string]bool{}
	for m, err := range storage.List(ctx, epochs.Prefix) {
		if err != nil {
			return undo, err
		}
		there[storage.Naming.Name(m.BlobID)] = true
	}
	l, err := ledger(ctx)
	if err != nil {
		return undo, err
	}
	if err := Unread(ctx, storage, l); err != nil {
		return undo, err
	}
	if !l.Raised {
		return undo, nil
	}
	if undo, err = leave(ctx, kopia, storage, l, there, refresh); err != nil {
		return undo, err
	}
	gone, err := missing(ctx, storage, l, there)
	if err != nil || gone == "" {
		return undo, err
	}
	// Somebody else may have removed it on purpose meanwhile, and has said so before.
	if l, err = ledger(ctx); err != nil {
		return undo, err
	}
	if gone, err = missing(ctx, storage, l, there); err != nil || gone == "" {
		return undo, err
	}
	return undo, cofre.WithHint(cofre.Fail(cofre.Say("repository.is_missing", "{{.object}} is missing", "object", gone), cofre.ErrCorrupt),
		cofre.Say("repository.bring_sealed_index", "bring it back from a copy of the repository, or go on without it, with all that the packs themselves still name: cofre seal --without-lost"))
}

// ours reports whether somebody with the password may have written a file.
func ours(l *seal.Ledger, name string) bool {
	_, sealed := l.Records[name]
	return sealed || !l.Raised && !l.Removed[name]
}

// Unread says of the indexes that somebody with the password may have written that one of them cannot be read; nil if all can. If the seals are gone
// that say which others are believed, it may be any of them. If none can be read, it is the format rather than all of them.
//
// Errors: cofre.ErrCorrupt, with its name; those of the store.
func Unread(ctx context.Context, storage *blobs.Storage, l *seal.Ledger) error {
	passed := storage.Indexes.Passed()
	for _, id := range slices.Sorted(maps.Keys(passed)) {
		name := storage.Naming.Name(id)
		if told := l.Said || !l.Raised; told && !ours(l, name) {
			continue
		}
		if none, err := NoneRead(ctx, storage); err != nil || none {
			return cmp.Or(err, cofre.WithHint(cofre.Fail(cofre.Say("repository.no_index_read", "no index of this repository can be read: its format is another's, or all of them are damaged: {{.name}}: {{.cause}}", "name", name, "cause", passed[id]), cofre.ErrCorrupt),
				cofre.Say("repository.bring_format", "put the format back from the printed recovery kit of this repository: cofre kit --restore FILE; if that says that nothing of it is missing, bring the indexes back from a copy of the repository, the files below x/")))
		}
		return cofre.WithHint(cofre.Fail(cofre.Say("repository.index_unread", "{{.name}}: this index cannot be read, and what only it names is not there: {{.cause}}", "name", name, "cause", passed[id]), cofre.ErrCorrupt),
			cofre.Say("repository.bring_index", "bring it back from a copy of the repository: {{.name}}, or {{.spare}}; without one, go on without it, with all that the packs themselves still name: cofre seal --without-lost", "name", name, "spare", blobs.SpareName(id)))
	}
	return nil
}

// NoneRead reports whether there are indexes, and none of them can be read.
//
// Errors: those of the store.
func NoneRead(ctx context.Context, storage *blobs.Storage) (bool, error) {
	passed := storage.Indexes.Passed()
	if len(passed) == 0 {
		return false, nil
	}
	for o, err := range storage.Store.List(ctx, "x") {
		if err != nil {
			return false, err
		}
		id, ok := storage.Naming.ID(o.Name)
		if _, unread := passed[id]; ok && !unread && !epochs.IsMarker(id) {
			return false, nil
		}
	}
	return true, nil
}

// leave leaves out what has no seal under the key.
func leave(ctx context.Context, kopia repo.DirectRepositoryWriter, storage *blobs.Storage, l *seal.Ledger, there map[string]bool, refresh func(context.Context) error) (undo func(), err error) {
	out := map[blob.ID]bool{}
	for name := range there {
		if id, ok := storage.Naming.ID(name); ok && !ours(l, name) && !l.Removed[name] {
			out[id] = true
		}
	}
	if len(out) == 0 {
		return func() {}, nil
	}
	undo = storage.Indexes.Leave(out)
	if err := refresh(ctx); err != nil {
		return undo, err
	}
	passed := storage.Indexes.Passed()
	for _, id := range slices.Sorted(maps.Keys(out)) {
		if _, unread := passed[id]; unread || epochs.IsMarker(id) {
			continue
		}
		if says, err := pruning.Says(ctx, kopia, id); err != nil || says {
			name := storage.Naming.Name(id)
			return undo, cofre.WithHint(cofre.Fail(cofre.Say("repository.index_of_others", "{{.name}}: nobody with the password has written this index", "name", name), cofre.ErrCorrupt),
				cofre.Say("repository.prove_index", "an older version of cofre may have; have it proven and sealed: cofre seal"))
		}
	}
	return undo, nil
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
	from, to, isRange := epochs.Replaces(id)
	if !isRange {
		from = epochs.Epoch(id)
		to = from
	}
	for name := range there {
		other, _ := storage.Naming.ID(name)
		if first, last, ok := epochs.Replaces(other); ok && first <= from && to <= last {
			return true
		}
	}
	return from < 0 // a marker
}
