package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trustlayer/cofre"
)

type verdict int

const (
	unknown verdict = iota // only the bytes can tell
	alike
	unlike
)

// likeness compares the bytes of a captured object with what a service says of one that exists.
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

type likenessState int

const (
	sameAll likenessState = iota
	otherContent
	bytesGone // the service lists the object and cannot deliver it, or delivers what it does not promise
)

// compare looks at one object of the target as closely as it takes to be sure.
func (t *Target) compare(ctx context.Context, l Located, listed Object) (string, likenessState, error) {
	promised := likeness(l, listed)
	var now Object
	look := func() (err error) {
		now, err = t.look(ctx, listed)
		return err
	}
	err := look()
	// A server fails reads beside an overwrite; what its row says decides whether that must be waited for.
	if err != nil && cofre.Retryable(err) && (promised != alike || away(err)) {
		err = steadily(ctx, look)
	}
	switch {
	case ctx.Err() != nil:
		return "", 0, ctx.Err()
	case errors.Is(err, cofre.ErrDenied), errors.Is(err, cofre.ErrUnreachable):
		return "", 0, fmt.Errorf("look at %s: %w", l.Path(), err)
	case err != nil && promised == unlike:
		return "other bytes, which cannot be read", otherContent, nil
	case err != nil:
		// Listed as captured, and its bytes cannot be had: what was captured goes there.
		return "", bytesGone, nil
	}
	switch likeness(l, now) {
	case unlike:
		if promised == alike {
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

// readsAs reads an object of the target, whole, and says what differs from what was captured, or "".
func (t *Target) readsAs(ctx context.Context, l Located) (string, error) {
	got, sum, err := t.readSum(ctx, l.Object)
	if err != nil {
		return "", err
	}
	switch {
	case sum.size != l.Size:
		return fmt.Sprintf("%d bytes, not %d", sum.size, l.Size), nil
	case sum.sha != l.SHA256:
		return "other bytes", nil
	case IsMD5(got.ETag) && got.ETag != sum.md5:
		return fmt.Sprintf("etag %s, the bytes have the MD5 %s", got.ETag, sum.md5), nil
	}
	return t.differingProperty(l.Object, got), nil
}

// summed is what the bytes of an object come to.
type summed struct {
	size     int64
	sha, md5 string
}

// readSum reads an object whole, from the beginning again if the connection breaks.
func (t *Target) readSum(ctx context.Context, o Object) (got Object, sum summed, err error) {
	err = steadily(ctx, func() error {
		var body io.ReadCloser
		if got, body, err = t.cfg.To.Open(ctx, Object{Bucket: o.Bucket, Name: o.Name, Size: -1}); err != nil {
			return err
		}
		defer body.Close()
		h := newHashes()
		n, err := io.Copy(h, body)
		if err != nil {
			return fmt.Errorf("read back: %w", err)
		}
		sha, md := h.sums()
		sum = summed{n, sha, md}
		return nil
	})
	return got, sum, err
}

// openAgain opens an object that was written a moment ago. A server may fail the first reads after an overwrite.
func openAgain(ctx context.Context, s Store, o Object) (got Object, body io.ReadCloser, err error) {
	err = steadily(ctx, func() (err error) {
		got, body, err = s.Open(ctx, o)
		return err
	})
	return got, body, err
}

// differingProperty compares everything that was captured of an object beyond its bytes, as far as the target can
// hold it: what it cannot is in the plan.
func (t *Target) differingProperty(want, got Object) string {
	want, _ = t.cfg.To.Fit(want)
	return differing(want, got, t.facts.Kept().Headers)
}

// differing says in which property got is not want, or "". If an empty property of want is not exact, it is unknown,
// and not compared.
func differing(want, got Object, exact bool) string {
	for _, p := range []struct{ what, want, got string }{
		{"cache control", want.CacheControl, got.CacheControl},
		{"robots tag", want.Robots, got.Robots},
		{"content encoding", want.Encoding, got.Encoding},
		{"content disposition", want.Disposition, got.Disposition},
		{"content language", want.Language, got.Language},
	} {
		if p.want != p.got && (exact || p.want != "") {
			return fmt.Sprintf("%s %s, not %s", p.what, orNone(p.got), orNone(p.want))
		}
	}
	// A server makes up a type for what has none.
	if want.ContentType != "" && want.ContentType != got.ContentType {
		return fmt.Sprintf("content type %s, not %s", orNone(got.ContentType), want.ContentType)
	}
	if a, b := CanonicalMetadata(want.Metadata), CanonicalMetadata(got.Metadata); string(a) != string(b) && want.Metadata != nil {
		return fmt.Sprintf("metadata %s, not %s", b, a)
	}
	if want.Attributes == nil {
		return ""
	}
	if !want.ModifiedAt.Equal(got.ModifiedAt) {
		return fmt.Sprintf("time %s, not %s", got.ModifiedAt.UTC().Format(time.RFC3339Nano), want.ModifiedAt.UTC().Format(time.RFC3339Nano))
	}
	return want.Attributes.differing(got.Attributes)
}
