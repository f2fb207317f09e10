// Package manifests is the catalog as Kopia keeps it: a manifest for each recovery point, and one for the snapshot of each of its
// components. Read Expire first.
package manifests

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/content/index"
	"github.com/kopia/kopia/repo/manifest"
	"github.com/kopia/kopia/snapshot"

	"github.com/trustlayer/cofre"
)

// A recovery point is a manifest of Kopia's, and beside it each component is one that Kopia knows as a snapshot:
// its garbage collection keeps what snapshots reach and nothing else, and its commands list and restore them.
const (
	PointType  = "cofre-recovery-point"
	PointLabel = "cofre-point"
	// TagPrefix is that of the tags which Kopia's command line shows, and only those.
	TagPrefix = "tag:"
)

// Labels are those of the manifest of a point.
func Labels(id cofre.PointID) map[string]string {
	return map[string]string{manifest.TypeLabelKey: PointType, PointLabel: string(id)}
}

// Path is where Kopia shows a component to be from.
func Path(c cofre.Component) string { return "/" + string(c.Kind) + "/" + c.Name }

// Catalog is what the manifests say, and what is to become of it.
type Catalog struct {
	points map[cofre.PointID]*point
	order  []cofre.PointID // that were changed
}

type point struct {
	point     cofre.RecoveryPoint
	manifests []*manifest.EntryMetadata // one, but after a race
	snapshots []*manifest.EntryMetadata
	deletes   []*manifest.EntryMetadata // of the snapshots
	whole     bool
}

// Read reads every manifest of a point, and lists those of their snapshots.
//
// Errors: those of the library.
func Read(ctx context.Context, w repo.RepositoryWriter) (*Catalog, error) {
	c := &Catalog{points: map[cofre.PointID]*point{}}
	found, err := w.FindManifests(ctx, map[string]string{manifest.TypeLabelKey: PointType})
	if err != nil {
		return nil, fmt.Errorf("list recovery points: %w", err)
	}
	for _, m := range found {
		c.at(m.Labels[PointLabel]).manifests = append(c.at(m.Labels[PointLabel]).manifests, m)
	}
	if found, err = w.FindManifests(ctx, map[string]string{manifest.TypeLabelKey: snapshot.ManifestType}); err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	for _, m := range found {
		at := c.at(m.Labels[TagPrefix+PointLabel])
		at.snapshots = append(at.snapshots, m)
	}
	for id, at := range c.points {
		for i, m := range at.manifests {
			var p cofre.RecoveryPoint
			if _, err := w.GetManifest(ctx, m.ID, &p); err != nil {
				return nil, fmt.Errorf("read %s: %w", id, err)
			}
			if i > 0 {
				p = Both(at.point, p)
			}
			at.point = p
		}
	}
	return c, nil
}

func (c *Catalog) at(id string) *point {
	if c.points[cofre.PointID(id)] == nil {
		c.points[cofre.PointID(id)] = &point{}
	}
	return c.points[cofre.PointID(id)]
}

// Both is what two manifests of one point leave of it.
func Both(a, b cofre.RecoveryPoint) cofre.RecoveryPoint {
	a.Components = slices.DeleteFunc(slices.Clone(a.Components), func(c cofre.Component) bool {
		_, there := b.Component(c.Kind, c.Name)
		return !there
	})
	for _, e := range b.Expired {
		if !slices.ContainsFunc(a.Expired, func(other cofre.ExpiredComponent) bool { return other.Kind == e.Kind && other.Name == e.Name }) {
			a.Expired = append(slices.Clone(a.Expired), e)
		}
	}
	return a
}

// Expire takes what e names out of the catalog; nothing is written yet.
//
// Errors: cofre.ErrNotFound.
func (c *Catalog) Expire(e cofre.Expiry, now time.Time) (cofre.Expired, error) {
	at := c.points[e.Point]
	if at == nil || len(at.manifests) == 0 || at.whole {
		return cofre.Expired{}, cofre.ErrNotFound
	}
	left, gone, err := e.From(at.point, now)
	if err != nil {
		return gone, err
	}
	if !slices.Contains(c.order, e.Point) {
		c.order = append(c.order, e.Point)
	}
	at.point, at.whole = left, gone.Whole
	for _, m := range at.snapshots {
		stays := slices.ContainsFunc(left.Components, func(comp cofre.Component) bool { return m.Labels[snapshot.PathLabel] == Path(comp) })
		if (gone.Whole || !stays) && !slices.Contains(at.deletes, m) {
			at.deletes = append(at.deletes, m)
		}
	}
	return gone, nil
}

