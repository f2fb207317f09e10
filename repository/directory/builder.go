package directory

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"strings"

	kopiafs "github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/compression"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"github.com/trustlayer/cofre"
)

// ImpliedMode is the mode of a directory that nobody added.
const ImpliedMode = fs.ModeDir | 0o755

// Builder collects the entries of a capture until its directories are written. Not safe for several goroutines.
type Builder struct {
	root *node
	// taken holds the paths of files and links, as 64-bit hashes with a seed of this capture: a path takes 8
	// bytes instead of its length. Two of a million paths collide once in thirty million captures, and then
	// the second is refused; the next capture has another seed.
	taken map[uint64]struct{}
	seed  maphash.Seed
}

// node is a directory under construction.
type node struct {
	self  Child
	added bool // by Add, not only implied by what is below it
	files Table
	dirs  map[string]*node
	// reused is set on a directory that was taken whole from another tree.
	reused *kopiafs.DirectorySummary
}

// NewBuilder begins the tree of a capture.
func NewBuilder() *Builder {
	return &Builder{root: newNode(""), taken: map[uint64]struct{}{}, seed: maphash.MakeSeed()}
}

func newNode(name string) *node {
	return &node{self: childOf(cofre.Entry{Mode: ImpliedMode}, name), dirs: map[string]*node{}}
}

var errPath = errors.New("a path is relative, without empty, . or .. segments")

// CheckPath refuses a path that does not lead to one place below the root.
//
// Errors: one that says the rule: relative, without empty, . or .. segments.
func CheckPath(path string) error {
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.Contains(segment, "\x00") {
			return errPath
		}
	}
	return nil
}

func (b *Builder) hash(path string) uint64 { return maphash.String(b.seed, path) }

// dir returns the node of a directory, made if it is missing.
func (b *Builder) dir(path string) (*node, error) {
	n := b.root
	if n.reused != nil {
		return nil, fmt.Errorf("the whole tree is reused: %w", cofre.ErrExists)
	}
	for at := 0; path != "" && at <= len(path); {
		end := strings.IndexByte(path[at:], '/')
		if end < 0 {
			end = len(path)
		} else {
			end += at
		}
		name := path[at:end]
		next, ok := n.dirs[name]
		if !ok {
			if _, ok := b.taken[b.hash(path[:end])]; ok {
				return nil, fmt.Errorf("%q is not a directory: %w", path[:end], cofre.ErrExists)
			}
			next = newNode(name)
			n.dirs[name] = next
		}
		if next.reused != nil {
			return nil, fmt.Errorf("directory %q is reused whole: %w", path[:end], cofre.ErrExists)
		}
		n, at = next, end+1
	}
	return n, nil
}

// AddFile takes a file or a link.
//
// Errors: cofre.ErrExists if the path, or a file in the place of one of its directories, is there already.
func (b *Builder) AddFile(e cofre.Entry) error {
	dir, name := parentOf(e.Path)
	n, err := b.dir(dir)
	if err != nil {
		return err
	}
	h := b.hash(e.Path)
	_, taken := b.taken[h]
	if taken || n.dirs[name] != nil {
		return cofre.ErrExists
	}
	b.taken[h] = struct{}{}
	n.files.add(childOf(e, name))
	return nil
}

// AddDir takes a directory, or the description of one that was only implied. With reused it brings everything
// below it, and nothing may be there.
//
// Errors: cofre.ErrExists if the path is taken, something is there already, or it lies below what is reused.
func (b *Builder) AddDir(e cofre.Entry, reused *kopiafs.DirectorySummary) error {
	if e.Path == "" {
		if len(b.root.dirs) > 0 || b.root.files.Len() > 0 || b.root.reused != nil {
			return cofre.ErrExists
		}
		b.root.self, b.root.reused = childOf(e, ""), reused
		return nil
	}
	dir, name := parentOf(e.Path)
	parent, err := b.dir(dir)
	if err != nil {
		return err
	}
	n := parent.dirs[name]
	if _, taken := b.taken[b.hash(e.Path)]; taken || n != nil && (n.added || n.reused != nil || reused != nil) {
		return cofre.ErrExists
	}
	if n == nil {
		n = newNode(name)
		parent.dirs[name] = n
	}
	n.self, n.added, n.reused = childOf(e, name), true, reused
	return nil
}

// Write stores all directories, the deepest first, and forgets each as soon as it is stored.
//
// Errors: those of the writer; the error of ctx.
func (b *Builder) Write(ctx context.Context, w repo.RepositoryWriter, comp compression.Name) (object.ID, kopiafs.DirectorySummary, error) {
	return writeNode(ctx, w, comp, "", b.root)
}

func writeNode(ctx context.Context, w repo.RepositoryWriter, comp compression.Name, path string, n *node) (object.ID, kopiafs.DirectorySummary, error) {
	if n.reused != nil {
		id, err := object.ParseID(n.self.Object)
		return id, *n.reused, err
	}
	if err := ctx.Err(); err != nil {
		return object.EmptyID, kopiafs.DirectorySummary{}, err
	}
	dirs := make([]sealedDir, 0, len(n.dirs))
	for name, d := range n.dirs {
		id, summary, err := writeNode(ctx, w, comp, JoinPath(path, name), d)
		if err != nil {
			return object.EmptyID, summary, err
		}
		self := d.self
		self.Kind, self.size, self.Object = snapshot.EntryTypeDirectory, summary.TotalFileSize, id.String()
		dirs = append(dirs, sealedDir{self, summary})
		delete(n.dirs, name)
	}
	id, summary, err := writeDirectory(ctx, w, comp, path, &n.files, dirs)
	n.files = Table{}
	return id, summary, err
}
