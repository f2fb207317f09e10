package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre/postgres/physical/recovering"

	vocabulary "github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// object reads what is stored under a name.
func object(t testing.TB, st vocabulary.Store, name string) []byte {
	t.Helper()
	r, err := st.Open(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func replace(t testing.TB, st vocabulary.Store, name string, b []byte) {
	t.Helper()
	if err := st.Replace(t.Context(), name, bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
}

// hint is what a command says can be done.
func hint(r result) string {
	_, text, _ := strings.Cut(r.stderr, "hint: ")
	return text
}

// recovered restores a cluster to a target, and asks it for its rows.
func recovered(t *testing.T, i *installation, target ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "back")
	r := i.run(append([]string{"restore", "cluster", "--to", to, "--start", "--action", "pause", "--json"}, target...)...)
	var doc struct {
		Recovered *recovering.Result
	}
	if err := json.Unmarshal([]byte(r.stdout), &doc); err != nil || r.code != 0 || doc.Recovered == nil || doc.Recovered.Paused == nil {
		t.Errorf("%v: %s", err, r)
		return ""
	}
	p := doc.Recovered.Paused
	defer func() {
		_ = syscall.Kill(p.PID, syscall.SIGQUIT)
		testkit.Await(t, "the end of the server", 20*time.Second, func() bool { return syscall.Kill(p.PID, 0) != nil })
	}()
	conn, err := pgx.Connect(t.Context(), fmt.Sprintf("host=%s port=%d user=postgres dbname=postgres", p.Socket, p.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var got string
	if err := conn.QueryRow(t.Context(), rows).Scan(&got); err != nil {
		t.Fatal(err)
	}
	return got
}

// TestSegments damages one archived segment in the middle of a window in every way, and expects that nobody takes it
// for the end of WAL: fetch stops the recovery, the planner refuses, verify and status name it.
func TestSegments(t *testing.T) {
	t.Parallel()
	i := newInstallation(t, "", ", wal: archive")
	i.archives()
	i.fill()
	i.must("backup", "cluster")
	want := map[string]string{}
	var paths []string
	for n := range 4 {
		i.server.Exec(t, "postgres", fmt.Sprintf("INSERT INTO answers VALUES (%d, 'after')", -1-n))
		i.server.Exec(t, "postgres", fmt.Sprintf("SELECT pg_create_restore_point('p%d')", n))
		want[fmt.Sprint("p", n)] = i.server.Query(t, "postgres", rows)
		paths = append(paths, i.segment())
	}
	f := i.fetcher()
	for _, path := range paths {
		testkit.Await(t, path+" is archived", 60*time.Second, func() bool { return i.archived(f, path) })
	}
	name := filepath.Base(paths[1])
	at := func(segment string) string {
		n, err := pgdata.ParseWALName(segment)
		if err != nil {
			t.Fatal(err)
		}
		return wal.ObjectName(f.System, n)
	}
	whole := object(t, f.Store, at(name))
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 1
	header := bytes.Clone(whole)
	header[60] ^= 1
	refuses := func(t *testing.T, args ...string) result {
		t.Helper()
		to := filepath.Join(t.TempDir(), "back")
		r := i.run(append([]string{"restore", "cluster", "--to", to}, args...)...)
		if _, err := os.Stat(filepath.Join(to, "global", "pg_control")); err == nil && r.code != 0 {
			t.Errorf("there is something that a server starts on: %s", r)
		}
		return r
	}
	for _, c := range []struct {
		what   string
		stored []byte // nil removes it
		more   bool   // only where there is time
	}{
		{"missing", nil, false},
		{"one bit of its content", flipped, false},
		{"one bit of its header", header, true},
		{"torn", whole[:len(whole)/2], false},
		{"torn in its header", whole[:100], true},
		{"empty", []byte{}, true},
		{"zeros at its end", append(bytes.Clone(whole[:len(whole)-5000]), make([]byte, 5000)...), true},
		{"another's bytes", object(t, f.Store, at(filepath.Base(paths[2]))), false},
	} {
		if c.more && !soak {
			continue
		}
		t.Run(c.what, func(t *testing.T) {
			i := i.seenBy(t)
			if c.stored == nil {
				if err := f.Store.Delete(t.Context(), at(name)); err != nil {
					t.Fatal(err)
				}
			} else {
				replace(t, f.Store, at(name), c.stored)
			}
			defer replace(t, f.Store, at(name), whole)
			to := filepath.Join(t.TempDir(), "fetched")
			r := i.in(i.dataDir(), "wal", "fetch", name, to)
			if _, err := os.Stat(to); r.code != 126 || err == nil {
				t.Errorf("%s", r)
			}
			// It is still in pg_wal: archiving it again brings it back. What says that it is another file is left alone until somebody with the
			// key has found that it is wrong.
			again := func() {
				t.Helper()
				if r := i.in(i.dataDir(), "wal", "archive", paths[1]); r.code != 0 || !i.archived(f, paths[1]) {
					t.Errorf("%s", r)
				}
			}
			if c.what == "another's bytes" {
				if r := i.in(i.dataDir(), "wal", "archive", paths[1]); r.code == 0 {
					t.Errorf("%s", r)
				}
			}
			if c.stored == nil {
				again()
				if err := f.Store.Delete(t.Context(), at(name)); err != nil {
					t.Fatal(err)
				}
			}
			if c.stored == nil {
				if status := i.run("wal", "status"); status.code != 22 {
					t.Errorf("%s", status)
				}
				i.fails(refuses(t, "--name", "p2"), 22)
				return
			}
			if verified := i.run("verify", "--level", "content"); verified.code != 20 || !strings.Contains(verified.stdout, at(name)) {
				t.Errorf("%s", verified)
			}
			// What ends before it needs none of it, and what is behind it is refused with the last moment that does not.
			if got := recovered(t, i, "--name", "p0"); got != want["p0"] {
				t.Errorf("to before it: %s, want %s", got, want["p0"])
			}
			r = refuses(t, "--name", "p2")
			i.fails(r, 22)
			if !strings.Contains(r.stderr, "segment "+name+" cannot be read") {
				t.Errorf("%s", r)
			}
			// The end is refused in the same words, and what they say can be pasted.
			if end := refuses(t); end.code != 22 || hint(end) != hint(r) {
				t.Errorf("%s", end)
			}
			lsn := regexp.MustCompile(`--lsn [0-9A-F]+/[0-9A-F]+`).FindString(hint(r))
			if got := recovered(t, i, strings.Fields(lsn)...); got != want["p0"] {
				t.Errorf("to %q, as it says: %s, want %s: %s", lsn, got, want["p0"], r)
			}
			again()
		})
	}

	// What PostgreSQL would never hand over, and somebody may.
	t.Run("archive refuses", func(t *testing.T) {
		i := i.seenBy(t)
		dir := t.TempDir()
		for _, d := range []string{"global", "pg_wal"} {
			if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		put := func(path string, b []byte) {
			if err := os.WriteFile(filepath.Join(dir, path), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		put("global/pg_control", i.read("global/pg_control"))
		content := i.read(paths[1])
		foreign := bytes.Clone(content)
		foreign[24] ^= 1 // of the system identifier, in the long header of the first page
		other := bytes.Clone(content)
		other[len(other)-1] ^= 1
		next := "0000000100000000000000EE"
		for _, c := range []struct {
			what, name, says string
			b                []byte
		}{
			{"other bytes under a name that is taken", name, "already exists", other},
			{"a foreign one", name, "refused", foreign},
			{"one under another's name", next, "corrupt", content},
			{"a short one", name, "corrupt", content[:len(content)/2]},
			{"an empty one", name, "corrupt", nil},
			{"no file of pg_wal", "RECOVERYXLOG", "RECOVERYXLOG", content},
		} {
			put("pg_wal/"+c.name, c.b)
			r := i.in(dir, "wal", "archive", "pg_wal/"+c.name)
			if r.code == 0 || strings.Count("\n"+r.stderr, "\ncofre: ") != 1 || !strings.Contains(r.stderr, c.says) {
				t.Errorf("%s: want one error that says %q: %s", c.what, c.says, r)
			}
		}
		if !bytes.Equal(object(t, f.Store, at(name)), whole) {
			t.Error("what was archived was replaced")
		}
	})
}

// mountTmpfs gives the test a file system of its own.
func mountTmpfs(t testing.TB, dir, options string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		testkit.Missing(t, "mount", "cannot mount a tmpfs: "+err.Error())
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
}

func remount(t testing.TB, dir, options string) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT, options); err != nil {
		t.Fatal(err)
	}
}

func temporary(t testing.TB, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if strings.HasPrefix(filepath.Base(path), ".cofre-tmp-") {
			t.Errorf("left %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "disk")
	mountTmpfs(t, disk, "size=1200k")
	i := newInstallation(t, filepath.Join(disk, "repo"), "")
	i.fill()

	// Base backup and dump: nothing is published, and what was there is whole.
	for _, kind := range pick([]string{"cluster"}, []string{"database"}) {
		i.fails(i.run("backup", kind), 14)
	}
	if got := i.points(); got != 0 {
		t.Errorf("%d points are there", got)
	}
	temporary(t, disk)
	remount(t, disk, "size=64m")
	i.must("backup", "cluster")
	i.clean()

	// WAL: the disk fills up in the middle of a segment.
	free := func() int64 {
		var s syscall.Statfs_t
		if err := syscall.Statfs(disk, &s); err != nil {
			t.Fatal(err)
		}
		return int64(s.Bavail) * s.Bsize
	}
	path := i.segment()
	remount(t, disk, fmt.Sprintf("size=%d", 64<<20-free()+(100<<10)))
	i.fails(i.in(i.dataDir(), "wal", "archive", path), 14)
	temporary(t, disk)
	remount(t, disk, "size=64m")
	f := i.fetcher()
	if r := i.in(i.dataDir(), "wal", "archive", path); r.code != 0 || !i.archived(f, path) {
		t.Errorf("with space again: %s", r)
	}
	// What the server ended before it and nobody archived would be a gap.
	waiting, err := filepath.Glob(filepath.Join(i.dataDir(), "pg_wal", strings.Repeat("[0-9A-F]", 24)))
	if err != nil {
		t.Fatal(err)
	}
	for _, earlier := range waiting {
		if filepath.Base(earlier) < filepath.Base(path) {
			if r := i.in(i.dataDir(), "wal", "archive", filepath.Join("pg_wal", filepath.Base(earlier))); r.code != 0 {
				t.Error(r)
			}
		}
	}
	i.clean()

	// The other way: a segment, or a cluster, that does not fit where it is to go.
	small := filepath.Join(t.TempDir(), "small")
	mountTmpfs(t, small, "size=4m")
	r := i.in(i.dataDir(), "wal", "fetch", filepath.Base(path), filepath.Join(small, "fetched"))
	i.fails(r, 126)
	if left, err := os.ReadDir(small); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	// Refused before anything is touched, or, where it cannot be known, ended by the disk.
	i.fails(i.run("restore", "cluster", "--to", filepath.Join(small, "back"), "--immediate"), 14, 23)
	if _, err := os.Stat(filepath.Join(small, "back", "global", "pg_control")); err == nil {
		t.Error("there is something that a server starts on")
	}
}
