package dir_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/buckettest"
	"github.com/trustlayer/cofre/bucket/dir"
)

func TestContract(t *testing.T) {
	t.Parallel()
	s, err := dir.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	buckettest.Run(t, s, "evidence")
}

// TestAFileThatIsWrittenWhileItIsRead, as large as it was, and with its time set back, is not taken for the one that was
// listed.
func TestAFileThatIsWrittenWhileItIsRead(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "docs", "a")
	old := time.Now().Add(-time.Hour).Truncate(time.Second)
	write := func(fill byte) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600) // in place: the file that is open
		if err == nil {
			_, err = f.WriteAt(bytes.Repeat([]byte{fill}, 200_000), 0)
			err = errors.Join(err, f.Close(), os.Chtimes(path, old, old))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	write('a')
	s, err := dir.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	before, body, err := s.Open(t.Context(), bucket.Object{Bucket: "docs", Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.CopyN(io.Discard, body, 1000); err != nil {
		t.Fatal(err)
	}
	write('b')
	if _, err := io.Copy(io.Discard, body); !cofre.Retryable(err) {
		t.Errorf("read to its end: %v", err)
	}
	after, err := s.Stat(t.Context(), "docs", "a")
	if err != nil || bucket.SameContent(before, after) {
		t.Errorf("its etag is %s still, %v", after.ETag, err)
	}
}

// TestTimesThatTheFileSystemDoesNotKeep are restored as near as they can be, and said before.
func TestTimesThatTheFileSystemDoesNotKeep(t *testing.T) {
	first, last := time.Unix(-1<<31, 0).UTC(), time.Unix(1<<31-1, 0).UTC()
	for _, test := range []struct{ captured, kept time.Time }{
		{time.Unix(1_700_000_001, 123_456_789), time.Unix(1_700_000_001, 0)},
		{time.Unix(-1_000_000, 999_999_999), time.Unix(-1_000_000, 0)},
		{time.Unix(1_700_000_001, 0), time.Unix(1_700_000_001, 0)},
		{time.Date(1890, 1, 1, 0, 0, 0, 0, time.UTC), first},
		{time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC), last},
	} {
		s, err := dir.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		s.Coarse(time.Second, first, last)
		o := bucket.Object{Bucket: "docs", Name: "a", ModifiedAt: test.captured, Attributes: &bucket.Attributes{
			Mode: "0600", UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
		}}
		fitted, lost := s.Fit(o)
		if !fitted.ModifiedAt.Equal(test.kept) || len(lost) == 0 != test.kept.Equal(test.captured) {
			t.Errorf("%v becomes %v, not %v: %v", test.captured, fitted.ModifiedAt, test.kept, lost)
		}
		if err := s.Ensure(t.Context(), bucket.Bucket{ID: "docs"}); err != nil {
			t.Fatal(err)
		}
		put, err := s.Put(t.Context(), fitted, bytes.NewReader(nil))
		if err != nil || !bucket.Differing(fitted, put, true).IsZero() {
			t.Errorf("written %+v, %v", put, err)
		}
	}
}
