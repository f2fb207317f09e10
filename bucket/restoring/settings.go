package restoring

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/spill"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
)

// owed remembers, on this machine, which settings buckets are to have when a restore has ended: for its time their
// limits are lifted, and a process that is killed leaves them so. The next restore to the same storage gives them
// back. If the memory is lost, the next one finds them different from what was captured, and says so.
type owed struct {
	mu      sync.Mutex
	path    string // empty: in memory alone
	lock    *os.File
	held    bool // by this restore, and by no other on this machine
	buckets map[string]bucket.Bucket
}

// readOwed reads what an earlier restore owes to the storage at url.
func readOwed(dir, url string) (*owed, error) {
	o := &owed{buckets: map[string]bucket.Bucket{}}
	if dir == "" {
		return o, nil
	}
	o.path = filepath.Join(dir, "restore-"+spill.Key(url)[:16]+".json")
	return o, o.read()
}

func (o *owed) read() error {
	b, err := inside.ReadFile(o.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &o.buckets)
	}
	if err != nil {
		return fmt.Errorf("read the settings of buckets that a restore lifted: %w", err)
	}
	return nil
}

// acquire keeps other restores to this storage out until close.
//
// Errors: cofre.ErrLocked while one runs on this machine.
func (o *owed) acquire() error {
	if o.path == "" {
		o.held = true
		return nil
	}
	lock, err := inside.OpenFile(o.path+".lock", os.O_RDWR|os.O_CREATE)
	if err != nil {
		return fmt.Errorf("remember the settings of buckets: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = durable.Held(lock)
		}
		return cofre.WithHint(errors.Join(fmt.Errorf("another restore to this storage runs: %w", err), lock.Close()), whileRestored())
	}
	o.lock, o.held = lock, true
	return o.read()
}

// owe remembers what b is to be. It is durable before the bucket is touched.
func (o *owed) owe(b bucket.Bucket) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buckets[b.ID] = b
	return o.save()
}

// paid forgets a bucket that has its settings.
func (o *owed) paid(id string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.buckets, id)
	return o.save()
}

func (o *owed) get(id string) (bucket.Bucket, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	b, ok := o.buckets[id]
	return b, ok
}

