package bucket

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
)

// Restore says what to bring back, and where to.
type Restore struct {
	Source cofre.SourceID // for events
	Point  cofre.PointID  // for the plan
	To     Store

	Buckets []string // none: all that were captured
	Prefix  string   // only names that begin with it
	Object  string   // only this name

	ToBucket string // another bucket for everything selected; the captured one where empty
	ToPrefix string // put before each name, as it stands

	Replace     bool // objects that exist with other bytes or metadata, and settings of buckets
	DeleteExtra bool // objects of the buckets, below the prefix, that were not captured

	// ForDatabase brings exactly the objects that a database names, each in the version it names; nil brings
	// what counted when the component was captured.
	ForDatabase Inventory
	// FixUp sets what no request can: owners and times. Nil leaves them to the service.
	FixUp FixUp

	Jobs    int // as Config.Jobs
	TempDir string
}

// FixUp sets owner, created_at and the like for objects that were restored, in the service's own database.
type FixUp interface {
	// FixUp returns how many rows it set. It never sets a row's version.
	FixUp(ctx context.Context, objects iter.Seq2[Object, error]) (int64, error)
}

// Target carries out a Restore. It is a cofre.Target.
//
// Stage uploads what is absent, or whose bytes are gone, and reads it back. Publish replaces and deletes. So an
// interrupted restore has added objects that are as they were captured, and changed none.
type Target struct {
	cfg  Restore
	desc Description
	tree cofre.Tree
	pace pace

	covered  func(id string) bool // whether the component covers a bucket
	buckets  []Bucket             // as they will be
	existing map[string]Bucket
	wanted   *spill // of Located, by their new place
	present  *spill // of Object: what the buckets hold now
	deferred *spill // of Located: to be replaced when published
	putBack  []func(context.Context) error
	total    int64
	done     atomic.Int64

	mu     sync.Mutex
	counts restoreCounts
	failed []Checked // the first of them
	missed []string  // selected, and missing from the component
}

// Checked is cofre's.
type Checked = cofre.Checked

type restoreCounts struct {
	wanted, created, repaired, equal, deferred, replaced, differ, failed, extra, deleted, missing int64
}

var _ cofre.Target = (*Target)(nil)

// NewTarget makes a target of cfg. It connects to nothing.
func NewTarget(cfg Restore) *Target {
	if cfg.Jobs <= 0 {
		cfg.Jobs = DefaultJobs
	}
	cfg.Jobs = min(cfg.Jobs, MaxJobs)
	return &Target{
		cfg: cfg, desc: cfg.To.Describe(), existing: map[string]Bucket{},
		wanted: newSpill(cfg.TempDir), present: newSpill(cfg.TempDir), deferred: newSpill(cfg.TempDir),
	}
}

// Plan selects the objects, lists what the target has, and says what will happen.
func (t *Target) Plan(ctx context.Context, c cofre.Component, tree cofre.Tree) (*cofre.Plan, error) {
	t.tree = tree
	plan := &cofre.Plan{Title: "restore storage to " + t.desc.URL, Point: t.cfg.Point}
	problem := func(hint, format string, args ...any) {
		plan.Problems = append(plan.Problems, cofre.Problem{What: fmt.Sprintf(format, args...), Hint: hint})
	}
	captured, err := ReadBuckets(ctx, tree)
	if err != nil {
		return nil, err
	}
	var facts Facts
	if err := json.Unmarshal(c.Facts, &facts); err != nil {
		return nil, fmt.Errorf("read the facts of %s: %w", c.Name, err)
	}
	t.covered = facts.covers
	for _, id := range t.cfg.Buckets {
		if !slices.ContainsFunc(captured, func(b Bucket) bool { return b.ID == id }) {
			problem("cofre show lists what a recovery point holds", "bucket %s is not in the component", id)
		}
	}
	if len(plan.Problems) > 0 {
		return plan, nil
	}
	if err := t.chooseBuckets(ctx, captured); err != nil {
		return nil, err
	}
	largest, err := t.selectObjects(ctx)
	if err != nil {
		return nil, err
	}
	if err := t.listPresent(ctx); err != nil {
		return nil, err
	}
	differ, err := t.compareListings(plan)
	if err != nil {
		return nil, err
	}
	if t.counts.wanted == 0 && t.counts.missing == 0 && (t.cfg.Object != "" || t.cfg.Prefix != "") {
		problem("names are compared as they stand, byte by byte", "no captured object has the name or prefix asked for")
	}
	if len(differ) > 0 && !t.cfg.Replace {
		problem("--replace replaces them; --to-bucket or --to-prefix puts the captured ones beside them",
			"%d objects exist in the target with other content, first %s", t.counts.differ, differ[0])
	}
	if t.counts.missing > 0 {
		plan.Notes = append(plan.Notes, fmt.Sprintf("%d objects asked for are not in the component, first %s", t.counts.missing, t.missed[0]))
	}
	if l, ok := t.cfg.To.(Limiter); ok {
		limit, err := l.MaxSize(ctx)
		if err != nil {
			return nil, err
		}
		if limit >= 0 && largest.Size > limit {
			problem("raise UPLOAD_FILE_SIZE_LIMIT on the storage server for the time of the restore",
				"%s has %d bytes and the service takes at most %d", largest.Path(), largest.Size, limit)
		}
	}
	return plan, nil
}

