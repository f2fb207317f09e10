package pruning

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"

	"github.com/trustlayer/cofre/repository/directory"
	"github.com/trustlayer/cofre/repository/epochs"
	"github.com/trustlayer/cofre/repository/seal"
)

// Indexes belong to epochs, which are numbered. Readers take one index in the place of all of an epoch from the second epoch after it on,
// and one in the place of many epochs. A writer that has written into an epoch looks again whether it was the newest but one at most;
// if not, its index may have been passed over, and it is written once more (Repository.flush).
const (
	// manyIndexes is how many indexes of the newest epoch are worth a new one.
	manyIndexes = 8
)

// compactIndexes writes the indexes of each epoch that has ended as one.
func (p *Pruner) compactIndexes(ctx context.Context) error {
	defer p.ByName()()
	if err := p.Refresh(ctx); err != nil {
		return err
	}
	em, _, err := p.Kopia.ContentReader().EpochManager(ctx)
	if err != nil || em == nil {
		return err
	}
	now, err := em.Current(ctx)
	if err != nil {
		return err
	}
	var ranges [][]blob.Metadata
	for _, r := range now.LongestRangeCheckpointSets {
		ranges = append(ranges, r.Blobs)
	}
	if _, p.report.Indexes.Before, err = p.superseded(ctx, now.WriteEpoch, now.SingleEpochCompactionSets, ranges); err != nil {
		return err
	}
	if len(now.UncompactedEpochSets[now.WriteEpoch]) >= manyIndexes {
		for next := now.WriteEpoch + 1; next <= now.WriteEpoch+2; next++ {
			if err := p.beginEpoch(ctx, next); err != nil {
				return err
			}
		}
	}
	for range 64 { // as many epochs as could be left; each call takes the oldest
		if err := p.Refresh(ctx); err != nil {
			return err
		}
		if err := p.Commit(ctx, "write indexes as one"); err != nil {
			return err
		}
		done, err := em.MaybeCompactSingleEpoch(ctx)
		if err != nil {
			return err
		}
		if done == nil || done.SupersededIndexBlobCount == 0 {
			break
		}
	}
	if err := p.Refresh(ctx); err != nil {
		return err
	}
	if _, err := em.MaybeGenerateRangeCheckpoint(ctx); err != nil {
		return err
	}
	if err := p.Refresh(ctx); err != nil {
		return err
	}
	if now, err = em.Current(ctx); err != nil {
		return err
	}
	ranges = nil
	for _, r := range now.LongestRangeCheckpointSets {
		ranges = append(ranges, r.Blobs)
	}
	over, left, err := p.superseded(ctx, now.WriteEpoch, now.SingleEpochCompactionSets, ranges)
	if err != nil {
		return err
	}
	if over, err = p.contained(ctx, over); err != nil {
		return err
	}
	for some := range slices.Chunk(over, removedAtOnce) {
		if err := p.remove(ctx, some); err != nil {
			return err
		}
	}
	p.report.Indexes.After = left
	return p.Refresh(ctx)
}

// replacement is what has taken the place of the indexes of an epoch.
type replacement struct {
	read    bool // in their place
	settled bool // and for so long that nobody reads them any more
}

// settled reports whether all of some indexes have been there long enough for everybody to have seen them.
func (p *Pruner) settled(set []blob.Metadata) bool {
	return len(set) > 0 && !slices.ContainsFunc(set, func(m blob.Metadata) bool { return p.now.Sub(m.Timestamp) < p.Limits.Index })
}

// beginEpoch has writers write into a new epoch, and writes into it itself: an epoch without an index is never written as one, and
// none after it.
func (p *Pruner) beginEpoch(ctx context.Context, epoch int) error {
	if err := p.Commit(ctx, fmt.Sprintf("begin epoch %d", epoch)); err != nil {
		return err
	}
	if err := p.Blobs.PutText(ctx, blob.ID(epochs.MarkerPrefix+strconv.Itoa(epoch)), epochs.MarkerText); err != nil {
		return err
	}
	if err := p.Refresh(ctx); err != nil {
		return err
	}
	return p.write(ctx, p.Kopia, "write into it", func(w repo.DirectRepositoryWriter) error {
		o := w.NewObjectWriter(ctx, object.WriterOptions{Prefix: directory.FactsPrefix, Description: "epoch"})
		defer o.Close()
		if _, err := o.Write([]byte(rand.Text())); err != nil {
			return err
		}
		_, err := o.Result()
		return err
	})
}

