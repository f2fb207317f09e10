package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// Options say how the demonstration runs. The zero value runs it in a temporary folder and removes everything.
type Options struct {
	Keep    bool      // leave the server and the repository, and say how to look at them and how to end them
	Dir     string    // a folder that does not exist or is empty; a temporary one where empty
	Program string    // the cofre whose commands run; this program where empty
	BinDir  string    // of the PostgreSQL to use; the newest found where empty
	Out     io.Writer // everything that is said; commands write to it too
}

// step is one act of the story. Later acts are added to story.
type step struct {
	title string
	run   func(*stage, context.Context) error
}

func story() []step {
	return []step{
		{"An installation like TrustLayer's", (*stage).install},
		{"A repository, and what stands between it and a backup", (*stage).prepare},
		{"The backup", (*stage).backUp},
		{"The disaster", (*stage).destroy},
		{"The restore", (*stage).restore},
		{"The comparison", (*stage).compare},
		{"Another disaster, and back to just before it", (*stage).moment},
	}
}

// stage is what the acts share.
type stage struct {
	Options
	server *throwaway.Server
	before print
	took   []timing
	failed []string // what differs, by name
	dir    string   // where commands run, and as whom: in Dir, as this user, up to the last act
	as     *syscall.Credential
}

// timing is how long something took, for the last table.
type timing struct {
	what string
	time time.Duration
}

// Run carries out the demonstration.
//
// Errors: cofre.ErrPreflight with a hint where PostgreSQL is missing or the folder is taken; cofre.ErrUnproven
// where anything that came back differs; the error of the command that failed. Whatever happens, also when ctx
// ends, server and folder are removed, unless Keep is set and everything held.
func Run(ctx context.Context, o Options) (err error) {
	s := &stage{Options: o}
	if err := s.open(ctx); err != nil {
		return err
	}
	began := time.Now()
	defer func() {
		if err != nil || !s.Keep {
			err = errors.Join(err, s.close())
		}
	}()
	for _, act := range story() {
		s.say("\n== %s\n", act.title)
		if err := act.run(s, ctx); err != nil {
			return err
		}
	}
	s.say("\n== What took how long\n")
	for _, t := range s.took {
		s.say("  %-44s %7.1f s\n", t.what, t.time.Seconds())
	}
	s.say("  %-44s %7.1f s\n", "everything", time.Since(began).Seconds())
	if len(s.failed) > 0 {
		s.say("\nNOT EQUAL: %d differences, the first of them above.\n", len(s.failed))
		return fmt.Errorf("demonstration: %s: %w", s.failed[0], cofre.ErrUnproven)
	}
	s.say("\nEQUAL: everything that was destroyed is back, as it was.\n")
	if s.Keep {
		return s.leave(ctx)
	}
	return nil
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(s.Out, format, args...) }

func (s *stage) open(ctx context.Context) (err error) {
	if s.Out == nil {
		s.Out = io.Discard
	}
	if s.Program == "" {
		if s.Program, err = os.Executable(); err != nil {
			return fmt.Errorf("find this program: %w", err)
		}
	}
	if s.Dir == "" {
		if s.Dir, err = os.MkdirTemp("", "cofre-demo-"); err != nil {
			return err
		}
	} else if s.Dir, err = ownFolder(s.Dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.Dir))
		}
	}()
	// The server runs as another user where this one is root, and must be able to pass.
	if err := os.Chmod(s.Dir, 0o711); err != nil {
		return err
	}
	s.dir = s.Dir
	if s.BinDir == "" {
		s.BinDir = newest()
	}
	s.server, err = throwaway.Start(ctx, throwaway.Options{
		BinDir: s.BinDir, DataDir: s.path("postgresql"),
		// archive_mode takes a restart; until the last act nothing is archived.
		Conf: []string{"archive_mode = on", "archive_command = '/bin/true'"},
	})
	if errors.Is(err, cofre.ErrNotFound) {
		return cofre.WithHint(fmt.Errorf("demonstration: no PostgreSQL server on this machine: %w", cofre.ErrPreflight),
			cofre.Say("demo.install", "install it, then run this again: sudo apt-get install postgresql"))
	}
	return err
}

// newest is where the newest PostgreSQL is that has its client programs too, which Debian packs apart; "" without one.
func newest() (dir string) {
	for _, p := range postgres.Installed() { // ascending
		if _, err := os.Stat(filepath.Join(p.Dir, "pg_dump")); err == nil {
			dir = p.Dir
		}
	}
	return dir
}

// ownFolder makes a folder of the demonstration's own, which it may remove at the end.
func ownFolder(dir string) (string, error) {
	full, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(full, 0o711); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(full)
	if err == nil && len(entries) > 0 {
		err = cofre.WithHint(fmt.Errorf("demonstration: folder %s is not empty: %w", dir, cofre.ErrPreflight), cofre.Say("place.new", "name one that does not exist"))
	}
	return full, err
}

