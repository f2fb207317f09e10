package bucket

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"
)

// OpenAgain opens an object that was written a moment ago. A server may fail the first reads after an overwrite.
func OpenAgain(ctx context.Context, s Store, o Object) (got Object, body io.ReadCloser, err error) {
	err = Steadily(ctx, func() (err error) {
		got, body, err = s.Open(ctx, o)
		return err
	})
	return got, body, err
}

// Differing says in which property got is not want, or "". If an empty property of want is not exact, it is unknown,
// and not compared.
func Differing(want, got Object, exact bool) string {
	for _, p := range []struct{ what, want, got string }{
		{"cache control", want.CacheControl, got.CacheControl},
		{"robots tag", want.Robots, got.Robots},
		{"content encoding", want.Encoding, got.Encoding},
		{"content disposition", want.Disposition, got.Disposition},
		{"content language", want.Language, got.Language},
	} {
		if p.want != p.got && (exact || p.want != "") {
			return fmt.Sprintf("%s %s, not %s", p.what, cmp.Or(p.got, "none"), cmp.Or(p.want, "none"))
		}
	}
	// A server makes up a type for what has none.
	if want.ContentType != "" && want.ContentType != got.ContentType {
		return fmt.Sprintf("content type %s, not %s", cmp.Or(got.ContentType, "none"), want.ContentType)
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
	return want.Attributes.Differing(got.Attributes)
}
