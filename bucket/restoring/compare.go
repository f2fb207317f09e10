package restoring

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
)

type verdict int

const (
	unknown verdict = iota // only the bytes can tell
	alike
	unlike
)

// likeness compares the bytes of a captured object with what a service says of one that exists.
func likeness(l bucket.Located, o bucket.Object) verdict {
	switch {
	case o.Size >= 0 && o.Size != l.Size:
		return unlike
	case bucket.IsMD5(o.ETag) && l.MD5 != "":
		if o.ETag == l.MD5 {
			return alike
		}
		return unlike
	case o.ETag != "" && o.ETag == l.ETag, o.Version != "" && o.Version == l.Version:
		return alike
	}
	return unknown
}

type likenessState int

const (
	sameAll likenessState = iota
	otherContent
	bytesGone // the service lists the object and cannot deliver it, or delivers what it does not promise
)

// compare looks at one object of the target as closely as it takes to be sure.
func (t *Target) compare(ctx context.Context, l bucket.Located, listed bucket.Object) (cofre.Message, likenessState, error) {
	promised := likeness(l, listed)
	var now bucket.Object
	look := func() (err error) {
		now, err = t.look(ctx, listed)
		return err
	}
	err := look()
	// A server fails reads beside an overwrite; what its row says decides whether that must be waited for.
	if err != nil && cofre.Retryable(err) && (promised != alike || bucket.Away(err)) {
		err = bucket.Steadily(ctx, look)
	}
	switch {
	case ctx.Err() != nil:
		return cofre.Message{}, 0, ctx.Err()
	case errors.Is(err, cofre.ErrDenied), errors.Is(err, cofre.ErrUnreachable):
		return cofre.Message{}, 0, fmt.Errorf("look at %s: %w", l.Path(), err)
	case err != nil && promised == unlike:
		return cofre.Say("bucket.other_unreadable", "other bytes, which cannot be read"), otherContent, nil
	case err != nil:
		// Listed as captured, and its bytes cannot be had: what was captured goes there.
		return cofre.Message{}, bytesGone, nil
	}
	switch likeness(l, now) {
	case unlike:
		if promised == alike {
			return cofre.Message{}, bytesGone, nil // its row promises the captured bytes and others are served
		}
		return otherBytes(), otherContent, nil
	case unknown:
		same, _, err := t.readsAs(ctx, l) // of its tags, now tells
		if err != nil {
			return cofre.Message{}, 0, err
		}
		if !same.IsZero() {
			return same, otherContent, nil
		}
	case alike:
	}
	if d := t.differingProperty(l.Object, now); !d.IsZero() {
		return d, otherContent, nil
	}
	if d := t.differingTags(l.Object, now); !d.IsZero() {
		return d, otherContent, nil
	}
	return cofre.Message{}, sameAll, nil
}

func (t *Target) look(ctx context.Context, o bucket.Object) (bucket.Object, error) {
	if p, ok := t.cfg.To.(bucket.Prover); ok {
		return p.Prove(ctx, o)
	}
	return t.cfg.To.Stat(ctx, o.Bucket, o.Name)
}

func otherBytes() cofre.Message { return cofre.Say("bucket.other_bytes", "other bytes") }

// readsAs reads an object of the target, whole, and says what differs from what was captured, or nothing; of its
// tags apart.
func (t *Target) readsAs(ctx context.Context, l bucket.Located) (different, tags cofre.Message, err error) {
	got, sum, err := t.readSum(ctx, l.Object)
	if err != nil {
		return cofre.Message{}, cofre.Message{}, err
	}
	switch {
	case sum.size != l.Size:
		return cofre.Say("bucket.other_size", "{{.size}} bytes, not {{.want}}", "size", sum.size, "want", l.Size), cofre.Message{}, nil
	case sum.sha != l.SHA256:
		return otherBytes(), cofre.Message{}, nil
	case bucket.IsMD5(got.ETag) && got.ETag != sum.md5:
		return cofre.Say("bucket.wrong_etag", "etag {{.etag}}, and the bytes have the MD5 {{.md5}}", "etag", got.ETag, "md5", sum.md5), cofre.Message{}, nil
	}
	return t.differingProperty(l.Object, got), t.differingTags(l.Object, got), nil
}

// summed is what the bytes of an object come to.
type summed struct {
	size     int64
	sha, md5 string
}

// readSum reads an object whole, from the beginning again if the connection breaks.
func (t *Target) readSum(ctx context.Context, o bucket.Object) (got bucket.Object, sum summed, err error) {
	err = bucket.Steadily(ctx, func() error {
		var body io.ReadCloser
		if got, body, err = t.cfg.To.Open(ctx, bucket.Object{Bucket: o.Bucket, Name: o.Name, Size: -1}); err != nil {
			return err
		}
		defer body.Close()
		h := bucket.NewSums()
		n, err := io.Copy(h, body)
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		sha, md := h.Hex()
		sum = summed{n, sha, md}
		return nil
	})
	return got, sum, err
}

// differingProperty compares everything that was captured of an object beyond its bytes, as far as the target can
// hold it: what it cannot is in the plan.
func (t *Target) differingProperty(want, got bucket.Object) cofre.Message {
	want, _ = t.cfg.To.Fit(want)
	return bucket.Differing(want, got, t.facts.Kept().Headers)
}

func (t *Target) differingTags(want, got bucket.Object) cofre.Message {
	if !t.desc.Tags {
		return cofre.Message{}
	}
	return bucket.DifferingTags(want, got)
}
