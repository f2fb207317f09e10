package view

import (
	"cmp"
	"context"
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

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
)

// A server names files as it sees them itself. This process may see its data directory under another name, as a volume that
// is mounted from a container; a name outside of it, in a setting or in a link, is then no file here, or one of somebody
// else. So every name that comes from a server goes through a view.

// View is what this process sees of the files that a server names. The zero view sees none.
type View struct {
	There string // the data directory, as the server names it
	Here  string // where this process sees it
	Root  string // where this process sees the server's root directory; empty if it does not, or if that is not proven
	Real  string // there, without links in it, as far as they can be followed
}

// New is the view of the server whose data directory is seen here, and which runs as process pid since started, as its
// postmaster.pid says.
func New(there, here string, pid int, started time.Time) View {
	if real, err := filepath.EvalSymlinks(here); err == nil {
		here = real
	}
	v := View{There: path.Clean(there), Here: here, Root: rootOf(here, pid, started)}
	v.Real, _ = View{Root: v.Root}.walk("/", v.There)
	return v
}

// At is where this process sees the file that the server names, empty if it does not. There are no links in it.
func (v View) At(name string) string {
	_, at := v.Find(name)
	return at
}

// Find follows the links in a name as the server does: real is the name of the server's that has none, as far as they could
// be followed, and at where this process sees it, empty if it does not.
func (v View) Find(name string) (real, at string) {
	if below, ok := v.below(name); ok {
		return v.walk(v.There, below)
	}
	return v.walk("/", name)
}

// maxLinks is how many links a name may have.
//
// Source: Linux, include/linux/namei.h, MAXSYMLINKS.
const maxLinks = 40

func (v View) walk(from, name string) (real, at string) {
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
				real, target = v.There, below
			}
		}
		rest = append([]string{""}, append(strings.Split(target, "/"), rest[1:]...)...)
	}
	return real, v.local(real)
}

// local is where this process sees a name of the server's that has no links in it.
func (v View) local(name string) string {
	if below, ok := v.below(name); ok && v.Here != "" {
		return filepath.Join(v.Here, below)
	}
	if v.Root == "" {
		return ""
	}
	return filepath.Join(v.Root, name)
}

// below is the part of a name that is below the data directory.
func (v View) below(name string) (string, bool) {
	name = path.Clean(name)
	if v.There == "" || name == v.There {
		return "", v.There != ""
	}
	return strings.CutPrefix(name, v.There+"/")
}

// Inside reports whether a name without links is in the data directory.
func (v View) Inside(name string) bool {
	return v.There != "" && (strings.HasPrefix(name, v.There+"/") || strings.HasPrefix(name, v.Real+"/"))
}

// name is what the server calls a file that this process sees.
func (v View) name(at string) string {
	if below, err := filepath.Rel(v.Here, at); err == nil && v.Here != "" && filepath.IsLocal(below) {
		return path.Join(v.There, below)
	}
	if below, err := filepath.Rel(v.Root, at); err == nil && v.Root != "" {
		return path.Join("/", below)
	}
	return at
}

// errUnseen is of a link that leads to what this process does not see.
var errUnseen = errors.New("what it leads to is not seen here")

// Follow returns where this process sees what a link that it sees leads to.
//
// Errors: errUnseen; those of lstat.
func (v View) Follow(link string) (string, fs.FileInfo, error) {
	at := v.At(v.name(link))
	if at == "" {
		return "", nil, errUnseen
	}
	info, err := os.Lstat(at)
	return at, info, err
}

// Open opens a file for reading where At, Find or Follow have found it: no step on the way there is followed if it has become a link since, and
// no pipe is waited for. As root it is opened with what the user uid may, or with everything for inside.Anyone.
//
// Errors: syscall.ELOOP or ENOTDIR for a link; one for what is no file; those of the operating system. Each is a *fs.PathError of at.
func (v View) Open(at string, uid int) (*os.File, error) {
	f, err := v.open(at, uid)
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: at, Err: err}
	}
	return f, nil
}