// chooseBuckets decides which buckets will be and whether they are there.
func (t *Target) chooseBuckets(ctx context.Context, captured []Bucket) error {
	have, err := t.cfg.To.Buckets(ctx)
	if err != nil {
		return fmt.Errorf("list buckets of %s: %w", t.desc.URL, err)
	}
	for _, b := range have {
		t.existing[b.ID] = b
	}
	for _, b := range captured {
		if !t.wantBucket(b.ID) {
			continue
		}
		if t.cfg.ToBucket != "" {
			b.ID, b.Name = t.cfg.ToBucket, ""
		}
		if !slices.ContainsFunc(t.buckets, func(o Bucket) bool { return o.ID == b.ID }) {
			t.buckets = append(t.buckets, b)
		}
	}
	return nil
}

func (t *Target) wantBucket(id string) bool {
	return len(t.cfg.Buckets) == 0 || slices.Contains(t.cfg.Buckets, id)
}

func (t *Target) wants(o Object) bool {
	return t.wantBucket(o.Bucket) && strings.HasPrefix(o.Name, t.cfg.Prefix) && (t.cfg.Object == "" || o.Name == t.cfg.Object)
}

// place is where an object goes.
func (t *Target) place(o Object) Object {
	o.Bucket = cmp.Or(t.cfg.ToBucket, o.Bucket)
	o.Name = t.cfg.ToPrefix + o.Name
	return o
}

// asCaptured reports whether objects keep their bucket and name.
func (t *Target) asCaptured() bool { return t.cfg.ToBucket == "" && t.cfg.ToPrefix == "" }

// selectObjects keeps what shall be restored by its new place, and returns the largest.
func (t *Target) selectObjects(ctx context.Context) (Object, error) {
	var named *spill
	if t.cfg.ForDatabase != nil {
		named = newSpill(t.cfg.TempDir)
		defer named.close()
		for o, err := range t.cfg.ForDatabase.Rows(ctx) {
			if err != nil {
				return Object{}, fmt.Errorf("read which objects the database names: %w", err)
			}
			// Of buckets that are backed up elsewhere, or not at all, this component promises nothing.
			if t.wants(o) && t.covered(o.Bucket) {
				if err := named.add(o.Bucket, o.Name, o.Size, o); err != nil {
					return Object{}, err
				}
			}
		}
	}
	s, err := readShards(ctx, t.tree)
	if err != nil {
		return Object{}, err
	}
	var largest Object
	for _, shard := range shardNames(s.Digits) {
		held := map[string][]Indexed{}
		for x, err := range readIndex(ctx, t.tree, shard) {
			if err != nil {
				return Object{}, err
			}
			if t.wants(x.Object) {
				held[x.Path()] = append(held[x.Path()], x)
			}
		}
		chosen, missed, err := choose(named, shard, held)
		if err != nil {
			return Object{}, err
		}
		for _, x := range chosen {
			l := locate(shard, x)
			l.Object = t.place(l.Object)
			if err := t.wanted.add(l.Bucket, l.Name, l.Size, l); err != nil {
				return Object{}, err
			}
			if l.Size > largest.Size {
				largest = l.Object
			}
		}
		t.counts.missing += int64(len(missed))
		t.missed = append(t.missed, missed[:min(len(missed), maxNamed-min(len(t.missed), maxNamed))]...)
	}
	t.counts.wanted, t.total = t.wanted.counts.rows, t.wanted.counts.bytes
	return largest, nil
}

