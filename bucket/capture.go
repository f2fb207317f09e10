package bucket

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket/spill"
	"github.com/trustlayer/cofre/internal/guard"
	"github.com/trustlayer/cofre/internal/retry"
)

// Numbers of objects read at once. The reference Supabase server is saturated by 8 connections and gains little
// up to 16; beyond that its pool of database connections runs out and it answers 544.
const (
	DefaultJobs = 8
	MaxJobs     = 16
)

// shardsAtOnce bounds how many shards are in memory; each holds the rows of its index.
const shardsAtOnce = 32

// Config says what to capture.
type Config struct {
	Source  cofre.SourceID
	Store   Store
	Buckets []string // none: all there are
	// Inventory lists the objects if the store's own listing knows less; nil lists the store, and so does an
	// Inventory whose first error is cofre.ErrNotFound. A database captured in the same run that names the objects (Rowed)
	// goes before both.
	Inventory Inventory
	Jobs      int    // objects read at once: DefaultJobs if 0, never more than MaxJobs
	TempDir   string // for inventories of more than some ten thousand objects; the system's if empty
	// StateDir is where this machine remembers what a capture has read, so that one that was killed goes on; it
	// holds names of objects, and may be deleted at any time. Empty: a killed capture reads everything again.
	StateDir string
	// AllowEmpty captures an empty storage though the last capture was not empty.
	AllowEmpty bool
}

// Source captures buckets. It is a cofre.Source, cofre.Preparer, cofre.Checker and cofre.PartialBase.
type Source struct {
	cfg Config

	mu       sync.Mutex
	prepared *preparation
}

// preparation is what Prepare left for Capture: objects that are in the session already.
type preparation struct {
	session cofre.Session
	digits  int
	buckets []Bucket
	kept    *spill.File // of kept
	chase   *chase      // reads what is written until Capture begins
}

func (p *preparation) close() {
	if p != nil {
		p.chase.end()
		_ = p.kept.Close() // an unlinked file: nothing is lost with it
	}
}

// kept is an object that was written into a session.
type kept struct {
	Indexed
	ObjectID cofre.ObjectID `json:"object_id"`
	Fetched  bool           `json:"fetched,omitempty"` // read by this run, before its turn
}

var (
	_ cofre.Source      = (*Source)(nil)
	_ cofre.Preparer    = (*Source)(nil)
	_ cofre.Checker     = (*Source)(nil)
	_ cofre.PartialBase = (*Source)(nil)
)

// NewSource makes a source of cfg. It connects to nothing.
func NewSource(cfg Config) *Source {
	if cfg.Jobs <= 0 {
		cfg.Jobs = DefaultJobs
	}
	cfg.Jobs = min(cfg.Jobs, MaxJobs)
	return &Source{cfg: cfg}
}

// ID identifies the source.
func (s *Source) ID() cofre.SourceID { return s.cfg.Source }

// TakesPartialBase is true: the index names what is missing, and a shard that lacks something is looked at again.
func (s *Source) TakesPartialBase() bool { return true }

// Doctor lists the buckets and says what a person should know about the store, and what a capture would not take.
//
// Errors: the error of ctx. What is wrong with the store is a diagnosis.
func (s *Source) Doctor(ctx context.Context) ([]cofre.Diagnosis, error) {
	r := &run{cfg: s.cfg, store: s.cfg.Store, desc: s.cfg.Store.Describe()}
	subject := cofre.Verbatim("storage " + r.desc.URL)
	if err := r.findBuckets(ctx); err != nil {
		return []cofre.Diagnosis{cofre.NewDiagnosis(subject, false, cofre.SayError(err), cofre.HintOf(err))}, nil
	}
	found := []cofre.Diagnosis{cofre.NewDiagnosis(subject, true, cofre.SayN("bucket.buckets", len(r.buckets), "{{.kind}}, {{.n}} bucket", "{{.kind}}, {{.n}} buckets", "kind", r.desc.Kind), cofre.Message{})}
	for _, w := range warnings(s.cfg.Store) {
		found = append(found, cofre.NewDiagnosis(subject, false, w, cofre.Message{}))
	}
	if _, ok := s.cfg.Store.(Foldered); ok { // of the others a listing may cost money, and tells nothing that the capture does not
		r.findUnreadable(ctx)
	}
	for _, f := range r.findings {
		found = append(found, cofre.NewDiagnosis(subject, false, cofre.Say("bucket.found", "{{.object}}: {{.what}}", "object", f.Object, "what", f.Messages.Of(f.What)),
			cofre.Say("bucket.put_right", "correct it or remove it; if storage.buckets names buckets, only these are backed up")))
	}
	return found, ctx.Err()
}

