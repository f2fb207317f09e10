package bucket_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/bucket/s3"
	"github.com/trustlayer/cofre/internal/s3client"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
)

// Whatever a Supabase storage holds can be restored into a folder, captured from there, and brought back.
func TestFromSupabaseToAFolderAndBack(t *testing.T) {
	r := newRoom(t)
	r.fill()
	before := contents(t, r.store)
	r.capture()
	folder, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	r.restore(restoring.Restore{To: folder})
	notes := strings.Join(r.plan.Notes, "\n")
	for _, want := range []string{"of 1 object, evidence/clash: a path of its name, next to a folder", "of 2 objects, the first evidence/", "a path of its name, which cannot be one"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the plan does not say %q: %s", want, notes)
		}
	}
	if d := differences(before, contents(t, folder)); len(d) > 0 {
		t.Fatalf("in the folder: %s", strings.Join(d, "\n"))
	}
	r.config.Store, r.last, r.lastTree = folder, nil, nil
	if facts, captured := r.capture(); facts.Objects != 51 || captured.Partial {
		t.Fatalf("captured from the folder: %+v", facts)
	}
	r.wipe()
	r.restore(restoring.Restore{})
	if d := differences(before, contents(t, r.store)); len(d) > 0 {
		t.Fatalf("back: %s", strings.Join(d, "\n"))
	}
}

func TestS3ComesBackAsItWas(t *testing.T) {
	r := newRoom(t)
	server := testkit.S3(t)
	store, err := s3.Open(s3client.Config{
		Endpoint: server.Endpoint, Region: server.Region, AccessKey: secret.New(server.AccessKey), SecretKey: secret.New(server.SecretKey), Patience: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	put := func(name string, size int) {
		t.Helper()
		o := bucket.Object{
			Bucket: server.Bucket, Name: name, Size: int64(size), ContentType: "image/png", CacheControl: "max-age=9",
			Metadata: json.RawMessage(`{"case":"ação","n":"1"}`),
		}
		if _, err := store.Put(t.Context(), o, bytes.NewReader(bytes.Repeat([]byte("s"), size))); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []string{"Photos/a", "photos/a", "acentuação/日本.png", "50%", "a+b c", strings.Repeat("long/", 100) + "end", "empty"} {
		put(n, len(n)%9*1000)
	}
	put("parts", 40<<20) // an etag that is no MD5
	before := contents(t, store)
	r.config.Store = store
	facts, captured := r.capture()
	if facts.Objects != 8 || captured.Partial {
		t.Fatalf("captured %+v", facts)
	}
	if facts, _ = r.capture(); facts.Read != 0 {
		t.Errorf("read %d objects again", facts.Read)
	}
	if err := bucket.RemovePrefix(t.Context(), store, server.Bucket, ""); err != nil {
		t.Fatal(err)
	}
	r.restore(restoring.Restore{To: store})
	if d := differences(before, contents(t, store)); len(d) > 0 {
		t.Fatalf("after the restore: %s", strings.Join(d, "\n"))
	}
	if out := r.restore(restoring.Restore{To: store}); !strings.Contains(out.Done.Text, "8 objects equal already") {
		t.Errorf("a second restore: %s", out.Done.Text)
	}
}
