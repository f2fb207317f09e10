package pruning

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/object"

	"github.com/trustlayer/cofre/repository/directory"
	"github.com/trustlayer/cofre/repository/seal"
)

// Indexes belong to epochs, which are numbered. Readers take one index in the place of all of an epoch from the second epoch after it on,
// and one in the place of many epochs. A writer that has written into an epoch looks again whether it was the newest but one at most;
// if not, its index may have been passed over, and it is written once more (Repository.flush).
const (
	// manyIndexes is how many indexes of the newest epoch are worth a new one.
	manyIndexes  = 8
	markerPrefix = "xe"
	newPrefix    = "xn"
	singlePrefix = "xs"
	rangePrefix  = "xr"
)

// compactIndexes writes the indexes of each epoch that has ended as one.
func (p *Pruner) compactIndexes(ctx context.Context) error {
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
	if err := p.Blobs.PutText(ctx, blob.ID(markerPrefix+strconv.Itoa(epoch)), "epoch-marker"); err != nil {
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
		first, last := rangeOf(string(set[0].BlobID))
		for of := first; of <= last; of++ {
			many[of] = replacement{read: true, settled: p.settled(set)}
		}
	}
	for m, err := range p.Blobs.List(ctx, "x") {
		if err != nil {
			return nil, 0, err
		}
		id := string(m.BlobID)
		of := epochOf(id)
		var by []replacement
		switch {
		case strings.HasPrefix(id, newPrefix):
			by = []replacement{single[of], many[of]}
		case strings.HasPrefix(id, singlePrefix):
			by = []replacement{many[of]}
		case strings.HasPrefix(id, markerPrefix):
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

// rangeOf are the epochs in the name of an index of many.
func rangeOf(id string) (first, last int) {
	_, rest, _ := strings.Cut(id, "_")
	return epochOf(id), epochOf("xx" + rest)
}

// Replaces are the epochs whose indexes one is read in the place of; ok is false if it is one of a flush, and no index at all.
func Replaces(id blob.ID) (first, last int, ok bool) {
	switch s := string(id); {
	case strings.HasPrefix(s, singlePrefix):
		return epochOf(s), epochOf(s), true
	case strings.HasPrefix(s, rangePrefix):
		first, last = rangeOf(s)
		return first, last, true
	}
	return 0, 0, false
}

// Epoch is that of an index of a flush, or of one that is read in the place of those of one epoch; -1 if it is neither.
func Epoch(id blob.ID) int {
	if s := string(id); strings.HasPrefix(s, newPrefix) || strings.HasPrefix(s, singlePrefix) {
		return epochOf(s)
	}
	return -1
}

// epochOf is the number of the epoch in the name of an index, or -1.
func epochOf(id string) int {
	number, _, _ := strings.Cut(id[2:], "_")
	n, err := strconv.Atoi(number)
	if err != nil {
		return -1
	}
	return n
}

// compactSeals writes old seals as one.
func (p *Pruner) compactSeals(ctx context.Context) (err error) {
	p.report.Seals.Before, p.report.Seals.After, err = seal.Compact(ctx, p.Store, p.Key, p.now.Add(-p.Limits.Seal), func() error {
		return p.Commit(ctx, "write seals as one")
	})
	return err
}
