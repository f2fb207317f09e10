package repository

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
)

const (
	verifyTask    = "verify repository"
	verifyReaders = 2
	// mostFindings bounds what one component reports: a pack that is lost may hold ten thousand files.
	mostFindings = 50
)

// Verify checks the repository and what the points refer to in it.
//
// At LevelStructure every file that was ever written and not removed is there with its length, and everything
// the points refer to is in one of them. At LevelContent every byte of every file is read and compared with its
// seal as well. What others keep in the same store, such as WAL segments, is theirs to verify.
//
// An error is of the store; whatever is wrong with what is stored is a finding, with the name of the file.
func (r *Repository) Verify(ctx context.Context, points []cofre.RecoveryPoint, level cofre.Level, obs cofre.Observer) iter.Seq2[cofre.Finding, error] {
	return func(yield func(cofre.Finding, error) bool) {
		v := &verification{repo: r, level: level, obs: obs, yield: yield}
		began := cofre.Event{At: time.Now(), Type: cofre.TypeTaskBegan, Task: verifyTask, Unit: cofre.UnitBytes}
		obs.Observe(began)
		err := v.run(ctx, points)
		if err != nil {
			err = fmt.Errorf("verify repository %s: %w", r.URL(), err)
		}
		obs.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeTaskEnded, Task: verifyTask, Unit: cofre.UnitBytes, Done: v.done.Load(), Total: v.total, Err: err})
		if err != nil && !v.enough {
			yield(cofre.Finding{}, err)
		}
	}
}

type verification struct {
	repo   *Repository
	level  cofre.Level
	obs    cofre.Observer
	yield  func(cofre.Finding, error) bool
	enough bool // the caller wants no more

	done  atomic.Int64
	total int64
}

func (v *verification) run(ctx context.Context, points []cofre.RecoveryPoint) error {
	// The blobs are listed before the seals are read: an index that is listed was sealed before it was written.
	objects, err := v.listBlobs(ctx)
	if err != nil {
		return err
	}
	ledger, err := v.repo.readLedger(ctx)
	if err != nil {
		return err
	}
	problems := ledger.problems
	found, err := v.checkSealed(ctx, ledger, objects)
	if err != nil {
		return err
	}
	problems = append(problems, found...)
	unsealed, found, err := v.checkUnsealed(ctx, ledger, objects)
	if err != nil {
		return err
	}
	problems = append(problems, found...)
	for _, p := range problems {
		if !v.report(cofre.Finding{Object: p.name, What: p.name + ": " + p.what}) {
			return nil
		}
	}
	return v.checkPoints(ctx, points, v.repo.damagedPacks(problems), unsealed)
}

func (v *verification) report(f cofre.Finding) bool {
	if v.enough {
		return false
	}
	f.Check = string(v.level)
	v.enough = !v.yield(f, nil)
	return !v.enough
}

// listBlobs lists what is Kopia's, with the sizes.
func (v *verification) listBlobs(ctx context.Context) (map[string]int64, error) {
	objects := map[string]int64{}
	for o, err := range v.repo.store.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		if _, ok := v.repo.blobs.naming.id(o.Name); ok || o.Name == shardsName {
			objects[o.Name] = o.Size
			v.total += o.Size
		}
	}
	return objects, nil
}

// checkSealed compares every object that has a seal.
func (v *verification) checkSealed(ctx context.Context, l *ledger, objects map[string]int64) ([]problem, error) {
	var mu sync.Mutex
	var found []problem
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(verifyReaders)
	for _, name := range slices.Sorted(maps.Keys(l.records)) {
		if groupCtx.Err() != nil {
			break
		}
		rec := l.records[name]
		group.Go(func() error {
			what, err := v.checkRecord(groupCtx, rec, objects)
			if err != nil {
				return err
			}
			if what != "" {
				mu.Lock()
				found = append(found, problem{rec.Name, what})
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b problem) int { return strings.Compare(a.name, b.name) })
	return found, ctx.Err()
}

func (v *verification) checkRecord(ctx context.Context, rec record, objects map[string]int64) (string, error) {
	size, listed := objects[rec.Name]
	if !listed {
		// It may have been written, sealed and not listed yet.
		o, err := v.repo.store.Stat(ctx, rec.Name)
		if errors.Is(err, cofre.ErrNotFound) {
			if rec.State == announced {
				return "", nil // the capture that announced it was killed before it wrote it
			}
			return "is missing", nil
		}
		if err != nil {
			return unreadable(err)
		}
		size = o.Size
	}
	if v.level == cofre.LevelStructure {
		if size != rec.Size {
			return fmt.Sprintf("has %d bytes and %d were written", size, rec.Size), nil
		}
		return "", nil
	}
	what, err := v.repo.check(ctx, rec)
	v.progress(rec.Name, size)
	return what, err
}

func (v *verification) progress(item string, size int64) {
	v.obs.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeTaskProgress, Task: verifyTask, Item: item, Unit: cofre.UnitBytes, Done: v.done.Add(size), Total: v.total})
}

