package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/internal/testkit"
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

// otherDisk is a folder on another file system than where tests have theirs.
func otherDisk(t *testing.T) string {
	t.Helper()
	var here, there syscall.Stat_t
	at, err := os.MkdirTemp("/dev/shm", "cofre-test-*")
	if err != nil {
		t.Skip("no second file system without a mount: ", err)
	}
	t.Cleanup(func() { must(t, os.RemoveAll(at)) })
	must(t, errors.Join(syscall.Stat(t.TempDir(), &here), syscall.Stat(at, &there)))
	if here.Dev == there.Dev {
		t.Skip("no second file system without a mount")
	}
	return at
}

// TestWhatIsOnAnotherDiskIsMovedAside: a bucket may be a link to a larger disk, what is kept is next to the folder.
func TestWhatIsOnAnotherDiskIsMovedAside(t *testing.T) {
	root, disk := uploads(t), otherDisk(t)
	for _, id := range []string{"evidence", "avatars"} { // each on the other disk
		must(t, os.CopyFS(disk+"/"+id, os.DirFS(root+"/"+id)))
		must(t, os.RemoveAll(root+"/"+id))
		must(t, os.Symlink(disk+"/"+id, root+"/"+id))
	}
	must(t, os.Chmod(root+"/evidence/run", 0o751))
	before := look(t, disk)
	r := folderRoom(t, root)
	elsewhere := t.TempDir()
	cluttered := clutter(t, root, elsewhere)
	must(t, os.Remove(root+"/nothing"))
	must(t, os.WriteFile(root+"/evidence/run", []byte("other bytes"), 0o751))
	must(t, os.Chmod(root+"/evidence/run", 0o751))
	must(t, os.Chmod(root+"/evidence/sparse/below", 0o711))
	cluttered["evidence/sparse/below"] = look(t, root+"/evidence/sparse/")["below"]
	replaced := look(t, root+"/evidence/")["run"]
	strays := look(t, disk)
	store, err := dir.Open(root)
	must(t, err)
	out := r.restore(restoring.Restore{To: store, Replace: true})
	if d := differences(before, look(t, disk)); len(d) > 0 {
		t.Error(strings.Join(d, "\n"))
	}
	beside, err := filepath.Glob(root + ".cofre-kept-*")
	if err != nil || len(beside) != 1 || len(out.Left) > 0 {
		t.Fatalf("beside: %v, %v; left %v", beside, err, out.Left)
	}
	aside := look(t, beside[0])
	for _, path := range []string{"evidence/sparse", "evidence/sparse/below", "evidence/sparse/below/mine", "avatars/a.png", "avatars/empty", "avatars/long", "evidence/empty folder"} {
		if aside[path] != strays[path] {
			t.Errorf("kept %s: %s, was %s", path, aside[path], strays[path])
		}
	}
	if aside["evidence/run"] != replaced {
		t.Errorf("kept run: %s, was %s", aside["evidence/run"], replaced)
	}
	if left, err := filepath.Glob(beside[0] + "/*/.moving-*"); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestWhatIsMountedIsNamed: a mount cannot be renamed, and what is mounted below a folder is not emptied.
func TestWhatIsMountedIsNamed(t *testing.T) {
	root := uploads(t)
	r := folderRoom(t, root)
	for _, name := range []string{"evidence/2026/read only", "avatars/a.png"} {
		must(t, os.Remove(root+"/"+name))
	}
	from := testkit.Mounted(t, 1<<20, []string{"true"}, []string{"mount", "-t", "tmpfs", "-o", "size=1m"})
	must(t, os.WriteFile(from+"/live", []byte("in use"), 0o600))
	at := root + "/evidence/2026/read only"
	below := root + "/avatars/a.png/below" // in a folder that is in the way, and is renamed with it
	defer func() {
		must(t, exec.Command("umount", at).Run())
		must(t, exec.Command("umount", below).Run())
	}()
	for _, name := range []string{at, below} {
		must(t, os.MkdirAll(name, 0o755))
		must(t, exec.CommandContext(t.Context(), "mount", "--bind", from, name).Run())
	}
	store, err := dir.Open(root)
	must(t, err)
	out, err := r.tryRestore(restoring.Restore{To: store, Replace: true})
	must(t, err)
	if got := left(out); !strings.Contains(got, at+" is a mount point: it can be moved after umount '"+at+"'") {
		t.Errorf("left: %s", got)
	}
	if b, err := os.ReadFile(at + "/live"); err != nil || string(b) != "in use" {
		t.Errorf("what is mounted holds %q, %v", b, err)
	}
	kept, err := filepath.Glob(root + ".cofre-kept-*/avatars/a.png/below")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %v, %v", kept, err)
	}
	below = kept[0]
}

