package datadir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// Files that a restore, a recovery or an adoption adds to a data directory. No base backup takes them along.
//
// recoveryFile holds every setting that recovery needs; it is included by the last line of postgresql.auto.conf. markerFile
// says that a directory is a restore of ours that has not ended, and of what: the next restore of the same component goes on
// with it. adoptFile says that an adoption has begun. It stays until all is done, so that an adoption that was interrupted after
// the last setting is gone is told from a directory that never was a copy. adoptLog is where a copy that is restarted says what
// it has to say before its own log is open. lossFile names what of the directory is not as it was captured, because the repository had
// lost it: it is no moment of the original. PIDFile is the external_pid_file
// of a copy: with an empty one a server says at each start that it cannot write it.
const (
	RecoveryFile = "cofre-recovery.conf"
	MarkerFile   = "cofre-restore.json"
	AdoptFile    = "cofre-adopt"
	AdoptLog     = "cofre-adopt.log"
	LossFile     = "cofre-lost.txt"
	PIDFile      = "cofre-copy.pid"
)

// Files of PostgreSQL's in a data directory.
const (
	AutoConf   = "postgresql.auto.conf"
	SignalFile = "recovery.signal"
)

// RecoveringPrefix begins the name of the directory of a recovering server's socket and log.
const RecoveringPrefix = "cofre-recover-"

// SpoolDir is the folder of a restored data directory in which its recovery may keep WAL that it fetches ahead, and
// the key that reads it. No base backup takes it along: the key would outlive the recovery.
const SpoolDir = "cofre-wal-spool"

// ReadControl reads pg_control, which the server may be writing: again until its checksum holds.
//
// Errors: of reading the file; cofre.ErrCorrupt if its checksum never holds; that ctx has ended.
func ReadControl(ctx context.Context, dir string) (*pgdata.Control, error) {
	_, c, err := ReadControlFile(ctx, dir)
	return c, err
}

// ReadControlFile is ReadControl with the bytes of the file.
//
// Errors: those of ReadControl.
func ReadControlFile(ctx context.Context, dir string) ([]byte, *pgdata.Control, error) {
	const tries, wait = 50, 10 * time.Millisecond
	for i := 0; ; i++ {
		b, err := Read(filepath.Join(dir, pgdata.ControlFile))
		if err != nil {
			return nil, nil, err
		}
		c, err := pgdata.ParseControl(b)
		if err == nil || !errors.Is(err, cofre.ErrCorrupt) || i == tries {
			return b, c, err
		}
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// LivePostmaster is the process that postmaster.pid names, if it lives. A process that has taken its number
// since is not told apart: the restore is then refused once too often.
func LivePostmaster(dir string) int {
	b, err := Read(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return 0
	}
	if err := unix.Kill(pid, 0); err != nil && !errors.Is(err, fs.ErrPermission) {
		return 0
	}
	return pid
}

// CopyName is the cluster_name of a copy: what runs shows in the list of processes, and to whoever backs it up, that it is one.
const CopyName = "restored by cofre"

// OwnerOf is the user that owns a data directory, for this process to run a program as; nil if that is this process's own user.
//
// Errors: that the directory cannot be looked at.
func OwnerOf(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Uid == 0 {
		return nil, nil
	}
	return &syscall.Credential{Uid: st.Uid, Gid: st.Gid}, nil
}

// OwnAs gives open files that this process adds to a data directory to the directory's owner. By a path it could be another file: the
// owner may give it one.
func OwnAs(dir string) func(*os.File) error {
	return func(f *os.File) error {
		if os.Geteuid() != 0 {
			return nil
		}
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		var uid, gid int
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(st.Uid), int(st.Gid)
		}
		return f.Chown(uid, gid)
	}
}

// dataDirectory matches the line of postgresql.conf that names a data directory.
var dataDirectory = regexp.MustCompile(`(?mi)^[ \t]*data_directory[ \t]*[= \t]`)

// NamesDataDirectory reports whether a postgresql.conf names a data directory: a server that is started with the file uses that one.
func NamesDataDirectory(conf []byte) bool { return dataDirectory.Match(conf) }

// StartCommand is the command start with what it takes to start the server of a directory. If its postgresql.conf names another data
// directory, it would be that one's that is started: the command line counts over the file.
func StartCommand(start, dir string, conf []byte) string {
	command := start
	if NamesDataDirectory(conf) {
		command += " -o " + shell.Quote("-c data_directory="+shell.Quote(dir))
	}
	return command
}

// SpaceVersion is the name of the directory that the version of a cluster has in each tablespace.
//
// Source: PostgreSQL, src/include/common/relpath.h, TABLESPACE_VERSION_DIRECTORY.
func SpaceVersion(c *pgdata.Control) string {
	return fmt.Sprintf("PG_%d_%d", c.Major, c.CatalogVersion)
}

// Replace puts b at path so that a crash leaves the old file or the new one, whole. own makes it its owner's.
//
// Errors: of writing, syncing and renaming, and of own; the old file is then still there.
func Replace(path string, b []byte, own func(*os.File) error) error {
	f, err := durable.Create(path, 0o600)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(b); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := own(f.File); err != nil {
		return err
	}
	return f.Publish()
}

// Read is a file of a data directory. Its owner could lead a link to what this process alone may read, and find that in what is made of it.
//
// Errors: syscall.ELOOP if it is a link; cofre.ErrRefused if it is something else that is no file.
func Read(path string) ([]byte, error) {
	in, err := inside.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer in.Close() // only searched
	return in.ReadFile(filepath.Base(path), inside.MaxKept)
}

// Free is what can still be stored below path, of which the last parts may not exist yet, and the device
// that it is on.
//
// Errors: of asking the file system.
func Free(path string) (free int64, device uint64, err error) {
	path = existing(path)
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", path, err)
	}
	return int64(fs.Bavail) * fs.Bsize, st.Dev, nil
}

// existing is the longest beginning of an absolute path that exists.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}
