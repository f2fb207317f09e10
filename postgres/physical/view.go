package physical

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A server names files as it sees them itself. This process may see its data directory under another name, as a volume that
// is mounted from a container; a name outside of it, in a setting or in a link, is then no file here, or one of somebody
// else. So every name that comes from a server goes through a view.

// view is what this process sees of the files that a server names. The zero view sees none.
type view struct {
	there string // the data directory, as the server names it
	here  string // where this process sees it
	root  string // where this process sees the server's root directory; empty if it does not, or if that is not proven
	real  string // there, without links in it, as far as they can be followed
}

// newView is the view of the server whose data directory is seen here, and which runs as process pid since started, as its
// postmaster.pid says.
func newView(there, here string, pid int, started time.Time) view {
	if real, err := filepath.EvalSymlinks(here); err == nil {
		here = real
	}
	v := view{there: path.Clean(there), here: here, root: rootOf(here, pid, started)}
	v.real, _ = view{root: v.root}.walk("/", v.there)
	return v
}

// at is where this process sees the file that the server names, empty if it does not. There are no links in it.
func (v view) at(name string) string {
	_, at := v.find(name)
	return at
}

// find follows the links in a name as the server does: real is the name of the server's that has none, as far as they could
// be followed, and at where this process sees it, empty if it does not.
func (v view) find(name string) (real, at string) {
	if below, ok := v.below(name); ok {
		return v.walk(v.there, below)
	}
	return v.walk("/", name)
}

// maxLinks is how many links a name may have.
//
// Source: Linux, include/linux/namei.h, MAXSYMLINKS.
const maxLinks = 40

func (v view) walk(from, name string) (real, at string) {
	real = from
	rest := strings.Split(name, "/")
	for links := 0; len(rest) > 0; rest = rest[1:] {
		if rest[0] == "" {
			continue
		}
		next := path.Join(real, rest[0])
		local := v.local(next)
		target, err := os.Readlink(local)
		if err != nil || local == "" {
			real = next
			continue
		}
		if links++; links > maxLinks {
			return next, ""
		}
		if path.IsAbs(target) {
			real = "/"
			if below, ok := v.below(target); ok {
				real, target = v.there, below
			}
		}
		rest = append([]string{""}, append(strings.Split(target, "/"), rest[1:]...)...)
	}
	return real, v.local(real)
}

// local is where this process sees a name of the server's that has no links in it.
func (v view) local(name string) string {
	if below, ok := v.below(name); ok && v.here != "" {
		return filepath.Join(v.here, below)
	}
	if v.root == "" {
		return ""
	}
	return filepath.Join(v.root, name)
}

// below is the part of a name that is below the data directory.
func (v view) below(name string) (string, bool) {
	name = path.Clean(name)
	if v.there == "" || name == v.there {
		return "", v.there != ""
	}
	return strings.CutPrefix(name, v.there+"/")
}

// inside reports whether a name without links is in the data directory.
func (v view) inside(name string) bool {
	return v.there != "" && (strings.HasPrefix(name, v.there+"/") || strings.HasPrefix(name, v.real+"/"))
}

// name is what the server calls a file that this process sees.
func (v view) name(at string) string {
	if below, err := filepath.Rel(v.here, at); err == nil && v.here != "" && filepath.IsLocal(below) {
		return path.Join(v.there, below)
	}
	if below, err := filepath.Rel(v.root, at); err == nil && v.root != "" {
		return path.Join("/", below)
	}
	return at
}

// errUnseen is of a link that leads to what this process does not see.
var errUnseen = errors.New("what it leads to is not seen here")

// follow returns where this process sees what a link that it sees leads to.
//
// Errors: errUnseen; those of lstat.
func (v view) follow(link string) (string, fs.FileInfo, error) {
	at := v.at(v.name(link))
	if at == "" {
		return "", nil, errUnseen
	}
	info, err := os.Lstat(at)
	return at, info, err
}

// astray finds a link at the top of the data directory, or to a tablespace, that leads to what this process does not see:
// read in place, the cluster would be without it, or with what this machine has under that name.
func (v view) astray() error {
	for _, dir := range []string{"", "pg_tblspc"} {
		entries, err := os.ReadDir(filepath.Join(v.here, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if e.Type()&fs.ModeSymlink != 0 && v.at(path.Join(v.there, name)) == "" {
				target, _ := os.Readlink(filepath.Join(v.here, name)) // for people
				return fmt.Errorf("%s is a link to %s, which is of the server's machine or container and not seen here", name, target)
			}
		}
	}
	return nil
}

// rootOf is where this process sees the root directory of the server that runs, as process pid since started, in a data
// directory; empty if it does not, or if it cannot be proven: the number may be of a process of ours, and the server in a
// container.
func rootOf(here string, pid int, started time.Time) string {
	if _, err := os.Stat("/proc/self/root"); err != nil {
		return "/" // no Linux: without containers, files have one name
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	// A postmaster's working directory is its data directory.
	//
	// Source: PostgreSQL, src/backend/utils/init/miscinit.c, ChangeToDataDir.
	cwd, err := os.Stat(proc + "/cwd")
	data, dataErr := os.Stat(here)
	switch {
	case dataErr != nil:
		return ""
	case err == nil && os.SameFile(cwd, data):
		return ownRoot(proc)
	case errors.Is(err, fs.ErrPermission) && sameProcess(proc, data, started):
		return "/"
	}
	return ""
}

// ownRoot is / if a process sees the files that this one does under the same names, and else the way through it.
func ownRoot(proc string) string {
	its, err := os.Readlink(proc + "/ns/mnt")
	ours, oursErr := os.Readlink("/proc/self/ns/mnt")
	root, rootErr := os.Stat(proc + "/root/")
	here, hereErr := os.Stat("/")
	if errors.Join(err, oursErr, rootErr, hereErr) == nil && its == ours && os.SameFile(root, here) {
		return "/"
	}
	return proc + "/root"
}

// sameProcess reports whether a process that this one may not look into is the postmaster of a data directory: by what
// everybody may see, its name, its user and when it began. One of a container is seen under another number.
func sameProcess(proc string, data fs.FileInfo, started time.Time) bool {
	info, err := os.Stat(proc)
	if err != nil {
		return false
	}
	its, ok := info.Sys().(*syscall.Stat_t)
	owner, ok2 := data.Sys().(*syscall.Stat_t)
	stat, err := os.ReadFile(proc + "/stat")
	up, upErr := os.ReadFile("/proc/uptime")
	if !ok || !ok2 || its.Uid != owner.Uid || errors.Join(err, upErr) != nil {
		return false
	}
	// The name is in brackets and may have blanks; after it come the state, the third field, and the start, the 22nd, in
	// hundredths of a second since the machine booted.
	//
	// Source: proc_pid_stat(5).
	_, after, ok := strings.Cut(string(stat), "(post")
	_, after, ok2 = strings.Cut(after, ") ")
	fields := strings.Fields(after)
	if !ok || !ok2 || len(fields) < 20 {
		return false
	}
	ticks, err := strconv.ParseInt(fields[19], 10, 64)
	seconds, _, _ := strings.Cut(string(up), " ")
	uptime, upErr := time.ParseDuration(seconds + "s")
	if errors.Join(err, upErr) != nil {
		return false
	}
	began := time.Now().Add(time.Duration(ticks)*10*time.Millisecond - uptime)
	return began.Sub(started).Abs() < 5*time.Second
}
