package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pkg/xattr"
	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/internal/durable"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// uploads makes a folder as an application has it: owners, modes, times, attributes, an empty folder, holes.
func uploads(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "objects")
	for path, mode := range map[string]fs.FileMode{
		"evidence/2026/secret.pdf": 0o600, "evidence/2026/read only": 0o440, "evidence/run": fs.ModeSetgid | 0o750,
		"avatars/a.png": 0o644, "avatars/" + strings.Repeat("long/", 3) + "end": 0o640, "avatars/empty": 0o644,
	} {
		at := filepath.Join(root, path)
		must(t, os.MkdirAll(filepath.Dir(at), 0o755))
		content := "bytes of " + path
		if strings.HasSuffix(path, "empty") {
			content = ""
		}
		must(t, os.WriteFile(at, []byte(content), 0o600))
		must(t, os.Chmod(at, mode))
	}
	must(t, os.MkdirAll(root+"/evidence/empty folder", 0o700))
	must(t, os.MkdirAll(root+"/nothing", 0o750))
	must(t, os.Chmod(root+"/evidence/2026", fs.ModeSticky|0o770))
	must(t, xattr.Set(root+"/avatars/a.png", "user.supabase.content-type", []byte("image/png")))
	must(t, xattr.Set(root+"/evidence", "user.of", []byte("a folder")))
	sparse, err := os.Create(root + "/evidence/sparse")
	must(t, err)
	_, err = sparse.WriteAt([]byte("in the middle"), 3<<20)
	must(t, errors.Join(err, sparse.Truncate(8<<20), sparse.Close()))
	if os.Geteuid() == 0 {
		must(t, os.Chown(root+"/evidence/2026/secret.pdf", 33, 4321))
		must(t, os.Chown(root+"/avatars", 12345, 12346))
		must(t, os.Chmod(root+"/evidence/run", fs.ModeSetgid|0o750))
	}
	at := time.Date(2019, 2, 3, 4, 5, 6, 789_012_345, time.UTC)
	must(t, filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Chtimes(p, at, at)) }))
	return root
}

// look describes everything below a folder. Its own time changes with what is made in it.
func look(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		text := fmt.Sprintf("%o %d:%d %d.%09d", st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			to, err := os.Readlink(p)
			text += " -> " + to
			if err != nil {
				return err
			}
		case d.Type().IsRegular():
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %d bytes %.40q", st.Size, content)
			if st.Size > 1<<20 && st.Blocks*512 > st.Size/2 {
				text += " filled"
			}
		}
		names, err := xattr.LList(p)
		if err != nil {
			return err
		}
		for _, n := range names {
			v, err := xattr.LGet(p, n)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %s=%q", n, v)
		}
		rel, _ := filepath.Rel(root, p)
		all[rel] = text
		return nil
	}))
	return all
}

func folderRoom(t *testing.T, root string) *room {
	t.Helper()
	r := newRoom(t)
	store, err := dir.Open(root)
	must(t, err)
	r.config.Store = store
	if facts, captured := r.capture(); captured.Partial || facts.Objects != 7 {
		t.Fatalf("captured %+v, %v", facts, captured.Warnings)
	}
	return r
}

func emptied(t *testing.T, root string) *dir.Store {
	t.Helper()
	must(t, os.RemoveAll(root))
	must(t, os.MkdirAll(root, 0o755))
	store, err := dir.Open(root)
	must(t, err)
	return store
}

