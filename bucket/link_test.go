package bucket_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pkg/xattr"
	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/dir"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/internal/durable"
)

// onAnotherDisk moves a bucket to another folder and leaves a symbolic link in its place.
func onAnotherDisk(t *testing.T, root, id string) string {
	t.Helper()
	disk, err := filepath.EvalSymlinks(t.TempDir())
	must(t, err)
	must(t, os.Rename(filepath.Join(root, id), filepath.Join(disk, "moved")))
	must(t, os.Symlink(disk+"/moved", filepath.Join(root, id)))
	return disk + "/moved"
}

// TestABucketThatIsALinkIsFollowedToWhereItLed: and to no other place.
func TestABucketThatIsALinkIsFollowedToWhereItLed(t *testing.T) {
	root := uploads(t)
	disk := onAnotherDisk(t, root, "evidence")
	before, there := look(t, root), look(t, disk)
	r := folderRoom(t, root)
	emptied(t, disk)
	must(t, xattr.Set(disk, "user.of", []byte("a folder")))
	store, err := dir.Open(root)
	must(t, err)
	r.restore(restoring.Restore{To: store})
	if d := append(differences(before, look(t, root)), differences(there, look(t, disk))...); len(d) > 0 {
		t.Fatal(strings.Join(d, "\n"))
	}

	// Somebody who may write into the folder leads it anywhere: named, and nothing is written there.
	for name, elsewhere := range map[string]string{"another folder": t.TempDir(), "a link in its place": disk} {
		t.Run(name, func(t *testing.T) {
			must(t, os.Remove(root+"/evidence"))
			if name == "a link in its place" { // the path is the same, and leads elsewhere
				must(t, os.RemoveAll(disk))
				theirs := t.TempDir()
				must(t, os.Symlink(theirs, disk))
				elsewhere = theirs
			}
			must(t, os.Symlink(map[bool]string{true: disk, false: elsewhere}[name == "a link in its place"], root+"/evidence"))
			must(t, os.WriteFile(elsewhere+"/file", []byte("of somebody else"), 0o600))
			theirs := look(t, elsewhere)
			store, err := dir.Open(root)
			must(t, err)
			out, err := r.tryRestore(restoring.Restore{To: store})
			must(t, err)
			if got := left(out); !strings.Contains(got, "object evidence/run: a symbolic link that leads out of the folder, to "+elsewhere) || !strings.Contains(got, "bucket evidence: ") {
				t.Errorf("named %s", got)
			}
			if d := differences(theirs, look(t, elsewhere)); len(d) > 0 {
				t.Fatalf("behind the link: %v", d)
			}
			// Told to, the link is moved aside, and the bucket is a folder.
			out = r.restore(restoring.Restore{To: store, Replace: true})
			fi, err := os.Lstat(root + "/evidence")
			must(t, err)
			if !fi.IsDir() || !strings.Contains(fmt.Sprint(out.Kept), "/evidence") {
				t.Errorf("the bucket is %v; kept %v", fi.Mode(), out.Kept)
			}
			if d := append(differences(there, look(t, root+"/evidence")), differences(theirs, look(t, elsewhere))...); len(d) > 0 {
				t.Error(strings.Join(d, "\n"))
			}
			must(t, os.RemoveAll(root+"/evidence"))
			must(t, os.Symlink(elsewhere, root+"/evidence"))
		})
	}
}

// TestALinkThatAppearsMeanwhileLeadsNowhere: whoever may write into the folder puts a link in the place of a folder at the
// worst moment, which is any.
func TestALinkThatAppearsMeanwhileLeadsNowhere(t *testing.T) {
	root, elsewhere := filepath.Join(t.TempDir(), "objects"), t.TempDir()
	r := newRoom(t)
	r.config.Store = emptied(t, root)
	must(t, os.MkdirAll(root+"/evidence/2026", 0o750))
	must(t, os.WriteFile(root+"/evidence/2026/secret.pdf", []byte("of then"), 0o600))
	r.capture()
	must(t, os.MkdirAll(elsewhere+"/2026", 0o711))
	must(t, os.WriteFile(elsewhere+"/2026/secret.pdf", []byte("of somebody else"), 0o600))
	theirs := look(t, elsewhere)
	for _, swapped := range []string{"evidence", "evidence/2026", ".cofre", ".cofre/tmp"} {
		for at := 0; ; at++ {
			store := emptied(t, root)
			must(t, os.MkdirAll(root+"/evidence/2026", 0o755))
			must(t, os.WriteFile(root+"/evidence/2026/secret.pdf", []byte("of today"), 0o644))
			n := 0
			path := filepath.Join(root, swapped)
			stop := durable.Watch(func(s durable.Step) error {
				if !strings.HasPrefix(s.Path, root) {
					return nil
				}
				if n++; n == at+1 {
					_ = os.Rename(path, filepath.Join(root, "was")) // it may not be there
					_ = os.Symlink(elsewhere+map[bool]string{true: "/2026"}[strings.HasSuffix(swapped, "/2026")], path)
				}
				return nil
			})
			_, err := r.tryRestore(restoring.Restore{To: store, Replace: true, NoKeep: true, Jobs: 1})
			stop()
			if d := differences(theirs, look(t, elsewhere)); len(d) > 0 {
				t.Fatalf("%s swapped before step %d (%v): %s", swapped, at, err, strings.Join(d, "\n"))
			}
			if n <= at {
				break
			}
		}
	}
}

