package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/kopia/kopia/repo/blob"

	"github.com/trustlayer/cofre"
)

// What a repository cannot be read without, and what no source can give again, is kept twice: the format, the indexes,
// and the packs of directories, lists and manifests, some thousandths of all bytes. A spare holds the same bytes under
// another name. It is used where the seal says that the first is not as it was written and the spare is.
const sparePrefix = "cofre/spare/"

func spareName(id blob.ID) string { return sparePrefix + string(id) }

// hasSpare reports whether a blob is kept twice.
func hasSpare(id blob.ID) bool { return id != "" && id[0] != 'p' && !isMarker(id) && id[0] != '_' }

// putSpare stores the second copy of a blob that has just been written.
func (b *blobs) putSpare(ctx context.Context, id blob.ID, data blob.Bytes) error {
	if !hasSpare(id) {
		return nil
	}
	in := data.Reader()
	defer in.Close()
	return b.store.Replace(ctx, spareName(id), in, int64(data.Length()))
}

// from is the name that a blob is read from: its own, or that of its spare where it is known to be damaged.
func (b *blobs) from(id blob.ID) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.spares[id]; ok {
		return spareName(id)
	}
	return b.naming.name(id)
}

// useSpare has a blob read from its spare from now on.
func (b *blobs) useSpare(id blob.ID, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spares == nil {
		b.spares = map[blob.ID]int64{}
	}
	b.spares[id] = size
}

// spareSizes are the blobs that are read from their spares.
func (b *blobs) spareSizes() map[blob.ID]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.spares)
}

// mend puts back, from their spares, the files that are not as they were written, and spares from the files. Opened to
// read, it writes nothing and has them read from their spares. It returns the names of what it could put right.
//
// What is put back is what was there, to the byte: a crash or another machine in between does no harm.
func (r *Repository) mend(ctx context.Context) ([]string, error) {
	l, err := r.readLedger(ctx)
	if err != nil {
		return nil, err
	}
	var mended []string
	for _, name := range slices.Sorted(maps.Keys(l.records)) {
		id, ok := r.blobs.naming.id(name)
		if !ok || !hasSpare(id) {
			continue
		}
		fixed, err := r.mendOne(ctx, id, l.records[name])
		if err != nil {
			return mended, fmt.Errorf("mend %s: %w", name, err)
		}
		mended = append(mended, fixed...)
	}
	return mended, nil
}

func (r *Repository) mendOne(ctx context.Context, id blob.ID, rec record) ([]string, error) {
	spare := rec
	spare.Name = spareName(id)
	first, err := r.check(ctx, rec)
	if err != nil {
		return nil, err
	}
	second, err := r.check(ctx, spare)
	if err != nil || (first == "") == (second == "") {
		return nil, err
	}
	from, to := spare, rec
	if first == "" {
		from, to = rec, spare
	}
	r.blobs.cache.drop(id)
	if r.config.ReadOnly {
		if first != "" {
			r.blobs.useSpare(id, rec.Size)
		}
		return []string{to.Name}, nil
	}
	return []string{to.Name}, r.copyObject(ctx, from.Name, to.Name)
}

func (r *Repository) copyObject(ctx context.Context, from, to string) error {
	in, err := r.store.Open(ctx, from, 0, -1)
	if err != nil {
		return err
	}
	defer in.Close()
	b, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	return r.store.Replace(ctx, to, bytes.NewReader(b), int64(len(b)))
}

// missingIndexes has indexes that are gone put right: without one, what it names would not be damaged but unknown, and
// a point that it names would not be there. An index that was compacted into another one is removed on purpose, itself
// before its spare, and the seals know.
func (r *Repository) missingIndexes(ctx context.Context) error {
	there := map[blob.ID]bool{}
	for m, err := range r.blobs.list(ctx, "x") {
		if err != nil {
			return err
		}
		there[m.BlobID] = true
	}
	for o, err := range r.store.List(ctx, spareName("x")) {
		if err != nil {
			return err
		}
		if there[blob.ID(strings.TrimPrefix(o.Name, sparePrefix))] {
			continue
		}
		fixed, err := r.mend(ctx)
		r.takeForMended(fixed)
		return err
	}
	return nil
}

// keepSpares makes the spares that are missing: those of a repository of before there were any, and those of which a
// capture was killed. What is damaged already is copied as it is, and such a spare is never used.
func (r *Repository) keepSpares(ctx context.Context) error {
	there := map[string]bool{}
	for o, err := range r.store.List(ctx, sparePrefix) {
		if err != nil {
			return err
		}
		there[o.Name] = true
	}
	for _, prefix := range []blob.ID{"q", "x", "n", "kopia."} {
		for m, err := range r.blobs.list(ctx, prefix) {
			if err != nil {
				return err
			}
			if !hasSpare(m.BlobID) || there[spareName(m.BlobID)] {
				continue
			}
			err := r.copyObject(ctx, r.blobs.naming.name(m.BlobID), spareName(m.BlobID))
			if err != nil && !errors.Is(err, cofre.ErrNotFound) {
				return fmt.Errorf("keep a spare of %s: %w", m.BlobID, err)
			}
		}
	}
	return nil
}

// mended calls do again after what it needs was put right, if it fails because something is damaged and can be.
func (r *Repository) mended(ctx context.Context, do func() error) error {
	err := do()
	if err == nil || isOutside(err) || ctx.Err() != nil {
		return err
	}
	fixed, mendErr := r.mend(ctx)
	if mendErr != nil || len(fixed) == 0 {
		return err
	}
	r.takeForMended(fixed)
	return do()
}

// takeForMended keeps in mind that files had to be put right, so that the next backup looks at all of them.
func (r *Repository) takeForMended(names []string) {
	r.noticing.Lock()
	defer r.noticing.Unlock()
	r.fixed = append(r.fixed, names...)
}

// keptTwice reports whether an object of the store is one of two copies.
func (r *Repository) keptTwice(name string) bool {
	if strings.HasPrefix(name, sparePrefix) {
		return true
	}
	id, ok := r.blobs.naming.id(name)
	return ok && hasSpare(id)
}
