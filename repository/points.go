package repository

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/manifests"
	"github.com/trustlayer/cofre/repository/pruning"
	"github.com/trustlayer/cofre/repository/published"
	"github.com/trustlayer/cofre/repository/trouble"
)

// Points yields every published point, oldest first.
//
// Errors: ErrCorrupt with the names of the files that are damaged; those of the store.
func (r *Repository) Points(ctx context.Context) iter.Seq2[cofre.RecoveryPoint, error] {
	return func(yield func(cofre.RecoveryPoint, error) bool) {
		points, err := r.points(ctx)
		if err != nil {
			yield(cofre.RecoveryPoint{}, err)
			return
		}
		for _, p := range points {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func (r *Repository) points(ctx context.Context) ([]cofre.RecoveryPoint, error) {
	const verb = "list recovery points"
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var points []cofre.RecoveryPoint
	err := r.mended(ctx, func() (err error) {
		if err = r.refresh(ctx); err == nil {
			points, err = published.Points(ctx, r.kopia, &published.Memory{Dir: filepath.Join(r.config.StateDir, "points", r.UniqueID()), Keys: r})
		}
		return err
	})
	if err != nil {
		return nil, r.diagnosed(ctx, trouble.Of(verb, err))
	}
	return points, nil
}

// Digests are the SHA-256 of the texts with which each point is stored: one, but after two machines wrote it at once. Errors are as of Points.
func (r *Repository) Digests(ctx context.Context) (map[cofre.PointID][]string, error) {
	digests, err := manifests.Digests(ctx, r.kopia)
	return digests, trouble.Of("read the digests of recovery points", err)
}

// Publish proves that everything p refers to is there, and then makes p visible, with one write.
//
// Errors: ErrReadOnly; ErrExists if there is a point of this id; ErrCorrupt if what p refers to is missing, by name, or the
// indexes cannot be read; those of the store; the error of ctx.
func (r *Repository) Publish(ctx context.Context, p cofre.RecoveryPoint) error {
	if err := r.publish(ctx, p); err != nil {
		return fmt.Errorf("publish %s: %w", p.ID, err)
	}
	return nil
}

func (r *Repository) publish(ctx context.Context, p cofre.RecoveryPoint) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.config.ReadOnly {
		return fmt.Errorf("repository %s was opened to read: %w", r.URL(), cofre.ErrReadOnly)
	}
	// From here on nobody prunes what p refers to, or what is pruned is seen: see package pruning.
	var roots []cofre.ObjectID
	for _, c := range p.Components {
		roots = append(roots, c.Root)
	}
	about, err := pruning.Intend(ctx, r.store, roots...)
	if err != nil {
		return err
	}
	defer about.End(ctx)
	err = r.proveAndWrite(ctx, p)
	if errors.Is(err, blob.ErrBlobNotFound) {
		err = r.proveAndWrite(ctx, p) // it was moved since the indexes were read
	}
	if err != nil {
		return err
	}
	r.captures.End()
	stood, err := about.Stands(ctx)
	if stood {
		return nil
	}
	// It slept so long that it was taken for dead, or nobody can say.
	if proven := r.prove(ctx, p, nil); err == nil && proven == nil {
		return nil
	} else if !errors.Is(proven, cofre.ErrCorrupt) {
		return errors.Join(err, proven)
	} else {
		_, expireErr := r.take(ctx, []cofre.Expiry{{Point: p.ID}})
		return errors.Join(&damagedError{proven}, expireErr)
	}
}

func (r *Repository) proveAndWrite(ctx context.Context, p cofre.RecoveryPoint) error {
	if err := r.refresh(ctx); err != nil {
		return trouble.Of("read its indexes", err)
	}
	saved, err := pruning.NewRescue(ctx, r.store)
	if err != nil {
		return err
	}
	if err := r.prove(ctx, p, saved); err != nil {
		return err
	}
	if err := r.compactManifests(ctx, manyManifests); err != nil {
		return err
	}
	return r.writeManifests(ctx, "publish", func(w repo.DirectRepositoryWriter) error {
		there, err := w.FindManifests(ctx, manifests.Labels(p.ID))
		if err != nil {
			return trouble.Of("look for a point of this id", err)
		}
		if len(there) > 0 {
			return cofre.ErrExists
		}
		if err := saved.Write(ctx, w); err != nil {
			return trouble.Of("copy what is about to be pruned", err)
		}
		for _, c := range p.Components {
			if err := manifests.SaveSnapshot(ctx, w, clientUser, p, c); err != nil {
				return trouble.Of(fmt.Sprintf("write the snapshot of %s %s", c.Kind, c.Name), err)
			}
		}
		_, err = w.PutManifest(ctx, manifests.Labels(p.ID), p)
		return trouble.Of("write the point", err)
	})
}

// writeManifests gives write a writer of its own and flushes once. Manifests that wait for one flush become one
// content in one pack, named by one index: all of them are visible or none.
func (r *Repository) writeManifests(ctx context.Context, purpose string, write func(repo.DirectRepositoryWriter) error) error {
	r.publishing.Lock()
	defer r.publishing.Unlock()
	_, w, err := r.kopia.NewDirectWriter(ctx, repo.WriteSessionOptions{Purpose: purpose})
	if err != nil {
		return trouble.Of("begin to write", err)
	}
	defer w.Close(context.WithoutCancel(ctx))
	if err := write(w); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return trouble.Of("flush", r.flush(ctx, w))
}

// prove walks every component. What is not there is remembered as damaged, so that a capture which begins after it
// stores it afresh: the error is then one that is Retryable.
func (r *Repository) prove(ctx context.Context, p cofre.RecoveryPoint, saved *pruning.Rescue) error {
	known, err := r.readDamage(ctx)
	if err != nil {
		return err
	}
	lost, err := r.lost(ctx, known)
	if err != nil {
		return err
	}
	packs, objects, err := r.packObjects(ctx)
	if err != nil {
		return err
	}
	used := map[blob.ID]cofre.StoredObject{}
	problem, b, err := r.proveWith(ctx, p, &walker{repo: r, packs: packs, lost: lost, seen: func(i content.Info) {
		used[i.PackBlobID] = objects[i.PackBlobID]
		if saved != nil {
			saved.Look(i)
		}
	}})
	if err == nil && problem == nil {
		if lost, err = r.forged(ctx, packs, used); err == nil && len(lost) > 0 {
			problem, b, err = r.proveWith(ctx, p, &walker{repo: r, packs: packs, lost: lost})
		}
	}
	if err != nil || problem == nil {
		return err
	}
	if len(b.rec.Contents) == 0 {
		return problem
	}
	if _, err := r.remember(ctx, b.rec); err != nil {
		return errors.Join(problem, fmt.Errorf("remember what is damaged: %w", err))
	}
	return &damagedError{problem}
}

// proveWith walks every component, and returns the first thing that is wrong, and a record of all of them.
func (r *Repository) proveWith(ctx context.Context, p cofre.RecoveryPoint, w *walker) (problem error, b *recordBuilder, err error) {
	b = newRecord(r)
	for _, c := range p.Components {
		w.report = func(_, what string, contents []content.ID) bool {
			if problem == nil {
				problem = fmt.Errorf("%s %s: %s: %w", c.Kind, c.Name, what, cofre.ErrCorrupt)
			}
			b.add(ctx, contents, what)
			return true
		}
		if err := w.component(ctx, c); err != nil {
			return nil, nil, err
		}
	}
	return problem, b, nil
}

// damagedError says that a point was refused because of damage which the next capture heals.
type damagedError struct{ error }

func (e *damagedError) Unwrap() error   { return e.error }
func (e *damagedError) Retryable() bool { return true }