func warnings(s Store) []cofre.Message {
	if w, ok := s.(Warner); ok {
		return w.Warnings()
	}
	return nil
}

// Prepare reads the objects that the last component lacks into c.Session, before anything else is captured, and
// goes on reading what is written until Capture begins or ctx ends, so that what an object is overwritten with from
// now on cannot be lost to a point whose database names it. What cannot be read is left to Capture.
//
// Errors: cofre.ErrNotFound, cofre.ErrDenied, cofre.ErrUnreachable if the buckets or their inventory cannot be listed;
// cofre.ErrCorrupt if the last component cannot be read; those of c.Session, and of the files in TempDir and StateDir.
func (s *Source) Prepare(ctx context.Context, c *cofre.Capture) error {
	if _, ok := s.cfg.Store.(Rowed); !ok {
		return nil // no database names the versions of other stores
	}
	r, err := s.begin(ctx, c, nil)
	if err != nil {
		return err
	}
	p := &preparation{session: c.Session, digits: r.digits, kept: spill.New(s.cfg.TempDir)}
	r.keeping = p.kept
	if err := r.everyShard(ctx, r.prepareShard); err != nil {
		r.close()
		return errors.Join(err, p.kept.Close())
	}
	p.buckets = r.buckets
	p.chase = startChase(ctx, r, p, r.newest)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prepared.close() // left by a run whose database could not be captured
	s.prepared = p
	return nil
}

// Capture reads every bucket once. See the package comment for how.
//
// Errors: cofre.ErrRefused if nothing is left of a storage that was not empty; cofre.ErrDenied for a key that
// may not read everything; cofre.ErrUnreachable. A bucket or an object that cannot be read is no error: the component is
// partial and names it. Nor is a storage that goes away: what was read before and what the last component holds is kept,
// and each of the others is named.
func (s *Source) Capture(ctx context.Context, c *cofre.Capture) (cofre.Captured, error) {
	s.mu.Lock()
	prepared := s.prepared
	s.prepared = nil
	s.mu.Unlock()
	if prepared != nil {
		prepared.chase.end()
		defer prepared.close()
	}
	r, err := s.begin(ctx, c, prepared)
	if err != nil {
		return cofre.Captured{}, err
	}
	defer r.close()
	if err := r.refuseEmpty(); err != nil {
		return cofre.Captured{}, err
	}
	c.Observer.Observe(r.event(cofre.TypeTaskBegan))
	err = r.everyShard(ctx, r.captureShard)
	ended := r.event(cofre.TypeTaskEnded)
	ended.Err = err
	c.Observer.Observe(ended)
	if err != nil {
		return cofre.Captured{}, err
	}
	if gone := r.gone(); gone != nil && r.facts.Objects == 0 {
		return cofre.Captured{}, gone
	}
	if err := r.finish(ctx); err != nil {
		return cofre.Captured{}, err
	}
	return r.captured()
}

// run is one pass over the inventory.
type run struct {
	cfg     Config
	c       *cofre.Capture
	store   Store
	desc    Description
	buckets []Bucket
	pace    *retry.Pace
	slots   chan struct{} // of objects being read

	lost     lost
	findings []cofre.Finding // beside those of single objects
	unlisted map[string]bool // buckets whose listing did not come to its end

	inventory *spill.File // of Indexed, as listed
	from      string      // database, sql, listing
	takenAt   time.Time
	newest    time.Time // of the rows, by the service's clock
	perBucket map[string]*BucketFacts

	digits     int
	previous   Shards
	untold     bool                   // the previous component was made before tags were captured
	tagless    sync.Map               // buckets of which this run was not told the tags of an object
	dirs       map[string]cofre.Entry // shard directories of the previous component, by name
	prepared   *preparation
	keeping    *spill.File // set while preparing
	journal    *journal
	resumed    *spill.File  // of kept: what the journal remembers
	done       atomic.Int64 // bytes read or taken over
	lastReport atomic.Int64 // Unix milliseconds

	mu      sync.Mutex
	facts   Facts
	digests map[string]Digest
}

