package repository

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"

	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/repository/directory"
	"github.com/trustlayer/cofre/repository/trouble"
)

// tablesCached bounds the directories that a tree keeps, in bytes. The one read last is kept whatever its size:
// a restore opens the files of one directory one after the other.
const tablesCached = 32 << 20

// tree reads one component.
type tree struct {
	repo *Repository
	root string

	mu     sync.Mutex
	tables map[string]*directory.Table // by object
	recent []string                    // the objects of tables, the one used last at the end
	bytes  int
}

// Tree opens what Session.Finish returned.
//
// Errors: ErrNotFound if the repository holds no tree of this name; ErrCorrupt if it cannot be read; those of the store.
func (r *Repository) Tree(ctx context.Context, root cofre.ObjectID) (cofre.Tree, error) {
	what := fmt.Sprintf("open tree %q", root)
	id, err := object.ParseID(string(root))
	if err != nil || !snapshotfs.IsDirectoryID(id) {
		return nil, fmt.Errorf("%s: %w", what, cofre.ErrNotFound)
	}
	t := &tree{repo: r, root: id.String(), tables: map[string]*directory.Table{}}
	_, err = t.table(ctx, t.root)
	if trouble.IsMissing(err) {
		// Another process may have written it since the indexes were read.
		if err := r.refresh(ctx); err != nil {
			return nil, trouble.Of(what, err)
		}
		_, err = t.table(ctx, t.root)
	}
	if err != nil {
		return nil, trouble.NotFound(what, err)
	}
	return t, nil
}

// table returns a directory, from memory or from the repository. Its error is not explained yet.
func (t *tree) table(ctx context.Context, id string) (*directory.Table, error) {
	t.mu.Lock()
	found := t.tables[id]
	if found != nil {
		t.touch(id)
	}
	t.mu.Unlock()
	if found != nil {
		return found, nil
	}
	read, err := t.repo.readDirectory(ctx, id)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.tables[id] == nil {
		t.tables[id] = read
		t.bytes += read.Weight()
	}
	t.touch(id)
	for len(t.recent) > 1 && t.bytes > tablesCached {
		oldest := t.recent[0]
		t.recent = t.recent[1:]
		t.bytes -= t.tables[oldest].Weight()
		delete(t.tables, oldest)
	}
	return read, nil
}

// touch makes id the one used last. The caller holds the lock.
func (t *tree) touch(id string) {
	if n := len(t.recent); n > 0 && t.recent[n-1] == id {
		return
	}
	for i, other := range t.recent {
		if other == id {
			t.recent = append(t.recent[:i], t.recent[i+1:]...)
			break
		}
	}
	t.recent = append(t.recent, id)
}

func (r *Repository) readDirectory(ctx context.Context, id string) (*directory.Table, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	oid, err := object.ParseID(id)
	if err != nil {
		return nil, err
	}
	var t *directory.Table
	err = r.mended(ctx, func() error {
		reader, err := r.kopia.OpenObject(ctx, oid)
		if err != nil {
			return err
		}
		defer reader.Close()
		t, err = directory.ReadTable(reader)
		return err
	})
	r.notice(ctx, oid, err)
	return t, err
}

// find walks to an entry.
func (t *tree) find(ctx context.Context, path string) (directory.Child, error) {
	at := directory.Child{Kind: snapshot.EntryTypeDirectory, Mode: directory.UnixMode(directory.ImpliedMode), Object: t.root}
	if path == "" {
		return at, nil
	}
	for segment := range strings.SplitSeq(path, "/") {
		if at.Kind != snapshot.EntryTypeDirectory {
			return directory.Child{}, cofre.ErrNotFound
		}
		entries, err := t.table(ctx, at.Object)
		if err != nil {
			return directory.Child{}, trouble.Of("read the directory", err)
		}
		var ok bool
		if at, ok = entries.Find(segment); !ok {
			return directory.Child{}, cofre.ErrNotFound
		}
	}
	return at, nil
}

// maxLink bounds the target of a symbolic link: Linux takes 4,095 bytes, and no system more than this.
const maxLink = 1 << 16

// entry describes a child, and reads the target of a link.
func (t *tree) entry(ctx context.Context, c directory.Child, path string) (cofre.Entry, error) {
	e := c.Entry(path)
	if c.Kind != snapshot.EntryTypeSymlink {
		return e, nil
	}
	id, err := object.ParseID(c.Object)
	if err != nil {
		return e, trouble.Of("read the link", err)
	}
	r, err := t.repo.kopia.OpenObject(ctx, id)
	if err != nil {
		return e, trouble.Of("read the link", err)
	}
	defer r.Close()
	target, err := bounded.All(r, maxLink)
	if err != nil {
		return e, trouble.Of("read the link", err)
	}
	e.Link = string(target)
	return e, nil
}

// Stat describes one entry.
func (t *tree) Stat(ctx context.Context, path string) (cofre.Entry, error) {
	c, err := t.find(ctx, path)
	if err == nil {
		var e cofre.Entry
		if e, err = t.entry(ctx, c, path); err == nil {
			return e, nil
		}
	}
	return cofre.Entry{}, fmt.Errorf("stat %q: %w", path, err)
}

// List yields what is directly in a directory, in byte order.
func (t *tree) List(ctx context.Context, dir string) iter.Seq2[cofre.Entry, error] {
	return func(yield func(cofre.Entry, error) bool) {
		fail := func(err error) { yield(cofre.Entry{}, fmt.Errorf("list %q: %w", dir, err)) }
		c, err := t.find(ctx, dir)
		if err == nil && c.Kind != snapshot.EntryTypeDirectory {
			err = fmt.Errorf("not a directory: %w", cofre.ErrNotFound)
		}
		if err != nil {
			fail(err)
			return
		}
		entries, err := t.table(ctx, c.Object)
		if err != nil {
			fail(trouble.Of("read the directory", err))
			return
		}
		for i := range entries.Len() {
			if err := ctx.Err(); err != nil {
				fail(err)
				return
			}
			c := entries.At(i)
			e, err := t.entry(ctx, c, directory.JoinPath(dir, c.Name))
			if err != nil {
				fail(err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// Open reads one file.
func (t *tree) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	c, err := t.find(ctx, path)
	if err == nil && c.Kind != snapshot.EntryTypeFile {
		err = fmt.Errorf("not a regular file: %w", cofre.ErrNotFound)
	}
	if err == nil {
		var f *file
		if f, err = t.repo.openFile(ctx, path, c.Object); err == nil {
			return f, nil
		}
	}
	return nil, fmt.Errorf("open %q: %w", path, err)
}
