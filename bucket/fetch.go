package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket/spill"
)

// changeAttempts is how often an object is tried that is overwritten each time it is read.
const changeAttempts = 20

// relistAttempts is how often an object is tried that is listed and not found: it may have been written again in between.
const relistAttempts = 3

// fetched is what reading one object came to.
type fetched struct {
	indexed     Indexed
	entry       cofre.Entry
	overwritten bool          // it is another content than the one asked for
	vanished    bool          // there is no such object any more
	missing     cofre.Message // why it cannot be read
}

// sessionError is an error of the repository, not of the store: trying the object again does not help.
type sessionError struct{ error }

func (e *sessionError) Unwrap() error { return e.error }

// errMismatch says that what was served is not what its own etag or the inventory promised.
var errMismatch = errors.New("bytes do not match the etag")

// fetch reads one object into the session. Its error ends the capture; what is wrong with the object alone is in
// the result.
//
// A server may answer 500 for an object that is being overwritten, whose row is committed after the old bytes are
// gone, and the same 500 for one whose bytes are lost. So after each failure the row is read again: if it
// changed, the new content is read; if it is gone, so is the object; only if it stays is the object missing.
func (r *run) fetch(ctx context.Context, shard string, row Object) (fetched, error) {
	want := row
	overwritten := false
	waiting, unread := outage.Begin(), broken.Begin()
	asked := false
	var failed, changed, relisted int
	for {
		if err := r.pace.Wait(ctx); err != nil {
			return fetched{}, err
		}
		if gone := r.gone(); gone != nil {
			return fetched{missing: cofre.SayError(gone)}, nil
		}
		got, err := r.read(ctx, shard, want, failed >= brokenAttempts-1)
		r.pace.Report(err)
		var fatal *sessionError
		switch {
		case err == nil:
			r.answered()
			got.overwritten = overwritten
			r.progress(got.indexed.Size)
			return got, r.journal.add(kept{Indexed: got.indexed, ObjectID: got.entry.Object})
		case ctx.Err() != nil:
			return fetched{}, ctx.Err()
		case errors.As(err, &fatal):
			return fetched{}, fmt.Errorf("store %s: %w", row.Path(), fatal.error)
		case Away(err):
			if waiting.Again(ctx, err) == nil {
				continue
			}
			// Whether it is the object alone or all of them. Asking waits for a service that is away, and then the object is
			// read once more.
			if there := r.ask(ctx, row.Bucket); there && !asked {
				asked = true
				continue
			}
			return r.unanswered(ctx, err)
		case errors.Is(err, cofre.ErrDenied):
			// One object may be denied by itself; a key that was revoked denies everything.
			if _, all := r.store.Buckets(ctx, row.Bucket); all != nil && ctx.Err() == nil {
				r.leave(all)
			}
			return fetched{missing: cofre.SayError(err)}, nil
		}

		now, statErr := r.store.Stat(ctx, row.Bucket, row.Name)
		switch {
		case errors.Is(statErr, cofre.ErrNotFound):
			now, listed := r.relist(ctx, row)
			if listed && relisted < relistAttempts {
				relisted++
				if !SameContent(now, want) && !sameRow(now, want) {
					want, overwritten = refreshed(want, now), true
				}
				continue
			}
			return r.vanished(ctx, row, listed)
		case statErr == nil && !SameContent(now, want) && !sameRow(now, want):
			if changed++; changed >= changeAttempts {
				return fetched{missing: cofre.Say("bucket.changing", "changes faster than it can be read: {{.cause}}", "cause", err)}, nil
			}
			want, overwritten = refreshed(want, now), true
			continue
		case statErr == nil:
			// The row is as it was; what it says beyond a listing need not be asked for again.
			want = Enrich(want, now)
		}
		failed++
		if giveUp := unread.Again(ctx, err); ctx.Err() != nil {
			return fetched{}, ctx.Err()
		} else if giveUp != nil {
			return fetched{missing: cofre.Say("bucket.no_bytes", "its row is there, and its bytes cannot be read: {{.cause}}", "cause", err)}, nil
		}
	}
}

// sameRow reports whether a row read again still promises what the inventory did.
func sameRow(now, row Object) bool {
	if now.Version != "" && row.Version != "" {
		return now.Version == row.Version
	}
	return now.ETag == row.ETag && now.Size == row.Size
}

// refreshed is the row of an object that was overwritten. What no second look can show (its owner, its id, when
// it was created) stays with an object when its bytes are replaced.
func refreshed(old, now Object) Object {
	if now.Row == nil && old.Row != nil {
		row := *old.Row
		row.UpdatedAt = now.ModifiedAt
		now.Row = &row
	}
	return now
}

