package edits_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

const password = "a long password"

// scene is an installation with everything that cofre writes.
type scene struct {
	dir      string
	cfg      *config.Config
	server   *testkit.Server
	data     string
	system   cofre.SystemID
	archived []string
	whole    []cofre.RecoveryPoint
	f        forger
	known    bool // this machine has seen the repository before
}

func (s *scene) repo() string { return filepath.Join(s.dir, "repo") }

// open is a process of its own.
func (s *scene) open(t testing.TB) *installation.Installation {
	t.Helper()
	in, err := installation.Open(t.Context(), s.cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func (s *scene) do(t testing.TB, what string, do func(ctx context.Context, in *installation.Installation) error) {
	t.Helper()
	in := s.open(t)
	err := do(t.Context(), in)
	if cerr := in.Close(t.Context()); err == nil {
		err = cerr
	}
	if err != nil {
		t.Fatalf("%s: %v; hint: %s", what, err, cofre.Hint(err))
	}
}

func copyTree(t testing.TB, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// reset brings the repository back as it was, and this machine as it was, or as a new one.
func (s *scene) reset(t testing.TB, known bool) {
	t.Helper()
	copyTree(t, s.f.now.dir, s.repo())
	if s.known = known; known {
		copyTree(t, filepath.Join(s.dir, "state-kept"), filepath.Join(s.dir, "state"))
	} else if err := os.RemoveAll(filepath.Join(s.dir, "state")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "reader")); err != nil {
		t.Fatal(err)
	}
}

func (s *scene) keep(t testing.TB, name string) objects {
	t.Helper()
	copyTree(t, s.repo(), filepath.Join(s.dir, name))
	return objectsOf(t, filepath.Join(s.dir, name))
}

func (s *scene) configure(t testing.TB, name, repo, state string) *config.Config {
	t.Helper()
	path := filepath.Join(s.dir, name)
	text := fmt.Sprintf(`name: tl
state_dir: %[1]s/%[2]s
repository: {url: %[1]s/%[3]s, password: "file:%[1]s/password"}
database: {url: %[4]q}
cluster: {url: %[4]q, wal: archive}
storage: {folder: {path: %[1]s/objects}}
config: {paths: [%[1]s/app]}
`, s.dir, state, repo, s.server.URL("postgres"))
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// stage makes the repository.
func stage(t *testing.T) *scene {
	t.Helper()
	dir, err := os.MkdirTemp("", "cofre-edits-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &scene{dir: dir, server: testkit.Postgres(t, 0, testkit.Conf("wal_keep_size = 512MB", "archive_mode = on", "archive_command = '/bin/true'"))}
	for _, d := range []string{"app", "objects/evidence", "space"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"password": password + "\n", "app/settings": "a: 1\n", "objects/evidence/a": "one", "objects/evidence/b": "two"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("settings", filepath.Join(dir, "app", "link")); err != nil {
		t.Fatal(err)
	}
	s.data = s.server.Query(t, "postgres", "SHOW data_directory")
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chown", "--reference", s.data, filepath.Join(dir, "space")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s.server.Exec(t, "postgres", "CREATE TABLESPACE space LOCATION '"+filepath.Join(dir, "space")+"'")
	s.server.Exec(t, "postgres", "CREATE TABLE facts TABLESPACE space AS SELECT n, md5(n::text) AS body FROM generate_series(1, 2000) n; ALTER TABLE facts ADD PRIMARY KEY (n)")

	s.cfg = s.configure(t, "other.yaml", "other", "state-other")
	s.build(t, false)
	s.f.other = objectsOf(t, filepath.Join(dir, "other"))
	s.archived = nil
	s.cfg = s.configure(t, "cofre.yaml", "repo", "state")
	s.build(t, true)

	s.do(t, "list", func(ctx context.Context, in *installation.Installation) error {
		all, err := in.Points(ctx, installation.PointsOptions{All: true})
		if err == nil {
			for _, p := range all.Points {
				s.whole = append(s.whole, p.RecoveryPoint)
			}
		}
		return err
	})
	s.f.now = s.keep(t, "now")
	copyTree(t, filepath.Join(dir, "state"), filepath.Join(dir, "state-kept"))
	return s
}

func (s *scene) build(t *testing.T, all bool) {
	s.do(t, "init", func(ctx context.Context, in *installation.Installation) error {
		_, err := in.Init(ctx)
		return err
	})
	backup := func(kinds ...cofre.Kind) {
		t.Helper()
		defer s.archiving(t)()
		s.do(t, "back up", func(ctx context.Context, in *installation.Installation) error {
			_, err := in.Backup(ctx, installation.BackupOptions{Kinds: kinds})
			return err
		})
	}
	backup(cofre.KindCluster)
	s.archive(t)
	s.do(t, "admit", func(ctx context.Context, in *installation.Installation) error {
		keys, err := in.WAL().Admit(ctx, installation.AdmitOptions{})
		if err != nil {
			return err
		}
		if len(keys) == 0 || len(keys[0].Keys) == 0 {
			return fmt.Errorf("no host asks to be believed: %+v, of %q", keys, objectsOf(t, filepath.Dir(s.cfg.Repository.URL)).names)
		}
		s.system = keys[0].System
		if _, err = in.WAL().Admit(ctx, installation.AdmitOptions{Fingerprints: []string{keys[0].Keys[0].Fingerprint}}); err == nil {
			_, err = in.WAL().Admit(ctx, installation.AdmitOptions{Require: true})
		}
		return err
	})
	backup()
	s.archive(t)
	if !all {
		return
	}
	s.f.earlier = append(s.f.earlier, s.keep(t, "earlier-1"))

	// A gap that is known, and what recovers without it.
	lost := s.archive(t)
	s.archive(t)
	s.drop(t, lost)
	s.do(t, "acknowledge", func(ctx context.Context, in *installation.Installation) error {
		known, err := wal.Known(lost, lost)
		if err == nil {
			known.Why = "a test"
			_, err = in.WAL().Acknowledge(ctx, s.system, known)
		}
		return err
	})
	if err := os.WriteFile(filepath.Join(s.dir, "objects", "evidence", "c"), []byte("three"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.server.Exec(t, "postgres", "INSERT INTO facts SELECT n, md5(n::text) FROM generate_series(2001, 3000) n")
	backup()
	s.archive(t)
	s.f.earlier = append(s.f.earlier, s.keep(t, "earlier-2"))

	// Damage that was found, and stored afresh: of what still exists at its source, which an earlier base backup does not.
	packs := func() []string {
		return slices.DeleteFunc(objectsOf(t, s.repo()).names, func(n string) bool { return !strings.HasPrefix(n, "p/") })
	}
	before := packs()
	if err := os.WriteFile(filepath.Join(s.dir, "objects", "evidence", "d"), bytes.Repeat([]byte("four "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	backup(cofre.KindStorage)
	added := slices.DeleteFunc(packs(), func(n string) bool { return slices.Contains(before, n) })
	if len(added) != 1 {
		t.Fatalf("a backup of one object added the packs %q", added)
	}
	o := objects{dir: s.repo()}
	b := o.read(t, added[0])
	for i := 32; i < min(400, len(b)-32); i++ {
		b[i] ^= 1
	}
	o.write(t, added[0], b)
	in := s.open(t)
	if _, err := in.Verify(t.Context(), installation.VerifyOptions{Level: cofre.LevelContent}); err == nil {
		t.Fatal("damage was not found")
	}
	_ = in.Close(t.Context())
	backup()
	s.archive(t)

	// Pruning: what was announced two days ago goes.
	s.do(t, "hold", func(ctx context.Context, in *installation.Installation) error {
		_, err := in.Hold(ctx, installation.HoldOptions{Point: "latest", Why: "a test"})
		return err
	})
	for range 2 {
		s.do(t, "prune", func(ctx context.Context, in *installation.Installation) error {
			_, err := in.Prune(ctx, false)
			return err
		})
		s.age(t, 49*time.Hour)
	}
	backup(cofre.KindStorage, cofre.KindConfig)
	s.do(t, "verify", func(ctx context.Context, in *installation.Installation) error {
		_, err := in.Verify(ctx, installation.VerifyOptions{Level: cofre.LevelContent, Again: true})
		return err
	})
}

// age makes everything in the store older.
func (s *scene) age(t testing.TB, by time.Duration) {
	t.Helper()
	for _, name := range objectsOf(t, s.repo()).names {
		path := filepath.Join(s.repo(), name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, info.ModTime().Add(-by), info.ModTime().Add(-by)); err != nil {
			t.Fatal(err)
		}
	}
}

// drop takes an archived segment away.
func (s *scene) drop(t testing.TB, segment string) {
	t.Helper()
	n := 0
	for _, name := range objectsOf(t, s.repo()).names {
		if strings.HasPrefix(name, "wal/") && strings.Contains(name, segment) {
			if err := os.Remove(filepath.Join(s.repo(), name)); err != nil {
				t.Fatal(err)
			}
			n++
		}
	}
	if n == 0 {
		t.Fatalf("%s is not archived: %q", segment, objectsOf(t, s.repo()).names)
	}
	s.archived = slices.DeleteFunc(s.archived, func(n string) bool { return n == segment })
}

// archive switches to another segment, and archives all that are complete. It returns the last.
func (s *scene) archive(t testing.TB) (last string) {
	t.Helper()
	s.server.Exec(t, "postgres", "CREATE TABLE IF NOT EXISTS passing (n int); INSERT INTO passing VALUES (1)")
	s.server.Exec(t, "postgres", "SELECT pg_switch_wal()")
	last, err := s.ship(t.Context())
	if err == nil && last == "" {
		err = errors.New("no segment is complete after a switch")
	}
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// archiving archives what is complete until the function that it returns is called: a base backup waits for its WAL.
func (s *scene) archiving(t testing.TB) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			if _, err := s.ship(ctx); err != nil && ctx.Err() == nil {
				done <- err
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		done <- nil
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// ship archives what is complete, which is what the server's archiver has been told of, and returns the last segment.
func (s *scene) ship(ctx context.Context) (last string, err error) {
	files, err := os.ReadDir(filepath.Join(s.data, "pg_wal", "archive_status"))
	if err != nil {
		return "", err
	}
	done := map[string]bool{}
	for _, n := range s.archived {
		done[n] = true
	}
	for _, f := range files {
		name := strings.TrimSuffix(strings.TrimSuffix(f.Name(), ".ready"), ".done")
		if done[name] || s.dropped(name) {
			continue
		}
		if _, err := walstore.Archive(ctx, s.cfg, filepath.Join(s.data, "pg_wal", name), walstore.ArchiveOptions{}); err != nil {
			return "", fmt.Errorf("archive %s: %w", name, err)
		}
		done[name] = true
		if pgdata.IsSegmentName(name) {
			last = name
		}
	}
	s.archived = slices.Sorted(maps.Keys(done))
	return last, nil
}

// dropped: what is behind the last that was archived was taken away.
func (s *scene) dropped(name string) bool {
	segments := slices.DeleteFunc(slices.Clone(s.archived), func(n string) bool { return !pgdata.IsSegmentName(n) })
	return len(segments) > 0 && pgdata.IsSegmentName(name) && name <= slices.Max(segments)
}
