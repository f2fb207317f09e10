package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kopia/kopia/repo/blob"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/seal"
)

// mend puts back, from their spares, the files that are not as they were written, and spares from the files. Opened to
// read, it writes nothing and has them read from their spares. It returns the names of what it could put right.
//
// What is put back is what was there, to the byte: a crash or another machine in between does no harm.
func (r *Repository) mend(ctx context.Context) ([]string, error) {
	l, err := r.ledger(ctx)
	if err != nil {
		return nil, err
	}
	var mended []string
	for _, name := range slices.Sorted(maps.Keys(l.Records)) {
		id, ok := r.blobs.Naming.ID(name)
		if !ok || !blobs.HasSpare(id) {
			continue
		}
		fixed, err := r.mendOne(ctx, id, l.Records[name])
		if err != nil {
			return mended, fmt.Errorf("mend %s: %w", name, err)
		}
		mended = append(mended, fixed...)
	}
	return mended, nil
}

func (r *Repository) mendOne(ctx context.Context, id blob.ID, rec seal.Record) ([]string, error) {
	spare := rec
	spare.Name = blobs.SpareName(id)
	first, err := seal.Check(ctx, r.store, rec)
	if err != nil {
		return nil, err
	}
	second, err := seal.Check(ctx, r.store, spare)
	if err != nil || (first == "") == (second == "") {
		return nil, err
	}
	from, to := spare, rec
	if first == "" {
		from, to = rec, spare
	}
	r.blobs.Cache.Drop(id)
	if r.config.ReadOnly || r.kopia == nil { // what nobody has proven to be the right one replaces nothing
		if first != "" {
			r.blobs.UseSpare(id, rec.Size)
		}
		return []string{to.Name}, nil
	}
	return []string{to.Name}, r.copyObject(ctx, from.Name, to.Name)
}

func (r *Repository) copyObject(ctx context.Context, from, to string) error {
	b, err := bounded.Read(ctx, r.store, from, blobs.LargestBlob)
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
	for m, err := range r.blobs.List(ctx, "x") {
		if err != nil {
			return err
		}
		there[m.BlobID] = true
	}
	for o, err := range r.store.List(ctx, blobs.SpareName("x")) {
		if err != nil {
			return err
		}
		if there[blob.ID(strings.TrimPrefix(o.Name, blobs.SparePrefix))] {
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
	for o, err := range r.store.List(ctx, blobs.SparePrefix) {
		if err != nil {
			return err
		}
		there[o.Name] = true
	}
	for _, prefix := range []blob.ID{"q", "x", "n", "kopia."} {
		for m, err := range r.blobs.List(ctx, prefix) {
			if err != nil {
				return err
			}
			if !blobs.HasSpare(m.BlobID) || there[blobs.SpareName(m.BlobID)] {
				continue
			}
			err := r.copyObject(ctx, r.blobs.Naming.Name(m.BlobID), blobs.SpareName(m.BlobID))
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
	if errors.Is(err, blob.ErrBlobNotFound) && (r.kopia == nil || r.refresh(ctx) == nil) {
		err = do() // it was moved into another pack, long ago, and this process has the indexes of before
	}
	if err == nil || seal.IsOutside(err) || ctx.Err() != nil {
		return err
	}
	fixed, mendErr := r.mend(ctx)
	if mendErr == nil && len(fixed) > 0 {
		r.takeForMended(fixed)
		err = do()
	}
	if err != nil && errors.Is(err, cofre.ErrCorrupt) && r.passOver(ctx) {
		return do()
	}
	return err
}

// takeForMended keeps in mind that files had to be put right, so that the next backup looks at all of them.
func (r *Repository) takeForMended(names []string) {
	r.noticing.Lock()
	defer r.noticing.Unlock()
	r.fixed = append(r.fixed, names...)
}

// keptTwice reports whether an object of the store is one of two copies.
func (r *Repository) keptTwice(name string) bool {
	if strings.HasPrefix(name, blobs.SparePrefix) {
		return true
	}
	id, ok := r.blobs.Naming.ID(name)
	return ok && blobs.HasSpare(id)
}
