// Package physicaltest backs clusters up, restores and recovers them, for the tests of the packages that do one of these.
package physicaltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
)

// Room is a directory that the server's user can reach, which t.TempDir is not.
func Room(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cofre-physical-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Shared makes a directory that the server's user may write to.
func Shared(t *testing.T, parts ...string) string {
	t.Helper()
	dir := filepath.Join(parts...)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		out, err := exec.Command("chown", "postgres:", dir).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return dir
}

// Archive is a WAL archive made of cp.
type Archive string

func (a Archive) Missing(_ context.Context, _ cofre.SystemID, segments []string) ([]string, error) {
	return slices.DeleteFunc(slices.Clone(segments), func(s string) bool {
		_, err := os.Stat(filepath.Join(string(a), s))
		return err == nil
	}), nil
}

func (a Archive) Holds(_ context.Context, _ cofre.SystemID, name string, content []byte) (bool, error) {
	b, err := os.ReadFile(filepath.Join(string(a), name))
	if errors.Is(err, fs.ErrNotExist) {
		err = cofre.ErrNotFound
	}
	return bytes.Equal(b, content), err
}

// Put copies it there.
func (a Archive) Put(_ context.Context, _ cofre.SystemID, name string, content []byte) error {
	return os.WriteFile(filepath.Join(string(a), name), content, 0o644)
}

// Readable has no key.
func (Archive) Readable(context.Context) error { return nil }

// Mend finds nothing: cp compares nothing.
func (Archive) Mend(context.Context, cofre.SystemID, func(context.Context, string) ([]byte, error)) (healed, lost []cofre.Message, _ error) {
	return nil, nil, nil
}

func (a Archive) Conf() testkit.Option {
	return testkit.Conf("archive_mode = on", fmt.Sprintf("archive_command = 'cp %%p %[1]s/%%f.part && mv %[1]s/%%f.part %[1]s/%%f'", a))
}

func (a Archive) RestoreCommand() string { return fmt.Sprintf("cp %s/%%f %%p", a) }

// Pgbench runs pgbench of the server's version to its end.
func Pgbench(t *testing.T, s *testkit.Server, args ...string) {
	t.Helper()
	out, err := pgbenchCommand(t, s, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("pgbench: %v\n%s", err, out)
	}
}

func pgbenchCommand(t *testing.T, s *testkit.Server, args ...string) *exec.Cmd {
	argv := append([]string{"-h", s.Socket, "-p", fmt.Sprint(s.Port), "-U", "postgres"}, append(args, "postgres")...)
	return exec.Command(testkit.Binary(t, s.Major, "pgbench"), argv...)
}

// Load keeps writers busy until stop is called.
func Load(t *testing.T, s *testkit.Server) (stop func()) {
	t.Helper()
	cmd := pgbenchCommand(t, s, "-n", "-c", "2", "-R", "300", "-T", "600")
	var said testkit.Output
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := testkit.Start(cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("pgbench says: %s", said.String())
		}
	})
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Signal(os.Interrupt)
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	testkit.Await(t, "load", 30*time.Second, func() bool { return s.Query(t, "postgres", "SELECT count(*) > 20 FROM pgbench_history") == "t" })
	return stop
}

