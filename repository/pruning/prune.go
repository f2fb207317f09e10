package pruning

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/manifest"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/directory"
	"github.com/trustlayer/cofre/repository/seal"
)

// Limits are how long something is left that could go. None of them is needed for safety: a clock that leaps makes a capture store
// something afresh, or a reader that has read the indexes long ago start over.
type Limits struct {
	Young  time.Duration // what is younger may be of a capture that is at work, or that was killed and is taken up again
	Grace  time.Duration // from the announcement to the deletion
	Index  time.Duration // from the writing of an index to the deletion of those that it takes the place of
	Seal   time.Duration // seals that are younger are not written as one
	Intent time.Duration // after it a publication that has not ended was killed
	Silent time.Duration // after it a long capture that has not said that it goes on was killed
}

// Usual are the limits of a program.
var Usual = Limits{Young: 24 * time.Hour, Grace: 24 * time.Hour, Index: 4 * time.Hour, Seal: time.Hour, Intent: 7 * 24 * time.Hour, Silent: 24 * time.Hour}

// Blobs is the part of Kopia's storage that is needed here.
type Blobs interface {
	List(ctx context.Context, prefix blob.ID) iter.Seq2[blob.Metadata, error]
	// Remove deletes blobs and their spares, after it was written down that this is on purpose.
	Remove(ctx context.Context, ids []blob.ID) error
	PutText(ctx context.Context, id blob.ID, text string) error
	DeleteBlob(ctx context.Context, id blob.ID) error
}

// Pruner prunes one repository. All of it must be set.
type Pruner struct {
	Store cofre.Store
	Kopia repo.DirectRepositoryWriter
	Blobs Blobs
	Key   seal.Key // that of the repository
	// Past is the repository by a clock that stands in the past.
	Past      func(context.Context) (repo.DirectRepositoryWriter, error)
	Refresh   func(context.Context) error // reads the indexes
	Flush     func(context.Context, repo.RepositoryWriter) error
	Roots     func(context.Context) ([]string, error)              // objects that points and snapshots refer to
	Lost      func(context.Context) (map[content.ID]string, error) // contents that are known to be damaged
	Directory func(context.Context, string) (*directory.Table, error)
	Commit    func(context.Context, string) error // returns nil if nobody else has the right to prune
	ByName    func() (undo func())                // has names of indexes say in whose place each is
	Limits    Limits
	DryRun    bool

	now    time.Time // by the clock of the store
	since  time.Time // when the oldest capture began that has gone on for long; zero if there is none
	report cofre.Pruned
}

// removedAtOnce is how many files are deleted after one look at the lease, and written down together.
const removedAtOnce = 256

// Run prunes. It may be called once.
//
// A crash at any moment leaves every point as it was. In this order, and this is what a crash leaves after each: what is due is
// written down as removed, and deleted (files that nobody refers to, for the next run); what is referred to again is copied; contents are
// marked (the next run announces what holds them); the contents of small and half empty files are moved (twice there, until the next
// run); what holds nothing that counts is announced; indexes, then seals, are written as one and what they take the place of is
// deleted (a later run deletes the rest).
//
// Errors: cofre.ErrCorrupt if something of a point cannot be read that names what it needs; those of Commit; those of the store.
func (p *Pruner) Run(ctx context.Context) (*cofre.Pruned, error) {
	p.report.DryRun, p.now = p.DryRun, time.Now()
	if !p.DryRun {
		now, err := storeNow(ctx, p.Store)
		if err != nil {
			return nil, fmt.Errorf("ask the store for its time: %w", err)
		}
		p.now = now
	}
	var err error
	if p.since, _, err = capturing(ctx, p.Store, p.now.Add(-p.Limits.Silent)); err != nil {
		return nil, err
	}
	notes, err := readNotes(ctx, p.Store)
	if err != nil {
		return nil, err
	}
	m := newMarks(p)
	s, err := p.look(ctx, m, notes)
	if err != nil {
		return nil, err
	}
	if p.DryRun {
		p.say(s)
		return &p.report, nil
	}
	for _, step := range []func(context.Context, *state) error{p.removeDue, p.revive, p.markUnused, p.moveIfThereIsRoom} {
		if err := step(ctx, s); err != nil {
			return nil, err
		}
	}
	if s, err = p.look(ctx, m, notes); err != nil {
		return nil, err
	}
	if err := p.announce(ctx, s); err != nil {
		return nil, err
	}
	p.say(s)
	for _, step := range []func(context.Context) error{p.compactIndexes, p.compactSeals, p.sweep} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &p.report, nil
}

