// Package published reads which recovery points a repository has. Kopia keeps each as a manifest, in contents that hold thousands of them as JSON: reading that
// takes longer than everything else that a list does. So what a content holds is remembered on this machine, by the content's id, which is a keyed hash of what is in it.
//
// It trusts the memory for what a content says, and never for what is there: each content is read from the store, and authenticated, every time. Read Points first, then memory.go.
package published

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/content/index"
	"github.com/kopia/kopia/repo/manifest"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/repository/manifests"
)

// readers is how many contents are read at once, as the library does.
const readers = 8

// entry is a manifest, as far as it says something about points.
type entry struct {
	id      string
	at      time.Time // when it was written
	deleted bool
	point   cofre.RecoveryPoint
}

// Points are the published points, oldest first. The indexes that r has are taken as they are.
//
// Errors: those of the library; of a manifest that cannot be read, with the name of its content.
func Points(ctx context.Context, r repo.DirectRepository, m *Memory) ([]cofre.RecoveryPoint, error) {
	var mu sync.Mutex
	contents := map[content.ID][]entry{}
	err := r.ContentReader().IterateContents(ctx, content.IterateOptions{Range: index.PrefixRange(manifest.ContentPrefix), Parallel: readers}, func(i content.Info) error {
		entries, err := read(ctx, r.ContentReader(), i.ContentID, m)
		if err != nil {
			return fmt.Errorf("manifests %s: %w", i.ContentID, err)
		}
		mu.Lock()
		defer mu.Unlock()
		contents[i.ContentID] = entries
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.sweep(contents)
	return together(contents), nil
}

// together is what contents say together: of one manifest the newest counts, which may say that it was deleted; and of two manifests of one point both.
func together(contents map[content.ID][]entry) []cofre.RecoveryPoint {
	newest := map[string]*entry{}
	for _, entries := range contents {
		for i := range entries {
			e := &entries[i]
			if other := newest[e.id]; other == nil || e.at.After(other.at) {
				newest[e.id] = e
			}
		}
	}
	points := make([]cofre.RecoveryPoint, 0, len(newest))
	for _, e := range newest {
		if !e.deleted {
			points = append(points, e.point)
		}
	}
	slices.SortStableFunc(points, func(a, b cofre.RecoveryPoint) int {
		return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.ID, b.ID))
	})
	return twice(points)
}

// twice makes one of two manifests of one point. They stand beside each other: what differs is what has left the point.
func twice(points []cofre.RecoveryPoint) []cofre.RecoveryPoint {
	out := points[:0]
	for _, p := range points {
		if n := len(out); n > 0 && out[n-1].ID == p.ID {
			out[n-1] = manifests.Both(out[n-1], p)
			continue
		}
		out = append(out, p)
	}
	return out
}

// read is what one content says.
func read(ctx context.Context, r content.Reader, id content.ID, m *Memory) ([]entry, error) {
	text, err := r.GetContent(ctx, id)
	if err != nil {
		return nil, err
	}
	if entries, ok := m.recall(id, len(text)); ok {
		return entries, nil
	}
	entries, err := decode(text)
	if err == nil {
		m.learn(id, len(text), entries)
	}
	return entries, err
}

// decode reads manifests as the library writes them.
//
// Source: kopia v0.22.3, repo/manifest/serialized.go.
func decode(text []byte) ([]entry, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var all struct {
		Entries []struct {
			ID      string            `json:"id"`
			Labels  map[string]string `json:"labels"`
			At      time.Time         `json:"modified"`
			Deleted bool              `json:"deleted"`
			Content json.RawMessage   `json:"data"`
		} `json:"entries"`
	}
	if err := json.NewDecoder(io.LimitReader(unpacked, bounded.List)).Decode(&all); err != nil {
		return nil, err
	}
	var entries []entry
	var errs []error
	for _, found := range all.Entries {
		e := entry{id: found.ID, at: found.At, deleted: found.Deleted}
		if !e.deleted && found.Labels[manifest.TypeLabelKey] != manifests.PointType {
			continue
		}
		if !e.deleted {
			if err := json.Unmarshal(found.Content, &e.point); err != nil {
				errs = append(errs, fmt.Errorf("point %s: %w", found.Labels[manifests.PointLabel], err))
			}
		}
		entries = append(entries, e)
	}
	return entries, errors.Join(errs...)
}