// choose picks, for each object of a shard, the content that a database names, or the one that counts.
func choose(named *spill, shard string, held map[string][]Indexed) (chosen []Indexed, missed []string, err error) {
	if named == nil {
		for path, xs := range held {
			i := slices.IndexFunc(xs, func(x Indexed) bool { return x.File != "" && !x.Superseded })
			if i < 0 {
				if !slices.ContainsFunc(xs, func(x Indexed) bool { return x.Superseded }) {
					missed = append(missed, path)
				}
				continue
			}
			chosen = append(chosen, xs[i])
		}
		return chosen, missed, nil
	}
	rows, err := spilled[Object](named, shard)
	if err != nil {
		return nil, nil, err
	}
	for _, row := range rows {
		xs := held[row.Path()]
		i := slices.IndexFunc(xs, func(x Indexed) bool {
			return x.File != "" && x.Suspect == "" && (sameContent(x.Object, row) || sameBytes(x, row))
		})
		if i < 0 {
			missed = append(missed, row.Path())
			continue
		}
		x := xs[i]
		x.Object = enrich(row, x.Object)
		x.Size = xs[i].Size
		chosen = append(chosen, x)
	}
	return chosen, missed, nil
}

// listPresent keeps what the target's buckets hold, as far as the restore may touch it.
func (t *Target) listPresent(ctx context.Context) error {
	for _, b := range t.buckets {
		if _, ok := t.existing[b.ID]; !ok {
			continue
		}
		for o, err := range t.cfg.To.List(ctx, b.ID, t.cfg.ToPrefix+t.cfg.Prefix) {
			if u, about := unreadable(err); about {
				o = u.Object
			} else if err != nil {
				return fmt.Errorf("list bucket %s of the target: %w", b.ID, err)
			}
			if t.cfg.Object != "" && o.Name != t.cfg.ToPrefix+t.cfg.Object {
				continue
			}
			if err := t.present.add(o.Bucket, o.Name, o.Size, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareListings fills the plan's steps and returns the first of the objects that certainly differ.
func (t *Target) compareListings(plan *cofre.Plan) ([]string, error) {
	var absent, absentBytes, same, unsure int64
	var differ []string
	for _, shard := range shardNames(maxShardDigits) {
		want, have, err := t.shard(shard)
		if err != nil {
			return nil, err
		}
		for _, l := range want {
			o, ok := have[l.Path()]
			delete(have, l.Path())
			switch {
			case !ok:
				absent++
				absentBytes += l.Size
			default:
				switch likeness(l, o) {
				case alike:
					same++
				case unlike:
					t.counts.differ++
					if len(differ) < maxNamed {
						differ = append(differ, l.Path())
					}
				case unknown:
					unsure++
				}
			}
		}
		t.counts.extra += int64(len(have))
	}
	slices.Sort(differ)
	t.steps(plan, absent, same, unsure)
	plan.Bytes = absentBytes
	return differ, nil
}

func (t *Target) steps(plan *cofre.Plan, absent, same, unsure int64) {
	step := func(verb, object, detail string) {
		plan.Steps = append(plan.Steps, cofre.Step{Verb: verb, Object: object, Detail: detail})
	}
	for _, b := range t.buckets {
		if _, ok := t.existing[b.ID]; !ok {
			step("create", "bucket "+b.ID, describeBucket(b))
		} else if t.cfg.Replace && t.asCaptured() {
			step("set", "bucket "+b.ID, describeBucket(b))
		}
	}
	count := func(n int64, verb, detail string) {
		if n > 0 {
			step(verb, fmt.Sprintf("%d objects", n), detail)
		}
	}
	count(absent, "upload", "and read back")
	count(same+unsure, "compare", "that exist; an equal one is left as it is, one whose bytes are gone is uploaded")
	if t.cfg.Replace {
		count(t.counts.differ, "replace", "that exist with other content; they are not kept")
	}
	if t.cfg.DeleteExtra {
		count(t.counts.extra, "delete", "that were not captured")
	} else if t.counts.extra > 0 {
		plan.Notes = append(plan.Notes, fmt.Sprintf("%d objects of the target were not captured and stay", t.counts.extra))
	}
	switch {
	case t.cfg.FixUp != nil && t.asCaptured():
		step("set", "owners and times", "in storage.objects")
	case t.desc.Kind == "supabase":
		plan.Notes = append(plan.Notes, "without access to the database, new objects get new ids, no owner and today's dates")
	}
}

func describeBucket(b Bucket) string {
	words := []string{"private"}
	if b.Public {
		words[0] = "public"
	}
	if b.MaxSize != nil {
		words = append(words, fmt.Sprintf("at most %d bytes", *b.MaxSize))
	}
	if len(b.Types) > 0 {
		words = append(words, "only "+strings.Join(b.Types, ", "))
	}
	return strings.Join(words, ", ")
}

// shard returns what is wanted and what is present in one shard of the target's names.
func (t *Target) shard(shard string) ([]Located, map[string]Object, error) {
	want, err := spilled[Located](t.wanted, shard)
	if err != nil {
		return nil, nil, err
	}
	list, err := spilled[Object](t.present, shard)
	if err != nil {
		return nil, nil, err
	}
	have := make(map[string]Object, len(list))
	for _, o := range list {
		have[o.Path()] = o
	}
	return want, have, nil
}

type verdict int

const (
	unknown verdict = iota // only the bytes can tell
	alike
	unlike
)

// likeness compares a captured object with what a service says of one that exists.
func likeness(l Located, o Object) verdict {
	switch {
	case o.Size >= 0 && o.Size != l.Size:
		return unlike
	case IsMD5(o.ETag) && l.MD5 != "":
		if o.ETag == l.MD5 {
			return alike
		}
		return unlike
	case o.ETag != "" && o.ETag == l.ETag, o.Version != "" && o.Version == l.Version:
		return alike
	}
	return unknown
}

// Stage makes the buckets, lifts their limits, uploads what is absent and reads it back.
func (t *Target) Stage(ctx context.Context, obs cofre.Observer) error {
	obs.Observe(t.event(cofre.TypeTaskBegan))
	err := t.stage(ctx, obs)
	ended := t.event(cofre.TypeTaskEnded)
	ended.Err = err
	obs.Observe(ended)
	return err
}

func (t *Target) stage(ctx context.Context, obs cofre.Observer) error {
	for _, b := range t.buckets {
		if _, ok := t.existing[b.ID]; ok {
			continue
		}
		// Without the limits of the captured bucket, which may be tighter than its objects.
		b.MaxSize, b.Types = nil, nil
		if err := t.cfg.To.Ensure(ctx, b); err != nil {
			return fmt.Errorf("create bucket %s: %w", b.ID, err)
		}
	}
	if l, ok := t.cfg.To.(Limiter); ok {
		for _, b := range t.buckets {
			if _, existed := t.existing[b.ID]; !existed {
				continue
			}
			back, err := l.Lift(ctx, b.ID)
			if err != nil {
				return fmt.Errorf("lift the limits of bucket %s: %w", b.ID, err)
			}
			t.putBack = append(t.putBack, back)
		}
	}
	return t.everyShard(ctx, func(ctx context.Context, l Located, o Object, exists bool) error {
		err := t.settle(ctx, l, o, exists)
		t.report(obs, l.Size)
		return err
	})
}

// everyShard hands each wanted object to f, several at once, with what is present under its name.
func (t *Target) everyShard(ctx context.Context, f func(ctx context.Context, l Located, o Object, exists bool) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(t.cfg.Jobs)
	for _, shard := range shardNames(maxShardDigits) {
		want, have, err := t.shard(shard)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		for _, l := range want {
			if gctx.Err() != nil {
				break
			}
			o, ok := have[l.Path()]
			g.Go(func() error { return f(gctx, l, o, ok) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// settle decides about one object and brings it if nothing that exists is touched by it.
func (t *Target) settle(ctx context.Context, l Located, o Object, exists bool) error {
	if !exists {
		return t.upload(ctx, l, &t.counts.created)
	}
	found, state, err := t.compare(ctx, l, o)
	if err != nil {
		return err
	}
	switch {
	case state == bytesGone:
		return t.upload(ctx, l, &t.counts.repaired)
	case state == sameAll:
		t.count(&t.counts.equal)
	case t.cfg.Replace:
		t.count(&t.counts.deferred)
		return t.deferred.add(l.Bucket, l.Name, l.Size, l)
	default:
		t.fail(l.Object, "as captured", found)
	}
	return nil
}

type likenessState int

const (
	sameAll likenessState = iota
	otherContent
	bytesGone // the service lists the object and cannot deliver it, or delivers what it does not promise
)

// compare looks at one object of the target as closely as it takes to be sure.
func (t *Target) compare(ctx context.Context, l Located, listed Object) (string, likenessState, error) {
	now, err := t.look(ctx, listed)
	switch {
	case ctx.Err() != nil:
		return "", 0, ctx.Err()
	case errors.Is(err, cofre.ErrDenied), errors.Is(err, cofre.ErrUnreachable):
		return "", 0, fmt.Errorf("look at %s: %w", l.Path(), err)
	case err != nil:
		// Listed, and its bytes cannot be had. If the listing promises what was captured, or nothing can be
		// lost because nothing is served, what was captured goes there.
		return "", bytesGone, nil
	}
	switch likeness(l, now) {
	case unlike:
		if likeness(l, listed) == alike {
			return "", bytesGone, nil // its row promises the captured bytes and others are served
		}
		return "other bytes", otherContent, nil
	case unknown:
		same, err := t.readsAs(ctx, l)
		if err != nil {
			return "", 0, err
		}
		if same != "" {
			return same, otherContent, nil
		}
	case alike:
	}
	if d := t.differingProperty(l.Object, now); d != "" {
		return d, otherContent, nil
	}
	return "", sameAll, nil
}

func (t *Target) look(ctx context.Context, o Object) (Object, error) {
	if p, ok := t.cfg.To.(Prover); ok {
		return p.Prove(ctx, o)
	}
	return t.cfg.To.Stat(ctx, o.Bucket, o.Name)
}

// differingProperty compares what the target keeps of an object beyond its bytes.
func (t *Target) differingProperty(want, got Object) string {
	k := t.desc.Kept
	switch {
	case k.ContentType && want.ContentType != "" && want.ContentType != got.ContentType:
		return fmt.Sprintf("content type %s, not %s", got.ContentType, want.ContentType)
	case k.CacheControl && want.CacheControl != "" && want.CacheControl != got.CacheControl:
		return fmt.Sprintf("cache control %s, not %s", got.CacheControl, want.CacheControl)
	case k.Robots && want.Robots != "" && want.Robots != got.Robots:
		return fmt.Sprintf("robots tag %s, not %s", got.Robots, want.Robots)
	case k.Encoding && want.Encoding != got.Encoding:
		return fmt.Sprintf("content encoding %s, not %s", got.Encoding, want.Encoding)
	case k.Metadata && !t.sameMetadata(want.Metadata, got.Metadata):
		return fmt.Sprintf("metadata %s, not %s", CanonicalMetadata(got.Metadata), CanonicalMetadata(want.Metadata))
	}
	return ""
}

// sameMetadata compares user metadata as the target keeps it: S3 keeps strings under lower-case names.
func (t *Target) sameMetadata(want, got json.RawMessage) bool {
	if string(CanonicalMetadata(want)) == string(CanonicalMetadata(got)) {
		return true
	}
	if t.desc.Kind != "s3" {
		return false
	}
	a, b := MetadataStrings(want), MetadataStrings(got)
	if len(a) != len(b) {
		return false
	}
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return true
}

// MetadataStrings returns user metadata as the strings that S3 keeps: a value that is no string as its JSON text.
// Names are in lower case, as HTTP servers give them back.
func MetadataStrings(m json.RawMessage) map[string]string {
	var values map[string]json.RawMessage
	if json.Unmarshal(m, &values) != nil {
		return map[string]string{}
	}
	out := make(map[string]string, len(values))
	for k, v := range values {
		var s string
		if json.Unmarshal(v, &s) != nil {
			s = string(v)
		}
		out[strings.ToLower(k)] = s
	}
	return out
}

// upload writes one object, reads it back, and counts it as *as. Its error ends the restore; an object that the
// target refuses is counted as failed, by name.
func (t *Target) upload(ctx context.Context, l Located, as *int64) error {
	for attempt := 0; ; attempt++ {
		if err := t.pace.wait(ctx); err != nil {
			return err
		}
		err := t.uploadOnce(ctx, l)
		t.pace.report(err)
		switch {
		case err == nil:
			t.count(as)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, cofre.ErrDenied), errors.Is(err, cofre.ErrCorrupt):
			return fmt.Errorf("restore %s: %w", l.Path(), err)
		case !cofre.Retryable(err) && !errors.Is(err, cofre.ErrUnreachable) && !errors.Is(err, errReadBack), attempt >= unreachableAttempts:
			if errors.Is(err, cofre.ErrUnreachable) {
				return fmt.Errorf("restore %s: %w", l.Path(), err)
			}
			t.fail(l.Object, "as captured", err.Error())
			return nil
		}
		if err := pause(ctx, backoff(attempt)); err != nil {
			return err
		}
	}
}

// errReadBack says that what was uploaded is served otherwise.
var errReadBack = errors.New("read back")

func (t *Target) uploadOnce(ctx context.Context, l Located) error {
	r, err := t.tree.Open(ctx, l.InTree)
	if err != nil {
		return fmt.Errorf("read from the repository: %w", err)
	}
	defer r.Close()
	if _, err := t.cfg.To.Put(ctx, l.Object, r); err != nil {
		return err
	}
	different, err := t.readsAs(ctx, l)
	if err != nil {
		return err
	}
	if different != "" {
		return fmt.Errorf("%w: %s", errReadBack, different)
	}
	return nil
}

// readsAs reads an object of the target, whole, and says what differs from what was captured, or "".
func (t *Target) readsAs(ctx context.Context, l Located) (string, error) {
	got, body, err := openAgain(ctx, t.cfg.To, Object{Bucket: l.Bucket, Name: l.Name, Size: -1})
	if err != nil {
		return "", err
	}
	defer body.Close()
	h := newHashes()
	n, err := io.Copy(h, body)
	if err != nil {
		return "", fmt.Errorf("read back: %w", err)
	}
	switch sha, md := h.sums(); {
	case n != l.Size:
		return fmt.Sprintf("%d bytes, not %d", n, l.Size), nil
	case sha != l.SHA256:
		return "other bytes", nil
	case IsMD5(got.ETag) && got.ETag != md:
		return fmt.Sprintf("etag %s, the bytes have the MD5 %s", got.ETag, md), nil
	}
	return t.differingProperty(l.Object, got), nil
}

// openAgain opens an object that was written a moment ago. A server may fail the first reads after an overwrite.
func openAgain(ctx context.Context, s Store, o Object) (Object, io.ReadCloser, error) {
	for attempt := 0; ; attempt++ {
		got, body, err := s.Open(ctx, o)
		if err == nil || attempt >= brokenAttempts || !cofre.Retryable(err) {
			return got, body, err
		}
		if err := pause(ctx, backoff(attempt)); err != nil {
			return Object{}, nil, err
		}
	}
}

func (t *Target) count(n *int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*n++
}

func (t *Target) fail(o Object, want, got string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.failed++
	if len(t.failed) < maxNamed {
		t.failed = append(t.failed, cofre.Checked{What: "object " + o.Path(), Want: want, Got: got})
	}
}

// Check says whether everything asked for is in the target, or about to be replaced there.
func (t *Target) Check(context.Context, cofre.Observer) (*cofre.Proof, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts
	settled := c.created + c.repaired + c.equal + c.deferred
	checked := func(what string, want, got int64) cofre.Checked {
		return cofre.Checked{What: what, Want: fmt.Sprint(want), Got: fmt.Sprint(got), OK: want == got}
	}
	p := &cofre.Proof{Checks: []cofre.Checked{
		checked("objects with the captured size, hash, content type, cache control and metadata", c.wanted, settled),
		checked("objects asked for that the component lacks", 0, c.missing),
	}}
	for _, m := range t.missed {
		p.Checks = append(p.Checks, cofre.Checked{What: "object " + m, Want: "captured", Got: "missing from the component"})
	}
	p.Checks = append(p.Checks, t.failed...)
	return p, nil
}

// Publish replaces and deletes what it was told to, gives the buckets their settings, and sets owners and times.
//
// Errors: one that says how far it came. Running the restore again goes on from there.
func (t *Target) Publish(ctx context.Context) (*cofre.Outcome, error) {
	err := t.publish(ctx)
	t.release()
	if err != nil {
		return nil, err
	}
	c := t.counts
	out := &cofre.Outcome{Restored: fmt.Sprintf("%s: %d objects uploaded, %d whose bytes were gone, %d replaced, %d equal already, %d deleted",
		t.desc.URL, c.created, c.repaired, c.replaced, c.equal, c.deleted)}
	if c.extra > c.deleted {
		out.Next = append(out.Next, fmt.Sprintf("%d objects that were not captured are still there; --delete-extra makes an exact mirror", c.extra-c.deleted))
	}
	return out, nil
}

func (t *Target) publish(ctx context.Context) error {
	if err := t.replaceDeferred(ctx); err != nil {
		return err
	}
	if t.cfg.DeleteExtra {
		if err := t.deleteExtra(ctx); err != nil {
			return err
		}
	}
	if err := t.undoLifts(ctx); err != nil {
		return err
	}
	for _, b := range t.buckets {
		if _, existed := t.existing[b.ID]; existed && (!t.cfg.Replace || !t.asCaptured()) {
			continue
		}
		if err := t.cfg.To.Ensure(ctx, b); err != nil {
			return fmt.Errorf("set bucket %s: %w", b.ID, err)
		}
	}
	if t.cfg.FixUp == nil || !t.asCaptured() {
		return nil
	}
	if _, err := t.cfg.FixUp.FixUp(ctx, t.restored()); err != nil {
		return fmt.Errorf("set owners and times: %w", err)
	}
	return nil
}

// replaceDeferred overwrites the objects that differ.
func (t *Target) replaceDeferred(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(t.cfg.Jobs)
	for _, shard := range shardNames(maxShardDigits) {
		rows, err := spilled[Located](t.deferred, shard)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		for _, l := range rows {
			g.Go(func() error { return t.upload(gctx, l, &t.counts.replaced) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(t.failed) > 0 {
		return fmt.Errorf("replace %d of %d objects, first %s: %s: %w", t.counts.failed, t.counts.deferred, t.failed[0].What, t.failed[0].Got, cofre.ErrPartial)
	}
	return ctx.Err()
}

// deleteExtra removes what was not captured.
func (t *Target) deleteExtra(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(t.cfg.Jobs)
	for _, shard := range shardNames(maxShardDigits) {
		want, have, err := t.shard(shard)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		for _, l := range want {
			delete(have, l.Path())
		}
		for _, o := range have {
			g.Go(func() error {
				if err := t.cfg.To.Delete(gctx, o.Bucket, o.Name); err != nil {
					return fmt.Errorf("delete %s: %w", o.Path(), err)
				}
				t.count(&t.counts.deleted)
				return nil
			})
		}
	}
	return g.Wait()
}

// restored yields every object that was asked for, as captured.
func (t *Target) restored() iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for _, shard := range shardNames(maxShardDigits) {
			rows, err := spilled[Located](t.wanted, shard)
			if err != nil {
				yield(Object{}, err)
				return
			}
			for _, l := range rows {
				if l.Row != nil && !yield(l.Object, nil) {
					return
				}
			}
		}
	}
}

func (t *Target) undoLifts(ctx context.Context) error {
	var all error
	for _, back := range t.putBack {
		all = errors.Join(all, back(ctx))
	}
	t.putBack = nil
	return all
}

// Discard gives buckets their limits back. Objects that were uploaded stay: each was read back and is as it was
// captured, none took the place of another, and a second run does not upload them again. Of half a restore of
// many hours, taking that away would be the greater damage.
func (t *Target) Discard(ctx context.Context) error {
	err := t.undoLifts(ctx)
	t.release()
	if err != nil {
		return cofre.WithHint(fmt.Errorf("put the limits of buckets back: %w", err), "set file_size_limit and allowed_mime_types of the buckets by hand, or restore again")
	}
	return nil
}

func (t *Target) release() {
	_, _, _ = t.wanted.close(), t.present.close(), t.deferred.close() // unlinked files: nothing is lost with them
}

func (t *Target) report(obs cofre.Observer, n int64) {
	done := t.done.Add(n)
	// Each object of a megabyte, and every sixteenth of the others.
	if n < 1<<20 && done&15 != 0 {
		return
	}
	obs.Observe(t.event(cofre.TypeTaskProgress))
}

func (t *Target) event(et cofre.EventType) cofre.Event {
	return cofre.Event{
		At: time.Now(), Type: et, Source: t.cfg.Source, Point: t.cfg.Point, Task: "restore storage",
		Done: t.done.Load(), Total: t.total, Unit: cofre.UnitBytes,
	}
}