func (s *Source) begin(ctx context.Context, c *cofre.Capture, prepared *preparation) (*run, error) {
	r := &run{
		cfg: s.cfg, c: c, store: s.cfg.Store, desc: s.cfg.Store.Describe(), prepared: prepared,
		pace: NewPace(), slots: make(chan struct{}, s.cfg.Jobs), perBucket: map[string]*BucketFacts{}, digests: map[string]Digest{},
		inventory: spill.New(s.cfg.TempDir), takenAt: time.Now(),
	}
	if r.c.Observer == nil {
		r.c.Observer = cofre.Discard
	}
	if err := r.findBuckets(ctx); err != nil && prepared == nil {
		return nil, err
	} else if err != nil {
		// It was there when it was prepared: what was read then is kept, and the rest is tried.
		r.buckets = prepared.buckets
	}
	var err error
	if err := r.take(ctx); err != nil {
		r.close()
		return nil, err
	}
	if err := r.readPrevious(ctx); err != nil {
		r.close()
		return nil, err
	}
	if r.journal, r.resumed, err = openJournal(s.cfg.StateDir, s.cfg.Source, r.desc.URL, c.Previous, s.cfg.TempDir); err != nil {
		r.close()
		return nil, err
	}
	if prepared != nil {
		r.digits = prepared.digits
	} else {
		r.digits = shardDigits(r.inventory.Rows, r.previous.Digits)
	}
	return r, nil
}

// close releases what a run holds: unlinked files, and a journal of which every line is written.
func (r *run) close() { _, _, _ = r.inventory.Close(), r.resumed.Close(), r.journal.close() }

// take reads the inventory into the spill.
func (r *run) take(ctx context.Context) error {
	rows, from, err := r.rows(ctx)
	if err != nil {
		return err
	}
	r.from = from
	err = r.takeRows(rows)
	if from == "sql" && err != nil && ctx.Err() == nil {
		// Either a database that is not the storage's, or one that does not answer now.
		if !errors.Is(err, cofre.ErrNotFound) {
			r.find("inventory", cofre.Say("bucket.inventory", "the database could not be asked, so the inventory is the storage's own listing, without owners and versions: {{.cause}}", "cause", err))
		}
		r.from = "listing"
		_ = r.inventory.Close() // an unlinked file: nothing is lost with it
		r.inventory = spill.New(r.cfg.TempDir)
		err = r.takeRows(r.listing(ctx))
	}
	if err != nil {
		return fmt.Errorf("take the inventory of %s: %w", r.desc.URL, err)
	}
	return ctx.Err()
}

func (r *run) takeRows(rows iter.Seq2[Object, error]) error {
	wanted := map[string]bool{}
	r.perBucket = map[string]*BucketFacts{}
	for _, b := range r.buckets {
		r.perBucket[b.ID] = &BucketFacts{ID: b.ID}
		wanted[b.ID] = true
	}
	var first error
	for o, err := range rows {
		x := Indexed{Object: o}
		var cut *bucketError
		if u, ok := Unreadable(err); ok {
			x = lacking(u.Object, u.Why)
		} else if errors.As(err, &cut) {
			first = cmp.Or(first, err)
			r.cutOff(cut)
			continue
		} else if err != nil {
			return err
		}
		// A named bucket is the only one wanted. If all are, a row of a bucket that is gone by now still is a
		// promise of the database, and missing.
		if len(r.cfg.Buckets) > 0 && !wanted[x.Bucket] {
			continue
		}
		b := r.perBucket[x.Bucket]
		if b == nil {
			b = &BucketFacts{ID: x.Bucket}
			r.perBucket[x.Bucket] = b
		}
		b.Objects++
		b.Bytes += max(x.Size, 0)
		if x.ModifiedAt.After(r.newest) {
			r.newest = x.ModifiedAt
		}
		if err := r.inventory.Add(x.Bucket, x.Name, x.Size, x); err != nil {
			return err
		}
	}
	if len(r.unlisted) == len(r.buckets) && r.inventory.Rows == 0 {
		return first // nothing could be listed: no component
	}
	return nil
}