// superseded finds the indexes that others have taken the place of, one of their epoch or one of many, and that nobody reads any more.
// It counts those that are read.
func (p *Pruner) superseded(ctx context.Context, epoch int, singles map[int][]blob.Metadata, ranges [][]blob.Metadata) (over []blob.ID, read int, err error) {
	single, many := map[int]replacement{}, map[int]replacement{}
	for of, set := range singles {
		single[of] = replacement{read: of <= epoch-2, settled: p.settled(set)}
	}
	for _, set := range ranges {
		first, last := epochs.Range(set[0].BlobID)
		for of := first; of <= last; of++ {
			many[of] = replacement{read: true, settled: p.settled(set)}
		}
	}
	for m, err := range p.Blobs.List(ctx, "x") {
		if err != nil {
			return nil, 0, err
		}
		id := string(m.BlobID)
		of := epochs.Number(m.BlobID)
		var by []replacement
		switch {
		case strings.HasPrefix(id, epochs.NewPrefix):
			by = []replacement{single[of], many[of]}
		case strings.HasPrefix(id, epochs.SinglePrefix):
			by = []replacement{many[of]}
		case strings.HasPrefix(id, epochs.MarkerPrefix):
			if of < epoch-1 && p.now.Sub(m.Timestamp) >= p.Limits.Index {
				over = append(over, m.BlobID)
			}
			continue
		}
		switch {
		case slices.ContainsFunc(by, func(r replacement) bool { return r.read && r.settled }):
			over = append(over, m.BlobID)
		case !slices.ContainsFunc(by, func(r replacement) bool { return r.read }):
			read++
		}
	}
	return over, read, nil
}

// contained are the indexes that say nothing which those that are read do not say as well, of the same time or later: their names do not prove it.
func (p *Pruner) contained(ctx context.Context, over []blob.ID) (sure []blob.ID, err error) {
	for _, id := range over {
		if epochs.IsMarker(id) {
			sure = append(sure, id)
			continue
		}
		said, err := Says(ctx, p.Kopia, id)
		if err != nil {
			return nil, err
		}
		if !said {
			sure = append(sure, id)
		}
	}
	return sure, nil
}

// Says reports whether an index says something that the indexes which the library reads do not say, of the same time or later.
//
// Errors: that it cannot be read.
func Says(ctx context.Context, kopia repo.DirectRepositoryWriter, id blob.ID) (bool, error) {
	in, err := Index(ctx, kopia, id)
	if err != nil {
		return false, err
	}
	for _, i := range in {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		read, err := kopia.ContentReader().ContentInfo(ctx, i.ContentID)
		if errors.Is(err, content.ErrContentNotFound) || err == nil && read.TimestampSeconds < i.TimestampSeconds {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// Index is what an index names. It reads it from the store.
//
// Errors: that it is none which the repository's key has encrypted; those of the store.
func Index(ctx context.Context, kopia repo.DirectRepositoryWriter, id blob.ID) ([]content.Info, error) {
	return loadIndex(ctx, kopia.ContentManager().LoadIndexBlob, id)
}

// loadIndex lets the library read an index. Its buffer has a type that only the library can name.
func loadIndex[B any](ctx context.Context, load func(context.Context, blob.ID, *B) ([]content.Info, error), id blob.ID) ([]content.Info, error) {
	var buffer B
	return load(ctx, id, &buffer)
}

// compactSeals writes old seals as one.
func (p *Pruner) compactSeals(ctx context.Context) (err error) {
	p.report.Seals.Before, p.report.Seals.After, err = seal.Compact(ctx, p.Store, p.Key, p.now.Add(-p.Limits.Seal), func() error {
		return p.Commit(ctx, "write seals as one")
	})
	return err
}
