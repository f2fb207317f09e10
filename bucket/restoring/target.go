// Package restoring brings a captured storage, or a part of it, back to a store: what is absent is written and read back
// (Stage), compared (Check), and what is to be replaced or deleted is so last, after it was kept (Publish). What is otherwise
// and stays is named. Read target.go first, then compare.go, select.go, settings.go, folders.go, keep.go and way.go.
package restoring

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"maps"
	"net"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/spill"
	"github.com/trustlayer/cofre/internal/retry"
)

// Restore says what to bring back, and where to.
type Restore struct {
	Source cofre.SourceID // for events
	Point  cofre.PointID  // for the plan
	To     bucket.Store

	Buckets []string // none: all that were captured
	Prefix  string   // only names that begin with it
	Object  string   // only this name

	ToBucket string // another bucket for everything selected; the captured one if empty
	ToPrefix string // `PREFIX` to put before each name, as it stands

	Replace     bool // objects that exist with other bytes or metadata, and settings of buckets
	DeleteExtra bool // objects of the buckets, below the prefix, that were not captured
	// KeepIn is a bucket that holds what is replaced and deleted, below a prefix; a new one of its own if empty. A
	// store that is a Keeper needs none. NoKeep keeps nothing.
	KeepIn string
	NoKeep bool

	// ForDatabase brings exactly the objects that a database names, each in the version it names; nil brings
	// what counted when the component was captured.
	ForDatabase bucket.Inventory
	// Others are components of other points, in which a version is looked for that the database names and this one
	// lacks; the likeliest first.
	Others []Held
	// FixUp sets what no request can: owners and times. Nil leaves them to the service.
	FixUp FixUp

	Jobs    int // as Config.Jobs
	TempDir string
	// StateDir is where this machine remembers which settings buckets are to have again, should the process be
	// killed. Empty: the next restore names them as different.
	StateDir string
}

// FixUp sets owner, created_at and the like for objects that were restored, in the service's own database.
type FixUp interface {
	// FixUp sets each row that can be set, whatever becomes of the others, and never a row's version. It names the
	// rows that are not as captured afterwards, the first of them.
	//
	// Errors: that of objects; that the service's database cannot be asked.
	FixUp(ctx context.Context, objects iter.Seq2[bucket.Object, error]) (FixedUp, error)
}

// FixedUp is what a FixUp did.
type FixedUp struct {
	Rows int64
	Left []Checked
}

// Target carries out a Restore. It is a cofre.Target.
//
// Stage uploads what is absent, or whose bytes are gone, and reads it back. Publish replaces and deletes, after what
// goes was kept. So an interrupted restore has added objects that are as they were captured, and changed none.
type Target struct {
	cfg   Restore
	desc  bucket.Description
	tree  cofre.Tree
	trees []cofre.Tree // the component's, then those of the other points that were opened
	facts bucket.Facts
	mark  string // of what is kept
	pace  *retry.Pace

	buckets  []bucket.Bucket          // that are wanted, as captured
	existing map[string]bucket.Bucket // with their settings as they were before any restore lifted them
	final    map[string]bucket.Bucket // as they are to be in the end
	owed     *owed
	opening  sync.Mutex
	opened   map[string]bool // made by this restore, or without limits for its time
	largest  bucket.Object
	folders  *folders
	twofold  map[string]bool // the paths of objects that are also folders of others
	wanted   *spill.File     // of Located, by their new place
	present  *spill.File     // of Object: what the buckets hold now
	deferred *spill.File     // of Located: to be replaced when published
	total    int64
	done     atomic.Int64

	mu     sync.Mutex
	counts restoreCounts
	failed []Checked       // uploaded, and served otherwise: the first of them
	left   []Checked       // known to be otherwise than captured: the first of them
	apart  map[string]bool // the paths of objects that were not brought
	kept   []cofre.Kept    // what was replaced that is no object
	ways   []obstacle      // to be moved aside when published
	keptAt cofre.Message
	claims claims

	blind   map[string]bool // shards whose index is lost
	unknown error           // why something that the component says of itself is not known

	unlock   func() error // of the place, from Stage on
	released bool
}

// Checked is cofre's.
type Checked = cofre.Checked

type restoreCounts struct {
	wanted, created, repaired, equal, deferred, replaced, differ, failed, extra, deleted, missing, served, kept, left, lost, folded int64
}

var _ cofre.Target = (*Target)(nil)

// NewTarget makes a target of cfg. It connects to nothing.
func NewTarget(cfg Restore) *Target {
	if cfg.Jobs <= 0 {
		cfg.Jobs = bucket.DefaultJobs
	}
	cfg.Jobs = min(cfg.Jobs, bucket.MaxJobs)
	return &Target{
		cfg: cfg, desc: cfg.To.Describe(), existing: map[string]bucket.Bucket{}, final: map[string]bucket.Bucket{}, opened: map[string]bool{},
		apart: map[string]bool{}, pace: bucket.NewPace(), mark: newMark(time.Now()),
		wanted: spill.New(cfg.TempDir), present: spill.New(cfg.TempDir), deferred: spill.New(cfg.TempDir),
	}
}