func (v View) open(at string, uid int) (f *os.File, err error) {
	top, rel := "/", strings.TrimPrefix(at, "/")
	for _, t := range []string{v.Root, v.Here} {
		if below, err := filepath.Rel(t, at); t != "" && err == nil && filepath.IsLocal(below) {
			top, rel = t, below
		}
	}
	root, err := inside.Open(top)
	if err != nil {
		return nil, err
	}
	defer root.Close() // only searched
	err = inside.As(uid, func() error {
		in, err := root.Descend(path.Dir(rel), nil)
		if err != nil {
			return err
		}
		f, err = in.Open(path.Base(rel))
		return errors.Join(err, in.Close())
	})
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(cmp.Or(err, errNoFile), f.Close())
	}
	return f, nil
}

// errNoFile is of what is a pipe, a device or a directory by now.
var errNoFile = errors.New("is no file any more")

// astray finds a link at the top of the data directory, or to a tablespace, that leads to what this process does not see:
// read in place, the cluster would be without it, or with what this machine has under that name.
func (v View) astray() error {
	for _, dir := range []string{"", "pg_tblspc"} {
		entries, err := os.ReadDir(filepath.Join(v.Here, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := path.Join(dir, e.Name())
			if e.Type()&fs.ModeSymlink != 0 && v.At(path.Join(v.There, name)) == "" {
				target, _ := os.Readlink(filepath.Join(v.Here, name)) // for people
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

// FindInPlace is Find, if everything that belongs to the cluster can be read through what this process sees.
//
// Errors: those of Find; one that names a link of the data directory that leads to what is not seen here.
func FindInPlace(ctx context.Context, conn *pgx.Conn, server postgres.Server, dir string) (seen View, at string, c *pgdata.Control, why error) {
	if seen, at, c, why = Find(ctx, conn, server, dir); why == nil {
		why = seen.astray()
	}
	return seen, at, c, why
}

// Find finds what this process sees of a server's files, after making sure that the data directory is the one of the
// server that conn leads to, not a copy or a standby beside it. dir is where this process sees the data directory, empty if
// that is where the server does; at is what it comes to.
//
// Errors: cofre.ErrCorrupt if pg_control never agrees with its checksum; that it, or postmaster.pid, cannot be read here;
// those of the query; one if the directory is of another cluster or another server, or the role may not read where it is.
func Find(ctx context.Context, conn *pgx.Conn, server postgres.Server, dir string) (seen View, at string, c *pgdata.Control, why error) {
	none := View{}
	if dir = cmp.Or(dir, server.DataDir); dir == "" {
		return none, "", nil, errors.New("the role may not read the setting data_directory")
	}
	if c, why = datadir.ReadControl(ctx, dir); why != nil {
		return none, dir, nil, why
	}
	if server.SystemID != 0 && c.SystemID != server.SystemID {
		return none, dir, nil, fmt.Errorf("%s is of cluster %s, the server's is %s", dir, c.SystemID, server.SystemID)
	}
	var startedAt int64
	if err := conn.QueryRow(ctx, "SELECT extract(epoch FROM pg_catalog.pg_postmaster_start_time())::bigint").Scan(&startedAt); err != nil {
		return none, dir, nil, err
	}
	b, err := datadir.Read(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return none, dir, nil, err
	}
	// The first line is the postmaster's process, the third when it started, the fourth its port.
	//
	// Source: PostgreSQL, src/include/utils/pidfile.h.
	lines := strings.Split(string(b), "\n")
	if len(lines) < 4 {
		return none, dir, nil, fmt.Errorf("%s/postmaster.pid has %d lines", dir, len(lines))
	}
	started, err := strconv.ParseInt(strings.TrimSpace(lines[2]), 10, 64)
	if err != nil {
		return none, dir, nil, fmt.Errorf("read postmaster.pid: %w", err)
	}
	if d := started - startedAt; d < -5 || d > 5 || strings.TrimSpace(lines[3]) != server.Settings["port"] {
		return none, dir, nil, fmt.Errorf("%s is in use by another server", dir)
	}
	pid, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(lines[0]), "-"))
	if err != nil {
		return none, dir, nil, fmt.Errorf("read postmaster.pid: %w", err)
	}
	return New(cmp.Or(server.DataDir, dir), dir, pid, time.Unix(started, 0)), dir, c, nil
}
