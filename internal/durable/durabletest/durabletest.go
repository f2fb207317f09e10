// Package durabletest tells what a crash would take of something that was answered for: a file whose bytes were never
// synced, a name whose directory was not. It is for tests. It sees what package durable does, and looks at the disk before
// and after; what goes around package durable is missing from what it has seen, and named.
package durabletest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre/internal/durable"
)

// entry is a file or directory as it stands on the disk.
type entry struct {
	inode uint64
	dir   bool
	mode  fs.FileMode
	size  int64
	mtime int64
}

func entryOf(fi fs.FileInfo) entry {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		panic("durabletest: internal error: no inode")
	}
	return entry{st.Ino, fi.IsDir(), fi.Mode(), fi.Size(), fi.ModTime().UnixNano()}
}

func look(path string) (entry, bool) {
	fi, err := os.Lstat(path)
	if err != nil {
		return entry{}, false
	}
	return entryOf(fi), true
}

// list is what a directory holds, by name.
func list(dir string) map[string]entry {
	out := map[string]entry{}
	all, _ := os.ReadDir(dir) // what cannot be read holds nothing that was written
	for _, e := range all {
		if got, ok := look(filepath.Join(dir, e.Name())); ok {
			out[e.Name()] = got
		}
	}
	return out
}

// disk is what is durable, by inode.
type disk struct {
	mu    sync.Mutex
	root  string
	names map[uint64]map[string]entry // of directories, when they were synced last, or before all
	bytes map[uint64]entry            // files as they were synced
	was   map[uint64]entry
}

func newDisk(root string) *disk {
	d := &disk{root: root, names: map[uint64]map[string]entry{}, bytes: map[uint64]entry{}, was: map[uint64]entry{}}
	_ = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		e, ok := look(path)
		if err != nil || !ok {
			return nil
		}
		if d.was[e.inode] = e; e.dir {
			d.names[e.inode] = list(path)
		}
		return nil
	})
	return d
}

// see takes note of a sync.
func (d *disk) see(s durable.Step) {
	if s.Op != durable.OpSync && s.Op != durable.OpSyncDir {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	e, ok := look(cmp.Or(s.At, s.Path))
	switch {
	case ok && e.dir:
		d.names[e.inode] = list(s.Path)
		if _, there := d.was[e.inode]; there {
			d.was[e.inode] = e
		}
	case ok:
		d.bytes[e.inode] = e
	}
}

// lost is what a crash would take now.
func (d *disk) lost() (out []string) {
	_ = filepath.WalkDir(d.root, func(path string, _ fs.DirEntry, err error) error {
		e, ok := look(path)
		if err != nil || !ok {
			return nil
		}
		if !e.dir {
			before, there := d.was[e.inode]
			same := there && before == e
			if regular(path) && !same && d.bytes[e.inode] != e {
				out = append(out, "the bytes or the mode of "+path)
			}
			return nil
		}
		now, durably := list(path), d.names[e.inode]
		if before, there := d.was[e.inode]; there && before.mode != e.mode {
			out = append(out, "the mode of "+path)
		}
		for name, child := range now {
			if durably[name].inode != child.inode {
				out = append(out, "the name "+filepath.Join(path, name))
			}
		}
		for name := range durably {
			if _, ok := now[name]; !ok {
				out = append(out, "that "+filepath.Join(path, name)+" is gone")
			}
		}
		return nil
	})
	slices.Sort(out)
	return out
}

func regular(path string) bool {
	fi, err := os.Lstat(path)
	return err == nil && fi.Mode().IsRegular()
}

func below(root, path string) bool {
	rel, err := filepath.Rel(root, path)
	return err == nil && filepath.IsLocal(rel)
}

// Lost does something and returns what of its changes below root a crash would take right after it, except below the paths
// of passing, which are relative to root.
//
// Errors: of do.
func Lost(root string, do func() error, passing ...string) ([]string, error) {
	d := newDisk(root)
	stop := durable.Watch(func(s durable.Step) error {
		if below(root, s.Path) {
			d.see(s)
		}
		return nil
	})
	err := do()
	stop()
	return slices.DeleteFunc(d.lost(), func(what string) bool {
		return slices.ContainsFunc(passing, func(p string) bool { return strings.Contains(what, filepath.Join(root, p)) })
	}), err
}

// EachStepFails prepares something again and again, and has one step more of it fail each time, from the first on, until all of
// them were done. Whatever fails must be an error of do. prepare returns the directory below which the steps are.
func EachStepFails(t *testing.T, prepare func() (root string, do func() error)) {
	t.Helper()
	StepsFail(t, func(durable.Step) bool { return true }, prepare)
}

// StepsFail is EachStepFails for the steps that are among those to fail.
func StepsFail(t *testing.T, among func(durable.Step) bool, prepare func() (root string, do func() error)) {
	t.Helper()
	for at := 0; ; at++ {
		root, do := prepare()
		var mu sync.Mutex
		n, failed := 0, durable.Step{}
		stop := durable.Watch(func(s durable.Step) error {
			if !below(root, s.Path) || !among(s) {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if n++; n == at+1 {
				failed = s
				return fmt.Errorf("%s %s: %w", s.Op, s.Path, syscall.EIO)
			}
			return nil
		})
		err := do()
		stop()
		switch {
		case failed.Op == "" && at == 0:
			t.Fatal("nothing was made durable")
		case failed.Op == "" && err != nil:
			t.Fatalf("without a fault: %v", err)
		case failed.Op == "":
			return
		case !errors.Is(err, syscall.EIO):
			t.Errorf("step %d, %s %s, failed, and the answer is %v", at, failed.Op, failed.Path, err)
		}
	}
}
