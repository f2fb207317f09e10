package across_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pkg/xattr"
	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre/internal/across"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/durable/durabletest"
)

// kinds makes a folder with one of each kind of thing, and everything that can be said about them.
func kinds(t *testing.T) (base, from string) {
	t.Helper()
	base = t.TempDir()
	from = filepath.Join(base, "here/tree")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(from+"/folder/empty", 0o755))
	must(os.Mkdir(base+"/there", 0o755))
	must(os.WriteFile(from+"/folder/file", []byte("bytes"), 0o600))
	must(os.WriteFile(from+"/none", nil, 0o604))
	must(os.Symlink("folder/file", from+"/link"))
	must(unix.Mkfifo(from+"/pipe", 0o620))
	sparse, err := os.Create(from + "/sparse")
	must(err)
	_, err = sparse.WriteAt([]byte("in the middle"), 3<<20)
	must(errors.Join(err, sparse.Truncate(8<<20), sparse.Close()))
	must(xattr.Set(from+"/folder/file", "user.of", []byte("a file")))
	must(xattr.Set(from+"/folder", "user.of", []byte("a folder")))
	if os.Geteuid() == 0 {
		must(errors.Join(os.Lchown(from+"/folder/file", 33, 4321), os.Lchown(from+"/folder", 12, 34), os.Lchown(from+"/link", 5, 6), os.Lchown(from+"/pipe", 7, 8)))
	}
	must(errors.Join(os.Chmod(from+"/folder/file", fs.ModeSetuid|0o750), os.Chmod(from+"/folder", fs.ModeSticky|0o711)))
	at := unix.Timespec{Sec: 1549166706, Nsec: 789_012_345}
	must(filepath.WalkDir(from, func(p string, _ fs.DirEntry, err error) error {
		return errors.Join(err, unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW))
	}))
	return base, from
}

// said is what can be said of everything at a path and below it.
func said(t *testing.T, at string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(at, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(at, p)
		text := fmt.Sprintf("%s %o %d:%d %d.%d", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		names, err := xattr.LList(p)
		if err != nil {
			return err
		}
		for _, n := range names {
			v, err := xattr.LGet(p, n)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %s=%s", n, v)
		}
		if d.Type().IsRegular() {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %q, holes %t", strings.Trim(string(b), "\x00"), st.Blocks*512 < st.Size)
		}
		if d.Type()&fs.ModeSymlink != 0 {
			to, err := os.Readlink(p)
			if err != nil {
				return err
			}
			text += " -> " + to
		}
		all = append(all, text)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, "\n")
}

// Everything comes along, what a crash would take of it is nothing, and what was copied is gone.
func TestEverythingComesAlong(t *testing.T) {
	for what, c := range map[string]struct {
		name string // of what is given another place
		do   func(ctx context.Context, from, to string) error
		left bool
	}{"move": {"", across.Move, false}, "move a file": {"/folder/file", across.Move, false}, "copy": {"/folder/file", across.Copy, true}} {
		base, tree := kinds(t)
		from, to := tree+c.name, base+"/there/new"
		want := said(t, from)
		lost, err := durabletest.Lost(base, func() error { return c.do(t.Context(), from, to) }, "there/.moving")
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := said(t, to); got != want {
			t.Errorf("%s: there is\n%s\nand was\n%s", what, got, want)
		}
		if got := said(t, from); c.left && got != want || !c.left && got != "" {
			t.Errorf("%s: at the old place is %s", what, got)
		}
		for _, l := range lost {
			t.Errorf("%s: a crash takes %s", what, l)
		}
		if rest, _ := filepath.Glob(base + "/there/.moving-*"); len(rest) > 0 {
			t.Errorf("%s: left %v", what, rest)
		}
	}
}

// Whatever step fails is an error, and then all is at one of the places, whole.
func TestAStepThatFailsLosesNothing(t *testing.T) {
	for what, do := range map[string]func(ctx context.Context, from, to string) error{"/": across.Move, "/folder/file": across.Copy} {
		durabletest.EachStepFails(t, func() (string, func() error) {
			base, tree := kinds(t)
			from, to := filepath.Clean(tree+what), base+"/there/new"
			want := said(t, from)
			return base, func() error {
				err := do(t.Context(), from, to)
				if said(t, from) != want && said(t, to) != want {
					t.Errorf("%v, and it is at neither place", err)
				}
				return err
			}
		})
	}
}

// What changes between its copy and its removal is not removed, whatever of it has changed.
func TestWhatChangesMeanwhileStays(t *testing.T) {
	for what, change := range map[string]func(file string) error{
		"longer": func(file string) error { return os.WriteFile(file, []byte("other bytes"), 0o600) },
		"as long, at another time": func(file string) error {
			return errors.Join(os.WriteFile(file, []byte("BYTES"), 0o600), os.Chtimes(file, time.Time{}, time.Unix(1, 0)))
		},
		"of another mode": func(file string) error { return os.Chmod(file, 0o640) },
		"another file with the same time": func(file string) error {
			fi, err := os.Stat(file)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(file+".new", []byte("BYTES"), 0o600), os.Chmod(file+".new", fi.Mode()), os.Chtimes(file+".new", time.Time{}, fi.ModTime()), os.Rename(file+".new", file))
		},
	} {
		base, tree := kinds(t)
		file := tree + "/folder/file"
		var now string
		stop := durable.Watch(func(s durable.Step) error {
			if s.Op != durable.OpRename || s.Path != base+"/there/new" {
				return nil
			}
			err := change(file)
			now = said(t, file)
			return err
		})
		err := across.Move(t.Context(), file, base+"/there/new")
		stop()
		if err == nil || said(t, file) != now {
			t.Errorf("%s: %v, and there is %q, not %q", what, err, said(t, file), now)
		}
	}
}