// TestAFolderOfABucketMayBeAMount: what is written there has its temporary files there, and what is kept of it is next to the folder.
func TestAFolderOfABucketMayBeAMount(t *testing.T) {
	root := uploads(t)
	from := testkit.Mounted(t, 16<<20, []string{"true"}, []string{"mount", "-t", "tmpfs", "-o", "size=16m"})
	at := root + "/evidence/2026"
	must(t, os.MkdirAll(at+"/deep/er", 0o755))
	defer func() { must(t, exec.Command("umount", at).Run()) }()
	must(t, exec.CommandContext(t.Context(), "sh", "-c", `cp -a "$0/." "$1" && mount --bind "$1" "$0"`, at, from).Run())
	must(t, os.Remove(at+"/read only"))
	must(t, os.WriteFile(at+"/deep/er/report", []byte("a report"), 0o640))
	before := look(t, root)
	r := folderRoom(t, root)
	must(t, os.RemoveAll(at+"/deep"))
	must(t, os.WriteFile(at+"/secret.pdf", []byte("other bytes"), 0o604))
	must(t, os.Chmod(at+"/secret.pdf", 0o604))
	was := look(t, at)["secret.pdf"]
	store, err := dir.Open(root)
	must(t, err)
	if out := r.restore(restoring.Restore{To: store, Replace: true}); len(out.Left) > 0 {
		t.Errorf("left: %s", left(out))
	}
	if d := differences(before, look(t, root)); len(d) > 0 {
		t.Error(strings.Join(d, "\n"))
	}
	kept, err := filepath.Glob(root + ".cofre-kept-*/evidence/2026")
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %v, %v", kept, err)
	}
	if got := look(t, kept[0])["secret.pdf"]; got != was {
		t.Errorf("kept %s, was %s", got, was)
	}
}

// TestABucketOnAnotherDiskMayFoldNames: what is known of the folder does not hold for it.
func TestABucketOnAnotherDiskMayFoldNames(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"evidence/a", "evidence/A", "apart/a", "apart/A"} {
		must(t, os.MkdirAll(filepath.Dir(root+"/"+name), 0o755))
		must(t, os.WriteFile(root+"/"+name, []byte(name), 0o600))
	}
	r := newRoom(t)
	store, err := dir.Open(root)
	must(t, err)
	r.config.Store = store
	r.capture()
	to := emptied(t, root)
	disk := testkit.Mounted(t, 16<<20, []string{"mkfs.ntfs", "-q", "-F", "-f"}, []string{"lowntfs-3g", "-o", "ignore_case,permissions"})
	must(t, os.Mkdir(root+"/apart", 0o755))
	must(t, exec.CommandContext(t.Context(), "mount", "--bind", disk, root+"/apart").Run())
	defer func() { must(t, exec.Command("umount", root+"/apart").Run()) }()
	out, err := r.tryRestore(restoring.Restore{To: to, Replace: true})
	must(t, err)
	if got := left(out); strings.Count(got, "the file system takes its name for that of apart/") != 1 || strings.Contains(got, "evidence") {
		t.Errorf("left: %s", got)
	}
	for _, name := range []string{"evidence/a", "evidence/A"} {
		if b, err := os.ReadFile(root + "/" + name); err != nil || string(b) != name {
			t.Errorf("%s holds %q, %v", name, b, err)
		}
	}
}