// pack is a file of contents.
type pack struct {
	size      int64
	at        time.Time // by the clock of the store; zero if it is not there
	announced *note
	live      cofre.Heap // contents that something refers to
	unused    cofre.Heap // that nothing refers to, and that are not marked
	marked    cofre.Heap
}

// state is what the store holds.
type state struct {
	marks *marks
	lost  map[content.ID]string
	notes []note
	packs map[blob.ID]*pack
	again []content.ID // referred to, and marked
}

func (s *state) at(id blob.ID) *pack {
	if s.packs[id] == nil {
		s.packs[id] = &pack{}
	}
	return s.packs[id]
}

// look lists packs before it reads indexes: what an index names is then listed, or was deleted.
func (p *Pruner) look(ctx context.Context, m *marks, notes []note) (*state, error) {
	s := &state{marks: m, notes: notes, packs: map[blob.ID]*pack{}}
	for _, prefix := range []blob.ID{content.PackBlobIDPrefixRegular, content.PackBlobIDPrefixSpecial} {
		for b, err := range p.Blobs.List(ctx, prefix) {
			if err != nil {
				return nil, err
			}
			s.packs[b.BlobID] = &pack{size: b.Length, at: b.Timestamp}
		}
	}
	for i, n := range notes {
		for _, id := range n.packs {
			if at := s.packs[id]; at != nil && (at.announced == nil || n.at.Before(at.announced.at)) {
				at.announced = &notes[i]
			}
		}
	}
	if err := m.all(ctx); err != nil {
		return nil, err
	}
	var err error
	if s.lost, err = p.Lost(ctx); err != nil {
		return nil, err
	}
	return s, p.eachContent(ctx, func(i content.Info) error {
		at := s.at(i.PackBlobID)
		switch {
		case s.counts(i):
			at.live.Add(int64(i.PackedLength))
			if _, damaged := s.lost[i.ContentID]; i.Deleted && !damaged {
				s.again = append(s.again, i.ContentID)
			}
		case i.Deleted:
			at.marked.Add(int64(i.PackedLength))
		default:
			at.unused.Add(int64(i.PackedLength))
		}
		return nil
	})
}

// counts reports whether something refers to a content. All manifests count that are not marked.
func (s *state) counts(i content.Info) bool {
	if i.ContentID.Prefix() == manifest.ContentPrefix {
		return !i.Deleted
	}
	return s.marks.has(i.ContentID)
}

func (p *Pruner) eachContent(ctx context.Context, do func(content.Info) error) error {
	return p.Kopia.ContentReader().IterateContents(ctx, content.IterateOptions{IncludeDeleted: true}, func(i content.Info) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return do(i)
	})
}

// free reports whether a file holds nothing that anything refers to, or that is not marked, or will.
func (s *state) free(k *pack) bool {
	unknown := k.live.Count+k.unused.Count+k.marked.Count == 0
	return k.live.Count == 0 && k.unused.Count == 0 && !(unknown && s.marks.writing)
}

func (p *Pruner) old(k *pack) bool {
	return p.now.Sub(k.at) >= p.Limits.Young && !p.duringCapture(k.at)
}

// duringCapture reports whether a capture went on at a time that has not ended yet: it may be about to refer to what was stored since, and has not seen what
// was announced since.
func (p *Pruner) duringCapture(at time.Time) bool { return !p.since.IsZero() && !at.Before(p.since) }

func (p *Pruner) due(s *state, k *pack) bool {
	return !k.at.IsZero() && k.announced != nil && s.free(k) && p.now.Sub(k.announced.at) >= p.Limits.Grace && !p.duringCapture(k.announced.at)
}

