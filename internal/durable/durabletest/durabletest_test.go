package durabletest_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/durable/durabletest"
)

func TestWhatIsLostIsNamed(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(root string) error
		want []string // after the folder
	}{
		"all is well": {func(root string) error {
			return errors.Join(durable.Remove(root+"/old"), os.WriteFile(root+"/a", nil, 0o600), durable.SyncFile(root+"/a"), durable.SyncDir(root))
		}, nil},
		"bytes": {func(root string) error {
			return errors.Join(os.WriteFile(root+"/a", []byte("x"), 0o600), durable.SyncDir(root))
		}, []string{"the bytes or the mode of /a"}},
		"bytes of what was there": {func(root string) error {
			return os.WriteFile(root+"/old", []byte("longer"), 0o600)
		}, []string{"the bytes or the mode of /old"}},
		"a mode":          {func(root string) error { return os.Chmod(root+"/old", 0o644) }, []string{"the bytes or the mode of /old"}},
		"a folder's mode": {func(root string) error { return os.Chmod(root, 0o711) }, []string{"the mode of "}},
		"a name": {func(root string) error {
			return errors.Join(os.WriteFile(root+"/a", nil, 0o600), durable.SyncFile(root+"/a"))
		}, []string{"the name /a"}},
		"a name that came after": {func(root string) error {
			return errors.Join(durable.SyncDir(root), os.Mkdir(root+"/a", 0o700))
		}, []string{"the name /a"}},
		"the name of a folder above": {func(root string) error {
			return errors.Join(os.MkdirAll(root+"/a/b", 0o700), durable.SyncDir(root+"/a"))
		}, []string{"the name /a"}},
		"a removal": {func(root string) error { return os.Remove(root + "/old") }, []string{"that /old is gone"}},
		"bytes that came after": {func(root string) error {
			return errors.Join(os.WriteFile(root+"/a", nil, 0o600), durable.SyncFile(root+"/a"), durable.SyncDir(root), os.WriteFile(root+"/a", []byte("x"), 0o600))
		}, []string{"the bytes or the mode of /a"}},
		"all is well with a folder that takes its name": {func(root string) error {
			return errors.Join(durable.MkdirAll(root+"/new", 0o700), durable.WriteFile(root+"/new/a", 0o600, func(io.Writer) error { return nil }), durable.Rename(root+"/new", root+"/b"))
		}, nil},
		"bytes under a name that others were synced under": {func(root string) error {
			return errors.Join(durable.WriteFile(root+"/a", 0o600, func(io.Writer) error { return nil }), os.Remove(root+"/a"), durable.Remove(root+"/old"),
				os.WriteFile(root+"/b", []byte("x"), 0o600), durable.Rename(root+"/b", root+"/a"))
		}, []string{"the bytes or the mode of /a"}},
		"a passing": {func(root string) error { return os.Mkdir(root+"/tmp", 0o700) }, nil},
		"a replaced": {func(root string) error {
			return errors.Join(os.WriteFile(root+"/a", nil, 0o600), durable.SyncFile(root+"/a"), durable.SyncDir(root), os.Rename(root+"/a", root+"/old"))
		}, []string{"that /a is gone", "the name /old"}},
	} {
		root := t.TempDir()
		if err := os.WriteFile(root+"/old", []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := durabletest.Lost(root, func() error { return c.do(root) }, "tmp")
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for i, w := range got {
			got[i] = trim(w, root)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: lost %q, want %q", name, got, c.want)
		}
	}
}

func trim(what, root string) string {
	for i := range what {
		if len(what) >= i+len(root) && what[i:i+len(root)] == root {
			return what[:i] + what[i+len(root):]
		}
	}
	return what
}

func TestEachStepFailsOnce(t *testing.T) {
	runs := 0
	durabletest.EachStepFails(t, func() (string, func() error) {
		runs++
		root := t.TempDir()
		return root, func() error { return errors.Join(durable.SyncDir(root), durable.Remove(filepath.Join(root, "none"))) }
	})
	if runs != 3 {
		t.Errorf("two steps were done in %d runs, want 3", runs)
	}
}