// Plan selects the objects, lists what the target has, and says what will happen.
//
// Errors: cofre.ErrNotFound if the tree is no storage component; cofre.ErrCorrupt if it cannot be read; those of listing
// the target's store; that what StateDir remembers cannot be read. What forbids the restore is among the plan's problems.
func (t *Target) Plan(ctx context.Context, c cofre.Component, tree cofre.Tree) (*cofre.Plan, error) {
	t.tree, t.trees = tree, []cofre.Tree{tree}
	plan := cofre.NewPlan(cofre.Say("bucket.plan", "restore storage to {{.url}}", "url", t.desc.URL))
	plan.Point = t.cfg.Point
	captured, err := t.readBuckets(ctx, tree)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(c.Facts, &t.facts); err != nil {
		return nil, fmt.Errorf("read the facts of %s: %w", c.Name, err)
	}
	if t.owed, err = readOwed(t.cfg.StateDir, t.desc.URL); err != nil {
		return nil, err
	}
	for _, id := range t.cfg.Buckets {
		if !slices.ContainsFunc(captured, func(b bucket.Bucket) bool { return b.ID == id }) {
			plan.Refuse(cofre.Say("bucket.not_captured", "bucket {{.bucket}} is not in the component", "bucket", id), cofre.Say("bucket.see_point", "see what the point holds: cofre show {{.point}}", "point", t.cfg.Point))
		}
	}
	if len(plan.Problems) > 0 {
		return plan, nil
	}
	if err := t.chooseBuckets(ctx, captured); err != nil {
		return nil, err
	}
	t.decideSettings(plan)
	if err := t.selectObjects(ctx); err != nil {
		return nil, err
	}
	if err := t.refuseBlind(plan); err != nil {
		return nil, err
	}
	t.notePartial(c)
	if t.folders, err = t.planFolders(ctx, plan); err != nil {
		return nil, err
	}
	if err := t.listPresent(ctx); err != nil {
		return nil, err
	}
	if err := t.compareListings(plan); err != nil {
		return nil, err
	}
	return plan, t.finishPlan(ctx, plan)
}

// notePartial names what the capture itself lacked, unless it is named object by object.
func (t *Target) notePartial(c cofre.Component) {
	all := len(t.cfg.Buckets) == 0 && t.cfg.Prefix == "" && t.cfg.Object == ""
	if c.Partial && all && t.counts.left == 0 {
		var why cofre.Message
		for _, w := range c.Warnings {
			why = cofre.List(why, c.Messages.Of(w))
		}
		t.leave(cofre.Say("bucket.component", "component {{.name}}", "name", c.Name), cofre.Say("bucket.whole", "whole"), cofre.Say("bucket.partial", "captured incompletely: {{.why}}", "why", why))
	}
}

func (t *Target) finishPlan(ctx context.Context, plan *cofre.Plan) error {
	c := t.counts
	if c.wanted == 0 && c.missing == 0 && c.served == 0 && (t.cfg.Object != "" || t.cfg.Prefix != "") {
		plan.Refuse(cofre.Say("bucket.no_match", "no captured object has this name or prefix"), cofre.Say("bucket.exact_names", "a name is compared byte by byte, with upper and lower case"))
	}
	if c.served > 0 {
		plan.Note(cofre.SayN("bucket.served", int(c.served), "1 object that the database names is in no point, and the storage serves it as its row says", "{{.n}} objects that the database names are in no point, and the storage serves them as their rows say"))
	}
	for _, l := range t.left {
		plan.Note(cofre.Say("bucket.will_differ", "will not be as captured: {{.what}}: {{.got}}", "what", l.Messages.Of(l.What), "got", l.Messages.Of(l.Got)))
	}
	if int(c.left) > len(t.left) {
		plan.Note(cofre.SayN("bucket.left_more", int(c.left)-len(t.left), "and 1 more", "and {{.n}} more"))
	}
	if t.cfg.KeepIn != "" {
		if _, ok := t.existing[t.cfg.KeepIn]; !ok {
			plan.Refuse(cofre.Say("bucket.keep_in_missing", "bucket {{.bucket}}, to keep what is replaced, does not exist", "bucket", t.cfg.KeepIn), cofre.Say("bucket.keep_in_name", "name a bucket that exists, or leave --keep-in out"))
		}
	}
	l, ok := t.cfg.To.(bucket.Limiter)
	if !ok {
		return nil
	}
	limit, err := l.MaxSize(ctx)
	if err != nil {
		return err
	}
	if limit >= 0 && t.largest.Size > limit {
		plan.Refuse(cofre.Say("bucket.too_large", "{{.object}} has {{.size}} bytes, and the service takes at most {{.limit}}", "object", t.largest.Path(), "size", t.largest.Size, "limit", limit),
			cofre.Say("bucket.raise_limit", "raise UPLOAD_FILE_SIZE_LIMIT on the storage server for the time of the restore"))
	}
	return nil
}

