package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/bucket/restoring"
)

// clutter puts something else in the place of objects, of folders and of a bucket, and returns what is there then.
func clutter(t *testing.T, root, elsewhere string) map[string]string {
	t.Helper()
	for _, path := range []string{"evidence/sparse", "avatars/a.png", "avatars/empty"} {
		must(t, os.Remove(filepath.Join(root, path)))
	}
	for _, path := range []string{"avatars/long", "evidence/empty folder", "nothing"} {
		must(t, os.RemoveAll(filepath.Join(root, path)))
	}
	must(t, os.MkdirAll(root+"/evidence/sparse/below", 0o755))
	must(t, os.WriteFile(root+"/evidence/sparse/below/mine", []byte("not captured"), 0o600))
	must(t, os.Symlink(elsewhere+"/file", root+"/avatars/a.png"))
	must(t, syscall.Mkfifo(root+"/avatars/empty", 0o600))
	must(t, os.Symlink(elsewhere, root+"/avatars/long"))
	must(t, os.WriteFile(root+"/evidence/empty folder", []byte("a file"), 0o600))
	must(t, os.WriteFile(root+"/nothing", []byte("no bucket"), 0o600))
	return look(t, root)
}

func TestWhatIsInTheWayIsNamedAndMovedAsideWhenTold(t *testing.T) {
	root, elsewhere := uploads(t), t.TempDir()
	must(t, os.WriteFile(elsewhere+"/file", []byte("of somebody else"), 0o600))
	before := look(t, root)
	r := folderRoom(t, root)
	cluttered := clutter(t, root, elsewhere)
	theirs := look(t, elsewhere)
	store, err := dir.Open(root)
	must(t, err)

	out, err := r.tryRestore(restoring.Restore{To: store})
	must(t, err)
	got := left(out)
	for _, want := range []string{
		"object evidence/sparse: a folder is in its place, evidence/sparse", "object avatars/a.png: a symbolic link is in its place",
		"object avatars/empty: something that is neither a file nor a folder is in its place", "/end: a symbolic link is in its place, avatars/long",
		"folder evidence/empty folder: a file is in its place", "bucket nothing: a file is in its place, nothing",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("does not name %q: %s", want, got)
		}
	}
	now := look(t, root)
	for path, was := range cluttered {
		if _, folder := before[path]; !folder && now[path] != was {
			t.Errorf("touched %s: %s, was %s", path, now[path], was)
		}
	}

	out = r.restore(restoring.Restore{To: store, Replace: true})
	if d := differences(before, look(t, root)); len(d) > 0 {
		t.Error(strings.Join(d, "\n"))
	}
	beside, err := filepath.Glob(root + ".cofre-kept-*")
	if err != nil || len(beside) != 1 || len(out.Left) > 0 {
		t.Fatalf("beside: %v, %v; left %v", beside, err, out.Left)
	}
	aside := look(t, beside[0])
	for _, path := range []string{"evidence/sparse/below/mine", "avatars/a.png", "avatars/empty", "avatars/long", "evidence/empty folder", "nothing"} {
		if aside[path] != cluttered[path] || !strings.Contains(fmt.Sprint(out.Kept), beside[0]) {
			t.Errorf("kept %s: %s, was %s; said %v", path, aside[path], cluttered[path], out.Kept)
		}
	}
	if d := differences(theirs, look(t, elsewhere)); len(d) > 0 {
		t.Errorf("behind the links: %v", d)
	}
}

func TestALinkInPlaceOfCofresOwnFolderLeadsNowhere(t *testing.T) {
	root, elsewhere := uploads(t), t.TempDir()
	must(t, os.MkdirAll(elsewhere+"/tmp", 0o755))
	must(t, os.WriteFile(elsewhere+"/tmp/file", []byte("of somebody else"), 0o600))
	theirs := look(t, elsewhere)
	r := folderRoom(t, root)
	store := emptied(t, root)
	must(t, os.Symlink(elsewhere, root+"/.cofre"))
	if _, err := r.tryRestore(restoring.Restore{To: store}); !errors.Is(err, cofre.ErrRefused) || !strings.Contains(err.Error(), "/.cofre is a symbolic link") {
		t.Errorf("restored through a link: %v", err)
	}
	if d := differences(theirs, look(t, elsewhere)); len(d) > 0 {
		t.Errorf("behind the link: %v", d)
	}
}