// What cannot be given a new place stays where it is, and the new place as it was.
func TestWhatIsRefusedStays(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for what, c := range map[string]struct {
		ctx      context.Context
		from, to string
		do       func(ctx context.Context, from, to string) error
		want     error
	}{
		"no such thing":           {t.Context(), "here/none", "there/new", across.Move, fs.ErrNotExist},
		"no such folder":          {t.Context(), "none/tree", "there/new", across.Move, fs.ErrNotExist},
		"no folder for it":        {t.Context(), "here/tree", "none/new", across.Move, fs.ErrNotExist},
		"called off":              {ended, "here/tree", "there/new", across.Move, context.Canceled},
		"over a folder":           {t.Context(), "here/tree/none", "there", across.Move, fs.ErrExist},
		"copy of a folder":        {t.Context(), "here/tree/folder", "there/new", across.Copy, fs.ErrInvalid},
		"copy of a link":          {t.Context(), "here/tree/link", "there/new", across.Copy, fs.ErrInvalid},
		"copy of no such thing":   {t.Context(), "here/none", "there/new", across.Copy, fs.ErrNotExist},
		"copy from no folder":     {t.Context(), "none/file", "there/new", across.Copy, fs.ErrNotExist},
		"copy to no folder":       {t.Context(), "here/tree/none", "none/new", across.Copy, fs.ErrNotExist},
		"copy over what is there": {t.Context(), "here/tree/none", "here/tree/sparse", across.Copy, fs.ErrExist},
		"copy called off":         {ended, "here/tree/none", "there/new", across.Copy, context.Canceled},
	} {
		base, _ := kinds(t)
		before := said(t, base+"/here/tree")
		if err := c.do(c.ctx, filepath.Join(base, c.from), filepath.Join(base, c.to)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
		if now := said(t, base+"/here/tree"); withoutTimes(now) != withoutTimes(before) {
			t.Errorf("%s: there is %s, and was %s", what, now, before)
		}
		if left, err := os.ReadDir(base + "/there"); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", what, left, err)
		}
	}
}

// withoutTimes is what is said without the times of folders.
func withoutTimes(all string) string {
	lines := strings.Split(all, "\n")
	for i, l := range lines {
		if f := strings.Fields(l); len(f) > 3 && strings.HasPrefix(f[1], "4") {
			lines[i] = strings.Join(append(f[:3], f[4:]...), " ")
		}
	}
	return strings.Join(lines, "\n")
}