// TestTheFolderOfTheBucketsComesBackItself with mode and owner.
func TestTheFolderOfTheBucketsComesBackItself(t *testing.T) {
	root := uploads(t)
	must(t, os.Chmod(root, 0o2750|os.ModeSetgid))
	if os.Geteuid() == 0 {
		must(t, os.Chown(root, 33, 4321))
		must(t, os.Chmod(root, os.ModeSetgid|0o750))
	}
	describe := func() string {
		var st unix.Stat_t
		must(t, unix.Stat(root, &st))
		return fmt.Sprintf("%o %d:%d", st.Mode, st.Uid, st.Gid)
	}
	before := describe()
	r := folderRoom(t, root)
	must(t, os.RemoveAll(root))
	store, err := dir.OpenNew(root)
	must(t, err)
	r.restore(restoring.Restore{To: store})
	if now := describe(); now != before {
		t.Errorf("made as %s, was %s", now, before)
	}
	must(t, os.Chmod(root, 0o777))
	store, err = dir.Open(root)
	must(t, err)
	out, err := r.tryRestore(restoring.Restore{To: store})
	must(t, err)
	if got := left(out); !strings.Contains(got, "folder of the buckets itself: mode 0777, not 2750") {
		t.Errorf("named %s", got)
	}
	r.restore(restoring.Restore{To: store, Replace: true})
	if now := describe(); now != before {
		t.Errorf("set to %s, was %s", now, before)
	}
	// A part of the folder says nothing of the whole.
	must(t, os.Chmod(root, 0o777))
	r.restore(restoring.Restore{To: store, Buckets: []string{"avatars"}})
}

// TestTwoRestoresWithDifferentStateShareALock, of whatever store.
func TestTwoRestoresWithDifferentStateShareALock(t *testing.T) {
	r := newRoom(t)
	r.fill()
	r.capture()
	root := t.TempDir()
	folder, err := dir.Open(root)
	must(t, err)
	for name, to := range map[string]bucket.Store{"folder": folder, "supabase": r.store} {
		t.Run(name, func(t *testing.T) {
			first, second := &meeting{Store: to}, to
			first.meet = func() {
				first.meet = nil
				_, err := r.tryRestore(restoring.Restore{To: second, StateDir: t.TempDir()})
				if !errors.Is(err, cofre.ErrLocked) {
					t.Errorf("the second restore: %v", err)
				}
			}
			if f, ok := to.(*dir.Store); ok {
				if _, err := r.tryRestore(restoring.Restore{To: meetingFolder{first, f}, StateDir: t.TempDir()}); err != nil {
					t.Fatal(err)
				}
			} else if _, err := r.tryRestore(restoring.Restore{To: first, StateDir: t.TempDir()}); err != nil {
				t.Fatal(err)
			}
			if first.meet != nil {
				t.Fatal("nobody met")
			}
			if _, err := r.tryRestore(restoring.Restore{To: to, StateDir: t.TempDir()}); err != nil {
				t.Errorf("after both: %v", err)
			}
		})
	}
}

// meeting is a store in which something happens when its buckets are made or read back.
type meeting struct {
	bucket.Store
	meet func()
}

func (m *meeting) Buckets(ctx context.Context, ids ...string) ([]bucket.Bucket, error) {
	if m.meet != nil && len(ids) > 0 {
		m.meet()
	}
	return m.Store.Buckets(ctx, ids...)
}

// meetingFolder has the lock of a folder.
type meetingFolder struct {
	*meeting
	folder *dir.Store
}

func (m meetingFolder) Lock() (func() error, error) { return m.folder.Lock() }
