package restoring

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// owner is whose the restored files are.
type owner struct{ uid, gid int }

// findOwner decides whose the files become: nobody else's unless this process is root; then the user named,
// whoever owns the directory that is there, whoever owned the files, or postgres.
func (p *plan) findOwner() (*owner, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	if p.o.Owner != "" {
		u, err := user.Lookup(p.o.Owner)
		if err != nil {
			return nil, err
		}
		return ownerOf(u)
	}
	if info, err := os.Stat(p.o.Dir); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Uid != 0 {
			return &owner{int(st.Uid), int(st.Gid)}, nil
		}
	}
	root := p.dirs[0]
	if root.UID != 0 {
		if _, err := user.LookupId(strconv.Itoa(int(root.UID))); err == nil {
			return &owner{int(root.UID), int(root.GID)}, nil
		}
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("no user postgres to own the files: %w", err)
	}
	return ownerOf(u)
}

func ownerOf(u *user.User) (*owner, error) {
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return &owner{uid, gid}, errors.Join(err1, err2)
}
