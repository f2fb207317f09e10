package across_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre/internal/across"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/testkit"
)

func tree(t *testing.T) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "tree")
	for _, name := range []string{"a/one", "a/two", "three"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(at, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at, name), make([]byte, 1<<20), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	return at
}

func small(t *testing.T, size string) string {
	t.Helper()
	return testkit.Mounted(t, 1<<20, []string{"true"}, []string{"mount", "-t", "tmpfs", "-o", "size=" + size})
}

func count(t *testing.T, at string) (n int) {
	t.Helper()
	err := filepath.WalkDir(at, func(_ string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatDoesNotFitStays(t *testing.T) {
	from, disk := tree(t), small(t, "2m")
	if err := across.Move(t.Context(), from, disk+"/tree"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("moved 3 MiB to a disk of 2: %v", err)
	}
	if left, err := os.ReadDir(disk); err != nil || len(left) != 0 || count(t, from) != 3 {
		t.Errorf("left there %v, %v; %d files stay", left, err, count(t, from))
	}
}

func TestWhatIsWrittenMeanwhileStays(t *testing.T) {
	from, disk := tree(t), small(t, "8m")
	stop := durable.Watch(func(s durable.Step) error {
		if s.Op != durable.OpRename {
			return nil
		}
		return errors.Join(os.WriteFile(from+"/a/new", []byte("new"), 0o600), os.WriteFile(from+"/three", []byte("changed"), 0o640))
	})
	err := across.Move(t.Context(), from, disk+"/tree")
	stop()
	if err == nil {
		t.Error("says that nothing stays")
	}
	if b, err := os.ReadFile(from + "/a/new"); err != nil || string(b) != "new" {
		t.Errorf("what is new holds %q, %v", b, err)
	}
	if b, err := os.ReadFile(from + "/three"); err != nil || string(b) != "changed" {
		t.Errorf("what has changed holds %q, %v", b, err)
	}
	if n := count(t, disk+"/tree"); n != 3 {
		t.Errorf("the copy has %d files", n)
	}
}

func TestAMountIsNotEmptied(t *testing.T) {
	from, mounted, disk := tree(t), small(t, "1m"), small(t, "8m")
	if !across.Mounted(mounted) || across.Mounted(from) {
		t.Error("does not know what is mounted")
	}
	var m *across.MountedError
	if err := across.Move(t.Context(), mounted, disk+"/moved"); !errors.As(err, &m) || m.Path != filepath.Base(mounted) {
		t.Errorf("moved a mount: %v", err)
	}
}
