package repository

import (
	"cmp"
	"context"
	"fmt"
	"maps"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/directory"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/repository/trouble"
)

// walker visits everything a component refers to and reports what is not as it must be. It reads directories
// and lists of contents, and no data.
type walker struct {
	repo  *Repository
	packs map[blob.ID]int64     // every pack of the store, with its length
	lost  map[content.ID]string // what is known to be damaged or missing, and why

	// report is told what is wrong with an entry, and which contents are to blame. false ends the walk.
	report func(path, what string, contents []content.ID) bool
	seen   func(content.Info) // is told each content that is there
}

// listPacks lists the packs once, so that looking at a content costs no request.
func (r *Repository) listPacks(ctx context.Context) (map[blob.ID]int64, error) {
	packs, _, err := r.packObjects(ctx)
	return packs, err
}

// packObjects lists the packs, also as the store has them.
func (r *Repository) packObjects(ctx context.Context) (map[blob.ID]int64, map[blob.ID]cofre.StoredObject, error) {
	packs, objects := map[blob.ID]int64{}, map[blob.ID]cofre.StoredObject{}
	for _, prefix := range []blob.ID{content.PackBlobIDPrefixRegular, content.PackBlobIDPrefixSpecial} {
		for o, err := range r.store.List(ctx, string(prefix)) {
			if err != nil {
				return nil, nil, err
			}
			if id, ok := r.blobs.Naming.ID(o.Name); ok {
				packs[id], objects[id] = o.Size, o
			}
		}
	}
	maps.Copy(packs, r.blobs.SpareSizes())
	return packs, objects, nil
}

// component walks the tree of c. Its error is of the store; what is wrong with the tree is reported.
func (w *walker) component(ctx context.Context, c cofre.Component) error {
	id, err := object.ParseID(string(c.Root))
	if err != nil {
		w.report("", fmt.Sprintf("its root %q is not an object", c.Root), nil)
		return nil
	}
	_, err = w.directory(ctx, "", id)
	return err
}

// directory returns false when the walk was ended.
func (w *walker) directory(ctx context.Context, path string, id object.ID) (bool, error) {
	what := "directory " + quote(path)
	more, whole, err := w.object(ctx, path, what, id)
	if err != nil || !more {
		return more, err
	}
	if !whole {
		return true, nil // reported, and there is nothing to read
	}
	entries, err := w.repo.readDirectory(ctx, id.String())
	if err != nil {
		if seal.IsOutside(err) {
			return false, err
		}
		return w.report(path, fmt.Sprintf("%s cannot be read: %v", what, err), w.unreadable(ctx, id)), nil
	}
	for i := range entries.Len() {
		c := entries.At(i)
		below := directory.JoinPath(path, c.Name)
		oid, err := object.ParseID(c.Object)
		if err != nil {
			if !w.report(below, fmt.Sprintf("%s names an object that is none: %v", what, err), nil) {
				return false, nil
			}
			continue
		}
		if c.Kind == snapshot.EntryTypeDirectory {
			more, err = w.directory(ctx, below, oid)
		} else {
			more, _, err = w.object(ctx, below, "content of "+quote(below), oid)
		}
		if err != nil || !more {
			return more, err
		}
	}
	return true, nil
}

// object looks at every content of an object, and reports it once. whole says that nothing had to be reported.
func (w *walker) object(ctx context.Context, path, what string, id object.ID) (more, whole bool, err error) {
	problem, contents, err := w.inspect(ctx, what, id)
	if err != nil || problem == "" {
		return err == nil, err == nil, err
	}
	return w.report(path, problem, contents), false, nil
}

// inspect returns what is wrong with an object, or "", and every content that is to blame.
func (w *walker) inspect(ctx context.Context, what string, id object.ID) (problem string, contents []content.ID, err error) {
	if err := ctx.Err(); err != nil {
		return "", nil, err
	}
	inner, ok := id.IndexObjectID()
	if !ok {
		problem, err := w.content(ctx, id)
		if err != nil || problem == "" {
			return "", nil, err
		}
		cid, _, _ := id.ContentID()
		return what + " " + problem, []content.ID{cid}, nil
	}
	if problem, contents, err := w.inspect(ctx, "list of the "+what, inner); err != nil || problem != "" {
		return problem, contents, err
	}
	pieces, err := object.LoadIndexObject(ctx, w.repo.kopia.ContentManager(), inner)
	if err != nil {
		if seal.IsOutside(err) {
			return "", nil, err
		}
		return fmt.Sprintf("list of the %s cannot be read: %v", what, err), w.unreadable(ctx, inner), nil
	}
	for _, p := range pieces {
		// One sentence a file: a pack that is lost takes thousands of contents with it.
		found, below, err := w.inspect(ctx, what, p.Object)
		if err != nil {
			return "", nil, err
		}
		problem, contents = cmp.Or(problem, found), append(contents, below...)
	}
	return problem, contents, nil
}

// unreadable finds the contents because of which an object cannot be read, one that is no data and small.
func (w *walker) unreadable(ctx context.Context, id object.ID) []content.ID {
	if inner, ok := id.IndexObjectID(); ok {
		pieces, err := object.LoadIndexObject(ctx, w.repo.kopia.ContentManager(), inner)
		if err != nil {
			return w.unreadable(ctx, inner)
		}
		var found []content.ID
		for _, p := range pieces {
			found = append(found, w.unreadable(ctx, p.Object)...)
		}
		return found
	}
	cid, _, _ := id.ContentID()
	if whole, err := w.repo.readable(ctx, cid); whole || err != nil {
		return nil
	}
	return []content.ID{cid}
}

// content returns what is wrong with a content, or "".
func (w *walker) content(ctx context.Context, id object.ID) (string, error) {
	cid, _, _ := id.ContentID()
	if what, ok := w.lost[cid]; ok {
		return what, nil
	}
	info, err := w.repo.kopia.ContentInfo(ctx, cid)
	switch {
	case trouble.IsMissing(err):
		return "is missing", nil
	case err != nil:
		return "", trouble.Of("look up content "+cid.String(), err)
	case info.Deleted:
		// Nobody referred to it when it was looked at, or it is damaged and nobody remembers.
		if whole, err := w.repo.readable(ctx, cid); err != nil || !whole {
			return "is marked as damaged, or to be pruned", err
		}
	}
	length, there := w.packs[info.PackBlobID]
	if what := w.repo.outside(info.PackBlobID, int64(info.PackOffset)+int64(info.PackedLength), length, there); what != "" {
		return what, nil
	}
	if w.seen != nil {
		w.seen(info)
	}
	return "", nil
}

func quote(path string) string {
	if path == "" {
		return "/"
	}
	return fmt.Sprintf("%q", path)
}
