package files

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/pkg/xattr"
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/owner"
	"github.com/trustlayer/cofre/internal/sparse"
	"github.com/trustlayer/cofre/internal/traits"
	"golang.org/x/sys/unix"
)

// wanted is what an entry should be on this machine.
type wanted struct {
	Fact
	uid, gid int
	owner    bool // whether the owner is given back: without the right to, files are given away to nobody
}

// want says what an entry should be here.
func (j *job) want(who *owner.Here, e Fact) wanted {
	w := wanted{Fact: e}
	w.uid, w.gid = who.IDs(e.User, e.Group, e.UID, e.GID)
	w.owner = !j.config.NoOwner && who.MayGive(w.uid, w.gid)
	if !w.owner {
		// Set-id bits for another owner than the one they were meant for are a right given to the wrong user.
		w.Mode &^= 0o6000
	}
	return w
}

// bring writes the file or the link e as name, durable, with everything but its name as it was captured. It
// returns the extended attributes that this file system or this user may not set.
func bring(ctx context.Context, t cofre.Tree, d *inside.Dir, name string, w wanted, progress func(int64)) (lost []cofre.Message, err error) {
	if w.Type == TypeLink {
		if err := d.Symlink(string(w.Link), name); err != nil {
			return nil, err
		}
		if w.owner {
			if err := unix.Fchownat(d.FD(), name, w.uid, w.gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return nil, notGiven(d.Wrap("chown", name, err))
			}
		}
		return nil, setTime(d, name, w)
	}
	f, err := d.Create(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
	}()
	if err := fill(ctx, t, f, w, progress); err != nil {
		return nil, err
	}
	if lost, err = dress(f, w); err != nil {
		return lost, err
	}
	if err := setTime(d, name, w); err != nil {
		return lost, err
	}
	return lost, durable.Sync(f)
}

func fill(ctx context.Context, t cofre.Tree, f *os.File, w wanted, progress func(int64)) error {
	r, err := t.Open(ctx, w.tree())
	if err != nil {
		return unread(err)
	}
	defer r.Close() // only read
	hash := sha256.New()
	out := sparse.NewWriter(f, w.Sparse)
	buffer := make([]byte, 256<<10)
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, readErr := r.Read(buffer)
		hash.Write(buffer[:n])
		if _, err := out.Write(buffer[:n]); err != nil {
			return err
		}
		progress(int64(n))
		if readErr == io.EOF {
			break
		}
		if readErr != nil {
			return unread(readErr)
		}
	}
	if err := out.Finish(); err != nil {
		return err
	}
	if got := hex.EncodeToString(hash.Sum(nil)); w.SHA256 != "" && got != w.SHA256 {
		return unread(fmt.Errorf("it holds other bytes than were captured: %w", cofre.ErrCorrupt))
	}
	return nil
}

// lostError says that the repository holds a file no more as it was captured.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

// unread tells what is lost from what cannot be reached.
func unread(err error) error {
	if errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrNotFound) {
		return &lostError{err}
	}
	return err
}

// dress gives an open file or directory its owner, extended attributes and mode, in this order: a new owner
// takes away set-id bits and capabilities, and access lists shape the mode.
func dress(f *os.File, w wanted) (lost []cofre.Message, err error) {
	if w.owner {
		if err := inside.Do("chown", f.Name(), func() error { return f.Chown(w.uid, w.gid) }); err != nil {
			return nil, notGiven(err)
		}
	}
	for name, value := range w.Xattrs {
		err := inside.Do("set attribute", f.Name(), func() error { return xattr.FSet(f, name, value) })
		if noAttributes(err) || errors.Is(err, syscall.EPERM) {
			lost = append(lost, cofre.Say("files.xattr_lost", "not restored: extended attribute {{.name}} of {{.path}}: {{.cause}}", "name", name, "path", string(w.Path), "cause", cause(unwrapXattr(err))))
			continue
		}
		if err != nil {
			return lost, err
		}
	}
	if err := inside.Do("chmod", f.Name(), func() error { return unix.Fchmod(int(f.Fd()), uint32(w.Mode)) }); err != nil {
		return lost, &os.PathError{Op: "chmod", Path: f.Name(), Err: err}
	}
	return lost, nil
}

// notGiven is about a place that lets nobody give files away, whatever the process may do elsewhere: a network mount, a
// user namespace.
func notGiven(err error) error {
	return cofre.WithHint(err, cofre.Say("files.no_owner", "with --no-owner everything belongs to the user who restores"))
}

func unwrapXattr(err error) error {
	var xe *xattr.Error
	if errors.As(err, &xe) {
		return xe.Err
	}
	return err
}

