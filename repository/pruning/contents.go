package pruning

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/manifest"

	"github.com/trustlayer/cofre/repository/seal"
)

const (
	// smallPart is the part of a full pack below which one is small, and of a pack that counts below which the rest of it is worth moving
	// what counts: 60 % as in the library, and half.
	smallPercent = 60
	wastePercent = 50
	// flushEvery is how many contents are moved, or marked, between two flushes.
	flushEvery = 50_000
)

// write gives do a writer and flushes it, after it has asked whether the right to prune still holds.
func (p *Pruner) write(ctx context.Context, r repo.DirectRepositoryWriter, what string, do func(repo.DirectRepositoryWriter) error) error {
	about, err := Intend(ctx, p.Store)
	if err != nil {
		return err
	}
	defer about.End(ctx)
	_, w, err := r.NewDirectWriter(ctx, repo.WriteSessionOptions{Purpose: "prune"})
	if err != nil {
		return err
	}
	defer w.Close(context.WithoutCancel(ctx))
	w.ContentManager().DisableIndexRefresh()
	if err := do(w); err != nil {
		return err
	}
	if err := p.Commit(ctx, what); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.Flush(ctx, w)
}

// revive copies what is referred to and was marked.
func (p *Pruner) revive(ctx context.Context, s *state) error {
	again := s.again
	s.again = nil
	for some := range slices.Chunk(again, flushEvery) {
		err := p.write(ctx, p.Kopia, fmt.Sprintf("copy %d contents that are needed again", len(some)), func(w repo.DirectRepositoryWriter) error {
			for _, id := range some {
				if err := p.readable(ctx, w.ContentManager().UndeleteContent(ctx, id)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readable passes over an error of a content that cannot be read: it stays where it is.
func (p *Pruner) readable(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || seal.IsOutside(err) {
		return errors.Join(ctx.Err(), err)
	}
	p.report.Unreadable++
	return nil
}

// markUnused marks in the index what nothing refers to. What was published since it was looked at is looked at once more before, and
// after: a publication that began later has seen the marks.
func (p *Pruner) markUnused(ctx context.Context, s *state) error {
	if err := s.marks.all(ctx); err != nil {
		return err
	}
	var unused []content.Info
	err := p.eachContent(ctx, func(i content.Info) error {
		if k := s.at(i.PackBlobID); !i.Deleted && i.ContentID.Prefix() != manifest.ContentPrefix && !s.counts(i) && p.old(k) {
			unused = append(unused, i)
		}
		return nil
	})
	if err != nil || len(unused) == 0 {
		return err
	}
	past, err := p.Past(ctx)
	if err != nil {
		return err
	}
	for some := range slices.Chunk(unused, flushEvery) {
		if err := p.mark(ctx, past, some); err != nil {
			return err
		}
	}
	if err := s.marks.all(ctx); err != nil {
		return err
	}
	for _, i := range unused {
		if s.counts(i) {
			s.again = append(s.again, i.ContentID)
		}
	}
	return p.revive(ctx, s)
}

func (p *Pruner) mark(ctx context.Context, past repo.DirectRepositoryWriter, unused []content.Info) error {
	return p.write(ctx, past, fmt.Sprintf("mark %d contents", len(unused)), func(w repo.DirectRepositoryWriter) error {
		for _, i := range unused {
			now, err := w.ContentInfo(ctx, i.ContentID)
			if errors.Is(err, content.ErrContentNotFound) || err == nil && (now.Deleted || now.PackBlobID != i.PackBlobID) {
				continue // somebody was faster
			}
			if err == nil {
				err = w.ContentManager().DeleteContent(ctx, i.ContentID)
			}
			if err != nil {
				return fmt.Errorf("mark content %s: %w", i.ContentID, err)
			}
		}
		return nil
	})
}

// move writes what counts of small and half empty packs, and of those that were announced, into others.
func (p *Pruner) move(ctx context.Context, s *state) error {
	from, err := p.toMove(ctx, s)
	if err != nil || len(from) == 0 {
		return err
	}
	var contents []content.Info
	err = p.eachContent(ctx, func(i content.Info) error {
		if from[i.PackBlobID] && !i.Deleted {
			contents = append(contents, i)
		}
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(contents, func(a, b content.Info) int {
		return cmp.Or(cmp.Compare(a.PackBlobID, b.PackBlobID), cmp.Compare(a.PackOffset, b.PackOffset))
	})
	for some := range slices.Chunk(contents, flushEvery) {
		err := p.write(ctx, p.Kopia, fmt.Sprintf("move %d contents", len(some)), func(w repo.DirectRepositoryWriter) error {
			for _, i := range some {
				before := p.report.Unreadable
				if err := p.readable(ctx, w.ContentManager().RewriteContent(ctx, i.ContentID)); err != nil {
					return err
				}
				if p.report.Unreadable == before {
					p.report.Moved.Add(int64(i.PackedLength))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// moveIfThereIsRoom moves nothing where the disk is full: what is announced nevertheless is deleted by a later run, and makes room.
func (p *Pruner) moveIfThereIsRoom(ctx context.Context, s *state) error {
	if free, err := p.Store.Free(ctx); err == nil && free >= 0 && free < roomToMove {
		return nil
	}
	return p.move(ctx, s)
}

// roomToMove is what must be free for contents to be moved: they are twice there until the next run.
const roomToMove = 64 << 20

func (p *Pruner) toMove(ctx context.Context, s *state) (map[blob.ID]bool, error) {
	format, err := p.Kopia.ContentReader().ContentFormat().GetMutableParameters(ctx)
	if err != nil {
		return nil, err
	}
	from := map[blob.ID]bool{}
	small := map[byte][]blob.ID{}
	for id, k := range s.packs {
		switch {
		case k.at.IsZero() || k.live.Count == 0:
		case k.announced != nil:
			from[id] = true
		case !p.old(k):
		case k.live.Bytes*100 < k.size*wastePercent && k.size*100 >= int64(format.MaxPackSize)*smallPercent:
			from[id] = true
		case k.size*100 < int64(format.MaxPackSize)*smallPercent:
			small[id[0]] = append(small[id[0]], id)
		}
	}
	for _, ids := range small {
		// One small pack alone would be written again at every run.
		if len(ids) > 1 || len(ids) == 1 && s.packs[ids[0]].live.Bytes*100 < s.packs[ids[0]].size*wastePercent {
			for _, id := range ids {
				from[id] = true
			}
		}
	}
	return from, nil
}