// Newest is the time of the newest manifest that goes.
func (c *Catalog) Newest() time.Time {
	var newest time.Time
	for _, id := range c.order {
		for _, m := range slices.Concat(c.points[id].manifests, c.points[id].deletes) {
			if m.ModTime.After(newest) {
				newest = m.ModTime
			}
		}
	}
	return newest
}

// Write writes what was changed.
//
// Errors: those of the library.
func (c *Catalog) Write(ctx context.Context, w repo.RepositoryWriter) error {
	for _, id := range c.order {
		at := c.points[id]
		for _, m := range slices.Concat(at.manifests, at.deletes) {
			if err := w.DeleteManifest(ctx, m.ID); err != nil {
				return err
			}
		}
		if at.whole {
			continue
		}
		if _, err := w.PutManifest(ctx, Labels(id), at.point); err != nil {
			return err
		}
	}
	return nil
}

// Digests are the SHA-256 of the texts with which each point is stored: one, but after a race.
//
// Errors: those of the library.
func Digests(ctx context.Context, r repo.Repository) (map[cofre.PointID][]string, error) {
	found, err := r.FindManifests(ctx, map[string]string{manifest.TypeLabelKey: PointType})
	if err != nil {
		return nil, err
	}
	digests := make(map[cofre.PointID][]string, len(found))
	for _, m := range found {
		var text json.RawMessage
		_, err := r.GetManifest(ctx, m.ID, &text)
		if errors.Is(err, manifest.ErrNotFound) {
			continue // expired since it was found
		}
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(text)
		id := cofre.PointID(m.Labels[PointLabel])
		digests[id] = append(digests[id], hex.EncodeToString(sum[:]))
	}
	return digests, nil
}

// Snapshots are the objects that snapshots refer to, also those of others.
//
// Errors: those of the library.
func Snapshots(ctx context.Context, r repo.Repository) ([]string, error) {
	found, err := r.FindManifests(ctx, map[string]string{manifest.TypeLabelKey: snapshot.ManifestType})
	if err != nil {
		return nil, err
	}
	var roots []string
	for _, m := range found {
		var s snapshot.Manifest
		_, err := r.GetManifest(ctx, m.ID, &s)
		if errors.Is(err, manifest.ErrNotFound) {
			continue // expired since it was found
		}
		if err != nil {
			return nil, err
		}
		if s.RootEntry != nil {
			roots = append(roots, s.RootEntry.ObjectID.String())
		}
	}
	return roots, nil
}

// Without are the roots that are left if components leave points: those of what stays, and of snapshots that are of no point.
func Without(roots []string, points []cofre.RecoveryPoint, what []cofre.Expiry) []string {
	going := map[cofre.PointID]cofre.Expiry{}
	for _, e := range what {
		going[e.Point] = e
	}
	stays, goes := map[string]bool{}, map[string]bool{}
	for _, p := range points {
		left, gone := p, cofre.Expired{}
		if e, ok := going[p.ID]; ok {
			left, gone, _ = e.From(p, p.PublishedAt)
		}
		for _, c := range left.Components {
			stays[string(c.Root)] = true
		}
		for _, c := range gone.Components {
			goes[string(c.Root)] = true
		}
	}
	return slices.DeleteFunc(roots, func(root string) bool { return goes[root] && !stays[root] })
}

// Contents is how many contents hold manifests.
//
// Errors: those of the library.
func Contents(ctx context.Context, r repo.DirectRepository) (n int, err error) {
	err = r.ContentReader().IterateContents(ctx, content.IterateOptions{Range: index.PrefixRange(manifest.ContentPrefix)}, func(content.Info) error {
		n++
		return nil
	})
	return n, err
}

// Compact has w write all manifests as one content.
//
// Errors: those of the library.
func Compact(ctx context.Context, w repo.DirectRepositoryWriter) error {
	m, err := manifest.NewManager(ctx, w.ContentManager(), manifest.ManagerOptions{}, nil)
	if err != nil {
		return err
	}
	if _, err := m.Find(ctx, Labels("")); err != nil { // reads all of them
		return err
	}
	return m.Compact(ctx)
}
