package repository

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/pruning"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/repository/trouble"
)

// examined is what was found in packs that are suspected, and of contents whose pack is missing or short.
type examined struct {
	lost map[content.ID]string // that cannot be read, and why
	bad  []content.Info        // the same
	good []content.Info        // that can, in a pack that is suspected
}

// examine looks at every content of the index: its pack is there and long enough. Those in a suspected pack are read.
func (r *Repository) examine(ctx context.Context, packs map[blob.ID]int64, suspects map[blob.ID]string) (*examined, error) {
	found := &examined{lost: map[content.ID]string{}}
	var toRead []content.Info
	confirmed := map[blob.ID]int64{} // packs that seemed to be missing or short: their length, or -1
	err := r.kopia.ContentReader().IterateContents(ctx, content.IterateOptions{}, func(i content.Info) error {
		what, err := r.misplaced(ctx, i, packs, confirmed)
		switch {
		case err != nil:
			return err
		case what != "":
			found.add(i, what)
		case suspects[i.PackBlobID] != "":
			toRead = append(toRead, i)
		}
		return nil
	})
	if err != nil {
		return nil, trouble.Of("go through the indexes", err)
	}
	slices.SortFunc(toRead, func(a, b content.Info) int {
		return cmp.Or(cmp.Compare(a.PackBlobID, b.PackBlobID), cmp.Compare(a.PackOffset, b.PackOffset))
	})
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(verifyReaders)
	for _, i := range toRead {
		group.Go(func() error {
			whole, err := r.readable(groupCtx, i.ContentID)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				return err
			case whole:
				found.good = append(found.good, i)
			default:
				found.add(i, fmt.Sprintf("is damaged: %s %s", r.blobs.Naming.Name(i.PackBlobID), suspects[i.PackBlobID]))
			}
			return nil
		})
	}
	return found, group.Wait()
}

func (e *examined) add(i content.Info, what string) {
	e.lost[i.ContentID] = what
	e.bad = append(e.bad, i)
}

// misplaced says that the pack of a content is missing or ends before it does, or "". A listing is believed after the
// pack was asked for by itself.
func (r *Repository) misplaced(ctx context.Context, i content.Info, packs, confirmed map[blob.ID]int64) (string, error) {
	need := int64(i.PackOffset) + int64(i.PackedLength)
	length, listed := packs[i.PackBlobID]
	if listed && length >= need {
		return "", nil
	}
	if known, ok := confirmed[i.PackBlobID]; ok {
		length = known
	} else {
		m, err := r.blobs.GetMetadata(ctx, i.PackBlobID)
		switch {
		case errors.Is(err, blob.ErrBlobNotFound):
			length = -1
		case err != nil:
			return "", err
		default:
			length = m.Length
		}
		confirmed[i.PackBlobID] = length
	}
	return r.outside(i.PackBlobID, need, length, length >= 0), nil
}

// outside says that a content which ends at need is not in its pack, or "".
func (r *Repository) outside(pack blob.ID, need, length int64, there bool) string {
	name := r.blobs.Naming.Name(pack)
	switch {
	case !there:
		return fmt.Sprintf("is missing: %s is not in the store", name)
	case length < need:
		return fmt.Sprintf("is missing: %s has %d bytes and it ends at %d", name, length, need)
	}
	return ""
}