func TestWhoDoesNotGetTheLockTouchesNothing(t *testing.T) {
	root, state := uploads(t), t.TempDir()
	r := folderRoom(t, root)
	store := emptied(t, root)
	r.restore(restoring.Restore{To: store, StateDir: state})
	locks, err := filepath.Glob(state + "/*.lock")
	if err != nil || len(locks) != 1 {
		t.Fatalf("locks: %v, %v", locks, err)
	}
	lock, err := os.Open(locks[0])
	must(t, err)
	defer lock.Close()
	must(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	must(t, os.MkdirAll(root+"/.cofre/tmp", 0o700))
	must(t, os.WriteFile(root+"/.cofre/tmp/object-1", []byte("of the other restore"), 0o600))
	if _, err := r.tryRestore(restoring.Restore{To: store, StateDir: state}); !errors.Is(err, cofre.ErrLocked) {
		t.Errorf("ran beside another restore: %v", err)
	}
	if _, err := os.Stat(root + "/.cofre/tmp/object-1"); err != nil {
		t.Errorf("took the other restore's file: %v", err)
	}
}

func TestAFolderThatIsGoneIsMade(t *testing.T) {
	root := uploads(t)
	before := look(t, root)
	r := folderRoom(t, root)
	must(t, os.RemoveAll(filepath.Dir(root)))
	store, err := dir.OpenNew(root)
	must(t, err)
	r.restore(restoring.Restore{To: store})
	if d := differences(before, look(t, root)); len(d) > 0 {
		t.Error(strings.Join(d, "\n"))
	}
	if len(r.plan.Steps) == 0 || r.plan.Steps[0].Verb != "create" || !strings.Contains(r.plan.Steps[0].Object, root) {
		t.Errorf("the plan says: %v", r.plan.Steps)
	}
}

// folding is a folder on a file system that takes names for one that differ in case.
type folding struct{ *dir.Store }

func (f folding) Folded(path string) (string, bool) { return strings.ToLower(path), true }

func (f folding) MakeFolder(ctx context.Context, x bucket.Folder) (bool, error) {
	if x.Name == "Reports" {
		return false, nil // reports is there
	}
	return f.Store.MakeFolder(ctx, x)
}

func (f folding) SetFolder(ctx context.Context, x bucket.Folder) error {
	if x.Name == "Reports" {
		return nil
	}
	return f.Store.SetFolder(ctx, x)
}

// TestNamesThatThePlaceTakesForOne: one of the objects is restored, and what was there is never overwritten; the others are named.
func TestNamesThatThePlaceTakesForOne(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"evidence/a", "evidence/A", "evidence/live", "evidence/reports/x", "evidence/Reports/y"} {
		must(t, os.MkdirAll(filepath.Dir(root+"/"+name), 0o755))
		must(t, os.WriteFile(root+"/"+name, []byte(name), 0o600))
	}
	r := newRoom(t)
	store, err := dir.Open(root)
	must(t, err)
	r.config.Store = store
	r.capture()
	to := emptied(t, root)
	must(t, os.Mkdir(root+"/evidence", 0o755))
	must(t, os.WriteFile(root+"/evidence/LIVE", []byte("not captured"), 0o600))
	out, err := r.tryRestore(restoring.Restore{To: folding{to}, Replace: true})
	must(t, err)
	got := left(out)
	for _, pair := range [][]string{{"evidence/a", "evidence/A"}, {"evidence/reports/x", "evidence/Reports/y"}, {"evidence/LIVE", "evidence/live"}} {
		var there []string
		for _, name := range pair {
			if _, err := os.Lstat(root + "/" + name); err == nil {
				there = append(there, name)
			} else if !strings.Contains(got, "object "+name+": the file system takes its name for that of evidence/") {
				t.Errorf("%s is not named: %s", name, got)
			}
		}
		if len(there) != 1 {
			t.Errorf("of %v there are %v", pair, there)
		}
	}
	if b, err := os.ReadFile(root + "/evidence/LIVE"); err != nil || string(b) != "not captured" {
		t.Errorf("what was there is %q, %v", b, err)
	}
}