// ids returns the buckets that are owed something, in order.
func (o *owed) ids() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ids []string
	for id := range o.buckets {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

func (o *owed) save() error {
	if o.path == "" {
		return nil
	}
	b, err := json.Marshal(o.buckets)
	switch {
	case err != nil:
	case len(o.buckets) == 0:
		err = durable.Remove(o.path)
	default:
		err = inside.WriteFile(o.path, 0o600, 0o700, func(w io.Writer) error {
			_, err := w.Write(b)
			return err
		})
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remember the settings of buckets: %w", err)
	}
	return nil
}

func (o *owed) close() {
	if o != nil && o.lock != nil {
		_ = durable.Unlock(o.lock)
	}
}

// lifted reports whether a bucket has no limits: the state in which a restore leaves it if it is killed.
func lifted(b bucket.Bucket) bool { return b.MaxSize == nil && len(b.Types) == 0 }

// remembered replaces what an interrupted restore left of a bucket by what it owed it. Somebody who has set limits since
// has the last word.
func (t *Target) remembered(b bucket.Bucket) bucket.Bucket {
	was, ok := t.owed.get(b.ID)
	if !ok || !lifted(b) {
		return b
	}
	b.Public, b.MaxSize, b.Types, b.Versions = was.Public, was.MaxSize, was.Types, was.Versions
	return b
}

// settingsOf are those that were captured of a bucket and that the target keeps.
func (t *Target) settingsOf(b bucket.Bucket) bucket.Settings {
	keeps := t.desc.Settings
	captured := t.facts.Kept()
	knows := captured.Settings
	if captured.Files { // it says of a bucket what a restore has told it
		set := b.Public || !lifted(b) || b.Versions
		knows = bucket.Settings{Public: set, Limits: set, Versions: set}
	}
	return bucket.Settings{Public: keeps.Public && knows.Public, Limits: keeps.Limits && knows.Limits, Versions: keeps.Versions && knows.Versions}
}

// withSettings returns b with the settings of from that s names.
func withSettings(b, from bucket.Bucket, s bucket.Settings) bucket.Bucket {
	if s.Public {
		b.Public = from.Public
	}
	if s.Limits {
		b.MaxSize, b.Types = from.MaxSize, from.Types
	}
	// Versioning is switched on, never off: what is stored depends on it.
	if s.Versions && from.Versions {
		b.Versions = true
	}
	return b
}

// settingsDiffer returns got as far as s goes if it is not as want, or nothing.
func settingsDiffer(want, got bucket.Bucket, s bucket.Settings) cofre.Message {
	if is := describe(s, got); is.Text != describe(s, want).Text {
		return is
	}
	return cofre.Message{}
}

// describe describes a bucket as far as s goes.
func describe(s bucket.Settings, b bucket.Bucket) cofre.Message {
	var all cofre.Message
	say := func(known bool, m cofre.Message) {
		if known {
			all = cofre.List(all, m)
		}
	}
	if b.Public {
		say(s.Public, cofre.Say("bucket.public", "public"))
	} else {
		say(s.Public, cofre.Say("bucket.private", "private"))
	}
	if b.MaxSize != nil {
		say(s.Limits, cofre.Say("bucket.max_size", "at most {{.bytes}} bytes", "bytes", *b.MaxSize))
	} else {
		say(s.Limits, cofre.Say("bucket.any_size", "any size"))
	}
	if len(b.Types) > 0 {
		say(s.Limits, cofre.Say("bucket.types", "only {{.types}}", "types", strings.Join(slices.Sorted(slices.Values(b.Types)), " ")))
	} else {
		say(s.Limits, cofre.Say("bucket.any_type", "any type"))
	}
	if b.Versions {
		say(s.Versions, cofre.Say("bucket.versioned", "versioned"))
	} else {
		say(s.Versions, cofre.Say("bucket.unversioned", "not versioned"))
	}
	return all
}

// decideSettings says what each bucket is to be in the end, and what its settings are now.
func (t *Target) decideSettings(plan *cofre.Plan) {
	for _, b := range t.buckets {
		s := t.settingsOf(b)
		now, exists := t.existing[b.ID]
		final := b
		switch {
		case exists && t.cfg.Replace && t.asCaptured():
			final = withSettings(now, b, s)
		case exists:
			final = now
		}
		t.final[b.ID] = final
		differ := settingsDiffer(b, now, s)
		if !exists || !t.asCaptured() || differ.IsZero() {
			continue
		}
		if t.cfg.Replace {
			t.keeping(cofre.ThingSettings, b.ID, "", cofre.Say("bucket.settings_were", "the settings of bucket {{.bucket}} were: {{.settings}}", "bucket", b.ID, "settings", describe(s, now)))
		} else {
			plan.Note(cofre.Say("bucket.settings_stay", "bucket {{.bucket}} stays {{.now}}; it was captured {{.captured}}; --replace sets it so", "bucket", b.ID, "now", differ, "captured", describe(s, b)))
		}
	}
	keeps := t.desc.Settings
	for _, b := range t.buckets {
		s := bucket.Settings{Public: b.Public && !keeps.Public, Limits: !lifted(b) && !keeps.Limits, Versions: b.Versions && !keeps.Versions}
		if s != (bucket.Settings{}) {
			plan.Note(cofre.Say("bucket.settings_lost", "{{.kind}} does not keep these settings of bucket {{.bucket}}: {{.settings}}", "kind", t.desc.Kind, "bucket", b.ID, "settings", describe(s, b)))
		}
	}
	if ids := t.owed.ids(); len(ids) > 0 {
		plan.Note(cofre.Say("bucket.put_back", "an interrupted restore left these buckets without their limits, which are put back: {{.buckets}}", "buckets", strings.Join(ids, ", ")))
	}
}

// makeBuckets makes those that are missing; one with limits gets them when everything is in it, because they may be
// tighter than its objects.
func (t *Target) makeBuckets(ctx context.Context) error {
	_, limited := t.cfg.To.(bucket.Limiter)
	for _, b := range t.buckets {
		if _, ok := t.existing[b.ID]; ok {
			continue
		}
		if way, in := t.inTheWay(b.ID, "", true); in {
			if t.cfg.Replace {
				t.block(way)
			}
			continue // the objects in it are named
		}
		if t.opened[b.ID] {
			continue
		}
		if limited && !lifted(b) {
			if err := t.owed.owe(t.final[b.ID]); err != nil {
				return err
			}
			b.MaxSize, b.Types = nil, nil
		}
		if err := t.cfg.To.Ensure(ctx, b); err != nil {
			return fmt.Errorf("create bucket %s: %w", b.ID, err)
		}
		t.opened[b.ID] = true
	}
	return nil
}

// open lifts the limits of a bucket that existed before the first object is written into it.
func (t *Target) open(ctx context.Context, id string) error {
	now, existed := t.existing[id]
	if _, limited := t.cfg.To.(bucket.Limiter); !limited || !existed {
		return nil
	}
	t.opening.Lock()
	defer t.opening.Unlock()
	if t.opened[id] {
		return nil
	}
	if !lifted(now) {
		if err := t.owed.owe(now); err != nil {
			return err
		}
		now.MaxSize, now.Types = nil, nil
		if err := t.cfg.To.Ensure(ctx, now); err != nil {
			return fmt.Errorf("lift the limits of bucket %s: %w", id, err)
		}
	}
	t.opened[id] = true
	return nil
}

// payBack gives every bucket the settings that it is owed, those of an earlier restore too.
func (t *Target) payBack(ctx context.Context) error {
	var all error
	for _, id := range t.owed.ids() {
		b, _ := t.owed.get(id)
		if now, existed := t.existing[id]; existed && !lifted(now) {
			b = now // as it is now, or as it was before this restore
		}
		var err error
		if _, existed := t.existing[id]; existed || t.opened[id] { // not one that somebody has deleted since
			err = t.cfg.To.Ensure(ctx, b)
		}
		if err == nil {
			err = t.owed.paid(id)
		}
		if err != nil {
			all = errors.Join(all, fmt.Errorf("put the settings of bucket %s back (%s): %w", id, describe(t.desc.Settings, b).Text, err))
		}
	}
	return all
}

// setBuckets gives the buckets their settings, and reads them back.
func (t *Target) setBuckets(ctx context.Context) error {
	for _, b := range t.buckets {
		if way, in := t.inTheWay(b.ID, "", true); in {
			t.leave(aBucket(b.ID), asCaptured(), way.said())
			continue
		}
		if now, existed := t.existing[b.ID]; existed && settingsDiffer(t.final[b.ID], now, t.desc.Settings).IsZero() {
			continue
		}
		if err := t.cfg.To.Ensure(ctx, t.final[b.ID]); err != nil {
			return fmt.Errorf("set bucket %s: %w", b.ID, err)
		}
	}
	for _, b := range t.buckets {
		if _, in := t.inTheWay(b.ID, "", true); in {
			continue
		}
		found, err := t.cfg.To.Buckets(ctx, b.ID)
		if err != nil {
			return fmt.Errorf("read the settings of bucket %s back: %w", b.ID, err)
		}
		s := t.settingsOf(b)
		if differ := settingsDiffer(b, found[0], s); !differ.IsZero() && t.asCaptured() {
			t.leave(cofre.Say("bucket.settings_of", "settings of bucket {{.bucket}}", "bucket", b.ID), describe(s, b),
				cofre.Say("bucket.settings_differ", "{{.now}}, not {{.captured}}", "now", differ, "captured", describe(s, b)))
		}
	}
	return nil
}

func aBucket(id string) cofre.Message {
	return cofre.Say("bucket.bucket", "bucket {{.bucket}}", "bucket", id)
}

func whileRestored() cofre.Message {
	return cofre.Say("bucket.busy_wait", "wait until it has ended, or end it")
}
