package pruning

import (
	"context"
	"errors"
	"fmt"

	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"
	"github.com/kopia/kopia/snapshot/snapshotfs"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/seal"
)

// key is a content: the prefix of its id, and its hash of 128 bits.
type key [17]byte

func keyOf(id content.ID) (k key, err error) {
	if p := id.Prefix(); p != "" {
		k[0] = p[0]
	}
	hash := id.Hash()
	if len(hash) != len(k)-1 {
		return k, fmt.Errorf("content %s has a hash of %d bytes", id, len(hash))
	}
	copy(k[1:], hash)
	return k, nil
}

// marks are the contents that something refers to.
type marks struct {
	p    *Pruner
	live map[key]struct{}
	seen map[object.ID]struct{} // directories and lists whose contents are among them
	// writing says that somebody is about to write an index: what none knows may be of it.
	writing bool
}

func newMarks(p *Pruner) *marks {
	return &marks{p: p, live: map[key]struct{}{}, seen: map[object.ID]struct{}{}}
}

func (m *marks) has(id content.ID) bool {
	k, err := keyOf(id)
	_, live := m.live[k]
	return live || err != nil
}

// object marks all that an object is made of and, if it is a directory, what is in it. All of it must be readable: what a directory
// names that cannot be read may be there.
func (m *marks) object(ctx context.Context, id object.ID, isDir bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, list := id.IndexObjectID()
	if list || isDir {
		if _, done := m.seen[id]; done {
			return nil
		}
	}
	if err := m.contents(ctx, id); err != nil {
		return err
	}
	if isDir {
		table, err := m.p.Directory(ctx, id.String())
		if err != nil {
			return err
		}
		for i := range table.Len() {
			c := table.At(i)
			below, err := object.ParseID(c.Object)
			if err != nil {
				return fmt.Errorf("directory %s: %s: %w", id, c.Name, err)
			}
			if err := m.object(ctx, below, c.Kind == snapshot.EntryTypeDirectory); err != nil {
				return err
			}
		}
	}
	if list || isDir {
		m.seen[id] = struct{}{}
	}
	return nil
}

func (m *marks) contents(ctx context.Context, id object.ID) error {
	if inner, ok := id.IndexObjectID(); ok {
		if err := m.object(ctx, inner, false); err != nil {
			return err
		}
		pieces, err := object.LoadIndexObject(ctx, m.p.Kopia.ContentManager(), inner)
		if err != nil {
			return fmt.Errorf("list %s: %w", inner, err)
		}
		for _, p := range pieces {
			if err := m.object(ctx, p.Object, false); err != nil {
				return err
			}
		}
		return nil
	}
	cid, _, ok := id.ContentID()
	if !ok {
		return fmt.Errorf("object %s has no content", id)
	}
	k, err := keyOf(cid)
	if err == nil {
		m.live[k] = struct{}{}
	}
	return err
}

// all marks everything that points, snapshots and publications under way refer to. What is about to be published is looked at
// before the points: a publication takes its intent back after its point is visible.
func (m *marks) all(ctx context.Context) error {
	about, _, err := intents(ctx, m.p.Store, m.p.now.Add(-m.p.Limits.Intent))
	if err != nil {
		return err
	}
	m.writing = len(about) > 0
	if err := m.p.Refresh(ctx); err != nil {
		return err
	}
	roots, err := m.p.Roots(ctx)
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := m.root(ctx, root); err != nil {
			return unread(ctx, fmt.Errorf("read what the points refer to: %w", err))
		}
	}
	for _, roots := range about {
		for _, root := range roots {
			err := m.root(ctx, root)
			if err != nil && !errors.Is(err, content.ErrContentNotFound) && !errors.Is(err, object.ErrObjectNotFound) {
				return fmt.Errorf("read what is about to be published: %w", err)
			}
		}
	}
	return nil
}

// unread says how it goes on if a directory or a list cannot be read: what only it names may be brought back with it.
func unread(ctx context.Context, err error) error {
	if ctx.Err() != nil || seal.IsOutside(err) {
		return err
	}
	return cofre.WithHint(cofre.Fail(cofre.Say("prune.unread_point", "nothing is pruned, because a recovery point has lost a directory or a list of pieces, and what only that names may come back with it"), cofre.ErrCorrupt, err),
		cofre.Say("prune.unread_way", "see which with: cofre list; pruning goes on when it is whole again, by a copy of the repository or by cofre backup, or when it has expired: cofre expire"))
}

func (m *marks) root(ctx context.Context, root string) error {
	id, err := object.ParseID(root)
	if err != nil {
		return fmt.Errorf("root %q: %w", root, err)
	}
	return m.object(ctx, id, snapshotfs.IsDirectoryID(id))
}
