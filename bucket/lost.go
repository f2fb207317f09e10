package bucket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/trustlayer/cofre"
)

// silentMost is how many objects in a row, each tried for about a minute, may get no answer though the service says that
// it is there, before it is taken for gone: one whose disks are away answers for its buckets and for no object.
const silentMost = 32

// bucketError is about one bucket, whose listing did not come to its end.
type bucketError struct {
	bucket string
	err    error
}

func (e *bucketError) Error() string { return "bucket " + e.bucket + ": " + e.err.Error() }
func (e *bucketError) Unwrap() error { return e.err }

// lost remembers that the service went away while it was read. What is left is then not tried, and named.
type lost struct {
	mu     sync.Mutex
	err    error
	silent int // objects in a row that got no answer

	goneSeen atomic.Int64 // objects that were not found, and not listed any more either
}

// gone returns why the service is not asked any more, or nil.
func (r *run) gone() error {
	r.lost.mu.Lock()
	defer r.lost.mu.Unlock()
	return r.lost.err
}

func (r *run) leave(err error) {
	r.lost.mu.Lock()
	defer r.lost.mu.Unlock()
	if r.lost.err == nil {
		r.lost.err = cofre.Fail(cofre.Say("bucket.away", "the storage went away during the backup"), err)
	}
}

func (r *run) answered() {
	r.lost.mu.Lock()
	defer r.lost.mu.Unlock()
	r.lost.silent = 0
}

// ask reports whether the service is there. If not, nothing else is asked for.
func (r *run) ask(ctx context.Context, bucket string) bool {
	_, down := r.store.Buckets(ctx, bucket)
	if down != nil && ctx.Err() == nil {
		r.leave(down)
	}
	return down == nil
}

// unanswered is what becomes of an object that could not be read for as long as it was tried: it alone if the service is
// there, it and all that follow if not.
func (r *run) unanswered(ctx context.Context, err error) (fetched, error) {
	if ctx.Err() != nil {
		return fetched{}, ctx.Err()
	}
	if gone := r.gone(); gone != nil {
		return fetched{missing: cofre.SayError(gone)}, nil
	}
	r.lost.mu.Lock()
	r.lost.silent++
	silent := r.lost.silent
	r.lost.mu.Unlock()
	if silent >= silentMost {
		r.leave(cofre.Fail(cofre.SayN("bucket.silent", silent, "1 object got no answer", "{{.n}} objects in a row got no answer"), err))
	}
	return fetched{missing: cofre.Say("bucket.unreadable", "cannot be read, however often it is tried: {{.cause}}", "cause", err)}, nil
}

// goneMost is how many objects are looked for in the listing once more before a service that answers "not found" is
// believed: each look may cost it as much as a listing.
const goneMost = 64

// relist looks whether the service's listing names an object that the service does not find, and returns it as listed.
func (r *run) relist(ctx context.Context, row Object) (Object, bool) {
	if r.lost.goneSeen.Load() >= goneMost {
		return Object{}, false
	}
	for o, err := range r.store.List(ctx, row.Bucket, row.Name) {
		if u, about := Unreadable(err); about {
			o, err = u.Object, nil
		}
		if err != nil {
			return Object{}, false // what is wrong with all of them is said by whatever asks next
		}
		if o.Name == row.Name {
			return o, true
		}
	}
	r.lost.goneSeen.Add(1)
	return Object{}, false
}

// vanished is what becomes of an object that is not there any more: deleted, unless the service still lists it, or its whole
// bucket is not there, which a file system that was unmounted looks like.
func (r *run) vanished(ctx context.Context, row Object, listed bool) (fetched, error) {
	_, err := r.store.Buckets(ctx, row.Bucket)
	if ctx.Err() != nil {
		return fetched{}, ctx.Err()
	}
	if err != nil {
		return fetched{missing: cofre.Say("bucket.bucket_gone", "neither it nor its bucket is there any more: {{.cause}}", "cause", err)}, nil
	}
	if listed {
		return fetched{missing: cofre.Say("bucket.listed_only", "it is listed, and is not found if it is read")}, nil
	}
	return fetched{vanished: true}, nil
}