// checkUnsealed looks at what no seal names: what a capture wrote that was killed, or is at work, and what was
// named by a seal that is lost. It returns the packs among it, which are a problem only if a point needs them.
func (v *verification) checkUnsealed(ctx context.Context, l *ledger, objects map[string]int64) (map[blob.ID]bool, []problem, error) {
	packs := map[blob.ID]bool{}
	var found []problem
	markers := false
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		if _, ok := l.records[name]; ok {
			continue
		}
		id, _ := v.repo.blobs.naming.id(name)
		switch {
		case isMarker(id):
			markers = true
		case isPack(id):
			packs[id] = true
			if v.level == cofre.LevelStructure {
				continue
			}
			err := v.repo.decodePack(ctx, id, objects[name])
			if err != nil && isOutside(err) {
				return nil, nil, err
			}
			if err != nil && !errors.Is(err, blob.ErrBlobNotFound) {
				found = append(found, problem{name, fmt.Sprintf("is damaged: %v", err)})
			}
			v.progress(name, objects[name])
		default:
			found = append(found, problem{name, "has no seal, so that nothing says whether it is as it was written"})
		}
	}
	if markers && v.level != cofre.LevelStructure {
		p, err := v.checkMarkers(ctx, objects)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, p...)
	}
	return packs, found, nil
}

// decodePack reads a pack by the index that is in it, down to the last content.
func (r *Repository) decodePack(ctx context.Context, id blob.ID, length int64) error {
	// The index goes into a writer that is never flushed: so its contents are found, and nothing is written.
	_, w, err := r.kopia.NewDirectWriter(ctx, repo.WriteSessionOptions{Purpose: "verify"})
	if err != nil {
		return err
	}
	defer w.Close(context.WithoutCancel(ctx))
	contents, err := w.ContentManager().RecoverIndexFromPackBlob(ctx, id, length, true)
	if err != nil {
		return err
	}
	for _, c := range contents {
		if c.PackBlobID != id || c.Deleted {
			continue
		}
		if _, err := w.ContentManager().GetContent(ctx, c.ContentID); err != nil {
			return err
		}
	}
	return nil
}

// checkMarkers decrypts the markers of sessions that are at work or were killed.
func (v *verification) checkMarkers(ctx context.Context, objects map[string]int64) ([]problem, error) {
	_, err := v.repo.kopia.ContentReader().ListActiveSessions(ctx)
	if err == nil {
		return nil, nil
	}
	if isOutside(err) {
		return nil, err
	}
	for name := range objects {
		id, _ := v.repo.blobs.naming.id(name)
		if isMarker(id) && strings.Contains(err.Error(), string(id)) {
			return []problem{{name, fmt.Sprintf("is damaged: %v", err)}}, nil
		}
	}
	return []problem{{"s…", fmt.Sprintf("a session marker is damaged: %v", err)}}, nil
}

// checkPoints walks what the points refer to.
func (v *verification) checkPoints(ctx context.Context, points []cofre.RecoveryPoint, suspect map[blob.ID]string, unsealed map[blob.ID]bool) error {
	if err := v.repo.refresh(ctx); err != nil {
		if isOutside(err) {
			return err
		}
		v.report(cofre.Finding{What: fmt.Sprintf("the indexes cannot be read: %v", err)})
		return nil
	}
	packs, err := v.repo.listPacks(ctx)
	if err != nil {
		return err
	}
	needed := map[blob.ID]bool{} // unsealed packs that something refers to
	walked := map[cofre.ObjectID][]cofre.Finding{}
	for _, p := range points {
		for _, c := range p.Components {
			// A tree that several points share is walked once and reported for each.
			found, ok := walked[c.Root]
			if !ok {
				w := &walker{repo: v.repo, packs: packs, suspect: suspect, seen: func(i content.Info) {
					if unsealed[i.PackBlobID] {
						needed[i.PackBlobID] = true
					}
				}}
				if found, err = v.walk(ctx, w, c); err != nil {
					return err
				}
				walked[c.Root] = found
			}
			for _, f := range found {
				f.Kind = c.Kind
				f.What = fmt.Sprintf("%s of %s %s of point %s", f.What, c.Kind, c.Name, p.ID)
				if !v.report(f) {
					return nil
				}
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(needed)) {
		name := v.repo.blobs.naming.name(id)
		if !v.report(cofre.Finding{Object: name, What: name + ": points need it, and it has no seal, so that nothing says whether all of it is as it was written"}) {
			return nil
		}
	}
	return nil
}

func (v *verification) walk(ctx context.Context, w *walker, c cofre.Component) ([]cofre.Finding, error) {
	var found []cofre.Finding
	left := 0
	w.report = func(path, what string) bool {
		if len(found) < mostFindings {
			found = append(found, cofre.Finding{Object: path, What: what})
		} else {
			left++
		}
		return true
	}
	if err := w.component(ctx, c); err != nil {
		return nil, err
	}
	if left > 0 {
		found = append(found, cofre.Finding{What: fmt.Sprintf("%d more entries are missing or damaged", left)})
	}
	return found, nil
}
