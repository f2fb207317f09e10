// Package drilled is what is particular about the server of a drill: it can touch nothing real, and it is asked whether what was restored is of
// use. The server itself is a throwaway.Server; what is restored into it is not known here.
//
// Read Start, Mute and Ask; then cluster.go, for a cluster that was recovered.
package drilled

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// contained keep a server from acting on anything but itself. They are arguments of the program, which no file of a data directory and no
// ALTER SYSTEM overrides.
var contained = []string{
	"-c", "archive_mode=off", "-c", "archive_command=", "-c", "restore_command=", "-c", "primary_conninfo=",
	"-c", "max_wal_senders=0", "-c", "wal_level=minimal",
	"-c", "max_logical_replication_workers=0", // no subscription has a worker, whatever it says of itself
	"-c", "shared_preload_libraries=", "-c", "session_preload_libraries=", "-c", "local_preload_libraries=", // no jobs of pg_cron, no requests of pg_net
}

// quick are settings of a server whose data nobody will miss.
var quick = []string{"max_wal_size = 4GB", "checkpoint_timeout = 30min", "max_locks_per_transaction = 256"}

// Options describe the server of a drill.
type Options struct {
	BinDir string // of the major version that is drilled
	Dir    string // an empty folder of this user, which becomes the server's: Close removes it
	// Ready is how long it may take until the server answers; 0 is two minutes.
	Ready time.Duration
}

// within bounds how long it may take until the server answers.
func (o Options) within(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.Ready == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, o.Ready, cofre.Fail(cofre.Say("drill.not_ready", "the drilled server did not answer within {{.time}}", "time", o.Ready.String())))
}

// DataDir is where the data directory of a server in a folder is.
func DataDir(folder string) string { return filepath.Join(folder, "data") }

// Start makes a cluster in the folder and starts a server on it that ends with this process, also if that is killed.
//
// Errors: those of throwaway.Start; after one nothing is left.
func Start(ctx context.Context, o Options) (*throwaway.Server, error) {
	ctx, cancel := o.within(ctx)
	defer cancel()
	return throwaway.Start(ctx, throwaway.Options{BinDir: o.BinDir, Dir: o.Dir, Args: contained, Conf: quick})
}

// Leave stops a server, and starts it again so that it goes on when this process ends: as contained as before. After an error nothing is left.
//
// Errors: those of throwaway.Server.Detach.
func Leave(ctx context.Context, s *throwaway.Server) (*throwaway.Server, error) {
	if err := s.Detach(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Tablespaces makes tablespaces of these names in the folder of the server, wherever those of the captured one were.
//
// Errors: those of the file system and of the server.
func Tablespaces(ctx context.Context, s *throwaway.Server, names []string) (err error) {
	if len(names) == 0 {
		return nil
	}
	owner, err := datadir.OwnerOf(s.DataDir)
	if err != nil {
		return err
	}
	// Opened once: the folder is the server's, and a name in it could lead elsewhere.
	in, err := inside.Open(s.TempDir())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	conn, err := postgres.Connect(ctx, s.Config("postgres"))
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	for i, name := range names {
		folder := "tablespace-" + strconv.Itoa(i+1)
		if err := in.Mkdir(folder); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if owner != nil {
			if err := in.Chown(folder, int(owner.Uid), int(owner.Gid)); err != nil {
				return err
			}
		}
		if _, err := conn.Exec(ctx, "CREATE TABLESPACE "+pgarchive.Quote(name)+" LOCATION "+literal(filepath.Join(s.TempDir(), folder))); err != nil {
			return fmt.Errorf("make tablespace %s for the drill: %w", name, postgres.Explain(err))
		}
	}
	return nil
}

// End ends a server that was left on a data directory, or one whose user was killed, and waits until it is gone. No server is no error. Only a
// process that works in that directory is ended: another may have taken the number in the file.
//
// Errors: ctx's, if it ends first; those of the signal.
func End(ctx context.Context, dataDir string) error {
	pid := datadir.LivePostmaster(dataDir)
	if pid == 0 || !worksIn(pid, dataDir) {
		return nil
	}
	for sig, until := unix.SIGQUIT, time.Now().Add(10*time.Second); worksIn(pid, dataDir); {
		if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("end the server of %s: %w", dataDir, err)
		}
		if time.Now().After(until) {
			sig = unix.SIGKILL
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("end the server of %s: %w", dataDir, context.Cause(ctx))
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// worksIn reports whether a process lives whose working directory this is, as a postmaster's is its data directory.
func worksIn(pid int, dir string) bool {
	var at, want unix.Stat_t
	if unix.Stat(fmt.Sprintf("/proc/%d/cwd", pid), &at) != nil || unix.Stat(dir, &want) != nil {
		return false
	}
	return at.Dev == want.Dev && at.Ino == want.Ino
}