// Backup captures as the use case does and returns the component with the tree that reads it.
func Backup(t *testing.T, repo cofre.Repository, src cofre.Source, previous *cofre.Component) cofre.Component {
	t.Helper()
	c, err := TryBackup(t, t.Context(), repo, src, previous)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TryBackup(t *testing.T, ctx context.Context, repo cofre.Repository, src cofre.Source, previous *cofre.Component) (cofre.Component, error) {
	t.Helper()
	session, err := repo.Begin(ctx, src.ID())
	if err != nil {
		return cofre.Component{}, err
	}
	defer func() {
		if err := session.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	c := &cofre.Capture{Session: session, Jobs: 2, Observer: cofre.ObserverFunc(func(e cofre.Event) {
		if e.Text != "" {
			t.Logf("%s: %s", e.Type, e.Text)
		}
	})}
	if previous != nil {
		c.Previous = previous
		if c.PreviousTree, err = repo.Tree(ctx, previous.Root); err != nil {
			return cofre.Component{}, err
		}
	}
	captured, err := src.Capture(ctx, c)
	if err != nil {
		return cofre.Component{}, err
	}
	content, err := session.Finish(ctx)
	if err != nil {
		return cofre.Component{}, err
	}
	return cofre.Component{
		Kind: cofre.KindCluster, Name: src.ID().Name, Content: content,
		Facts: captured.Facts, Warnings: captured.Warnings, Partial: captured.Partial,
	}, nil
}

func SummaryOf(t *testing.T, c cofre.Component) physical.Summary {
	t.Helper()
	s, err := physical.ParseSummary(c.Facts)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Restore carries a target through.
func Restore(t *testing.T, repo cofre.Repository, c cofre.Component, o restoring.Options) *cofre.Outcome {
	t.Helper()
	outcome, err := TryRestore(t, repo, c, o)
	if err != nil {
		t.Fatal(err)
	}
	return outcome
}

// TryRestore carries a target through, up to its first error, and then discards it.
func TryRestore(t *testing.T, repo cofre.Repository, c cofre.Component, o restoring.Options) (_ *cofre.Outcome, err error) {
	t.Helper()
	o.Jobs = 2
	target := restoring.NewTarget(o)
	tree, err := repo.Tree(t.Context(), c.Root)
	if err != nil {
		return nil, err
	}
	plan, err := target.Plan(t.Context(), c, tree)
	if err != nil {
		return nil, err
	}
	if len(plan.Problems) > 0 {
		return nil, fmt.Errorf("%w: %+v", cofre.ErrPreflight, plan.Problems)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, target.Discard(t.Context()))
		}
	}()
	if err := target.Stage(t.Context(), cofre.Discard); err != nil {
		return nil, err
	}
	proof, err := target.Check(t.Context(), cofre.Discard)
	if err != nil {
		return nil, err
	}
	if !proof.Holds() {
		return nil, fmt.Errorf("%w: %+v", cofre.ErrUnproven, proof.Checks)
	}
	return target.Publish(t.Context())
}

// Recovered recovers and hands back a server that the test ends.
func Recovered(t *testing.T, o recovering.Options) *recovering.Result {
	t.Helper()
	r, err := recovering.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Server != nil {
		t.Cleanup(func() {
			if err := r.Server.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return r
}

// Query asks a recovered server.
func Query(t *testing.T, r *recovering.Result, sql string) string {
	t.Helper()
	return (&testkit.Server{Server: r.Server}).Query(t, "postgres", sql)
}

// Intact stops a recovered server and has PostgreSQL's own tools look at every page.
func Intact(t *testing.T, r *recovering.Result, checksums bool) {
	t.Helper()
	if out, err := exec.Command(filepath.Join(r.Server.BinDir, "pg_amcheck"), "--install-missing", "-h", r.Server.Socket, "-U", "postgres", "-d", "postgres").CombinedOutput(); err != nil && r.Server.Major >= 14 {
		t.Errorf("pg_amcheck: %v\n%s", err, out)
	}
	dir := r.Server.DataDir
	bin := r.Server.BinDir
	if err := r.Server.Close(); err != nil {
		t.Fatal(err)
	}
	if !checksums {
		return
	}
	if out, err := exec.Command(filepath.Join(bin, "pg_checksums"), "--check", "-D", dir).CombinedOutput(); err != nil {
		t.Errorf("pg_checksums: %v\n%s", err, out)
	}
}

// Ledger is what must be the same in a copy: pgbench's sums, and two tables of the tests.
const Ledger = "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT count(*) FROM pgbench_history), (SELECT count(*) FROM elsewhere), (SELECT string_agg(what, ',' ORDER BY id) FROM marks)"

// Started is a server that pg_ctl has started, as the user of servers, with nothing but what is printed to a person.
type Started struct{ Bin, Dir string }

func (s Started) Ctl(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(s.Bin, "pg_ctl"), append(args, "-D", s.Dir, "-w", "-t", "60")...)
	asServer(t, cmd)
	// The server keeps what it is given: it must not be a pipe of this process.
	log := filepath.Join(s.Dir, "pg_ctl.log")
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr, cmd.Dir = f, f, "/"
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(log)
		t.Fatalf("pg_ctl %s: %v\n%s", args, err, said)
	}
}

// Paste runs a line as the person does to whom it was shown, with the programs of bin, and what it starts keeps its log in dir.
func Paste(t *testing.T, bin, dir, line string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", line)
	f, err := os.OpenFile(filepath.Join(dir, "pg_ctl.log"), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = f, f, "/", append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	if err := cmd.Run(); err != nil {
		said, _ := os.ReadFile(f.Name())
		t.Fatalf("%s: %v\n%s", line, err, said)
	}
}

func (s Started) Ask(t *testing.T, database, sql string) string {
	t.Helper()
	out, err := exec.Command(filepath.Join(s.Bin, "psql"), "-XAtqh", s.Dir, "-U", "postgres", "-d", database, "-c", sql).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", sql, err, out)
	}
	return strings.TrimSpace(string(out))
}

func asServer(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}
