package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pkg/xattr"
	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/owner"
	"github.com/trustlayer/cofre/internal/traits"
)

// place is what this process may do where the folder is. Safe for several goroutines.
type place struct {
	mu     sync.Mutex
	here   *owner.Here
	names  map[string]string // of numbers
	xattrs bool              // whether the file system has extended attributes

	root   string
	tried  sync.Once // see fitTime
	named  sync.Once // see placeOf
	traits traits.Traits
}

func newPlace(root string) *place {
	_, err := xattr.LGet(root, "user.cofre")
	return &place{root: root, here: owner.Current(), names: map[string]string{}, xattrs: !noAttributes(err)}
}

func noAttributes(err error) bool {
	return errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.EOPNOTSUPP)
}

// read describes a file or folder by what stat and the functions for its attributes say of it.
func (p *place) read(fi fs.FileInfo, list func() ([]string, error), get func(string) ([]byte, error)) (*bucket.Attributes, error) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, nil
	}
	a := &bucket.Attributes{
		Mode: fmt.Sprintf("%04o", st.Mode&0o7777), UID: st.Uid, GID: st.Gid,
		User:   p.name("u", st.Uid, func(id string) (string, error) { u, err := user.LookupId(id); return nameOf(u, err) }),
		Group:  p.name("g", st.Gid, func(id string) (string, error) { g, err := user.LookupGroupId(id); return groupOf(g, err) }),
		Sparse: !fi.IsDir() && st.Blocks*512 < st.Size,
	}
	names, err := list()
	if err != nil && !noAttributes(err) {
		return nil, err
	}
	for _, n := range names {
		v, err := get(n)
		if errors.Is(err, xattr.ENOATTR) || noAttributes(err) {
			continue // removed since, or one that the kernel lists and does not give out
		}
		if err != nil {
			return nil, err
		}
		if a.Xattrs == nil {
			a.Xattrs = map[string][]byte{}
		}
		a.Xattrs[n] = v
	}
	return a, nil
}

func nameOf(u *user.User, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return u.Username, nil
}

func groupOf(g *user.Group, err error) (string, error) {
	if err != nil {
		return "", err
	}
	return g.Name, nil
}

func (p *place) name(kind string, id uint32, lookup func(string) (string, error)) string {
	number := strconv.FormatUint(uint64(id), 10)
	p.mu.Lock()
	defer p.mu.Unlock()
	name, known := p.names[kind+number]
	if !known {
		name, _ = lookup(number) // of a number that has none, the number is kept
		p.names[kind+number] = name
	}
	return name
}

// fit says what of captured attributes can be had here, and names the rest.
func (p *place) fit(a *bucket.Attributes) (*bucket.Attributes, []cofre.Message) {
	if a == nil {
		return nil, nil
	}
	out, lost := *a, []cofre.Message(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	uid, gid := p.here.IDs(a.User, a.Group, a.UID, a.GID)
	if !p.here.MayGive(uid, gid) {
		lost = append(lost, cofre.Say("bucket.lost_owner", "its owner: it will belong to the user who restores, without set-id bits"))
		uid = os.Geteuid()
		if !p.here.MayGive(uid, gid) {
			gid = os.Getegid()
		}
		// Set-id bits for another owner than the one they were meant for are a right given to the wrong user.
		out.Mode = fmt.Sprintf("%04o", modeOf(a.Mode)&^0o6000)
	}
	out.UID, out.GID = uint32(uid), uint32(gid)
	out.Xattrs = map[string][]byte{}
	for n, v := range a.Xattrs {
		if p.xattrs && (os.Geteuid() == 0 || strings.HasPrefix(n, "user.") || strings.HasPrefix(n, "system.posix_acl_")) {
			out.Xattrs[n] = v
		} else {
			lost = append(lost, cofre.Say("bucket.lost_xattr", "extended attribute {{.name}}", "name", n))
		}
	}
	return &out, lost
}

func modeOf(text string) uint32 {
	n, err := strconv.ParseUint(text, 8, 12)
	if err != nil {
		return 0o600 // a damaged index must not open a file to others
	}
	return uint32(n)
}

// dress gives an open file or folder owner, extended attributes, mode and time, in this order: a new owner takes away
// set-id bits and capabilities, and access lists shape the mode.
func dress(f *os.File, a *bucket.Attributes, at time.Time) error {
	if err := f.Chown(int(a.UID), int(a.GID)); err != nil {
		return err
	}
	for n, v := range a.Xattrs {
		if err := xattr.FSet(f, n, v); err != nil {
			return fmt.Errorf("set extended attribute %s: %w", n, err)
		}
	}
	if err := unix.Fchmod(int(f.Fd()), modeOf(a.Mode)); err != nil {
		return fmt.Errorf("set mode %s: %w", a.Mode, err)
	}
	return traits.SetTime(f, at)
}