// find keeps something that the configuration asks for and the component does not hold.
func (r *run) find(object string, what cofre.Message) {
	r.findings = append(r.findings, cofre.Finding{Object: object}.Saying(what))
}

func (r *run) cutOff(e *bucketError) {
	if r.unlisted == nil {
		r.unlisted = map[string]bool{}
	}
	if !r.unlisted[e.bucket] {
		r.unlisted[e.bucket] = true
		if errors.Is(e.err, cofre.ErrNotFound) {
			r.find(e.bucket, cofre.Say("bucket.no_bucket", "there is no such bucket, or no more: {{.cause}}", "cause", e.err))
			return
		}
		r.find(e.bucket, cofre.Say("bucket.cut_off", "the bucket could not be listed to its end, so some of its objects are not here: {{.cause}}", "cause", e.err))
	}
}

// findBuckets asks for the configured buckets, each by itself if they are named, and for what lies beside them.
//
// Errors: those of the store, if there is nothing to capture at all.
func (r *run) findBuckets(ctx context.Context) error {
	if len(r.cfg.Buckets) == 0 {
		var err error
		if r.buckets, err = r.store.Buckets(ctx); err != nil {
			return fmt.Errorf("list buckets of %s: %w", r.desc.URL, err)
		}
		return r.findStrays(ctx)
	}
	var first error
	for _, id := range r.cfg.Buckets {
		found, err := r.store.Buckets(ctx, id)
		if errors.Is(err, cofre.ErrUnreachable) || ctx.Err() != nil {
			return fmt.Errorf("list buckets of %s: %w", r.desc.URL, err)
		}
		if err != nil {
			if first == nil {
				first = fmt.Errorf("list buckets of %s: %w", r.desc.URL, err)
			}
			r.cutOff(&bucketError{id, err})
			continue
		}
		r.buckets = append(r.buckets, found...)
	}
	if len(r.buckets) == 0 {
		return first
	}
	return nil
}

func (r *run) findStrays(ctx context.Context) error {
	s, ok := r.store.(Strayer)
	if !ok {
		return nil
	}
	strays, err := s.Strays(ctx)
	if err != nil {
		return fmt.Errorf("look at %s: %w", r.desc.URL, err)
	}
	for _, stray := range strays {
		r.find(stray.Name, stray.Why)
	}
	return nil
}

// findUnreadable lists everything and keeps what could not be captured, so that it is known beforehand.
func (r *run) findUnreadable(ctx context.Context) {
	for _, err := range r.listing(ctx) {
		var cut *bucketError
		switch u, about := Unreadable(err); {
		case about:
			r.find(u.Object.Path(), u.Why)
		case errors.As(err, &cut):
			r.cutOff(cut)
		}
		if len(r.findings) >= MaxNamed || ctx.Err() != nil {
			return
		}
	}
}

func (r *run) covers(id string) bool {
	return len(r.cfg.Buckets) == 0 || slices.Contains(r.cfg.Buckets, id)
}

// objectFindings names the objects that are missing or not what they should be, unless the closure does: it goes by the
// captured database.
func (r *run) objectFindings() []cofre.Finding {
	if r.from == "database" {
		return nil
	}
	var found []cofre.Finding
	for _, m := range r.facts.Missing {
		found = append(found, cofre.Finding{Object: m.Object}.Saying(m.why()))
	}
	if more := r.facts.MissingN + r.facts.SuspectN - int64(len(found)); more > 0 {
		found = append(found, cofre.Finding{}.Saying(cofre.SayN("bucket.more_in_index", int(more), "and 1 more object, which the index of the component names", "and {{.n}} more objects, which the index of the component names")))
	}
	return found
}