func TestAPlainFolderComesBackAsAPlainFolder(t *testing.T) {
	root := uploads(t)
	before := look(t, root)
	r := folderRoom(t, root)
	r.restore(restoring.Restore{To: emptied(t, root)})
	if d := differences(before, look(t, root)); len(d) > 0 {
		t.Error(strings.Join(d, "\n"))
	}
	if len(r.plan.Notes) != len(r.plan.Promise.Told()) {
		t.Errorf("besides what it promises the plan says: %q", r.plan.Notes)
	}
	// What is equal is left alone, inode and all; what is otherwise is named, and only replaced when told.
	must(t, os.Chmod(root+"/evidence/2026/secret.pdf", 0o644))
	must(t, os.Chmod(root+"/evidence/empty folder", 0o755))
	must(t, os.WriteFile(root+"/avatars/a.png", []byte("of today"), 0o644))
	store, err := dir.Open(root)
	must(t, err)
	changed := look(t, root)
	out, err := r.tryRestore(restoring.Restore{To: store})
	must(t, err)
	got := left(out)
	for _, want := range []string{"evidence/2026/secret.pdf: mode 0644, not 0600", "folder evidence/empty folder: mode 0755, not 0700", "avatars/a.png: other bytes"} {
		if !strings.Contains(got, want) {
			t.Errorf("does not name %q: %s", want, got)
		}
	}
	if d := differences(changed, look(t, root)); len(d) > 0 {
		t.Errorf("touched: %s", strings.Join(d, "\n"))
	}
	out = r.restore(restoring.Restore{To: store, Replace: true})
	if d := differences(before, look(t, root)); len(d) > 0 {
		t.Error(strings.Join(d, "\n"))
	}
	beside, err := filepath.Glob(root + ".cofre-kept-*")
	if err != nil || len(beside) != 1 || !strings.Contains(fmt.Sprint(out.Kept), "2 objects as they were before, in "+beside[0]) {
		t.Fatalf("beside: %v, %v; said %v", beside, err, out.Kept)
	}
	aside := look(t, beside[0])
	for _, path := range []string{"avatars/a.png", "evidence/2026/secret.pdf"} {
		if aside[path] != changed[path] {
			t.Errorf("kept %s: %s, was %s", path, aside[path], changed[path])
		}
	}
}

// After a kill at any step that is made durable, the same command makes everything equal, and nothing is left of the first.
func TestAFolderRestoreKilledAtEachStep(t *testing.T) {
	root := filepath.Join(t.TempDir(), "objects")
	must(t, os.MkdirAll(root+"/evidence/2026", 0o750))
	must(t, os.MkdirAll(root+"/evidence/empty folder", 0o700))
	must(t, os.WriteFile(root+"/evidence/2026/secret.pdf", []byte("of then"), 0o600))
	must(t, os.WriteFile(root+"/evidence/b", []byte("b"), 0o640))
	at := time.Date(2019, 2, 3, 4, 5, 6, 789_012_345, time.UTC)
	must(t, filepath.WalkDir(root, func(p string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Chtimes(p, at, at)) }))
	before := look(t, root)
	r := newRoom(t)
	store, err := dir.Open(root)
	must(t, err)
	r.config.Store = store
	r.capture()
	state := t.TempDir()
	for at := 0; ; at++ {
		store := emptied(t, root)
		must(t, os.MkdirAll(root+"/evidence/2026", 0o755))
		must(t, os.WriteFile(root+"/evidence/2026/secret.pdf", []byte("of today"), 0o644))
		n := 0
		stop := durable.Watch(func(s durable.Step) error {
			if !strings.HasPrefix(s.Path, root) {
				return nil
			}
			if n++; n > at {
				return errKilled
			}
			return nil
		})
		_, err := r.tryRestore(restoring.Restore{To: store, StateDir: state, Replace: true, NoKeep: true, Jobs: 1})
		stop()
		out, again := r.tryRestore(restoring.Restore{To: store, StateDir: state, Replace: true, NoKeep: true, Jobs: 1})
		if again != nil || len(out.Left) > 0 {
			t.Fatalf("killed at step %d (%v), then: %v, left %s", at, err, again, left(out))
		}
		if d := differences(before, look(t, root)); len(d) > 0 {
			t.Fatalf("killed at step %d (%v): %s", at, err, strings.Join(d, "\n"))
		}
		if err == nil {
			if at < 15 {
				t.Fatalf("a restore of %d steps proves little", at)
			}
			return
		}
	}
}

