package repository

import (
	"context"
	"fmt"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"github.com/trustlayer/cofre"
)

// walker visits everything a component refers to and reports what is not as it must be. It reads directories
// and lists of contents, and no data.
type walker struct {
	repo  *Repository
	packs map[blob.ID]int64 // every pack of the store, with its length
	// suspect, where set, are packs that are known to be damaged: what refers to one of them is read.
	suspect map[blob.ID]string

	report func(path, what string) bool // false ends the walk
	seen   func(content.Info)           // is told each content that is there
}

// listPacks lists the packs once, so that looking at a content costs no request.
func (r *Repository) listPacks(ctx context.Context) (map[blob.ID]int64, error) {
	packs := map[blob.ID]int64{}
	for _, prefix := range []blob.ID{content.PackBlobIDPrefixRegular, content.PackBlobIDPrefixSpecial} {
		for m, err := range r.blobs.list(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			packs[m.BlobID] = m.Length
		}
	}
	return packs, nil
}

// component walks the tree of c. Its error is of the store; what is wrong with the tree is reported.
func (w *walker) component(ctx context.Context, c cofre.Component) error {
	id, err := object.ParseID(string(c.Root))
	if err != nil {
		w.report("", fmt.Sprintf("its root %q is not an object", c.Root))
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
		if isOutside(err) {
			return false, err
		}
		return w.report(path, fmt.Sprintf("%s cannot be read: %v", what, err)), nil
	}
	for i := range entries.len() {
		c := entries.at(i)
		below := joinPath(path, c.name)
		oid, err := object.ParseID(c.object)
		if err != nil {
			if !w.report(below, fmt.Sprintf("%s names an object that is none: %v", what, err)) {
				return false, nil
			}
			continue
		}
		if c.kind == snapshot.EntryTypeDirectory {
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

// object looks at every content of an object. whole says that nothing had to be reported.
func (w *walker) object(ctx context.Context, path, what string, id object.ID) (more, whole bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, false, err
	}
	inner, ok := id.IndexObjectID()
	if !ok {
		problem, err := w.content(ctx, id)
		if err != nil || problem == "" {
			return err == nil, err == nil, err
		}
		return w.report(path, what+" "+problem), false, nil
	}
	if more, whole, err := w.object(ctx, path, "list of the "+what, inner); err != nil || !more || !whole {
		return more, false, err
	}
	pieces, err := object.LoadIndexObject(ctx, w.repo.kopia.ContentManager(), inner)
	if err != nil {
		if isOutside(err) {
			return false, false, err
		}
		return w.report(path, fmt.Sprintf("list of the %s cannot be read: %v", what, err)), false, nil
	}
	for _, p := range pieces {
		// One report a file: a pack that is lost takes thousands of contents with it.
		if more, whole, err := w.object(ctx, path, what, p.Object); err != nil || !more || !whole {
			return more, false, err
		}
	}
	return true, true, nil
}

// content returns what is wrong with a content, or "".
func (w *walker) content(ctx context.Context, id object.ID) (string, error) {
	cid, _, _ := id.ContentID()
	info, err := w.repo.kopia.ContentInfo(ctx, cid)
	switch {
	case isMissing(err):
		return "is missing", nil
	case err != nil:
		return "", w.repo.explain("look up content "+cid.String(), err)
	case info.Deleted:
		return "is marked to be pruned", nil
	}
	length, ok := w.packs[info.PackBlobID]
	name := w.repo.blobs.naming.name(info.PackBlobID)
	if !ok {
		return fmt.Sprintf("is missing: %s is not in the store", name), nil
	}
	if need := int64(info.PackOffset) + int64(info.PackedLength); length < need {
		return fmt.Sprintf("is missing: %s has %d bytes and it ends at %d", name, length, need), nil
	}
	if w.seen != nil {
		w.seen(info)
	}
	if why, ok := w.suspect[info.PackBlobID]; ok {
		// The byte that changed may be in what another entry refers to, or in what nothing refers to.
		if _, err := w.repo.kopia.ContentManager().GetContent(ctx, cid); err != nil {
			if isOutside(err) {
				return "", err
			}
			return fmt.Sprintf("is damaged: %s %s", name, why), nil
		}
	}
	return "", nil
}

func quote(path string) string {
	if path == "" {
		return "/"
	}
	return fmt.Sprintf("%q", path)
}