func (s *stage) path(parts ...string) string {
	return filepath.Join(append([]string{s.Dir}, parts...)...)
}

func (s *stage) close() error {
	return errors.Join(s.server.Close(), os.RemoveAll(s.Dir))
}

// timed runs f and keeps how long it took under a name.
func (s *stage) timed(what string, f func() error) error {
	began := time.Now()
	err := f()
	s.took = append(s.took, timing{what, time.Since(began)})
	return err
}

// cofre runs a command of the product in the folder of the demonstration, where cofre.yaml is, and shows it.
func (s *stage) cofre(ctx context.Context, args ...string) error {
	s.say("\n$ cofre %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, s.Program, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = s.dir, plainEnvironment(), s.Out, s.Out
	// A group of its own: Ctrl-C on the terminal reaches this program alone, which passes it on once. Twice
	// would tell the command to end without cleaning up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.as}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("demonstration: cofre %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// plainEnvironment is the environment without what would make these commands mean another installation.
func plainEnvironment() []string {
	var plain []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		keep := true
		for _, prefix := range []string{"PG", "DB_", "COFRE_", "AWS_", "SUPABASE_", "S3_BUCKET", "BACKUP_DIR", "RETENTION_DAYS"} {
			keep = keep && !strings.HasPrefix(name, prefix)
		}
		// Where PostgreSQL's programs are is no installation: the server here is of these.
		if keep || strings.HasPrefix(name, "COFRE_POSTGRES_") {
			plain = append(plain, pair)
		}
	}
	return plain
}

func (s *stage) prepare(ctx context.Context) error {
	if err := s.writeConfiguration(s.server.URL(databaseName)); err != nil {
		return err
	}
	if err := os.WriteFile(s.path("password"), []byte(rand.Text()+"\n"), 0o600); err != nil {
		return err
	}
	if err := s.cofre(ctx, "init"); err != nil {
		return err
	}
	return s.cofre(ctx, "doctor")
}

func (s *stage) writeConfiguration(databaseURL string) error {
	text := fmt.Sprintf(`name: demonstration
repository: {url: repository, password: file:password}
database: {url: %q, keep: {days: 30}}
config: {paths: [opt], keep: {days: 90}}
state_dir: state
`, databaseURL)
	s.say("cofre.yaml:\n")
	for line := range strings.Lines(text) {
		s.say("  %s", line)
	}
	return os.WriteFile(s.path("cofre.yaml"), []byte(text), 0o600)
}

func (s *stage) backUp(ctx context.Context) error {
	if err := s.timed("backup", func() error { return s.cofre(ctx, "backup") }); err != nil {
		return err
	}
	if err := s.cofre(ctx, "list"); err != nil {
		return err
	}
	return s.timed("verification, every byte read back", func() error { return s.cofre(ctx, "verify", "--level", "content") })
}

func (s *stage) destroy(ctx context.Context) error {
	for _, sql := range append([]string{"DROP DATABASE " + databaseName}, dropRoles...) {
		s.say("%s=# %s;\n", "postgres", sql)
	}
	if err := dropEverything(ctx, s.server); err != nil {
		return err
	}
	s.say("$ rm -rf %s\n", s.path("opt"))
	return os.RemoveAll(s.path("opt"))
}

func (s *stage) restore(ctx context.Context) error {
	err := s.timed("restore of the database", func() error { return s.cofre(ctx, "restore", "database", "latest", "--roles") })
	if err != nil {
		return err
	}
	return s.timed("restore of the files", func() error { return s.cofre(ctx, "restore", "config", "latest", "--in-place", "--yes") })
}

func (s *stage) compare(ctx context.Context) error {
	began := time.Now()
	after, err := s.look(ctx)
	if err != nil {
		return err
	}
	s.took = append(s.took, timing{"comparison", time.Since(began)})
	s.say("  %-52s %8s %12s\n", "", "compared", "different")
	for _, part := range parts(s.before, after) {
		missing := compareParts(s.before[part], after[part])
		s.say("  %-52s %8d %12d\n", part, len(s.before[part]), len(missing))
		s.failed = append(s.failed, missing...)
	}
	if n, err := tryApplication(ctx, s.server); err != nil {
		s.failed = append(s.failed, "the application: "+err.Error())
	} else {
		s.say("  as the application: an answer inserted and logged with the next number, %d answers of one organisation seen\n", n)
	}
	s.report(s.failed)
	return nil
}

// report says what differs, the first of it by name.
func (s *stage) report(different []string) {
	for i, text := range different {
		if i == 20 {
			s.say("  … and %d more\n", len(different)-i)
			break
		}
		s.say("  DIFFERENT: %s\n", text)
	}
}