// chooseBuckets decides which buckets will be and whether they are there.
func (t *Target) chooseBuckets(ctx context.Context, captured []bucket.Bucket) error {
	have, err := t.cfg.To.Buckets(ctx)
	if err != nil {
		return fmt.Errorf("list buckets of %s: %w", t.desc.URL, err)
	}
	for _, b := range have {
		t.existing[b.ID] = t.remembered(b)
	}
	for _, b := range captured {
		if !t.wantBucket(b.ID) {
			continue
		}
		if t.cfg.ToBucket != "" {
			b.ID, b.Name = t.cfg.ToBucket, ""
		}
		if f, ok := t.cfg.To.(bucket.Foldered); ok && b.Link != "" && t.cfg.ToBucket == "" {
			f.FollowLink(b)
		}
		if !slices.ContainsFunc(t.buckets, func(o bucket.Bucket) bool { return o.ID == b.ID }) {
			t.buckets = append(t.buckets, b)
		}
	}
	return nil
}

func (t *Target) wantBucket(id string) bool {
	return len(t.cfg.Buckets) == 0 || slices.Contains(t.cfg.Buckets, id)
}

func (t *Target) wants(o bucket.Object) bool {
	return t.wantBucket(o.Bucket) && strings.HasPrefix(o.Name, t.cfg.Prefix) && (t.cfg.Object == "" || o.Name == t.cfg.Object)
}

// place is where an object goes.
func (t *Target) place(o bucket.Object) bucket.Object {
	o.Bucket = cmp.Or(t.cfg.ToBucket, o.Bucket)
	o.Name = t.cfg.ToPrefix + o.Name
	return o
}

// asCaptured reports whether objects keep their bucket and name.
func (t *Target) asCaptured() bool { return t.cfg.ToBucket == "" && t.cfg.ToPrefix == "" }