// readable reads a content, twice before it is believed to be damaged. Its error is of the store.
func (r *Repository) readable(ctx context.Context, id content.ID) (bool, error) {
	for range 2 {
		_, err := r.kopia.ContentManager().GetContent(ctx, id)
		if err == nil {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if seal.IsOutside(err) {
			return false, err
		}
	}
	return false, nil
}

// Heal acts upon what is known to be damaged, so that the next capture stores it afresh instead of building upon it:
//
//	mend       what is kept twice is put back from the copy that is whole
//	condemn    the contents that cannot be read are marked in the index, so that no writer takes them for stored
//	move       what is whole in a damaged pack is written to another one
//	settle     a record takes the place of those that were acted upon
//
// A content that is then stored afresh has a newer entry in the index, which heals every older point that shares it.
// A crash between any two steps leaves records that the next call acts upon again; nothing that could be read before
// can not be read after it. If nothing is known to be damaged it costs one listing.
//
// Errors: ErrReadOnly; those of the store.
func (r *Repository) Heal(ctx context.Context) error {
	if r.config.ReadOnly {
		return fmt.Errorf("heal: repository %s was opened to read: %w", r.URL(), cofre.ErrReadOnly)
	}
	if err := r.heal(ctx); err != nil {
		return fmt.Errorf("heal repository %s: %w", r.URL(), err)
	}
	return nil
}

func (r *Repository) heal(ctx context.Context) error {
	if err := r.keepSpares(ctx); err != nil {
		return err
	}
	known, err := r.readDamage(ctx)
	if err != nil || len(known) == 0 {
		return err
	}
	fixed := map[blob.ID]bool{}
	if known.files() {
		names, err := r.mend(ctx)
		if err != nil {
			return err
		}
		for _, name := range names {
			id, _ := r.blobs.Naming.ID(name)
			fixed[id] = true
		}
	}
	if err := r.refresh(ctx); err != nil {
		return trouble.Of("read its indexes", err)
	}
	packs, err := r.listPacks(ctx)
	if err != nil {
		return err
	}
	back, err := r.cameBack(ctx, known, packs)
	if err != nil {
		return err
	}
	settles := known.open()
	if len(settles) == 0 {
		return r.move(ctx, nil, back)
	}
	suspects := known.suspects()
	maps.DeleteFunc(suspects, func(id blob.ID, _ string) bool { return fixed[id] })
	found, err := r.examine(ctx, packs, suspects)
	if err != nil {
		return err
	}
	if err := r.condemn(ctx, found.bad); err != nil {
		return err
	}
	if err := r.move(ctx, found.good, back); err != nil {
		return err
	}
	return r.settle(ctx, known, settles, found, packs)
}

// settle writes down what was acted upon, with what every point has lost by it.
func (r *Repository) settle(ctx context.Context, known knownDamage, settles []string, found *examined, packs map[blob.ID]int64) error {
	b := newRecord(r)
	b.rec.Settled, b.rec.Settles = true, settles
	for _, i := range found.bad {
		b.content(i.ContentID, i.PackBlobID, found.lost[i.ContentID])
	}
	for _, name := range settles {
		for _, c := range known[name].Contents {
			// What the index has never known, and what was condemned already by somebody who was killed then.
			if still, err := r.stillLost(ctx, c, true); err != nil {
				return err
			} else if still {
				b.content(c.ID, c.Pack, c.What)
				found.lost[c.ID] = c.What
			}
		}
	}
	points, err := r.points(ctx)
	if err == nil {
		err = r.entriesOf(ctx, points, packs, b, found.lost)
	}
	if err != nil {
		return err
	}
	if len(b.rec.Contents) == 0 {
		b.rec.Packs = nil // nothing was lost by it
	}
	name, err := r.remember(ctx, b.rec)
	if err != nil {
		return fmt.Errorf("write down what was done: %w", err)
	}
	for _, old := range settles {
		if err := r.store.Delete(ctx, old); err != nil {
			return nil // what may not be deleted stays, and is passed over
		}
	}
	if len(b.rec.Contents) == 0 {
		_ = r.store.Delete(ctx, name) // it says nothing any more
	}
	return nil
}

// cameBack are contents that were condemned and can be read again: a file was brought back from a copy.
func (r *Repository) cameBack(ctx context.Context, known knownDamage, packs map[blob.ID]int64) ([]content.ID, error) {
	var back []content.ID
	for _, name := range slices.Sorted(maps.Keys(known)) {
		for _, c := range known[name].Contents {
			info, err := r.kopia.ContentInfo(ctx, c.ID)
			if err != nil || !info.Deleted {
				continue // never known, or stored afresh
			}
			length, there := packs[info.PackBlobID]
			if r.outside(info.PackBlobID, int64(info.PackOffset)+int64(info.PackedLength), length, there) != "" {
				continue
			}
			whole, err := r.readable(ctx, c.ID)
			if err != nil {
				return nil, err
			}
			if whole {
				back = append(back, c.ID)
			}
		}
	}
	return back, nil
}

// move writes contents anew, into packs that are whole.
func (r *Repository) move(ctx context.Context, good []content.Info, back []content.ID) error {
	if len(good)+len(back) == 0 {
		return nil
	}
	about, err := pruning.Intend(ctx, r.store)
	if err != nil {
		return err
	}
	defer about.End(ctx)
	_, w, err := r.kopia.NewDirectWriter(ctx, repo.WriteSessionOptions{Purpose: "heal"})
	if err != nil {
		return trouble.Of("begin to write", err)
	}
	defer w.Close(context.WithoutCancel(ctx))
	for _, i := range good {
		if err := w.ContentManager().RewriteContent(ctx, i.ContentID); err != nil {
			return trouble.Of("move content "+i.ContentID.String(), err)
		}
	}
	for _, id := range back {
		if err := w.ContentManager().UndeleteContent(ctx, id); err != nil {
			return trouble.Of("take content "+id.String()+" up again", err)
		}
	}
	return trouble.Of("flush", r.flush(ctx, w))
}

// condemnedAt is the time of a mark: the library makes it one second more than that of the entry that it marks.
var condemnedAt = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// condemn marks contents in the index as deleted. Every writer then stores them afresh where it comes upon them, of
// whatever version and on whatever machine, and no point that refers to them is published.
//
// The mark must never win against a content that another machine has stored afresh meanwhile. Entries of one content
// are told apart by their times, and the later one holds; so the mark is made with a clock that stands in the past,
// which makes it one second younger than the damaged entry and older than whatever is stored from now on.
//
// Source: kopia v0.22.3, content.WriteManager.contentWriteTime and index.contentInfoGreaterThanStruct.
func (r *Repository) condemn(ctx context.Context, bad []content.Info) error {
	if len(bad) == 0 {
		return nil
	}
	past, err := r.past(ctx)
	if err != nil {
		return err
	}
	_, w, err := past.kopia.NewDirectWriter(ctx, repo.WriteSessionOptions{Purpose: "condemn"})
	if err != nil {
		return trouble.Of("begin to write", err)
	}
	defer w.Close(context.WithoutCancel(ctx))
	w.ContentManager().DisableIndexRefresh()
	for _, i := range bad {
		now, err := w.ContentInfo(ctx, i.ContentID)
		if trouble.IsMissing(err) || err == nil && (now.Deleted || now.PackBlobID != i.PackBlobID) {
			continue // somebody was faster
		}
		if err == nil {
			err = w.ContentManager().DeleteContent(ctx, i.ContentID)
		}
		if err != nil {
			return trouble.Of("condemn content "+i.ContentID.String(), err)
		}
	}
	if err := past.flush(ctx, w); err != nil {
		return trouble.Of("flush", err)
	}
	return trouble.Of("read its indexes", r.refresh(ctx))
}
