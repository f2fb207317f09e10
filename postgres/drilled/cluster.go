package drilled

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// Recovering are settings that keep a cluster of this major version from acting on anything but itself while it recovers, and after it was
// promoted, whatever its own configuration says. They go on the command line of the server. What fetches the WAL is left to whoever recovers.
func Recovering(major int) map[string]string {
	set := map[string]string{
		"archive_mode": "off", "archive_command": "", "archive_cleanup_command": "", "primary_conninfo": "", "primary_slot_name": "",
		"max_logical_replication_workers": "0",
		"shared_preload_libraries":        "", "session_preload_libraries": "", "local_preload_libraries": "",
		"autovacuum": "off", "listen_addresses": "", "unix_socket_group": "", "bonjour": "off", "ssl": "off", "synchronous_standby_names": "",
		// Beside a live server, whose memory it would take. It has to hold what one record changes, and is otherwise the cache of a disk's.
		"shared_buffers": "256MB", "huge_pages": "off", "max_wal_size": "4GB",
	}
	if major >= 15 {
		set["archive_library"] = ""
	}
	if major < 16 {
		set["promote_trigger_file"] = "" // somebody else's would end the recovery early
	}
	if major >= 17 {
		set["event_triggers"], set["sync_replication_slots"] = "off", "off"
	}
	return set
}

// ClusterOptions describe the server of a cluster that was restored, recovered and promoted.
type ClusterOptions struct {
	Options          // Dir holds the data directory: see DataDir
	Major     int    // of the cluster
	Superuser string // of the cluster
}

// StartCluster starts a server on a cluster that is in the folder. Beyond what Start contains, nothing of the cluster's works in the background:
// it has no workers, whoever asks for one.
//
// Errors: those of throwaway.Start; after one nothing is left.
func StartCluster(ctx context.Context, o ClusterOptions) (*throwaway.Server, error) {
	ctx, cancel := o.within(ctx)
	defer cancel()
	in, err := inside.Open(o.Dir)
	if err != nil {
		return nil, err
	}
	defer in.Close() // only searched
	// The folder is the server's, and what ran in it could have left anything in the place of these.
	if err := errors.Join(write(in, "pg_hba.conf", "local all all trust\n"), write(in, "pg_ident.conf", "")); err != nil {
		return nil, err
	}
	set := Recovering(o.Major)
	maps.Copy(set, map[string]string{
		"data_directory": DataDir(o.Dir), "hba_file": filepath.Join(o.Dir, "pg_hba.conf"), "ident_file": filepath.Join(o.Dir, "pg_ident.conf"),
		"restore_command": "", "recovery_end_command": "", "max_wal_senders": "0", "max_worker_processes": "0", "lc_messages": "C", "log_min_messages": "warning",
	})
	if _, err := os.Lstat(filepath.Join(DataDir(o.Dir), "postgresql.conf")); errors.Is(err, fs.ErrNotExist) {
		if err := write(in, "postgresql.conf", ""); err != nil { // the original keeps its own elsewhere
			return nil, err
		}
		set["config_file"] = filepath.Join(o.Dir, "postgresql.conf")
	}
	var args []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		args = append(args, "-c", name+"="+set[name])
	}
	return throwaway.Start(ctx, throwaway.Options{BinDir: o.BinDir, Dir: o.Dir, DataDir: DataDir(o.Dir), Args: args, User: o.Superuser})
}

// write makes a file that the server's user may read, in the place of what has its name.
func write(in *inside.Dir, name, text string) error {
	if err := in.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := in.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Chmod(0o644), f.Close())
}

// Give gives a folder to the user of the server, so that what is restored into it can be reached, and returns that user's name; "" if it is this one.
//
// Errors: those of throwaway.Account and of the file system.
func Give(folder string) (owner string, err error) {
	as, err := throwaway.Account()
	if err != nil || as == nil {
		return "", err
	}
	in, err := inside.Open(folder)
	if err != nil {
		return "", err
	}
	return inside.UserName(int(as.Uid)), errors.Join(in.Chown(".", int(as.Uid), int(as.Gid)), in.Close())
}

// Contained refuses a data directory in which a link leads out of the folder of the drill: what a server writes through it would be real.
//
// Errors: cofre.ErrRefused with the first that does; those of the file system.
func Contained(folder string) error {
	return filepath.WalkDir(DataDir(folder), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink == 0 {
			return err
		}
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		if strings.HasPrefix(filepath.Clean(to)+"/", filepath.Clean(folder)+"/") {
			return nil
		}
		return cofre.Fail(cofre.Say("drill.leads_out", "{{.link}} leads to {{.to}}, which is outside of the folder of the drill", "link", path, "to", to), cofre.ErrRefused)
	})
}

// Database is one of a drilled cluster.
type Database struct {
	Name     string
	Template bool
}

// Databases are those that can be connected to.
//
// Errors: those of the connection and of the server.
func Databases(ctx context.Context, s *throwaway.Server) ([]Database, error) {
	conn, err := postgres.Connect(ctx, s.Config("template1")) // the one that cannot have been dropped
	if err != nil {
		return nil, err
	}
	defer postgres.Close(ctx, conn)
	rows, err := conn.Query(ctx, "SELECT datname, datistemplate FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY oid")
	if err != nil {
		return nil, fmt.Errorf("list the databases: %w", postgres.Explain(err))
	}
	all, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (d Database, err error) { return d, r.Scan(&d.Name, &d.Template) })
	if err != nil {
		return nil, fmt.Errorf("list the databases: %w", postgres.Explain(err))
	}
	return all, nil
}