// listPresent keeps what the target's buckets hold, as far as the restore may touch it.
func (t *Target) listPresent(ctx context.Context) error {
	for _, b := range t.buckets {
		if _, ok := t.existing[b.ID]; !ok {
			continue
		}
		for o, err := range t.cfg.To.List(ctx, b.ID, t.cfg.ToPrefix+t.cfg.Prefix) {
			if u, about := bucket.Unreadable(err); about {
				o = u.Object
			} else if err != nil {
				return fmt.Errorf("list bucket %s of the target: %w", b.ID, err)
			}
			if t.cfg.Object != "" && o.Name != t.cfg.ToPrefix+t.cfg.Object {
				continue
			}
			if err := t.present.Add(o.Bucket, o.Name, o.Size, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// compareListings fills the plan's steps.
func (t *Target) compareListings(plan *cofre.Plan) error {
	var absent, same, unsure int64
	var differ []string
	fit, tags := newFitting(), untagged{}
	twice := ""
	var blocked int64
	var firstBlocked cofre.Message
	folders, err := t.foldersOfNames()
	if err == nil {
		err = t.findTwofold(folders)
	}
	if err != nil {
		return err
	}
	for _, shard := range spill.Shards(spill.MaxDigits) {
		want, have, err := t.shard(shard)
		if err != nil {
			return err
		}
		seen := make(map[string]bool, len(want))
		for _, l := range want {
			if seen[l.Path()] {
				twice = l.Path()
			}
			seen[l.Path()] = true
			_, lost := t.cfg.To.Fit(l.Object)
			if t.twofold[l.Path()] {
				lost = append(lost, cofre.Say("bucket.lost_twofold", "a path of its name, next to a folder of that name: one of the two will be below {{.folder}}", "folder", ".cofre/odd"))
			}
			fit.add(l.Path(), lost)
			tags.add(l.Object, t.desc.Tags)
			o, ok := have[l.Path()]
			delete(have, l.Path())
			if way, in := t.inTheWay(l.Bucket, l.Name, false); in {
				if blocked++; firstBlocked.IsZero() {
					firstBlocked = cofre.Say("bucket.blocked", "{{.object}}: {{.way}}", "object", l.Path(), "way", way.said())
				}
				continue
			}
			switch {
			case !ok:
				absent++
				plan.Bytes += l.Size
			default:
				switch likeness(l, o) {
				case alike:
					same++
				case unlike:
					t.counts.differ++
					differ = append(differ, l.Path())
					slices.Sort(differ)
					differ = differ[:min(len(differ), bucket.MaxNamed)]
				case unknown:
					unsure++
				}
			}
		}
		t.counts.extra += int64(len(have))
	}
	if twice != "" {
		plan.Refuse(cofre.Say("bucket.twice", "objects of several buckets would become one, {{.object}}", "object", twice), cofre.Say("bucket.one_at_a_time", "restore one bucket at a time, each into its own: --bucket NAME --to-bucket OTHER"))
	}
	fit.note(plan, t.desc.Kind)
	tags.leave(t)
	tags.note(plan, t.facts.Kind)
	if len(differ) > 0 && !t.cfg.Replace {
		plan.Note(cofre.SayN("bucket.other_content", int(t.counts.differ), "1 object has other content in the target and stays as it is: {{.first}}; --replace puts the captured content in its place, --to-bucket or --to-prefix next to it",
			"{{.n}} objects have other content in the target and stay as they are, the first {{.first}}; --replace puts the captured content in their place, --to-bucket or --to-prefix beside them", "first", differ[0]))
	}
	t.steps(plan, absent, same, unsure)
	if blocked > 0 && t.cfg.Replace {
		plan.Do(cofre.Say("bucket.do_move", "move"), cofre.Say("bucket.in_the_way", "what is in the way"), cofre.SayN("bucket.in_the_way_of", int(blocked), "of 1 object, {{.first}}; kept in {{.kept}}", "of {{.n}} objects, the first {{.first}}; kept in {{.kept}}",
			"first", firstBlocked, "kept", t.cfg.To.(bucket.Keeper).KeptAt(keptPrefix+t.mark)))
	} else if blocked > 0 {
		plan.Note(cofre.SayN("bucket.blocked_note", int(blocked), "something is in the way of 1 object, {{.first}}; --replace moves it aside", "something is in the way of {{.n}} objects, the first {{.first}}; --replace moves it aside", "first", firstBlocked))
	}
	return nil
}

var nameSeed = maphash.MakeSeed()

// foldersOfNames hashes the paths that names make folders of, if the target is a file system: 9 bytes for each.
func (t *Target) foldersOfNames() (map[uint64]bool, error) {
	if _, ok := t.cfg.To.(bucket.Foldered); !ok {
		return nil, nil
	}
	out := map[uint64]bool{}
	for _, shard := range spill.Shards(spill.MaxDigits) {
		rows, err := spill.Records[bucket.Located](t.wanted, shard)
		if err != nil {
			return nil, err
		}
		for _, l := range rows {
			for p := path.Dir(l.Path()); p != l.Bucket && p != "."; p = path.Dir(p) {
				out[maphash.String(nameSeed, p)] = true
			}
		}
	}
	return out, nil
}

// fitting gathers what a place cannot hold: what, of how many objects, the first of them.
type fitting struct {
	lost  map[string]cofre.Message // by their text
	of    map[string]int
	first map[string]string
}

func newFitting() *fitting {
	return &fitting{lost: map[string]cofre.Message{}, of: map[string]int{}, first: map[string]string{}}
}

func (f *fitting) add(path string, lost []cofre.Message) {
	for _, m := range lost {
		if f.of[m.Text] == 0 {
			f.lost[m.Text], f.first[m.Text] = m, path
		}
		f.of[m.Text]++
	}
}

func (f *fitting) note(plan *cofre.Plan, kind string) {
	for _, text := range slices.Sorted(maps.Keys(f.lost)) {
		plan.Note(cofre.SayN("bucket.lost", f.of[text], "{{.kind}} cannot hold of 1 object, {{.first}}: {{.what}}", "{{.kind}} cannot hold of {{.n}} objects, the first {{.first}}: {{.what}}",
			"kind", kind, "first", f.first[text], "what", f.lost[text]))
	}
}

func (t *Target) steps(plan *cofre.Plan, absent, same, unsure int64) {
	create, set := cofre.Say("bucket.do_create", "create"), cofre.Say("bucket.do_set", "set")
	if s, ok := t.cfg.To.(bucket.Foldered); ok && s.Absent() {
		plan.Do(create, cofre.Say("bucket.folder", "folder {{.path}}", "path", t.desc.URL), cofre.Say("bucket.absent", "which does not exist"))
	}
	for _, b := range t.buckets {
		if now, ok := t.existing[b.ID]; !ok {
			plan.Do(create, aBucket(b.ID), describe(t.desc.Settings, t.final[b.ID]))
		} else if !settingsDiffer(t.final[b.ID], now, t.desc.Settings).IsZero() {
			plan.Do(set, aBucket(b.ID), describe(t.desc.Settings, t.final[b.ID]))
		}
	}
	some := func(n int64, verb, detail cofre.Message) {
		if n > 0 {
			plan.Do(verb, objects(n), detail)
		}
	}
	some(absent, cofre.Say("bucket.do_upload", "upload"), cofre.Say("bucket.read_back", "and read back"))
	some(same+unsure, cofre.Say("bucket.do_compare", "compare"), cofre.Say("bucket.comparing", "already there: what is equal stays as it is, what has lost its bytes is uploaded"))
	if t.cfg.Replace {
		some(t.counts.differ, cofre.Say("bucket.do_replace", "replace"), cofre.Say("bucket.replacing", "already there, with other content"))
	}
	if t.cfg.DeleteExtra {
		some(t.counts.extra, cofre.Say("bucket.do_delete", "delete"), cofre.Say("bucket.deleting", "not captured"))
	} else if t.counts.extra > 0 {
		plan.Note(cofre.SayN("bucket.extra", int(t.counts.extra), "1 object in the target was not captured, and stays there", "{{.n}} objects in the target were not captured, and stay there"))
	}
	switch {
	case t.cfg.FixUp != nil && t.asCaptured():
		plan.Do(set, cofre.Say("bucket.owners", "owners and times"), cofre.Say("bucket.in_rows", "in storage.objects"))
	case t.desc.Rows:
		plan.Note(cofre.Say("bucket.no_rows", "without access to the database, new objects get new ids, no owner and today's dates"))
	}
}

// What a restore speaks of.
func asCaptured() cofre.Message { return cofre.Say("bucket.as_captured", "as captured") }

func object(path string) cofre.Message {
	return cofre.Say("bucket.object", "object {{.path}}", "path", path)
}

func objects(n int64) cofre.Message {
	return cofre.SayN("bucket.objects", int(n), "1 object", "{{.n}} objects")
}

// shard returns what is wanted and what is present in one shard of the target's names.
func (t *Target) shard(shard string) ([]bucket.Located, map[string]bucket.Object, error) {
	want, err := spill.Records[bucket.Located](t.wanted, shard)
	if err != nil {
		return nil, nil, err
	}
	list, err := spill.Records[bucket.Object](t.present, shard)
	if err != nil {
		return nil, nil, err
	}
	have := make(map[string]bucket.Object, len(list))
	for _, o := range list {
		have[o.Path()] = o
	}
	return want, have, nil
}

// Stage makes the buckets, lifts their limits, uploads what is absent and reads it back.
//
// Errors: cofre.ErrLocked while another restore to the same storage runs; cofre.ErrDenied, cofre.ErrDiskFull,
// cofre.ErrReadOnly, cofre.ErrUnreachable of the store; those of reading the repository; the error of ctx. An object that the
// store refuses, or that the repository has lost, is left out by name.
func (t *Target) Stage(ctx context.Context, obs cofre.Observer) error {
	obs.Observe(t.event(cofre.TypeTaskBegan))
	err := t.stage(ctx, obs)
	ended := t.event(cofre.TypeTaskEnded)
	ended.Err = err
	obs.Observe(ended)
	return err
}

func (t *Target) stage(ctx context.Context, obs cofre.Observer) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := t.lock(); err != nil {
		return err
	}
	if err := t.claimPresent(); err != nil {
		return err
	}
	if err := t.makeFolders(ctx); err != nil {
		return err
	}
	if err := t.makeBuckets(ctx); err != nil {
		return err
	}
	return t.everyShard(ctx, func(ctx context.Context, l bucket.Located, o bucket.Object, exists bool) error {
		err := t.settle(ctx, l, o, exists)
		t.report(obs, l.Size)
		return err
	})
}

// lock keeps other restores to the same place out, also those with another state directory.
func (t *Target) lock() (err error) {
	if err := t.owed.acquire(); err != nil {
		return err
	}
	if l, ok := t.cfg.To.(bucket.Locker); ok {
		t.unlock, err = l.Lock()
	} else {
		t.unlock, err = lockByName("cofre-restore-" + spill.Key(t.desc.URL)[:32])
	}
	if err != nil {
		t.owed.held = false
		return fmt.Errorf("lock %s for a restore: %w", t.desc.URL, err)
	}
	return nil
}

// lockByName takes an abstract socket, which is there for all users of this machine and goes with the process.
//
// Errors: cofre.ErrLocked.
func lockByName(name string) (unlock func() error, err error) {
	l, err := net.Listen("unix", "@"+name)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, cofre.WithHint(fmt.Errorf("another restore to this storage runs on this machine: %w", cofre.ErrLocked), cofre.Say("bucket.socket", "see which: ss -xlp | grep {{.name}}", "name", name))
	}
	if err != nil {
		return nil, err
	}
	return l.Close, nil
}

// everyShard hands each wanted object to f, several at once, with what is present under its name.
func (t *Target) everyShard(ctx context.Context, f func(ctx context.Context, l bucket.Located, o bucket.Object, exists bool) error) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(t.cfg.Jobs)
	for _, shard := range spill.Shards(spill.MaxDigits) {
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
func (t *Target) settle(ctx context.Context, l bucket.Located, o bucket.Object, exists bool) error {
	if other := t.folded(l); !other.IsZero() {
		t.leaveObject(l.Object, other)
		return nil
	}
	if way, in := t.inTheWay(l.Bucket, l.Name, false); in {
		if !t.cfg.Replace {
			t.leaveObject(l.Object, way.said())
			return nil
		}
		t.block(way)
		t.count(&t.counts.deferred)
		return t.deferred.Add(l.Bucket, l.Name, l.Size, l)
	}
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
		return t.deferred.Add(l.Bucket, l.Name, l.Size, l)
	default:
		t.leaveObject(l.Object, found)
	}
	return nil
}

// upload writes one object, reads it back, and counts it as *as. Its error ends the restore; an object that the
// target refuses is left out, by name.
func (t *Target) upload(ctx context.Context, l bucket.Located, as *int64) error {
	if err := t.open(ctx, l.Bucket); err != nil {
		return err
	}
	waiting, trying := bucket.Waiting(), bucket.Uploading()
	for {
		if err := t.pace.Wait(ctx); err != nil {
			return err
		}
		err := t.uploadOnce(ctx, l)
		t.pace.Report(err)
		switch {
		case err == nil:
			t.count(as)
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case endsRestore(err):
			return fmt.Errorf("restore %s: %w", l.Path(), err)
		case bucket.Away(err) && waiting.Again(ctx, err) == nil:
			continue
		case !bucket.Away(err) && (cofre.Retryable(err) || errors.Is(err, errReadBack)) && trying.Again(ctx, err) == nil:
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, cofre.ErrUnreachable):
			return fmt.Errorf("restore %s: %w", l.Path(), err)
		}
		t.giveUp(l.Object, err)
		return nil
	}
}

// giveUp leaves an object out that cannot be uploaded.
func (t *Target) giveUp(o bucket.Object, err error) {
	var lost *lostError
	if errors.As(err, &lost) {
		t.count(&t.counts.lost)
	}
	if errors.Is(err, errReadBack) {
		t.fail(o, cofre.SayError(err))
	} else {
		t.leaveObject(o, cofre.SayError(err))
	}
}

// endsRestore tells what would fail for every object from what one object is refused for.
func endsRestore(err error) bool {
	var lost *lostError
	if errors.As(err, &lost) {
		return false
	}
	return errors.Is(err, cofre.ErrDenied) || errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrDiskFull) || errors.Is(err, cofre.ErrReadOnly)
}

