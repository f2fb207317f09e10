package bucket

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
)

// OpenAgain opens an object that was written a moment ago. A server may fail the first reads after an overwrite.
//
// Errors: those of Store.Open, once it is not tried again.
func OpenAgain(ctx context.Context, s Store, o Object) (got Object, body io.ReadCloser, err error) {
	err = Steadily(ctx, func() (err error) {
		got, body, err = s.Open(ctx, o)
		return err
	})
	return got, body, err
}

// Differing says in which property got is not want, or nothing. If an empty property of want is not exact, it is unknown,
// and not compared.
func Differing(want, got Object, exact bool) cofre.Message {
	for _, p := range []struct{ what, want, got string }{
		{"Cache-Control", want.CacheControl, got.CacheControl},
		{"X-Robots-Tag", want.Robots, got.Robots},
		{"Content-Encoding", want.Encoding, got.Encoding},
		{"Content-Disposition", want.Disposition, got.Disposition},
		{"Content-Language", want.Language, got.Language},
	} {
		if p.want != p.got && (exact || p.want != "") {
			return differs(cofre.Verbatim(p.what), p.got, p.want)
		}
	}
	// A server makes up a type for what has none.
	if want.ContentType != "" && want.ContentType != got.ContentType {
		return differs(cofre.Verbatim("Content-Type"), got.ContentType, want.ContentType)
	}
	if a, b := CanonicalMetadata(want.Metadata), CanonicalMetadata(got.Metadata); string(a) != string(b) && want.Metadata != nil {
		return differs(cofre.Say("bucket.metadata", "metadata"), string(b), string(a))
	}
	if want.Attributes == nil {
		return cofre.Message{}
	}
	if !want.ModifiedAt.Equal(got.ModifiedAt) {
		return DifferingTime(got.ModifiedAt, want.ModifiedAt)
	}
	return want.Attributes.Differing(got.Attributes)
}

// DifferingTags says how the tags of got are not those of want, or nothing. Tags of want that are not known are not compared.
func DifferingTags(want, got Object) cofre.Message {
	if want.Tags == nil || maps.Equal(want.Tags, got.Tags) && got.TagsUnread == "" {
		return cofre.Message{}
	}
	if got.TagsUnread != "" {
		return cofre.Say("bucket.tags_unread", "its tags cannot be read: {{.cause}}", "cause", cofre.Verbatim(got.TagsUnread))
	}
	return differs(cofre.Say("bucket.tags", "tags"), tagsText(got.Tags), tagsText(want.Tags))
}

func tagsText(tags map[string]string) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		all = append(all, k+"="+tags[k])
	}
	return strings.Join(all, " ")
}

func differs(what cofre.Message, got, want string) cofre.Message {
	return cofre.Say("bucket.differs", "{{.what}} {{.got}}, not {{.want}}", "what", what, "got", orNone(got), "want", orNone(want))
}

// DifferingTime says that one time is not another.
func DifferingTime(got, want time.Time) cofre.Message {
	return differs(cofre.Say("bucket.time", "time"), got.UTC().Format(time.RFC3339Nano), want.UTC().Format(time.RFC3339Nano))
}

func orNone(s string) cofre.Message {
	if s == "" {
		return cofre.Say("bucket.none", "none")
	}
	return cofre.Verbatim(s)
}