// read streams one object into the session and compares it with what its row promises. keepSuspect keeps bytes
// that do not match the row, marked; the caller has tried often enough.
func (r *run) read(ctx context.Context, shard string, row Object, keepSuspect bool) (fetched, error) {
	got, body, err := r.store.Open(ctx, row)
	if err != nil {
		return fetched{}, err
	}
	defer body.Close()
	served := got.ETag
	promised := row.ETag
	if got.Size < 0 {
		got.Size = row.Size // a gateway that does not say how much it sends
	}
	x := Indexed{Object: Enrich(row, got)}
	x.Size, x.ETag = got.Size, served
	if served == "" {
		x.ETag = promised
	}
	sum := knownSum(served, promised, got.OpaqueETag)
	if promised != "" && served != "" && served != promised && sameKind(served, promised) || row.Size >= 0 && got.Size != row.Size {
		if !keepSuspect {
			return fetched{}, fmt.Errorf("read %s: served %d bytes with etag %s, its row says %d and %s: %w", row.Path(), got.Size, served, row.Size, promised, errMismatch)
		}
		x.suspect(cofre.Say("bucket.not_promised", "served {{.size}} bytes with etag {{.etag}}, its row says {{.row_size}} and {{.row_etag}}", "size", got.Size, "etag", served, "row_size", row.Size, "row_etag", promised))
		x.ETag = promised
	}
	x.File = fileOf(x.Object)
	v := &verifier{from: body, sums: NewSums(), size: got.Size}
	if !keepSuspect {
		v.etag = sum
	}
	e := entryOf(shard, x)
	if e.ModTime.IsZero() {
		e.ModTime = time.Unix(0, 0)
	}
	done, err := r.c.Session.Put(ctx, e, v)
	if errors.Is(err, cofre.ErrExists) && v.err == nil {
		// The name of a file is the identity of its content: this run has it already, read for another row.
		_, err = io.Copy(io.Discard, v)
		done = cofre.Entry{Size: v.n}
	}
	if v.err != nil {
		return fetched{}, v.err
	}
	if err != nil {
		return fetched{}, &sessionError{err}
	}
	x.Size = done.Size
	x.SHA256, x.MD5 = v.sums.Hex()
	if sum != "" && x.MD5 != sum && x.Suspect == "" {
		x.suspect(cofre.Say("bucket.wrong_md5", "the bytes have the MD5 {{.md5}}, and should have {{.want}}", "md5", x.MD5, "want", sum))
	}
	return fetched{indexed: x, entry: done}, nil
}

// sameKind reports whether two etags were computed in the same way, so that their being different means
// something: a server may be told to compute them otherwise after a row was written.
func sameKind(a, b string) bool {
	return IsMD5(a) == IsMD5(b) && strings.Contains(a, "-") == strings.Contains(b, "-")
}

// knownSum is the MD5 that an object's bytes must have: as it is served, or if a gateway drops or rewrites that, as
// its row says; "" if neither tells.
func knownSum(served, promised string, opaque bool) string {
	switch {
	case opaque:
		return ""
	case IsMD5(served):
		return served
	case IsMD5(promised):
		return promised
	}
	return ""
}

// verifier hashes what passes and, at the end, refuses what is short, long, or not what its etag says, so that the
// session never takes it in.
type verifier struct {
	from io.Reader
	sums Sums
	size int64 // -1: not known
	etag string
	n    int64
	err  error // of the source, as opposed to one of the session
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.from.Read(p)
	_, _ = v.sums.Write(p[:n]) // a hash never fails
	v.n += int64(n)
	if err == nil {
		return n, nil
	}
	_, md := v.sums.Hex()
	switch {
	case !errors.Is(err, io.EOF):
		v.err = fmt.Errorf("read after %d bytes: %w", v.n, err)
	case v.size >= 0 && v.n != v.size:
		v.err = fmt.Errorf("%d bytes of %d were served: %w", v.n, v.size, io.ErrUnexpectedEOF)
	case v.etag != "" && md != v.etag:
		v.err = fmt.Errorf("the MD5 is %s and should be %s: %w", md, v.etag, errMismatch)
	default:
		return n, io.EOF
	}
	return n, v.err
}

// progress tells the observer now and then.
func (r *run) progress(n int64) {
	done := r.done.Add(n)
	now := time.Now().UnixMilli()
	last := r.lastReport.Load()
	if now-last < 200 || !r.lastReport.CompareAndSwap(last, now) {
		return
	}
	r.c.Observer.Observe(cofre.Event{
		At: time.Now(), Type: cofre.TypeTaskProgress, Source: r.cfg.Source,
		Done: done, Total: r.inventory.Bytes, Unit: cofre.UnitBytes,
	}.Doing(storageTask()))
}

// lastObject is an object of the previous component.
type lastObject struct {
	Indexed
	id cofre.ObjectID
}

// lastShard is what the previous component holds of a shard.
type lastShard map[string][]lastObject

// find returns the content that row describes, if the previous component has it and vouches for it.
func (l lastShard) find(row Object) (lastObject, bool) {
	for _, x := range l[row.Path()] {
		if x.Suspect == "" && SameContent(x.Object, row) {
			return x, true
		}
	}
	return lastObject{}, false
}

// last reads the previous component's index of a shard, whatever number of shards it had.
func (r *run) last(ctx context.Context, shard string) (lastShard, error) {
	out := lastShard{}
	for name := range r.dirs {
		if !strings.HasPrefix(name, shard) && !strings.HasPrefix(shard, name) {
			continue
		}
		ids := map[string]cofre.ObjectID{}
		for e, err := range r.c.PreviousTree.List(ctx, shardPath(name)) {
			if err != nil {
				return nil, fmt.Errorf("read shard %s of the last component: %w", name, err)
			}
			ids[e.Path] = e.Object
		}
		for x, err := range ReadShard(ctx, r.c.PreviousTree, name) {
			if err != nil {
				return nil, err
			}
			id := ids[filePath(name, x.File)]
			if x.File == "" || id == "" || !strings.HasPrefix(spill.ShardOf(x.Bucket, x.Name), shard) || r.racyThen(x.Object) {
				continue
			}
			out[x.Path()] = append(out[x.Path()], lastObject{x, id})
		}
	}
	return out, nil
}

// racyThen reports whether an object was written so shortly before it was captured that a later write may have
// left the same times.
func (r *run) racyThen(o Object) bool {
	return r.desc.Volatile && o.ModifiedAt.After(r.c.Previous.StartedAt.Add(-racyWindow))
}
