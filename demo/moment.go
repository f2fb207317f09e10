package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// archivedBound is how long the server may take to archive its last segment.
const archivedBound = time.Minute

// moment goes back to just before a disaster. It happens in a folder of the server's user, who runs its
// commands: the server runs archive_command and restore_command.
func (s *stage) moment(ctx context.Context) error {
	if err := s.archive(ctx); err != nil {
		return err
	}
	if err := s.timed(cofre.Say("demo.took_base", "base backup of the cluster"), func() error { return s.cofre(ctx, "backup", "cluster") }); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, s.server.URL(databaseName))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	before, at, err := s.writeThenTruncate(ctx, conn)
	if err != nil {
		return err
	}
	if err := archived(ctx, conn); err != nil {
		return err
	}
	if err := s.cofre(ctx, "wal", "status"); err != nil {
		return err
	}
	err = s.timed(cofre.Say("demo.took_recovery", "recovery to just before it"), func() error {
		return s.cofre(ctx, "restore", "cluster", "--to", s.path("cluster", "recovered"), "--at", at.UTC().Format(time.RFC3339Nano), "--start", "--action", "promote")
	})
	if err != nil {
		return err
	}
	return s.compareMoment(ctx, before)
}

// archive makes a repository for the cluster, and the server archive its WAL in it.
func (s *stage) archive(ctx context.Context) error {
	s.dir = s.path("cluster")
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return err
	}
	text := clusterConfiguration(s.server.URL("postgres"))
	s.say("%s:\n", filepath.Join(s.dir, "cofre.yaml"))
	for line := range strings.Lines(text) {
		s.say("  %s", line)
	}
	for name, content := range map[string]string{"cofre.yaml": text, "password": rand.Text() + "\n"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	if err := s.becomeServer(); err != nil {
		return err
	}
	if err := s.silently(ctx, "init"); err != nil { // its recovery kit was shown above
		return err
	}
	command := fmt.Sprintf("'%s' wal archive --config '%s' %%p", s.Program, filepath.Join(s.dir, "cofre.yaml"))
	s.say("\npostgres=# ALTER SYSTEM SET archive_command = '%s';\n", strings.ReplaceAll(command, "'", "''"))
	return execute(ctx, s.server, "postgres", "ALTER SYSTEM SET archive_command = '"+strings.ReplaceAll(command, "'", "''")+"'", "SELECT pg_reload_conf()")
}

func clusterConfiguration(url string) string {
	return fmt.Sprintf("name: demonstration\nrepository: {url: repository, password: file:password}\ncluster: {url: %q, wal: archive}\nstate_dir: state\n", url)
}

// silently runs a command whose output was seen before.
func (s *stage) silently(ctx context.Context, args ...string) error {
	out := s.Out
	defer func() { s.Out = out }()
	s.say("\n$ cofre %s\n", strings.Join(args, " "))
	s.Out = io.Discard
	return s.cofre(ctx, args...)
}

// becomeServer gives the folder to the server's user, if that is another, with a program that this user can reach.
func (s *stage) becomeServer() error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(s.server.DataDir)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("demonstration: owner of %s is not known", s.server.DataDir)
	}
	program := filepath.Join(s.dir, "cofre")
	if err := copyFile(s.Program, program); err != nil {
		return err
	}
	s.Program, s.as = program, &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}
	return filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		return errors.Join(err, os.Lchown(path, int(owner.Uid), int(owner.Gid)))
	})
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// writeThenTruncate is the application going on after the base backup, and then somebody with the wrong window open.
// It returns what the tables held at the moment between the two.
func (s *stage) writeThenTruncate(ctx context.Context, conn *pgx.Conn) (before map[string]string, at time.Time, err error) {
	const written = 200
	for range written { // each a transaction of its own
		if _, err := conn.Exec(ctx, `INSERT INTO grc.answers (assessment_id, control_id, author_id, answer)
			VALUES ($1::text::uuid, 1, $2::text::uuid, 'depois do backup')`, uuid(3, 3), uuid(2, 0)); err != nil {
			return nil, at, err
		}
	}
	if before, err = tableSums(ctx, conn); err != nil {
		return nil, at, err
	}
	if err := conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&at); err != nil {
		return nil, at, err
	}
	const disaster = "TRUNCATE grc.answers CASCADE"
	s.tell(cofre.Say("demo.goes_on", "\nthe application goes on: {{.answers}} answers more, in as many transactions; it is {{.at}}", "answers", written, "at", at.UTC().Format(time.RFC3339Nano)))
	s.say("%s=# %s;\n", databaseName, disaster)
	_, err = conn.Exec(ctx, disaster)
	return before, at, err
}

// archived ends the WAL segment and waits until the server has archived it.
func archived(ctx context.Context, conn *pgx.Conn) error {
	var segment string
	if err := conn.QueryRow(ctx, "SELECT pg_walfile_name(pg_switch_wal())").Scan(&segment); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, archivedBound, fmt.Errorf("demonstration: segment %s is not archived after %s", segment, archivedBound))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var done bool
		if err := conn.QueryRow(ctx, "SELECT coalesce(last_archived_wal >= $1, false) FROM pg_stat_archiver", segment).Scan(&done); err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// compareMoment runs a server on what was recovered and compares every row of every table.
func (s *stage) compareMoment(ctx context.Context, before map[string]string) (err error) {
	recovered, err := throwaway.Start(ctx, throwaway.Options{BinDir: s.server.BinDir, DataDir: s.path("cluster", "recovered")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, recovered.Close()) }()
	conn, err := pgx.Connect(ctx, recovered.URL(databaseName))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	after, err := tableSums(ctx, conn)
	if err != nil {
		return err
	}
	different := compareParts(before, after)
	s.say("\n  %-52s %11s %11s\n  %-52s %11d %11d\n", "", s.text(compared()), s.text(differing()), s.text(named(partTables)), len(before), len(different))
	s.report(different)
	s.failed = append(s.failed, different...)
	return nil
}