// lostError says that the repository holds an object no more as it was captured: the others are still restored.
type lostError struct{ error }

func (e *lostError) Error() string { return e.Message().Text + ": " + e.error.Error() }

func (e *lostError) Message() cofre.Message {
	return cofre.Say("bucket.lost_here", "lost in the repository")
}

func (e *lostError) Unwrap() error { return e.error }

// captured reads an object from the repository and keeps the error in mind: stores give those of what they read a
// meaning of their own.
type captured struct {
	io.ReadSeeker
	err error
}

func (c *captured) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}

// fromRepository tells what is lost from what cannot be reached.
func fromRepository(err error) error {
	if errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrNotFound) {
		return &lostError{err}
	}
	return fmt.Errorf("read from the repository: %w", err)
}

// errReadBack says that what was uploaded is served otherwise.
var errReadBack = cofre.Fail(cofre.Say("bucket.served_otherwise", "what was uploaded is served otherwise"))

func (t *Target) uploadOnce(ctx context.Context, l bucket.Located) error {
	r, err := t.trees[l.Tree].Open(ctx, l.InTree)
	if err != nil {
		return fromRepository(err)
	}
	defer r.Close()
	fitted, _ := t.cfg.To.Fit(l.Object)
	from := &captured{ReadSeeker: r}
	if _, err := t.cfg.To.Put(ctx, fitted, from); from.err != nil {
		return fromRepository(from.err)
	} else if err != nil {
		return err
	}
	different, tags, err := t.readsAs(ctx, l)
	if err != nil {
		return err
	}
	if !different.IsZero() {
		return cofre.Fail(different, errReadBack)
	}
	if !tags.IsZero() {
		t.leave(object(l.Path()), asCaptured(), tags) // its bytes are right: the target, or the key, keeps no tags
	}
	return nil
}

