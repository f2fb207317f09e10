package view

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A volume of a container, seen here under another name: what its links name is the container's, and never a file of this
// machine.
func TestLinksOfAVolumeAreNotOfThisMachine(t *testing.T) {
	here, elsewhere := t.TempDir(), t.TempDir()
	for _, dir := range []string{"base", "pg_tblspc", "conf"} {
		if err := os.Mkdir(filepath.Join(here, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{
		"postgresql.conf": filepath.Join(elsewhere, "postgresql.conf"), "inside": "/data/conf/x", "also": "conf/../conf/x", "out": "../x", "loop": "loop",
	} {
		if err := os.Symlink(to, filepath.Join(here, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, file := range []string{filepath.Join(here, "conf", "x"), filepath.Join(elsewhere, "postgresql.conf")} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name         string
		apart, known string // where it is seen, if only the data directory is, and if everything is
	}{
		{"/data/conf/x", here + "/conf/x", here + "/conf/x"},
		{"/data/inside", here + "/conf/x", here + "/conf/x"},
		{"/data/also", here + "/conf/x", here + "/conf/x"},
		{"/data/none", here + "/none", here + "/none"},
		{"/data/postgresql.conf", "", elsewhere + "/postgresql.conf"},
		{"/data/out", "", "/x"},
		{"/data/loop", "", ""},
		{elsewhere + "/postgresql.conf", "", elsewhere + "/postgresql.conf"},
		{"/database", "", "/database"},
	} {
		apart, known := View{There: "/data", Here: here, Real: "/data"}, View{There: "/data", Here: here, Real: "/data", Root: "/"}
		if at := apart.At(c.name); at != c.apart {
			t.Errorf("%s of a server elsewhere is seen at %q, want %q", c.name, at, c.apart)
		}
		if at := known.At(c.name); at != c.known {
			t.Errorf("%s of a server here is seen at %q, want %q", c.name, at, c.known)
		}
		if at := (View{}).At(c.name); at != "" {
			t.Errorf("%s of a server of which nothing is seen is seen at %q", c.name, at)
		}
	}
	if err := (View{There: "/data", Here: here}).astray(); err == nil || !strings.Contains(err.Error(), "is a link to") {
		t.Errorf("links that lead out: %v", err)
	}
	for _, link := range []string{"postgresql.conf", "out", "loop"} {
		if err := os.Remove(filepath.Join(here, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := (View{There: "/data", Here: here}).astray(); err != nil {
		t.Errorf("links that stay inside: %v", err)
	}
	// A tablespace elsewhere: read in place, the backup would be without it.
	if err := os.Symlink(elsewhere, filepath.Join(here, "pg_tblspc", "16400")); err != nil {
		t.Fatal(err)
	}
	if err := (View{There: "/data", Here: here}).astray(); err == nil || !strings.Contains(err.Error(), "pg_tblspc/16400") {
		t.Errorf("a tablespace elsewhere: %v", err)
	}
	if err := (View{There: "/data", Here: here, Root: "/"}).astray(); err != nil {
		t.Errorf("a tablespace here: %v", err)
	}
}

func TestTheServersFilesAreOursIfItsProcessIs(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if root := rootOf(dir, os.Getpid(), time.Now()); root != "/" {
		t.Errorf("of a process here: %q", root)
	}
	if _, err := os.Stat("/proc/self/root"); err != nil {
		t.Skip("no /proc")
	}
	// The number that a container's postmaster.pid names is of another process here, or of none.
	for _, pid := range []int{1, 1 << 30} {
		if root := rootOf(dir, pid, time.Now()); root != "" {
			t.Errorf("of process %d: %q", pid, root)
		}
	}
	if root := rootOf(t.TempDir(), os.Getpid(), time.Now()); root != "" {
		t.Errorf("of a process in another directory: %q", root)
	}
}
