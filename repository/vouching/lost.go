package vouching

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/epochs"
	"github.com/trustlayer/cofre/repository/pruning"
	"github.com/trustlayer/cofre/repository/seal"
)

// listReaders is how many lists of packs are read at once: each is at the end of its pack, and costs a round trip.
const listReaders = 8

// Forgoer has a repository go on without indexes that are lost. What a lost index named is not lost with it: each pack ends with a list of what it
// holds. Only marks are lost, of what nothing needs any more, and what was in packs that are lost too.
type Forgoer struct {
	Blobs   *blobs.Storage // with the key
	Kopia   repo.DirectRepositoryWriter
	Ledger  func(context.Context) (*seal.Ledger, error)
	Refresh func(context.Context) error
	Flush   func(context.Context, repo.RepositoryWriter) error
	Condemn func(context.Context, []content.Info) error // marks as deleted
}

// Lost finds the indexes that have a seal and are not there as they were written in either copy. Those count as well in whose place another is read: verification names them until they
// are back.
//
// Errors: those of the store.
func (f *Forgoer) Lost(ctx context.Context) (*cofre.Lost, error) {
	l, err := f.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	lost := &cofre.Lost{}
	if lost.Indexes, err = f.indexes(ctx, l); err != nil || len(lost.Indexes) == 0 {
		return lost, err
	}
	if err := f.Refresh(ctx); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(listReaders)
	named, err := f.named(ctx)
	if err != nil {
		return nil, err
	}
	packs := map[string]bool{}
	for name, rec := range l.Records {
		id, ok := f.Blobs.Naming.ID(name)
		if !ok || !blobs.IsPack(id) || rec.State != seal.Stored || !rec.Keyed && l.Raised {
			continue
		}
		group.Go(func() error {
			pieces, err := f.unnamed(groupCtx, id, rec)
			if err != nil && (seal.IsOutside(err) || groupCtx.Err() != nil) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil && !named[id]:
				lost.Gone = append(lost.Gone, name)
			case pieces > 0:
				packs[name] = true
				lost.Pieces += pieces
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	lost.Packs = slices.Sorted(maps.Keys(packs))
	slices.Sort(lost.Gone)
	return lost, ctx.Err()
}

func (f *Forgoer) indexes(ctx context.Context, l *seal.Ledger) (lost []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(l.Records)) {
		id, ok := f.Blobs.Naming.ID(name)
		if !ok || id[0] != 'x' || l.Records[name].State != seal.Stored {
			continue
		}
		is, err := f.lost(ctx, l.Records[name], id)
		if err != nil {
			return nil, err
		}
		if is {
			lost = append(lost, name)
		}
	}
	return lost, nil
}

// lost reports whether neither copy of an index is as it was written.
func (f *Forgoer) lost(ctx context.Context, rec seal.Record, id blob.ID) (bool, error) {
	for _, name := range []string{rec.Name, blobs.SpareName(id)} {
		rec.Name = name
		if what, err := seal.Check(ctx, f.Blobs.Store, rec); err != nil || what == "" {
			return false, err
		}
	}
	return true, nil
}

// named are the packs of which an index names something.
func (f *Forgoer) named(ctx context.Context) (map[blob.ID]bool, error) {
	named := map[blob.ID]bool{}
	err := f.Kopia.ContentReader().IterateContents(ctx, content.IterateOptions{IncludeDeleted: true}, func(i content.Info) error {
		named[i.PackBlobID] = true
		return ctx.Err()
	})
	return named, err
}

// unnamed counts the pieces of a pack of which no index says that they are in it or what became of them later, and proves that a pack with some is as it was sealed.
//
// Errors: that it is not there, or not as it was written; those of the store.
func (f *Forgoer) unnamed(ctx context.Context, id blob.ID, rec seal.Record) (n int, err error) {
	m, err := f.Blobs.GetMetadata(ctx, id)
	if err != nil {
		return 0, err
	}
	in, err := f.Kopia.ContentManager().RecoverIndexFromPackBlob(ctx, id, m.Length, false)
	if err != nil {
		return 0, err
	}
	for _, i := range in {
		// The same may have been stored before, and pruned.
		known, err := f.Kopia.ContentInfo(ctx, i.ContentID)
		if errors.Is(err, content.ErrContentNotFound) || err == nil && known.TimestampSeconds < i.TimestampSeconds {
			n++
		} else if err != nil {
			return 0, err
		}
	}
	if n == 0 {
		return 0, nil
	}
	rec.Name = f.Blobs.From(id)
	what, err := seal.Check(ctx, f.Blobs.Store, rec)
	if err == nil && what != "" {
		err = cofre.ErrCorrupt
	}
	return n, err
}

// Rebuild writes the markers of epochs again, of which the name says all, an index of what is in l.Packs, and marks of what was removed on purpose. An entry of before has its time,
// so that it wins against none that is read.
//
// Errors: those of the store.
func (f *Forgoer) Rebuild(ctx context.Context, l *cofre.Lost) error {
	for _, name := range l.Indexes {
		id, _ := f.Blobs.Naming.ID(name)
		if !strings.HasPrefix(string(id), epochs.MarkerPrefix) {
			continue
		}
		if err := f.Blobs.PutText(ctx, id, epochs.MarkerText); err != nil {
			return err
		}
	}
	if err := f.Refresh(ctx); err != nil {
		return err
	}
	if err := f.list(ctx, l); err != nil {
		return err
	}
	return f.mark(ctx)
}

// mark marks again what was in packs that were removed on purpose: the mark is lost with its index, and the entry of before would be read as if what it names were there.
//
// Errors: those of the store.
func (f *Forgoer) mark(ctx context.Context) error {
	there := map[blob.ID]bool{}
	for _, prefix := range []blob.ID{content.PackBlobIDPrefixRegular, content.PackBlobIDPrefixSpecial} {
		for m, err := range f.Blobs.List(ctx, prefix) {
			if err != nil {
				return err
			}
			there[m.BlobID] = true
		}
	}
	l, err := f.Ledger(ctx)
	if err != nil {
		return err
	}
	var pruned []content.Info
	err = f.Kopia.ContentReader().IterateContents(ctx, content.IterateOptions{}, func(i content.Info) error {
		if _, sealed := l.Records[f.Blobs.Naming.Name(i.PackBlobID)]; !sealed && !there[i.PackBlobID] {
			pruned = append(pruned, i)
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	return f.Condemn(ctx, pruned)
}

// list writes an index of what is in l.Packs.
func (f *Forgoer) list(ctx context.Context, l *cofre.Lost) error {
	if len(l.Packs) == 0 {
		return nil
	}
	about, err := pruning.Intend(ctx, f.Blobs.Store)
	if err != nil {
		return err
	}
	defer about.End(ctx)
	_, w, err := f.Kopia.NewDirectWriter(ctx, repo.WriteSessionOptions{Purpose: "rebuild"})
	if err != nil {
		return err
	}
	defer w.Close(context.WithoutCancel(ctx))
	w.ContentManager().DisableIndexRefresh()
	for _, name := range l.Packs {
		id, _ := f.Blobs.Naming.ID(name)
		m, err := f.Blobs.GetMetadata(ctx, id)
		if err == nil {
			_, err = w.ContentManager().RecoverIndexFromPackBlob(ctx, id, m.Length, true)
		}
		if err != nil {
			return err
		}
	}
	if err := f.Flush(ctx, w); err != nil {
		return err
	}
	return f.Refresh(ctx)
}

// Forgo has the seals say that indexes are gone on purpose. What is left of one that cannot be read is removed, where that is allowed.
//
// Errors: those of the store.
func (f *Forgoer) Forgo(ctx context.Context, l *cofre.Lost) error {
	ledger, err := f.Ledger(ctx)
	if err != nil {
		return err
	}
	still, err := f.indexes(ctx, ledger)
	if err != nil {
		return err
	}
	l.Indexes = slices.DeleteFunc(l.Indexes, func(name string) bool { return !slices.Contains(still, name) })
	if err := f.Blobs.Seals.Follow(ctx); err != nil {
		return err
	}
	for _, name := range l.Indexes {
		f.Blobs.Seals.Add(seal.Record{State: seal.Removed, Name: name})
	}
	if err := f.Blobs.Seals.Flush(ctx); err != nil {
		return err
	}
	l.Forgone = true
	for _, name := range l.Indexes {
		id, _ := f.Blobs.Naming.ID(name)
		for _, copied := range []string{name, blobs.SpareName(id)} {
			if err := f.Blobs.Store.Delete(ctx, copied); err != nil && !errors.Is(err, cofre.ErrDenied) {
				return err
			}
		}
	}
	return f.Refresh(ctx)
}
