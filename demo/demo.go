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
	Dir     string    // a folder that does not exist or is empty; a temporary one if empty
	Program string    // the cofre whose commands run; this program if empty
	BinDir  string    // of the PostgreSQL to use; the newest found if empty
	Out     io.Writer // everything that is said; commands write to it too
	// Text says a message in the language of the person; nil in English. Language is that of the commands; empty is that of the environment.
	Text     func(cofre.Message) string
	Language string
}

// step is one act of the story. Later acts are added to story.
type step struct {
	title cofre.Message
	run   func(*stage, context.Context) error
}

func story() []step {
	return []step{
		{cofre.Say("demo.act_installation", "An installation like TrustLayer's"), (*stage).install},
		{cofre.Say("demo.act_repository", "A repository, and what stands between it and a backup"), (*stage).prepare},
		{cofre.Say("demo.act_backup", "The backup"), (*stage).backUp},
		{cofre.Say("demo.act_disaster", "The disaster"), (*stage).destroy},
		{cofre.Say("demo.act_restore", "The restore"), (*stage).restore},
		{cofre.Say("demo.act_comparison", "The comparison"), (*stage).compare},
		{cofre.Say("demo.act_moment", "Another disaster, and back to just before it"), (*stage).moment},
	}
}

// stage is what the acts share.
type stage struct {
	Options
	server *throwaway.Server
	before print
	took   []timing
	failed []string // what differs, by name
	dir    string   // where commands run, and as which user: in Dir, as this user, up to the last act
	as     *syscall.Credential
}

// timing is how long something took, for the last table.
type timing struct {
	what cofre.Message
	time time.Duration
}

// Run carries out the demonstration.
//
// Errors: cofre.ErrPreflight with a hint if PostgreSQL is missing or the folder is taken; cofre.ErrUnproven
// if anything that came back differs; the error of the command that failed. Whatever happens, also when ctx
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
		s.say("\n== %s\n", s.text(act.title))
		if err := act.run(s, ctx); err != nil {
			return err
		}
	}
	s.say("\n== %s\n", s.text(cofre.Say("demo.took", "What took how long")))
	for _, t := range append(s.took, timing{cofre.Say("demo.everything", "everything"), time.Since(began)}) {
		s.say("  %-44s %7.1f s\n", s.text(t.what), t.time.Seconds())
	}
	if len(s.failed) > 0 {
		s.say("\n%s\n", s.text(cofre.SayN("demo.not_equal", len(s.failed), "NOT EQUAL: 1 difference, named above.", "NOT EQUAL: {{.n}} differences, the first of them above.")))
		return fmt.Errorf("demonstration: %s: %w", s.failed[0], cofre.ErrUnproven)
	}
	s.say("\n%s\n", s.text(cofre.Say("demo.equal", "EQUAL: everything that was destroyed is back, as it was.")))
	if s.Keep {
		return s.leave(ctx)
	}
	return nil
}

func (s *stage) say(format string, args ...any) { fmt.Fprintf(s.Out, format, args...) }

func (s *stage) text(m cofre.Message) string {
	if s.Text == nil {
		return m.Text
	}
	return s.Text(m)
}

// tell says a message on a line of its own.
func (s *stage) tell(m cofre.Message) { s.say("%s\n", s.text(m)) }

// arguments are those of a command that is run. Its language is not shown with it.
func (s *stage) arguments(args []string) []string {
	if s.Language == "" {
		return args
	}
	return append(args[:len(args):len(args)], "--lang", s.Language)
}

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
	// The server runs as another user if this one is root, and must be able to pass.
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
		return cofre.WithHint(cofre.Fail(cofre.Say("demo.no_server", "demonstration: no PostgreSQL server on this machine"), cofre.ErrPreflight),
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
		err = cofre.WithHint(cofre.Fail(cofre.Say("demo.not_empty", "demonstration: folder {{.folder}} is not empty", "folder", dir), cofre.ErrPreflight), cofre.Say("place.new", "name one that does not exist"))
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
func (s *stage) timed(what cofre.Message, f func() error) error {
	began := time.Now()
	err := f()
	s.took = append(s.took, timing{what, time.Since(began)})
	return err
}

// cofre runs a command of the product in the folder of the demonstration, where cofre.yaml is, and shows it.
func (s *stage) cofre(ctx context.Context, args ...string) error {
	s.say("\n$ cofre %s\n", strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, s.Program, s.arguments(args)...)
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
	if err := s.timed(cofre.Say("demo.took_backup", "backup"), func() error { return s.cofre(ctx, "backup") }); err != nil {
		return err
	}
	if err := s.cofre(ctx, "list"); err != nil {
		return err
	}
	return s.timed(cofre.Say("demo.took_verify", "verification, every byte read back"), func() error { return s.cofre(ctx, "verify", "--level", "content") })
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
	err := s.timed(cofre.Say("demo.took_database", "restore of the database"), func() error { return s.cofre(ctx, "restore", "database", "latest", "--roles") })
	if err != nil {
		return err
	}
	return s.timed(cofre.Say("demo.took_files", "restore of the files"), func() error { return s.cofre(ctx, "restore", "config", "latest", "--in-place", "--yes") })
}

func (s *stage) compare(ctx context.Context) error {
	began := time.Now()
	after, err := s.look(ctx)
	if err != nil {
		return err
	}
	s.took = append(s.took, timing{cofre.Say("demo.took_comparison", "comparison"), time.Since(began)})
	s.say("  %-52s %11s %11s\n", "", s.text(compared()), s.text(differing()))
	for _, part := range parts(s.before, after) {
		missing := compareParts(s.before[part], after[part])
		s.say("  %-52s %11d %11d\n", s.text(named(part)), len(s.before[part]), len(missing))
		s.failed = append(s.failed, missing...)
	}
	if n, err := tryApplication(ctx, s.server); err != nil {
		s.failed = append(s.failed, "the application: "+err.Error())
	} else {
		s.tell(cofre.Say("demo.application", "  as the application: an answer inserted and logged with the next number, {{.seen}} answers of one organisation seen", "seen", n))
	}
	s.report(s.failed)
	return nil
}

// report says what differs, the first of it by name.
func (s *stage) report(different []string) {
	for i, text := range different {
		if i == 20 {
			s.tell(cofre.SayN("demo.more", len(different)-i, "  … and 1 more", "  … and {{.n}} more"))
			break
		}
		s.tell(cofre.Say("demo.different_line", "  DIFFERENT: {{.what}}", "what", text))
	}
}

func compared() cofre.Message  { return cofre.Say("demo.compared", "compared") }
func differing() cofre.Message { return cofre.Say("demo.different", "different") }