// removeDue deletes what was announced long enough ago and still holds nothing that counts.
func (p *Pruner) removeDue(ctx context.Context, s *state) error {
	var due []blob.ID
	for id, k := range s.packs {
		if p.due(s, k) {
			due = append(due, id)
		}
	}
	slices.Sort(due)
	for some := range slices.Chunk(due, removedAtOnce) {
		if err := p.remove(ctx, some); err != nil {
			return err
		}
		for _, id := range some {
			p.report.Freed.Add(s.packs[id].size)
		}
	}
	return nil
}

func (p *Pruner) remove(ctx context.Context, ids []blob.ID) error {
	if err := p.Commit(ctx, fmt.Sprintf("delete %d files", len(ids))); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return p.Blobs.Remove(ctx, ids)
}

// announce writes down what holds nothing that counts.
func (p *Pruner) announce(ctx context.Context, s *state) error {
	var names []string
	n := note{at: p.now}
	for id, k := range s.packs {
		if !k.at.IsZero() && k.announced == nil && s.free(k) && p.old(k) {
			names = append(names, string(id))
			k.announced = &n
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	if err := p.Commit(ctx, fmt.Sprintf("announce %d files", len(names))); err != nil {
		return err
	}
	return writeLines(ctx, p.Store, announcedPrefix+time.Now().UTC().Format(seal.TimeLayout)+"-"+strings.ToLower(rand.Text()[:8]), names)
}

// say counts what is not free yet, and why.
func (p *Pruner) say(s *state) {
	r := &p.report
	for _, k := range s.packs {
		switch {
		case k.at.IsZero():
		case p.DryRun && p.due(s, k):
			r.Freed.Add(k.size)
		case k.announced != nil && k.live.Count > 0:
			r.Again.Add(k.size)
		case k.announced != nil, p.DryRun && k.live.Count == 0 && p.old(k):
			r.Announced.Add(k.size)
			at := p.now
			if k.announced != nil {
				at = k.announced.at
			}
			if due := at.Add(p.Limits.Grace).UTC(); due.After(r.Due) {
				r.Due = due
			}
		case k.live.Count == 0:
			r.Young.Add(k.size)
		default:
			unused := k.unused.Bytes + k.marked.Bytes
			if unused > 0 {
				r.Shared.Add(unused)
			}
		}
	}
}

// sweep deletes what only told others of something that is over: announcements of files that are gone, publications that were killed, and sessions.
func (p *Pruner) sweep(ctx context.Context) error {
	there := map[blob.ID]bool{}
	for _, prefix := range []blob.ID{content.PackBlobIDPrefixRegular, content.PackBlobIDPrefixSpecial} {
		for b, err := range p.Blobs.List(ctx, prefix) {
			if err != nil {
				return err
			}
			there[b.BlobID] = true
		}
	}
	notes, err := readNotes(ctx, p.Store)
	if err != nil {
		return err
	}
	_, over, err := intents(ctx, p.Store, p.now.Add(-p.Limits.Intent))
	if err != nil {
		return err
	}
	_, silent, err := capturing(ctx, p.Store, p.now.Add(-p.Limits.Silent))
	if err != nil {
		return err
	}
	over = append(over, silent...)
	for _, n := range notes {
		if !slices.ContainsFunc(n.packs, func(id blob.ID) bool { return there[id] }) {
			over = append(over, n.name)
		}
	}
	for _, name := range over {
		if err := p.Store.Delete(ctx, name); err != nil {
			return err
		}
	}
	return p.sweepMarkers(ctx)
}

// sweepMarkers deletes the markers of sessions that were killed, or whose key may not delete.
func (p *Pruner) sweepMarkers(ctx context.Context) error {
	for b, err := range p.Blobs.List(ctx, content.BlobIDPrefixSession) {
		if err != nil {
			return err
		}
		if p.now.Sub(b.Timestamp) < p.Limits.Intent || p.duringCapture(b.Timestamp) {
			continue
		}
		if err := p.Blobs.DeleteBlob(ctx, b.BlobID); err != nil {
			return err
		}
	}
	return nil
}