func (t *Target) count(n *int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*n++
}

func (t *Target) fail(o bucket.Object, got cofre.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.failed++
	t.apart[o.Path()] = true
	if len(t.failed) < bucket.MaxNamed {
		t.failed = append(t.failed, cofre.NewChecked(object(o.Path()), asCaptured(), got, false))
	}
}

// leave names something that is not as captured, and that the restore goes on without.
func (t *Target) leave(what, want, got cofre.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts.left++
	if len(t.left) < bucket.MaxNamed {
		t.left = append(t.left, cofre.NewChecked(what, want, got, false))
	}
}

// leaveObject leaves out an object that was wanted.
func (t *Target) leaveObject(o bucket.Object, got cofre.Message) {
	t.leave(object(o.Path()), asCaptured(), got)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.apart[o.Path()] = true
}

// Check says whether everything asked for is in the target, or about to be replaced there, apart from what is left.
//
// Errors: never one: what differs is in the proof.
func (t *Target) Check(context.Context, cofre.Observer) (*cofre.Proof, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.counts
	settled := c.created + c.repaired + c.equal + c.deferred
	want := c.wanted - int64(len(t.apart)) + c.failed
	number := func(n int64) cofre.Message { return cofre.Verbatim(fmt.Sprint(n)) }
	p := &cofre.Proof{Checks: []cofre.Checked{cofre.NewChecked(t.compared(), number(want), number(settled), want == settled)}}
	if c.served > 0 {
		p.Checks = append(p.Checks, cofre.NewChecked(cofre.Say("bucket.check_served", "objects that the storage serves as their rows say"), number(c.served), number(c.served), true))
	}
	p.Checks = append(p.Checks, t.failed...)
	return p, nil
}

