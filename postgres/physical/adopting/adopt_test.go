package adopting_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical/adopting"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/postgres/physical/settings"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// TestAdoptInterrupted adopts copies of one restored cluster, fails at each step in turn, and does it again: what was the
// original's configuration is so to the byte, whether or not ALTER SYSTEM has resolved the include meanwhile.
func TestAdoptInterrupted(t *testing.T) { // not in parallel: it watches every step of this process
	dir := physicaltest.Room(t)
	a := physicaltest.Archive(physicaltest.Shared(t, dir, "archive"))
	s := testkit.Postgres(t, 0, a.Conf())
	// One of the settings is what ours is, too.
	s.Exec(t, "postgres", "ALTER SYSTEM SET huge_pages = 'off'")
	s.Exec(t, "postgres", "ALTER SYSTEM SET work_mem = '5MB'")
	want := s.Query(t, "postgres", "SELECT pg_read_file('postgresql.auto.conf')")
	repo := repositorytest.NewMemory()
	c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a}), nil)
	restored := filepath.Join(dir, "restored")
	physicaltest.Restore(t, repo, c, restoring.Options{Dir: restored, RestoreCommand: a.RestoreCommand(), Action: settings.ActionPromote})
	if _, err := adopting.Plan(t.Context(), adopting.Options{Dir: restored}); !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(err.Error(), "has not ended its recovery") {
		t.Fatalf("adopt before the recovery: %v", err)
	}
	r := physicaltest.Recovered(t, recovering.Options{DataDir: restored, Action: settings.ActionPromote})
	if err := r.Server.Close(); err != nil {
		t.Fatal(err)
	}

	// What is copied over and over: an adoption looks at no table.
	for _, name := range []string{"base", "pg_wal/0*[0-9]"} {
		found, err := filepath.Glob(filepath.Join(restored, name))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", name, err)
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
		}
	}
	broken := errors.New("broken")
	adopt := func(to string, failing int) (steps int, err error) {
		stop := durable.Watch(func(step durable.Step) error {
			if !strings.HasPrefix(step.Path, to) {
				return nil
			}
			if steps++; steps == failing {
				return broken
			}
			return nil
		})
		defer stop()
		given := []string{}
		p, err := adopting.Plan(t.Context(), adopting.Options{Dir: to, Archive: func(_ context.Context, path string) error {
			given = append(given, filepath.Base(path))
			return nil
		}})
		if err != nil {
			return steps, err
		}
		if _, err = p.Adopt(t.Context()); err == nil && given[0] != "00000002.history" {
			t.Errorf("archived: %v", given)
		}
		return steps, err
	}
	for _, flat := range []bool{false, true} {
		for failing := 1; ; failing++ {
			to := filepath.Join(dir, "copy")
			if out, err := exec.Command("cp", "-a", restored, to).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if flat {
				flatten(t, to)
			}
			steps, err := adopt(to, failing)
			if failing <= steps && !errors.Is(err, broken) {
				t.Fatalf("step %d: %v", failing, err)
			}
			if err != nil {
				if _, err = adopt(to, 0); err != nil && !strings.Contains(err.Error(), "adopted before") {
					t.Fatalf("again after step %d: %v", failing, err)
				}
			}
			b, err := os.ReadFile(filepath.Join(to, "postgresql.auto.conf"))
			if err != nil || string(b) != want && !flat || flat && !sameSettings(string(b), want) {
				t.Errorf("after step %d, flat %t: %v\n%s\nwant\n%s", failing, flat, err, b, want)
			}
			for _, name := range []string{"cofre-recovery.conf", "cofre-adopt"} {
				if _, err := os.Lstat(filepath.Join(to, name)); err == nil && failing < steps {
					t.Errorf("after step %d: %s is left", failing, name)
				}
			}
			if err := os.RemoveAll(to); err != nil {
				t.Fatal(err)
			}
			if failing > steps {
				break
			}
		}
	}
	// A history that the server has not written, and a copy that is on the timeline that it was recovered along.
	for _, c := range []struct{ file, text, says, hint string }{
		{"pg_wal/00000002.history", "# this timeline is used; its history is not archived\n", "it is not the one that the server wrote", ""},
		{"cofre-recovery.conf", "recovery_target_timeline = '2'\n", "its promotion was interrupted", "--timeline 2 --start --action promote"},
		{"cofre-recovery.conf", "recovery_target_lsn = '0/3005650'\nrecovery_target_inclusive = 'on'\nrecovery_target_timeline = '2'\n", "its promotion was interrupted", ".again --lsn 0/3005650 --timeline 2 --start --action promote"},
		{"cofre-recovery.conf", "recovery_target_lsn = '0/3005650'\nrecovery_target_inclusive = 'off'\nrecovery_target_timeline = '2'\n", "its promotion was interrupted", " --lsn 0/3005650 --exclusive --timeline 2 "},
		{"cofre-recovery.conf", "recovery_target = 'immediate'\nrecovery_target_timeline = '2'\n", "its promotion was interrupted", " --immediate --timeline 2 "},
	} {
		to := filepath.Join(dir, "copy")
		if out, err := exec.Command("cp", "-a", restored, to).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := os.WriteFile(filepath.Join(to, c.file), []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := adopting.Plan(t.Context(), adopting.Options{Dir: to, Archive: func(context.Context, string) error { return errors.New("nothing may be archived") }})
		if err == nil || !strings.Contains(err.Error(), c.says) || cofre.Hint(err) == "" || !strings.Contains(cofre.Hint(err), c.hint) {
			t.Errorf("%s: %v, hint %q", c.file, err, cofre.Hint(err))
		}
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := adopting.Plan(t.Context(), adopting.Options{Dir: s.DataDir}); !errors.Is(err, cofre.ErrPreflight) {
		t.Errorf("adopt what is no copy: %v", err)
	}
}

// flatten makes of postgresql.auto.conf what ALTER SYSTEM makes of it.
func flatten(t *testing.T, dir string) {
	t.Helper()
	auto := filepath.Join(dir, "postgresql.auto.conf")
	var out strings.Builder
	for _, name := range []string{auto, filepath.Join(dir, "cofre-recovery.conf")} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if line[0] != '#' && !strings.HasPrefix(line, "include") {
				out.WriteString(line)
			}
		}
	}
	if err := os.WriteFile(auto, []byte(out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}

func sameSettings(a, b string) bool {
	clean := func(s string) (out string) {
		for line := range strings.Lines(s + "\n") {
			if line[0] != '#' && line != "\n" {
				out += line
			}
		}
		return out
	}
	return clean(a) == clean(b)
}

// TestARunningCopyIsAdoptedToItsRestart follows what is said, by paste, from the pause at the target to the restart, with the adoption ended
// before that: until the server counts the configuration of the original it is a copy, whatever its files say.
func TestARunningCopyIsAdoptedToItsRestart(t *testing.T) {
	dir := physicaltest.Room(t)
	a := physicaltest.Archive(physicaltest.Shared(t, dir, "archive"))
	socket := physicaltest.Shared(t, dir, "socket")
	s := testkit.Postgres(t, 0, a.Conf(), testkit.Own(), testkit.Conf("listen_addresses = ''"))
	s.Exec(t, "postgres", "ALTER SYSTEM SET unix_socket_directories = '"+socket+"'")
	s.Exec(t, "postgres", "ALTER SYSTEM SET port = 5439")
	repo := repositorytest.NewMemory()
	c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a}), nil)
	to := filepath.Join(dir, "a copy")
	physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, RestoreCommand: a.RestoreCommand(), Recovery: cofre.RecoveryTarget{Immediate: true}})
	plan := func() (*adopting.Adoption, error) {
		return adopting.Plan(t.Context(), adopting.Options{Dir: to, Restart: true, BinDir: s.BinDir, Archive: func(context.Context, string) error { return nil }})
	}
	paste := func(hint string) {
		t.Helper()
		_, command, _ := strings.Cut(hint, ": ")
		t.Logf("pasted: %s", command)
		physicaltest.Paste(t, s.BinDir, to, command)
	}
	_, err := plan()
	if err == nil || !strings.Contains(cofre.Hint(err), "start it") {
		t.Fatalf("a copy that does not run: %v, hint %q", err, cofre.Hint(err))
	}
	copied := physicaltest.Started{Bin: s.BinDir, Dir: to}
	paste(cofre.Hint(err))
	t.Cleanup(func() { copied.Ctl(t, "stop", "-m", "immediate") })
	if _, err = plan(); err == nil || !strings.Contains(cofre.Hint(err), "promote it") {
		t.Fatalf("a copy that is paused: %v, hint %q", err, cofre.Hint(err))
	}
	paste(cofre.Hint(err))

	first, err := plan()
	if err != nil {
		t.Fatal(err)
	}
	first.Running = false // as if it had ended just before its restart
	if done, err := first.Adopt(t.Context()); err != nil || done.Restarted || len(done.Settings) == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	again, err := plan()
	if err != nil {
		t.Fatalf("a server that still counts the settings of the copy: %v", err)
	}
	if done, err := again.Adopt(t.Context()); err != nil || !done.Restarted {
		t.Fatalf("%+v, %v", done, err)
	}
	_, err = plan()
	if !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(err.Error(), "adopted before") || !strings.HasSuffix(cofre.Hint(err), ": cofre backup cluster") {
		t.Errorf("once more: %v, hint %q", err, cofre.Hint(err))
	}
}
