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
	var err error
	if p.report.Indexes.Before, err = p.countIndexes(ctx); err != nil {
		return err
	}
	p.report.Indexes.After = p.report.Indexes.Before
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
	replaced := map[int]bool{} // epochs of which one index is read
	inRange := map[int]bool{}  // that are in an index of many
	for epoch, set := range now.SingleEpochCompactionSets {
		replaced[epoch] = epoch <= now.WriteEpoch-2 && p.settled(set)
	}
	for _, r := range now.LongestRangeCheckpointSets {
		for epoch := r.MinEpoch; epoch <= r.MaxEpoch; epoch++ {
			inRange[epoch] = p.settled(r.Blobs)
		}
	}
	return p.dropIndexes(ctx, now.WriteEpoch, replaced, inRange)
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

// dropIndexes deletes the indexes that others have taken the place of.
func (p *Pruner) dropIndexes(ctx context.Context, epoch int, replaced, inRange map[int]bool) error {
	var over []blob.ID
	left := 0
	for m, err := range p.Blobs.List(ctx, "x") {
		if err != nil {
			return err
		}
		id := string(m.BlobID)
		of := epochOf(id)
		switch {
		case strings.HasPrefix(id, newPrefix) && (replaced[of] || inRange[of]), strings.HasPrefix(id, singlePrefix) && inRange[of]:
			over = append(over, m.BlobID)
		case strings.HasPrefix(id, markerPrefix) && of < epoch-1 && p.now.Sub(m.Timestamp) >= p.Limits.Index:
			over = append(over, m.BlobID)
		case strings.HasPrefix(id, newPrefix), strings.HasPrefix(id, singlePrefix), strings.HasPrefix(id, rangePrefix):
			left++
		}
	}
	for some := range slices.Chunk(over, removedAtOnce) {
		if err := p.remove(ctx, some); err != nil {
			return err
		}
	}
	p.report.Indexes.After = left
	return p.Refresh(ctx)
}

func (p *Pruner) countIndexes(ctx context.Context) (int, error) {
	n := 0
	for m, err := range p.Blobs.List(ctx, "x") {
		if err != nil {
			return 0, err
		}
		if !strings.HasPrefix(string(m.BlobID), markerPrefix) {
			n++
		}
	}
	return n, nil
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
	p.report.Seals.Before, p.report.Seals.After, err = seal.Compact(ctx, p.Store, p.now.Add(-p.Limits.Seal), func() error {
		return p.Commit(ctx, "write seals as one")
	})
	return err
}
