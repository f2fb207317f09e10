package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
)

// WritableBy says what keeps another user of this machine from archiving WAL into a folder, or nil: if nothing does,
// if the address is no folder, and if access lists make it more than modes can tell.
//
// Errors: ErrDenied, with the command that shares the folder.
func WritableBy(address string, uid int) error {
	if !IsFolder(address) || uid == 0 {
		return nil
	}
	root, err := filepath.Abs(strings.TrimPrefix(address, "file://"))
	if err != nil {
		return err
	}
	name, groups := groupsOf(uid)
	may := func(path string, bits uint32) bool { return permits(path, uid, groups, bits) }
	for dir := filepath.Dir(root); ; dir = filepath.Dir(dir) {
		if !may(dir, 1) {
			return shareHint(root, fmt.Errorf("user %s may not pass through %s: %w", name, dir, cofre.ErrDenied))
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	places := []string{root}
	for _, pattern := range []string{"wal", "wal/*", "wal/*/*"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // the pattern is right
		places = append(places, found...)
	}
	for _, dir := range places {
		if info, err := os.Lstat(dir); err == nil && info.IsDir() && !may(dir, 3) {
			return shareHint(root, fmt.Errorf("user %s may not write into %s: %w", name, dir, cofre.ErrDenied))
		}
	}
	return nil
}

// Writable says which folder of a repository this process may not write into, or nil: if it may write into all of them, and
// if the address is no folder. Probe writes into one of them only, and the others may belong to somebody else, or lie on a
// disk of their own. Folders are looked at down to the third level, which is where the timelines of WAL are; nothing is written.
//
// Errors: ErrDenied, ErrReadOnly, with what puts it right; ctx's.
func Writable(ctx context.Context, address string) error {
	if !IsFolder(address) {
		return nil
	}
	root, err := filepath.Abs(strings.TrimPrefix(address, "file://"))
	if err != nil {
		return err
	}
	f := &folder{root: root}
	var look func(name string, below int) error
	look = func(name string, below int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := filepath.Join(root, name)
		if err := unix.Access(path, unix.W_OK|unix.X_OK); err != nil && !errors.Is(err, fs.ErrNotExist) { // it was removed meanwhile
			return f.explain("write into", path, err)
		}
		if below == 0 {
			return nil
		}
		entries, err := os.ReadDir(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return f.explain("list", path, err)
		}
		for _, e := range entries {
			if e.IsDir() {
				if err := look(filepath.Join(name, e.Name()), below-1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return look(".", 3)
}

func shareHint(root string, err error) error {
	return cofre.WithHint(err, cofre.Say("store.share", "share it by a group that both users are in: chgrp -R GROUP {{.path}} && chmod -R g+rwX {{.path}} && find {{.path}} -type d -exec chmod g+s {} +", "path", root))
}

func groupsOf(uid int) (name string, groups []string) {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return strconv.Itoa(uid), nil
	}
	groups, _ = u.GroupIds() // of a user that has none, the modes for others count
	return u.Username, append(groups, u.Gid)
}

// permits reports whether the mode of a folder gives a user these bits (4 read, 2 write, 1 pass). What cannot be looked
// at, or has an access list, is taken for permitted.
func permits(path string, uid int, groups []string, bits uint32) bool {
	info, err := os.Stat(path)
	if err != nil {
		return !errors.Is(err, fs.ErrPermission)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if n, err := unix.Getxattr(path, "system.posix_acl_access", nil); !ok || err == nil && n > 0 {
		return true
	}
	switch {
	case int(st.Uid) == uid:
		return st.Mode>>6&bits == bits
	case slices.Contains(groups, strconv.Itoa(int(st.Gid))):
		return st.Mode>>3&bits == bits
	}
	return st.Mode&bits == bits
}
