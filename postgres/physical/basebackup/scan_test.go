package basebackup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/view"
)

// TestSegments follows the WAL of a backup across a change of timeline.
func TestSegments(t *testing.T) {
	const size = 16 << 20
	h := pgdata.History{Timeline: 3, Forks: []pgdata.Fork{{Parent: 1, At: 0x1000000}, {Parent: 2, At: 0x5800000}}}
	for _, tt := range []struct {
		name        string
		history     pgdata.History
		tli         cofre.Timeline
		start, stop cofre.LSN
		want        string
	}{
		{"one segment", pgdata.History{Timeline: 1}, 1, 0x3000028, 0x3000100, "000000010000000000000003"},
		{"to the last byte", pgdata.History{Timeline: 1}, 1, 0x3000028, 0x4000000, "000000010000000000000003"},
		{"and one more", pgdata.History{Timeline: 1}, 1, 0x3000028, 0x4000001, "000000010000000000000003 000000010000000000000004"},
		// The child repeats the segment in which its parent ended.
		{"across a fork", h, 2, 0x4000028, 0x6000100, "000000020000000000000004 000000030000000000000005 000000030000000000000006"},
		{"after the fork", h, 3, 0x5900000, 0x5900100, "000000030000000000000005"},
	} {
		b, err := branches(tt.history, tt.tli, tt.start, tt.stop)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := strings.Join(segments(b, size), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	if _, err := branches(h, 5, 0x4000028, 0x6000100); err == nil {
		t.Error("a timeline that is no ancestor was accepted")
	}
}

// TestScan leaves out what PostgreSQL leaves out, and nothing else.
func TestScan(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"PG_VERSION", "postmaster.pid", "base/5/1259", "base/5/1259_fsm", "base/5/1259.1", "base/5/16384", "base/5/16384_init",
		"base/5/16384_fsm", "base/5/t3_16390", "base/5/t3_16390_vm", "base/5/pg_internal.init.77", "base/pgsql_tmp/pgsql_tmp1.0",
		"global/1262", "global/pg_control", "pg_wal/000000010000000000000001", "pg_wal/archive_status/x.ready", "pg_replslot/s/state",
		"recovery.signal", "cofre-recovery.conf", "cofre-wal-spool/wal.identity", "cofre-wal-spool/fetched/7/lock", "sub/recovery.signal", "tt3_5", "base/5/1259_extra", "base/5/1259.0",
	} {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	elsewhere := filepath.Join(t.TempDir(), "outside.conf")
	if err := os.WriteFile(elsewhere, []byte("xyz"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(dir, "postgresql.conf")); err != nil {
		t.Fatal(err)
	}
	s, err := scan(t.Context(), view.View{There: dir, Here: dir, Root: "/", Real: dir}, 131072)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range s.files {
		name := strings.TrimPrefix(f.entry.Path, "data/")
		if f.relation {
			name += "*"
		}
		if f.entry.Path == "data/base/5/1259.1" && f.block != 131072 {
			t.Errorf("%s begins with block %d", name, f.block)
		}
		got = append(got, name)
	}
	slices.Sort(got)
	want := []string{
		"PG_VERSION", "base/5/1259*", "base/5/1259.0", "base/5/1259.1*", "base/5/1259_extra", "base/5/1259_fsm*", "base/5/16384_init*",
		"global/1262*", "postgresql.conf", "sub/recovery.signal", "tt3_5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("files\n%q, want\n%q", got, want)
	}
}

// TestScanLeavesLinksAndNamesThem follows links of names that PostgreSQL knows, and no others: they may lead in circles, or out
// of the cluster.
func TestScanLeavesLinksAndNamesThem(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	for _, at := range []string{
		dir + "/PG_VERSION", out + "/pg_xact/0000", out + "/base-5/1259", out + "/relation", out + "/server.crt", out + "/secret/file",
		dir + "/base/1/PG_VERSION", dir + "/log/postgresql.log", dir + "/.s.PGSQL.5432.lock",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, []byte("x"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"pg_xact": out + "/pg_xact", "base/5": out + "/base-5", "base/1/1260": out + "/relation", "server.crt": out + "/server.crt",
		"loop": ".", "self": "self", "base/1/up": "..", "base/elsewhere": out + "/secret", "log/old": out + "/secret", "secret": out + "/secret", "none": "/none",
		"log/file": out + "/secret/file",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := scan(t.Context(), view.View{There: dir, Here: dir, Root: "/", Real: dir}, 131072)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range s.files {
		name := strings.TrimPrefix(f.entry.Path, "data/")
		if f.own {
			name += "!"
		}
		got = append(got, name)
	}
	slices.Sort(got)
	want := []string{"PG_VERSION!", "base/1/1260!", "base/1/PG_VERSION!", "base/5/1259!", "log/postgresql.log", "pg_xact/0000!", "server.crt"}
	if !slices.Equal(got, want) {
		t.Errorf("files\n%q, want\n%q", got, want)
	}
	var left []string
	for _, m := range s.left {
		name, _, _ := strings.Cut(m.Text, " ")
		left = append(left, name)
	}
	slices.Sort(left)
	if want := []string{"base/1/up", "base/elsewhere", "log/file", "log/old", "loop", "none", "secret", "self"}; !slices.Equal(left, want) {
		t.Errorf("left out %q, want %q", left, want)
	}
}

// TestOmitted says the same of a path that the server sends.
func TestOmitted(t *testing.T) {
	for name, want := range map[string]bool{
		"recovery.signal": true, "cofre-wal-spool": true, "cofre-wal-spool/wal.identity": true, "base/5/recovery.signal": false, "base": false,
	} {
		if got := isOmitted(name); got != want {
			t.Errorf("%s omitted: %t", name, got)
		}
	}
}

// TestUnchanged trusts a modification time only where nothing can have been written since.
func TestUnchanged(t *testing.T) {
	captured := time.Date(2026, 11, 24, 22, 0, 0, 0, time.UTC)
	old := captured.Add(-time.Hour)
	is := found{entry: cofre.Entry{Size: 8192, ModTime: old}, inode: 7}
	was := physical.FileFacts{Size: 8192, ModifiedNS: old.UnixNano(), Inode: 7}
	for name, change := range map[string]func(f *found, w *physical.FileFacts){
		"size":     func(f *found, _ *physical.FileFacts) { f.entry.Size = 16384 },
		"time":     func(f *found, _ *physical.FileFacts) { f.entry.ModTime = old.Add(1) },
		"inode":    func(f *found, _ *physical.FileFacts) { f.inode = 8 },
		"no inode": func(f *found, w *physical.FileFacts) { f.inode, w.Inode = 0, 0 },
		"damaged":  func(_ *found, w *physical.FileFacts) { w.Bad = true },
		"too near": func(f *found, w *physical.FileFacts) {
			f.entry.ModTime = captured.Add(-time.Second)
			w.ModifiedNS = f.entry.ModTime.UnixNano()
		},
	} {
		f, w := is, was
		change(&f, &w)
		if unchanged(f, w, captured) {
			t.Errorf("%s: taken over unread", name)
		}
	}
	if !unchanged(is, was, captured) {
		t.Error("a file that did not change is read again")
	}
}