// rows chooses where the inventory comes from: the database of the same point, SQL, or the store's listing.
func (r *run) rows(ctx context.Context) (iter.Seq2[Object, error], string, error) {
	if named, ok := r.store.(Rowed); ok {
		for _, comp := range r.c.Companions {
			rows, err := named.Rows(ctx, comp.Component, comp.Tree)
			if errors.Is(err, cofre.ErrNotFound) {
				continue // a database that names no objects
			}
			if err != nil {
				return nil, "", err
			}
			return rows, "database", nil
		}
	}
	if r.cfg.Inventory != nil {
		return r.cfg.Inventory.Rows(ctx), "sql", nil
	}
	return r.listing(ctx), "listing", nil
}

// listing asks the store itself.
func (r *run) listing(ctx context.Context) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for _, b := range r.buckets {
			for o, err := range r.store.List(ctx, b.ID, "") {
				if ctx.Err() != nil {
					yield(Object{}, ctx.Err())
					return
				}
				if _, about := Unreadable(err); err != nil && !about {
					err = &bucketError{b.ID, err}
				}
				if !yield(o, err) {
					return
				}
			}
		}
	}
}

func (r *run) readPrevious(ctx context.Context) error {
	if r.c.Previous == nil || r.c.PreviousTree == nil {
		return nil
	}
	var err error
	if r.previous, err = ReadShards(ctx, r.c.PreviousTree); err != nil {
		return fmt.Errorf("read the last storage component: %w", err)
	}
	var last Facts
	r.untold = r.desc.Tags && (json.Unmarshal(r.c.Previous.Facts, &last) != nil || !last.Kept().Tags)
	r.dirs = map[string]cofre.Entry{}
	if len(r.previous.Digests) == 0 {
		return nil
	}
	for e, err := range r.c.PreviousTree.List(ctx, ShardsDir) {
		if err != nil {
			return fmt.Errorf("read the last storage component: %w", err)
		}
		r.dirs[strings.TrimPrefix(e.Path, ShardsDir+"/")] = e
	}
	return nil
}

// refuseEmpty keeps a wrong key or a lost disk from looking like a successful backup.
func (r *run) refuseEmpty() error {
	if r.inventory.Rows > 0 || r.c.Previous == nil || r.cfg.AllowEmpty {
		return nil
	}
	var last Facts
	if err := json.Unmarshal(r.c.Previous.Facts, &last); err != nil || last.Objects == 0 {
		return nil
	}
	return cofre.WithHint(
		fmt.Errorf("%s lists no objects, the last capture had %d: %w", r.desc.URL, last.Objects, cofre.ErrRefused),
		cofre.Say("bucket.empty", "if the storage is meant to be empty, back up once with --allow-empty; otherwise look at the key and at the storage's disk"))
}

