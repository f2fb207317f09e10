// Package owner finds the user and group that captured files belong to on this machine, and whether this process may give files away.
package owner

import (
	"os"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Here is this process on this machine. Not safe for several goroutines.
type Here struct {
	gives  bool // may give files to anybody
	uid    int
	gids   []int
	byName map[string]int
}

// Current looks at this process.
func Current() *Here {
	gids, _ := os.Getgroups() // without them the primary group remains
	return &Here{givesAway(), os.Geteuid(), append(gids, os.Getegid()), map[string]int{}}
}

// givesAway asks for the capability, not for the user: root in a container may lack it.
//
// Source: capabilities(7), CAP_CHOWN.
func givesAway() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return os.Geteuid() == 0
	}
	return data[0].Effective&(1<<unix.CAP_CHOWN) != 0
}

// IDs returns the numbers of a captured owner: by name if this machine knows the name, otherwise as captured.
func (h *Here) IDs(userName, group string, uid, gid uint32) (int, int) {
	return h.lookup("u:", userName, uid), h.lookup("g:", group, gid)
}

// MayGive reports whether this process may make files belong to uid and gid.
func (h *Here) MayGive(uid, gid int) bool {
	return h.gives || (uid == h.uid && slices.Contains(h.gids, gid))
}

func (h *Here) lookup(kind, name string, id uint32) int {
	if name == "" {
		return int(id)
	}
	if known, ok := h.byName[kind+name]; ok {
		return known
	}
	found := int(id)
	if kind == "u:" {
		if u, err := user.Lookup(name); err == nil {
			found = number(u.Uid, found)
		}
	} else if g, err := user.LookupGroup(name); err == nil {
		found = number(g.Gid, found)
	}
	h.byName[kind+name] = found
	return found
}

func number(text string, otherwise int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n
	}
	return otherwise
}