// compared lists what is compared of each object.
func (t *Target) compared() cofre.Message {
	if t.facts.Kept().Files && t.desc.Files {
		return cofre.Say("bucket.check_files", "objects with the captured size, hash, mode, owner, time and extended attributes")
	}
	return cofre.Say("bucket.check_objects", "objects with the captured size, hash, content type, cache control and metadata")
}

// Publish replaces and deletes what it was told to, gives the buckets their settings, and sets owners and times.
//
// Errors: one that says how far it came. Running the restore again goes on from there.
func (t *Target) Publish(ctx context.Context) (*cofre.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if t.released {
		return nil, fmt.Errorf("publish to %s: %w: nothing is staged", t.desc.URL, cofre.ErrRefused)
	}
	err := t.publish(ctx)
	if err != nil && t.counts.kept > 0 {
		return nil, &keptError{err, cofre.SayN("bucket.kept_so_far", int(t.counts.kept), "1 object that was to be replaced is kept in {{.where}}", "{{.n}} objects that were to be replaced are kept in {{.where}}", "where", t.keptAt)}
	}
	if err != nil {
		return nil, err // Discard follows
	}
	t.release()
	c := t.counts
	out := &cofre.Outcome{Restored: t.desc.URL, Done: t.did(), Kept: t.kept, Left: append(t.left, t.failed...)}
	if more := c.left + c.failed - int64(len(out.Left)); more > 0 {
		out.Left = append(out.Left, cofre.NewChecked(cofre.SayN("bucket.left_more", int(more), "and 1 more", "and {{.n}} more"), asCaptured(), cofre.Say("bucket.something_else", "something else"), false))
	}
	if c.kept > 0 {
		out.Keeps(cofre.ThingObjects, "", t.keptAt.Text, cofre.SayN("bucket.kept", int(c.kept), "1 object as it was before, in {{.where}}", "{{.n}} objects as they were before, in {{.where}}", "where", t.keptAt))
	}
	next := func(do cofre.Do, m cofre.Message) {
		if out.Then(do, "", m); out.Hint.IsZero() {
			out.Hint = m
		}
	}
	if t.counts.lost > 0 {
		next(cofre.DoLookForLost, cofre.Say("bucket.look_elsewhere", "look for what the repository has lost in another point: cofre list; a backup stores afresh what its source still holds: cofre backup"))
	}
	if t.counts.folded > 0 {
		next(cofre.DoRenameThere, cofre.Say("bucket.folded_elsewhere", "bring an object whose name is taken here under another: --bucket BUCKET --object NAME --to-prefix OTHER/"))
	}
	if int64(len(t.apart)) > t.counts.lost+t.counts.folded && !t.cfg.Replace {
		next(cofre.DoReplace, cofre.Say("bucket.look_at_differing", "look at the objects that differ; with --replace the captured ones take their place, and those are kept"))
	}
	if c.extra > c.deleted {
		next(cofre.DoMirror, cofre.SayN("bucket.extra_left", int(c.extra-c.deleted), "1 object in the target is in no capture; --delete-extra makes an exact mirror", "{{.n}} objects in the target are in no capture; --delete-extra makes an exact mirror"))
	}
	return out, nil
}

// keeping notes what is not as it was, and where it is, if it is anywhere.
func (t *Target) keeping(thing cofre.Thing, was, where string, said cofre.Message) {
	t.kept = append(t.kept, cofre.Kept{Thing: thing, Was: was, Where: where, Said: said})
}

// did says what became of the objects: what did not happen is left out.
func (t *Target) did() cofre.Message {
	var all cofre.Message
	add := func(n int64, m cofre.Message) {
		if n > 0 {
			all = cofre.List(all, m)
		}
	}
	c := t.counts
	add(c.created, cofre.SayN("bucket.uploaded", int(c.created), "1 object uploaded", "{{.n}} objects uploaded"))
	add(c.repaired, cofre.SayN("bucket.repaired", int(c.repaired), "1 object that had lost its bytes uploaded", "{{.n}} objects that had lost their bytes uploaded"))
	add(c.replaced, cofre.SayN("bucket.replaced", int(c.replaced), "1 object replaced", "{{.n}} objects replaced"))
	add(c.equal, cofre.SayN("bucket.equal", int(c.equal), "1 object equal already", "{{.n}} objects equal already"))
	add(c.deleted, cofre.SayN("bucket.deleted_extra", int(c.deleted), "1 object deleted", "{{.n}} objects deleted"))
	if all.IsZero() {
		all = cofre.Say("bucket.nothing_done", "no object touched")
	}
	return cofre.Say("bucket.done", "{{.url}}: {{.what}}", "url", t.desc.URL, "what", all)
}

// keptError is an error of a restore that had kept objects aside by then.
type keptError struct {
	error
	kept cofre.Message
}

