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