// A restore of an earlier version left records that say nothing; those that say something stay.
func TestWhatEarlierVersionsLeftIsCleaned(t *testing.T) {
	root := uploads(t)
	before := look(t, root)
	r := folderRoom(t, root)
	for _, path := range []string{"tmp/object-1", "meta/evidence/0123456789abcdef0123456789abcdef.json", "buckets/evidence.json"} {
		must(t, os.MkdirAll(filepath.Dir(root+"/.cofre/"+path), 0o755))
		text := `{"bucket":"evidence","name":"run","size":17,"written":1}`
		if strings.HasPrefix(path, "buckets") {
			text = `{"id":"evidence"}`
		}
		must(t, os.WriteFile(root+"/.cofre/"+path, []byte(text), 0o644))
	}
	must(t, os.MkdirAll(root+"/.cofre/meta/avatars", 0o755))
	must(t, os.WriteFile(root+"/.cofre/meta/avatars/00.json", []byte(`{"bucket":"avatars","name":"a.png","content_type":"image/png"}`), 0o644))
	store, err := dir.Open(root)
	must(t, err)
	r.restore(restoring.Restore{To: store})
	now := look(t, root)
	if now[".cofre/meta/avatars/00.json"] == "" || now[".cofre/tmp"] != "" || now[".cofre/buckets"] != "" || now[".cofre/meta/evidence"] != "" {
		t.Errorf("below .cofre: %v", now)
	}
	for path := range now {
		if strings.HasPrefix(path, ".cofre") {
			delete(now, path)
		}
	}
	if d := differences(before, now); len(d) > 0 {
		t.Error(strings.Join(d, "\n"))
	}
}

// A component of an earlier version has neither attributes nor folders.
func TestAnOlderPointSaysWhatItDoesNotHold(t *testing.T) {
	root := uploads(t)
	r := newRoom(t)
	store, err := dir.Open(root)
	must(t, err)
	r.config.Store = older{store}
	r.capture()
	r.restore(restoring.Restore{To: emptied(t, root)})
	if notes := strings.Join(r.plan.Notes, "\n"); !strings.Contains(notes, "the version that made this point did not capture mode, owner") {
		t.Errorf("the plan says %q", notes)
	}
	if content, err := os.ReadFile(root + "/evidence/2026/secret.pdf"); err != nil || string(content) != "bytes of evidence/2026/secret.pdf" {
		t.Errorf("%q, %v", content, err)
	}
}

// TestFoldersAsAnotherUser runs these tests as a user who may not give files away.
func TestFoldersAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("is another user")
	}
	work, err := os.MkdirTemp("", "cofre-bucket-*")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(work)) })
	must(t, os.Chmod(work, 0o777))
	self, err := os.ReadFile("/proc/self/exe")
	must(t, err)
	must(t, os.WriteFile(work+"/test", self, 0o755))
	// What root captured, restored by somebody else.
	root := uploads(t)
	must(t, os.CopyFS(work+"/of-root", os.DirFS(root)))
	cmd := exec.CommandContext(t.Context(), work+"/test", "-test.v", "-test.run", "TestAPlainFolder|TestAFolderRestore|TestAnotherOwner|TestWhatEarlier")
	cmd.Dir = work
	cmd.Env = []string{"TMPDIR=" + work, "HOME=" + work, "COFRE_TEST_OF_ROOT=" + work + "/of-root"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestAnotherOwner") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestAnotherOwnerIsSaidBefore(t *testing.T) {
	from := os.Getenv("COFRE_TEST_OF_ROOT")
	if from == "" {
		t.Skip("TestFoldersAsAnotherUser runs this")
	}
	r := newRoom(t)
	must(t, os.Mkdir(filepath.Join(t.TempDir(), "x"), 0o755))
	store, err := dir.Open(from)
	must(t, err)
	r.config.Store, r.config.Buckets = store, []string{"avatars"}
	r.capture()
	to, err := dir.Open(t.TempDir())
	must(t, err)
	r.restore(restoring.Restore{To: to})
	if notes := strings.Join(r.plan.Notes, "\n"); !strings.Contains(notes, "its owner: it will belong to the user who restores") {
		t.Errorf("the plan says %q", notes)
	}
}

// older is a folder as versions before attributes saw it.
type older struct{ *dir.Store }

func (o older) List(ctx context.Context, id, prefix string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		for x, err := range o.Store.List(ctx, id, prefix) {
			x.Attributes = nil
			if !yield(x, err) {
				return
			}
		}
	}
}

func (o older) Open(ctx context.Context, x bucket.Object) (bucket.Object, io.ReadCloser, error) {
	got, body, err := o.Store.Open(ctx, x)
	got.Attributes = nil
	return got, body, err
}

// Folders hides the power of the store behind another signature.
func (o older) Folders() {}
