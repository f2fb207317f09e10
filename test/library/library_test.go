package library

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

func TestAProgramUsesTheProductAsALibrary(t *testing.T) {
	s := testkit.Postgres(t, 0, testkit.Conf("wal_keep_size = 512MB", "archive_mode = on"))
	dir := t.TempDir()
	program := filepath.Join(dir, "cofre-wal")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/cofre-wal").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	path := filepath.Join(dir, "cofre.yaml")
	write(t, filepath.Join(dir, "password"), "a password of this test")
	write(t, path, fmt.Sprintf("name: tl\nstate_dir: state\nrepository: {url: %q, password: 'file:password'}\ncluster: {url: %q, wal: archive}\n", filepath.Join(dir, "repo"), s.URL("postgres")))
	data := s.Query(t, "postgres", "SHOW data_directory")
	initialize(t, path)
	shareWithServer(t, dir, data)
	s.Exec(t, "postgres", fmt.Sprintf("ALTER SYSTEM SET archive_command = '%s archive --config %s %%p'", program, path))
	s.Exec(t, "postgres", "SELECT pg_reload_conf()")
	s.Exec(t, "postgres", "CREATE TABLE answers AS SELECT generate_series(1, 1000) id")

	var events bytes.Buffer
	back := filepath.Join(dir, "back")
	err := Run(t.Context(), path, program, back, &events, func() (time.Time, error) {
		s.Exec(t, "postgres", "INSERT INTO answers SELECT generate_series(1001, 2000)")
		micros, err := strconv.ParseInt(s.Query(t, "postgres", "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"), 10, 64)
		s.Exec(t, "postgres", "DELETE FROM answers")
		s.Exec(t, "postgres", "SELECT pg_switch_wal()")
		testkit.Await(t, "archived", time.Minute, func() bool {
			waiting, err := filepath.Glob(filepath.Join(data, "pg_wal", "archive_status", "*.ready"))
			return err == nil && len(waiting) == 0
		})
		return time.UnixMicro(micros), err
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, events.String())
	}
	for _, want := range []string{`"type":"run_began"`, `"type":"published"`, `"type":"recovery_chosen"`, `"type":"restore_published"`, `"type":"verification_ended"`, `"code":"ok"`} {
		if !strings.Contains(events.String(), want) {
			t.Errorf("no %s among the events:\n%s", want, events.String())
		}
	}
	restored, err := throwaway.Start(t.Context(), throwaway.Options{BinDir: s.BinDir, DataDir: back})
	if err != nil {
		t.Fatal(err)
	}
	defer restored.Close()
	out, err := exec.Command(filepath.Join(s.BinDir, "psql"), "-XAtqd", restored.URL("postgres"), "-c", "SELECT count(*), max(id) FROM answers").CombinedOutput()
	if got := strings.TrimSpace(string(out)); err != nil || got != "2000|2000" {
		t.Errorf("restored %s, %v: want 2000 rows", got, err)
	}
}

func initialize(t *testing.T, path string) {
	t.Helper()
	cfg, err := config.Load(path, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	in, err := installation.Open(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if made, err := in.Init(t.Context()); err != nil || len(made.Kits) != 1 {
		t.Fatalf("made %d, %v", len(made.Kits), err)
	}
}

// shareWithServer gives a folder to the owner of a data directory, who archives into it and reads the configuration.
func shareWithServer(t *testing.T, dir, data string) {
	t.Helper()
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	uid := int(info.Sys().(*syscall.Stat_t).Uid)
	if uid == os.Geteuid() {
		return
	}
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, -1)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
