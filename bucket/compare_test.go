package bucket_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre/bucket"
)

// TestDiffering: each property by itself makes two objects differ, and is named; none makes them equal.
func TestDiffering(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	full := func() bucket.Object {
		return bucket.Object{
			Bucket: "b", Name: "n", Size: 3, ModifiedAt: at, ContentType: "text/plain", CacheControl: "max-age=1", Robots: "noindex",
			Encoding: "gzip", Disposition: "inline", Language: "pt", Metadata: json.RawMessage(`{"a":"1","b":2}`),
			Attributes: &bucket.Attributes{Mode: "0640", UID: 1, GID: 2, Xattrs: map[string][]byte{"user.a": []byte("x")}},
		}
	}
	same := full()
	same.Metadata = json.RawMessage(`{ "b": 2, "a": "1" }`)
	if d := bucket.Differing(full(), same, true).Text; d != "" {
		t.Errorf("equal objects differ in %s", d)
	}
	for want, change := range map[string]func(o *bucket.Object){
		"Cache-Control none, not max-age=1": func(o *bucket.Object) { o.CacheControl = "" },
		"X-Robots-Tag all, not noindex":     func(o *bucket.Object) { o.Robots = "all" },
		"Content-Encoding br, not gzip":     func(o *bucket.Object) { o.Encoding = "br" },
		"Content-Disposition none":          func(o *bucket.Object) { o.Disposition = "" },
		"Content-Language en, not pt":       func(o *bucket.Object) { o.Language = "en" },
		"Content-Type none, not text/plain": func(o *bucket.Object) { o.ContentType = "" },
		"metadata {\"a\":\"1\"}, not":       func(o *bucket.Object) { o.Metadata = json.RawMessage(`{"a":"1"}`) },
		"metadata {}, not":                  func(o *bucket.Object) { o.Metadata = nil },
		"time 2026-01-02T03:04:05.000000679Z, not 2026-01-02T03:04:05.000000678Z": func(o *bucket.Object) { o.ModifiedAt = at.Add(1) },
		"no mode and owner":                     func(o *bucket.Object) { o.Attributes = nil },
		"mode 0644, not 0640":                   func(o *bucket.Object) { o.Attributes.Mode = "0644" },
		"owner 9:2, not 1:2":                    func(o *bucket.Object) { o.Attributes.UID = 9 },
		"owner 1:9, not 1:2":                    func(o *bucket.Object) { o.Attributes.GID = 9 },
		"extended attribute user.a differs":     func(o *bucket.Object) { o.Attributes.Xattrs["user.a"] = nil },
		"extended attribute user.b was not cap": func(o *bucket.Object) { o.Attributes.Xattrs["user.b"] = []byte("y") },
	} {
		got := full()
		change(&got)
		if d := bucket.Differing(full(), got, false).Text; !strings.HasPrefix(d, want) {
			t.Errorf("differs in %q, want %q", d, want)
		}
	}
	// What the file system makes of itself is no difference, nor are holes.
	got := full()
	got.Attributes.Xattrs["security.selinux"], got.Attributes.Sparse = []byte("z"), true
	if d := bucket.Differing(full(), got, true).Text; d != "" {
		t.Errorf("differs in %s", d)
	}
	// What was not captured is not compared, unless an empty header was captured as such.
	bare := bucket.Object{Bucket: "b", Name: "n"}
	if d := bucket.Differing(bare, full(), false).Text; d != "" {
		t.Errorf("what is not known differs in %s", d)
	}
	if d := bucket.Differing(bare, full(), true).Text; d != "Cache-Control max-age=1, not none" {
		t.Errorf("an exact empty header differs in %q", d)
	}
}

func TestSameContent(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 999, time.UTC)
	o := bucket.Object{Version: "v1", ETag: "e", Size: 3, ModifiedAt: at}
	with := func(change func(*bucket.Object)) bucket.Object {
		c := o
		change(&c)
		return c
	}
	for name, c := range map[string]struct {
		a, b bucket.Object
		want bool
	}{
		"equal":                  {o, o, true},
		"another version":        {o, with(func(o *bucket.Object) { o.Version = "v2" }), false},
		"a version says it all":  {o, with(func(o *bucket.Object) { o.ETag, o.Size, o.ModifiedAt = "f", 4, at.Add(time.Hour) }), true},
		"no version":             {o, with(func(o *bucket.Object) { o.Version = "" }), true},
		"no version, other etag": {o, with(func(o *bucket.Object) { o.Version, o.ETag = "", "f" }), false},
		"no version, other size": {o, with(func(o *bucket.Object) { o.Version, o.Size = "", 4 }), false},
		"no version, other time": {o, with(func(o *bucket.Object) { o.Version, o.ModifiedAt = "", at.Add(time.Second) }), false},
		"a part of a second":     {o, with(func(o *bucket.Object) { o.Version, o.ModifiedAt = "", at.Truncate(time.Second) }), true},
		"nothing is known":       {bucket.Object{}, bucket.Object{}, false},
	} {
		if got := bucket.SameContent(c.a, c.b); got != c.want || bucket.SameContent(c.b, c.a) != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestPointsOfBeforeSayWhatTheyKeepByKind: their facts have the kind alone.
func TestPointsOfBeforeSayWhatTheyKeepByKind(t *testing.T) {
	for kind, want := range map[string]bucket.Keeps{
		"supabase": {Settings: bucket.Settings{Public: true, Limits: true}, Headers: true, Rows: true},
		"s3":       {Settings: bucket.Settings{Versions: true}, Headers: true},
		"dir":      {Settings: bucket.Settings{Public: true, Limits: true, Versions: true}, Files: true},
		"other":    {},
	} {
		var f bucket.Facts
		if err := json.Unmarshal([]byte(`{"format":1,"store":"`+kind+`"}`), &f); err != nil {
			t.Fatal(err)
		}
		if got := f.Kept(); got != want {
			t.Errorf("%s keeps %+v, want %+v", kind, got, want)
		}
	}
	f := bucket.Facts{Kind: "s3", Keeps: &bucket.Keeps{Files: true}}
	if got := f.Kept(); got != (bucket.Keeps{Files: true}) {
		t.Errorf("keeps %+v, and its facts say files", got)
	}
}