func (e *keptError) Error() string          { return e.kept.Text + ": " + e.error.Error() }
func (e *keptError) Message() cofre.Message { return e.kept }
func (e *keptError) Unwrap() error          { return e.error }

func (t *Target) publish(ctx context.Context) error {
	if err := t.clearTheWay(ctx); err != nil {
		return err
	}
	if err := t.replaceDeferred(ctx); err != nil {
		return err
	}
	if t.cfg.DeleteExtra {
		if err := t.deleteExtra(ctx); err != nil {
			return err
		}
	}
	if err := t.payBack(ctx); err != nil {
		return err
	}
	if err := t.setBuckets(ctx); err != nil {
		return err
	}
	// Last of what is written: nothing changes a folder after it.
	if err := t.setFolders(ctx); err != nil {
		return err
	}
	if t.cfg.FixUp == nil || !t.asCaptured() {
		return nil
	}
	fixed, err := t.cfg.FixUp.FixUp(ctx, t.restored())
	if err != nil {
		return fmt.Errorf("set owners and times: %w", err)
	}
	for _, l := range fixed.Left {
		t.leave(l.Messages.Of(l.What), l.Messages.Of(l.Want), l.Messages.Of(l.Got))
	}
	return nil
}

// replaceDeferred overwrites the objects that differ, each after it was kept.
func (t *Target) replaceDeferred(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(t.cfg.Jobs)
	for _, shard := range spill.Shards(spill.MaxDigits) {
		rows, err := spill.Records[bucket.Located](t.deferred, shard)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		for _, l := range rows {
			g.Go(func() error {
				if way, in := t.inTheWay(l.Bucket, l.Name, false); in {
					t.leaveObject(l.Object, way.said())
					return nil
				}
				if err := t.keep(gctx, l.Object); err != nil {
					return t.unkept(gctx, l.Object, err)
				}
				return t.upload(gctx, l, &t.counts.replaced)
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// unkept leaves an object as it is because it could not be kept, or ends the restore if nothing can be.
func (t *Target) unkept(ctx context.Context, o bucket.Object, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if endsRestore(err) || errors.Is(err, cofre.ErrUnreachable) {
		return cofre.WithHint(fmt.Errorf("keep %s before it is replaced or deleted: %w", o.Path(), err),
			cofre.Say("bucket.keep_in", "--keep-in BUCKET keeps what is replaced in a bucket that exists; --no-keep keeps nothing"))
	}
	t.leaveObject(o, cofre.Say("bucket.unkept", "could not be kept, and was not touched: {{.cause}}", "cause", err))
	return nil
}

// deleteExtra removes what was not captured.
func (t *Target) deleteExtra(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(t.cfg.Jobs)
	for _, shard := range spill.Shards(spill.MaxDigits) {
		want, have, err := t.shard(shard)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		for _, l := range want {
			delete(have, l.Path())
		}
		for _, o := range have {
			g.Go(func() error {
				if way, in := t.inTheWay(o.Bucket, o.Name, false); in {
					return t.deleteStray(gctx, way)
				}
				if err := t.keep(gctx, o); err != nil {
					return t.unkept(gctx, o, err)
				}
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

// restored yields every object that was brought or was there, as captured.
func (t *Target) restored() iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		for _, shard := range spill.Shards(spill.MaxDigits) {
			rows, err := spill.Records[bucket.Located](t.wanted, shard)
			if err != nil {
				yield(bucket.Object{}, err)
				return
			}
			for _, l := range rows {
				if l.Row != nil && !t.apart[l.Path()] && !yield(l.Object, nil) {
					return
				}
			}
		}
	}
}

// Discard gives buckets their limits back. Objects that were uploaded stay: each was read back and is as it was
// captured, none took the place of another, and a second run does not upload them again. Of half a restore of
// many hours, taking that away would be the greater damage.
//
// Errors: those of the store and of StateDir, for all buckets that could not be given their limits back, with a hint.
func (t *Target) Discard(ctx context.Context) error {
	if t.owed == nil || t.released {
		return nil
	}
	if !t.owed.held {
		t.release() // another restore runs: its files and its limits are not ours
		return nil
	}
	err := errors.Join(t.sweep(ctx), t.payBack(ctx))
	t.release()
	if err != nil {
		return cofre.WithHint(err, cofre.Say("bucket.limits", "set file_size_limit and allowed_mime_types of the buckets by hand, or restore again"))
	}
	return nil
}

func (t *Target) release() {
	t.released = true
	t.owed.close()
	if t.unlock != nil {
		_ = t.unlock() // nothing is lost with a lock
	}
	_, _, _ = t.wanted.Close(), t.present.Close(), t.deferred.Close() // unlinked files: nothing is lost with them
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
		At: time.Now(), Type: et, Source: t.cfg.Source, Point: t.cfg.Point,
		Done: t.done.Load(), Total: t.total, Unit: cofre.UnitBytes,
	}.Doing(cofre.Say("bucket.task_restore", "restore storage"))
}