func setTime(d *inside.Dir, name string, w wanted) error {
	// Not by UnixNano, which ends in the year 2262.
	t := unix.Timespec{Sec: w.ModTime.Unix(), Nsec: int64(w.ModTime.Nanosecond())}
	return d.Do("set times", name, func() error {
		return unix.UtimesNanoAt(d.FD(), name, []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// keptTime is the time that what w wants can have in d, by a trial: a file system may keep times less exactly, or in a
// smaller range. Where it cannot be tried, all times are taken to be kept.
func keptTime(d *inside.Dir, w wanted) time.Time {
	t, ok := timesIn(d)
	if !ok {
		return w.ModTime
	}
	return t.Time(w.ModTime)
}

// timesIn tries what becomes of times in d, on a file that nobody sees, or that is gone at once.
func timesIn(d *inside.Dir) (t traits.Traits, ok bool) {
	f, err := traits.Nameless(d.FD())
	if err != nil {
		name := newMark + rand.Text()
		was, err := d.Stat(".")
		if err != nil {
			return t, false
		}
		if f, err = d.Create(name); err != nil {
			return t, false
		}
		defer func() {
			_ = d.Remove(name) // empty, and its name says whose it is
			_ = unix.UtimesNanoAt(d.FD(), ".", []unix.Timespec{was.Atim, was.Mtim}, 0)
		}()
	}
	defer f.Close() // nothing is written to it
	t.TryTimes(f)
	return t, t.Times
}

// differences says in which ways what is at name is not what w wants. Times of directories are not looked at
// if ignoreTimes is set: the restore itself writes into them.
func differences(d *inside.Dir, name string, w wanted, lost []cofre.Message, ignoreTimes bool) ([]cofre.Message, error) {
	st, err := d.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return []cofre.Message{cofre.Say("files.is_missing", "is missing")}, nil
	}
	if err != nil {
		return nil, err
	}
	if typeOf(st) != w.Type {
		return []cofre.Message{cofre.Say("files.other_type", "is {{.type}}, not {{.want}}", "type", aType(typeOf(st)), "want", aType(w.Type))}, nil
	}
	var found []cofre.Message
	if w.owner && (int(st.Uid) != w.uid || int(st.Gid) != w.gid) {
		found = append(found, cofre.Say("files.other_owner", "owner is {{.owner}}, not {{.want}}", "owner", fmt.Sprintf("%d:%d", st.Uid, st.Gid), "want", fmt.Sprintf("%d:%d", w.uid, w.gid)))
	}
	if at := timeOf(syscall.Timespec(st.Mtim)); !ignoreTimes && !at.Equal(w.ModTime) && !at.Equal(keptTime(d, w)) {
		found = append(found, cofre.Say("files.other_time", "time is {{.time}}, not {{.want}}", "time", at.Format("2006-01-02T15:04:05.999999999Z"), "want", w.ModTime.Format("2006-01-02T15:04:05.999999999Z")))
	}
	if w.Type == TypeLink {
		target, err := d.Readlink(name)
		if err == nil && target != string(w.Link) {
			found = append(found, cofre.Say("files.other_link", "leads to \"{{.to}}\", not to \"{{.want}}\"", "to", target, "want", string(w.Link)))
		}
		return found, err
	}
	if got := UnixMode(st.Mode & 0o7777); got != w.Mode {
		found = append(found, cofre.Say("files.other_mode", "mode is {{.mode}}, not {{.want}}", "mode", got, "want", w.Mode))
	}
	inner, err := differencesInside(d, name, w, st, lost)
	return append(found, inner...), err
}

func differencesInside(d *inside.Dir, name string, w wanted, st unix.Stat_t, lost []cofre.Message) ([]cofre.Message, error) {
	f, err := d.Open(name)
	if errors.Is(err, os.ErrPermission) && !(w.Type == TypeFile && st.Size != w.Size) {
		// Mode 0000, restored by a user who is not root: its owner may open it up for a look.
		return openedUp(d, name, w, st, lost, err)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return insideOf(f, w, lost)
}

func openedUp(d *inside.Dir, name string, w wanted, st unix.Stat_t, lost []cofre.Message, denied error) (found []cofre.Message, err error) {
	if err := unix.Fchmodat(d.FD(), name, st.Mode&0o7777|0o400, 0); err != nil {
		return nil, denied
	}
	defer func() {
		if back := unix.Fchmodat(d.FD(), name, st.Mode&0o7777, 0); err == nil {
			err = d.Wrap("chmod", name, back)
		}
	}()
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return insideOf(f, w, lost)
}

func insideOf(f *os.File, w wanted, lost []cofre.Message) ([]cofre.Message, error) {
	var found []cofre.Message
	var have map[string][]byte
	if err := inside.Do("read attributes", f.Name(), func() (err error) {
		have, err = attributes(f)
		return err
	}); err != nil {
		return nil, err
	}
	for name, value := range w.Xattrs {
		if !bytes.Equal(have[name], value) && !slices.ContainsFunc(lost, func(l cofre.Message) bool { return l.Args["name"] == name }) {
			found = append(found, cofre.Say("files.other_xattr", "extended attribute {{.name}} differs", "name", name))
		}
	}
	if w.Type != TypeFile {
		return found, nil
	}
	hash := sha256.New()
	if err := inside.Do("read", f.Name(), func() error {
		_, err := io.Copy(hash, f)
		return err
	}); err != nil {
		return nil, err
	}
	if w.SHA256 != "" && hex.EncodeToString(hash.Sum(nil)) != w.SHA256 {
		found = append(found, cofre.Say("files.other_content", "content differs"))
	}
	return found, nil
}

func typeOf(st unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return TypeFile
	case unix.S_IFDIR:
		return TypeDirectory
	case unix.S_IFLNK:
		return TypeLink
	}
	return typeSpecial
}

// typeSpecial is what a capture never holds: a socket, a pipe, a device.
const typeSpecial = "special file"

// aType is a type of a Fact for a person.
func aType(t string) cofre.Message {
	switch t {
	case TypeFile:
		return cofre.Say("files.a_file", "a file")
	case TypeDirectory:
		return cofre.Say("files.a_directory", "a directory")
	case TypeLink:
		return cofre.Say("files.a_link", "a link")
	}
	return cofre.Say("files.a_special", "a special file")
}

// isBelow reports whether p is dir or lies below it.
func isBelow(p, dir string) bool {
	return p == dir || (len(p) > len(dir) && p[:len(dir)] == dir && p[len(dir)] == '/') || dir == "/"
}