func (r *run) everyShard(ctx context.Context, f func(context.Context, string) error) error {
	g, gctx := guard.WithContext(ctx)
	g.SetLimit(shardsAtOnce)
	for _, shard := range spill.Shards(r.digits) {
		if gctx.Err() != nil {
			break
		}
		g.Go(func() error { return f(gctx, shard) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// listedShard is what the inventory says of a shard, not decoded: of an unchanged one nothing else is needed.
type listedShard struct {
	raw    []json.RawMessage // of Indexed, sorted: bucket and name come first in each
	digest string
}

func (r *run) listed(shard string) (listedShard, error) {
	var l listedShard
	if err := r.inventory.Each(shard, func(b json.RawMessage) error {
		l.raw = append(l.raw, b)
		return nil
	}); err != nil {
		return listedShard{}, err
	}
	slices.SortFunc(l.raw, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
	h := sha256.New()
	for _, b := range l.raw {
		_, _ = h.Write(b) // a hash never fails
	}
	l.digest = hex.EncodeToString(h.Sum(nil)[:16])
	return l, nil
}

// rows decodes the shard, sorted, each name once.
func (l listedShard) rows() ([]Indexed, error) {
	rows := make([]Indexed, len(l.raw))
	for i, b := range l.raw {
		if err := json.Unmarshal(b, &rows[i]); err != nil {
			return nil, fmt.Errorf("read kept inventory: %w", err)
		}
	}
	slices.SortStableFunc(rows, order)
	return slices.CompactFunc(rows, func(a, b Indexed) bool { return a.Bucket == b.Bucket && a.Name == b.Name }), nil
}

// unchanged reports whether the last component holds the shard as it is listed now.
func (r *run) unchanged(shard, digest string) bool {
	d, ok := r.previous.Digests[shard]
	return ok && !r.untold && r.previous.Digits == r.digits && d.Rows != "" && d.Rows == digest && r.dirs[shard].Object != ""
}

// prepareShard brings what the last component lacks.
func (r *run) prepareShard(ctx context.Context, shard string) error {
	listed, err := r.listed(shard)
	if err != nil || len(listed.raw) == 0 || r.unchanged(shard, listed.digest) {
		return err
	}
	rows, err := listed.rows()
	if err != nil {
		return err
	}
	last, err := r.last(ctx, shard)
	if err != nil {
		return err
	}
	resumed, err := spill.Records[kept](r.resumed, shard)
	if err != nil {
		return err
	}
	g, gctx := guard.WithContext(ctx)
	for _, row := range rows {
		if row.Missing != "" {
			continue
		}
		if _, ok := last.find(row.Object); ok {
			continue
		}
		if k, ok, err := r.resume(ctx, shard, resumed, row.Object); err != nil {
			return errors.Join(err, g.Wait())
		} else if ok {
			if err := r.keeping.Add(k.Bucket, k.Name, k.Size, k); err != nil {
				return errors.Join(err, g.Wait())
			}
			continue
		}
		if err := r.slot(gctx); err != nil {
			break
		}
		g.Go(func() error {
			defer func() { <-r.slots }()
			got, err := r.fetch(gctx, shard, row.Object)
			if err != nil || got.entry.Object == "" {
				return err
			}
			x := got.indexed
			return r.keeping.Add(x.Bucket, x.Name, x.Size, kept{Indexed: x, ObjectID: got.entry.Object, Fetched: true})
		})
	}
	return errors.Join(g.Wait(), ctx.Err())
}

// slot takes one of the places for objects being read.
func (r *run) slot(ctx context.Context) error {
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// captureShard takes a shard over whole, or builds it anew.
func (r *run) captureShard(ctx context.Context, shard string) error {
	listed, err := r.listed(shard)
	if err != nil {
		return err
	}
	var early []kept
	if r.prepared != nil {
		if early, err = spill.Records[kept](r.prepared.kept, shard); err != nil {
			return err
		}
	}
	if len(listed.raw) == 0 && len(early) == 0 {
		return nil
	}
	if len(early) == 0 && r.unchanged(shard, listed.digest) {
		e := r.dirs[shard]
		e.Path = shardPath(shard)
		if err := r.c.Session.Reuse(ctx, e); err != nil {
			return fmt.Errorf("take over shard %s: %w", shard, err)
		}
		d := r.previous.Digests[shard]
		r.progress(d.Bytes)
		r.mu.Lock()
		r.digests[shard] = d
		r.facts.Objects += d.Objects
		r.facts.Bytes += d.Bytes
		r.facts.Reused += d.Objects
		r.mu.Unlock()
		return nil
	}
	rows, err := listed.rows()
	if err != nil {
		return err
	}
	index, err := r.build(ctx, shard, rows, early)
	if err != nil {
		return err
	}
	return r.writeIndex(ctx, shard, listed.digest, index)
}

// build gathers what a shard's index will hold, reading what has to be read.
func (r *run) build(ctx context.Context, shard string, rows []Indexed, early []kept) ([]Indexed, error) {
	last, err := r.last(ctx, shard)
	if err != nil {
		return nil, err
	}
	resumed, err := spill.Records[kept](r.resumed, shard)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex
	index := make([]Indexed, 0, len(rows))
	add := func(xs ...Indexed) {
		mu.Lock()
		defer mu.Unlock()
		index = append(index, xs...)
	}
	used := make([]bool, len(early))
	g, gctx := guard.WithContext(ctx)
	for _, row := range rows {
		if row.Missing != "" {
			add(row)
			continue
		}
		if i := slices.IndexFunc(early, func(k kept) bool {
			return k.Bucket == row.Bucket && k.Name == row.Name && SameContent(k.Object, row.Object)
		}); i >= 0 {
			used[i] = true
			x, err := r.bringEarly(ctx, shard, early[i], row.Object)
			if err != nil {
				return nil, errors.Join(err, g.Wait())
			}
			add(x)
			continue
		}
		if l, ok := last.find(row.Object); ok {
			x, err := r.reuse(ctx, shard, l, row.Object)
			if err != nil {
				return nil, errors.Join(err, g.Wait())
			}
			add(x)
			continue
		}
		if k, ok, err := r.resume(ctx, shard, resumed, row.Object); err != nil {
			return nil, errors.Join(err, g.Wait())
		} else if ok {
			add(k.Indexed)
			continue
		}
		if err := r.slot(gctx); err != nil {
			return nil, errors.Join(g.Wait(), err)
		}
		g.Go(func() error {
			defer func() { <-r.slots }()
			got, err := r.fetch(gctx, shard, row.Object)
			if err != nil {
				return err
			}
			add(r.account(row.Object, got)...)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for i, k := range early {
		if used[i] || slices.ContainsFunc(index, func(x Indexed) bool { return x.File != "" && x.File == k.File }) {
			continue
		}
		x, err := r.bringEarly(ctx, shard, k, k.Object)
		if err != nil {
			return nil, err
		}
		x.Superseded = true
		index = append(index, x)
	}
	return index, nil
}

// bringEarly puts an object that Prepare read into the component. In the same session it is there already.
func (r *run) bringEarly(ctx context.Context, shard string, k kept, now Object) (Indexed, error) {
	x := k.Indexed
	x.Object = Enrich(now, k.Object)
	if k.Fetched {
		r.mu.Lock()
		r.facts.Read++
		r.facts.ReadBytes += x.Size
		r.mu.Unlock()
	}
	if r.prepared.session == r.c.Session {
		return x, nil
	}
	return x, r.reuseObject(ctx, shard, x, k.ObjectID)
}

// resume takes an object over that an earlier capture read before it was killed, if its bytes became durable.
func (r *run) resume(ctx context.Context, shard string, resumed []kept, now Object) (kept, bool, error) {
	for _, k := range resumed {
		if k.Bucket != now.Bucket || k.Name != now.Name || k.Suspect != "" || !SameContent(k.Object, now) {
			continue
		}
		k.Object = Enrich(now, k.Object)
		err := r.reuseObject(ctx, shard, k.Indexed, k.ObjectID)
		if errors.Is(err, cofre.ErrNotFound) {
			continue
		}
		if err != nil {
			return kept{}, false, err
		}
		r.mu.Lock()
		r.facts.Reused++
		r.mu.Unlock()
		return k, true, nil
	}
	return kept{}, false, nil
}

func (r *run) reuse(ctx context.Context, shard string, l lastObject, now Object) (Indexed, error) {
	x := l.Indexed
	x.Object, x.Superseded = Enrich(now, l.Object), false
	if err := r.learnTags(ctx, &x.Object); err != nil {
		return Indexed{}, err
	}
	if err := r.reuseObject(ctx, shard, x, l.id); err != nil {
		return Indexed{}, err
	}
	r.mu.Lock()
	r.facts.Reused++
	r.mu.Unlock()
	return x, nil
}

// learnTags asks for the tags of an object that was captured without them: by a version of before, or with a key that might
// not read them.
func (r *run) learnTags(ctx context.Context, o *Object) error {
	if _, denied := r.tagless.Load(o.Bucket); !r.desc.Tags || o.Tags != nil || denied && o.TagsUnread == "" {
		return nil
	}
	now, err := r.store.Stat(ctx, o.Bucket, o.Name)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		o.TagsUnread = err.Error()
	case !SameContent(now, *o):
		o.TagsUnread = "the object was overwritten during the backup"
	default:
		o.Tags, o.TagsUnread = now.Tags, now.TagsUnread
		if o.Tags == nil && o.TagsUnread == "" {
			r.tagless.Store(o.Bucket, true)
		}
	}
	return nil
}

func (r *run) reuseObject(ctx context.Context, shard string, x Indexed, id cofre.ObjectID) error {
	e := entryOf(shard, x)
	e.Object = id
	if err := r.c.Session.Reuse(ctx, e); err != nil {
		return fmt.Errorf("take over %s: %w", x.Path(), err)
	}
	return nil
}

func entryOf(shard string, x Indexed) cofre.Entry {
	return cofre.Entry{Path: filePath(shard, x.File), Mode: fs.FileMode(0o600), ModTime: x.ModifiedAt, Size: x.Size}
}

// Enrich returns now, with what an earlier reading knew and a listing does not show.
func Enrich(now, known Object) Object {
	fill := func(to *string, from string) {
		if *to == "" {
			*to = from
		}
	}
	fill(&now.Version, known.Version)
	fill(&now.ETag, known.ETag)
	fill(&now.ContentType, known.ContentType)
	fill(&now.CacheControl, known.CacheControl)
	fill(&now.Robots, known.Robots)
	fill(&now.Encoding, known.Encoding)
	fill(&now.Disposition, known.Disposition)
	fill(&now.Language, known.Language)
	if now.Metadata == nil {
		now.Metadata = known.Metadata
	}
	if now.Tags == nil && now.TagsUnread == "" {
		now.Tags, now.TagsUnread = known.Tags, known.TagsUnread
	}
	if now.Attributes == nil {
		now.Attributes = known.Attributes
	}
	if now.Row == nil {
		now.Row = known.Row
	}
	if now.ModifiedAt.IsZero() {
		now.ModifiedAt = known.ModifiedAt
	}
	return now
}

// account turns what reading a row came to into lines of the index.
func (r *run) account(row Object, got fetched) []Indexed {
	r.mu.Lock()
	defer r.mu.Unlock()
	named := r.from == "database"
	switch {
	case got.vanished && !named:
		r.facts.Vanished++
		return nil
	case got.vanished:
		return []Indexed{lacking(row, cofre.Say("bucket.deleted", "deleted during the backup, before it could be read"))}
	case !got.missing.IsZero():
		return []Indexed{lacking(row, got.missing)}
	}
	r.facts.Read++
	r.facts.ReadBytes += got.indexed.Size
	if named && got.overwritten {
		// The database of this point names bytes that no longer exist. What is there now is kept beside the
		// statement, so that a restore has something to offer.
		return []Indexed{
			lacking(row, cofre.Say("bucket.overwritten", "overwritten during the backup; what replaced it is kept")),
			got.indexed,
		}
	}
	return []Indexed{got.indexed}
}

// writeIndex ends a shard.
func (r *run) writeIndex(ctx context.Context, shard, digest string, index []Indexed) error {
	if len(index) == 0 {
		return nil
	}
	b, err := encodeIndex(index)
	if err != nil {
		return err
	}
	e := cofre.Entry{Path: indexPath(shard), Layout: cofre.LayoutFacts, Mode: 0o600, ModTime: r.takenAt, Size: int64(len(b))}
	if _, err := r.c.Session.Put(ctx, e, bytes.NewReader(b)); err != nil {
		return fmt.Errorf("write index of shard %s: %w", shard, err)
	}
	d := Digest{Rows: digest}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range index {
		switch {
		case x.Missing != "":
			d.Rows = "" // to be looked at again, whatever the inventory says next time
			r.facts.MissingN++
			if len(r.facts.Missing) < MaxNamed {
				r.facts.Missing = append(r.facts.Missing, MissingFacts{x.Path(), x.Missing, x.Why()})
			}
		case x.Superseded:
			d.Rows = ""
			r.facts.Superseded++
		default:
			d.Objects++
			d.Bytes += x.Size
		}
		if x.Suspect != "" {
			d.Rows = ""
			r.facts.SuspectN++
			if len(r.facts.Missing) < MaxNamed {
				r.facts.Missing = append(r.facts.Missing, MissingFacts{x.Path(), x.Suspect, x.Why()})
			}
		}
		if r.racy(x.Object) {
			d.Rows = ""
		}
		if r.desc.Tags && x.Tags == nil {
			d.Rows = ""
		}
		if x.TagsUnread != "" && x.Missing == "" {
			r.facts.TagsUnreadN++
			if r.facts.TagsUnread.Object == "" || x.Path() < r.facts.TagsUnread.Object {
				r.facts.TagsUnread = MissingFacts{Object: x.Path(), Why: x.TagsUnread}
			}
		}
	}
	r.digests[shard] = d
	r.facts.Objects += d.Objects
	r.facts.Bytes += d.Bytes
	return nil
}

// racyWindow is how near to its capture an object of a folder may have been written for its times not to be
// trusted: file systems and network mounts keep times to a second or two.
const racyWindow = 2 * time.Second

func (r *run) racy(o Object) bool {
	return r.desc.Volatile && o.ModifiedAt.After(r.takenAt.Add(-racyWindow))
}

// finish writes what describes the component.
func (r *run) finish(ctx context.Context) error {
	if err := r.putJSON(ctx, BucketsFile, r.buckets); err != nil {
		return err
	}
	if err := r.putFolders(ctx); err != nil {
		return err
	}
	return r.putJSON(ctx, ShardsFile, Shards{Format: 1, Digits: r.digits, Digests: r.digests})
}

func (r *run) putJSON(ctx context.Context, path string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	e := cofre.Entry{Path: path, Layout: cofre.LayoutFacts, Mode: 0o600, ModTime: r.takenAt, Size: int64(len(b))}
	if _, err := r.c.Session.Put(ctx, e, bytes.NewReader(b)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func (r *run) captured() (cofre.Captured, error) {
	f := &r.facts
	f.Format, f.Kind, f.URL, f.Inventory = 1, r.desc.Kind, r.desc.URL, r.from
	f.Keeps = &r.desc.Keeps
	f.TakenAt, f.All = r.takenAt.UTC(), len(r.cfg.Buckets) == 0
	for _, b := range r.perBucket {
		f.Buckets = append(f.Buckets, *b)
	}
	slices.SortFunc(f.Buckets, func(a, b BucketFacts) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(f.Missing, func(a, b MissingFacts) int { return strings.Compare(a.Object, b.Object) })
	raw, err := json.Marshal(f)
	if err != nil {
		return cofre.Captured{}, err
	}
	if f.TagsUnreadN > 0 {
		r.find(f.TagsUnread.Object, cofre.SayN("bucket.tags_not_captured", int(f.TagsUnreadN), "the tags of 1 object are not captured: {{.cause}}", "the tags of {{.n}} objects are not captured, of this one first: {{.cause}}", "cause", f.TagsUnread.why()))
	}
	out := cofre.Captured{
		Facts: raw, Findings: append(r.findings, r.objectFindings()...),
		Partial: f.MissingN > 0 || f.SuspectN > 0 || len(r.unlisted) > 0,
	}
	for _, w := range warnings(r.store) {
		out.Warn(w)
	}
	if f.Vanished > 0 {
		out.Warn(cofre.SayN("bucket.vanished", int(f.Vanished), "1 object was deleted during the backup", "{{.n}} objects were deleted during the backup"))
	}
	for _, w := range r.emptied() {
		out.Warn(w)
	}
	return out, nil
}

// emptied names the buckets that had objects last time and have none now.
func (r *run) emptied() []cofre.Message {
	if r.c.Previous == nil {
		return nil
	}
	var last Facts
	if json.Unmarshal(r.c.Previous.Facts, &last) != nil {
		return nil
	}
	var out []cofre.Message
	for _, b := range last.Buckets {
		if now := r.perBucket[b.ID]; b.Objects > 0 && (now == nil || now.Objects == 0) && !r.unlisted[b.ID] && r.covers(b.ID) {
			out = append(out, cofre.SayN("bucket.emptied", int(b.Objects), "bucket {{.bucket}} had 1 object in the last capture, and has none now", "bucket {{.bucket}} had {{.n}} objects in the last capture, and has none now", "bucket", b.ID))
		}
	}
	return out
}

func (r *run) event(t cofre.EventType) cofre.Event {
	return cofre.Event{
		At: time.Now(), Type: t, Source: r.cfg.Source,
		Done: r.done.Load(), Total: r.inventory.Bytes, Unit: cofre.UnitBytes,
	}.Doing(storageTask())
}

func storageTask() cofre.Message { return cofre.Say("bucket.task_capture", "storage") }
