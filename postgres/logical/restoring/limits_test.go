package restoring_test

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

func TestUpgrade(t *testing.T) {
	t.Parallel()
	majors := testkit.Majors()
	if len(majors) == 0 || majors[len(majors)-1] <= testkit.DefaultMajor {
		t.Skip("no PostgreSQL newer than the default one: make services")
	}
	old, s := testkit.Postgres(t, 0), testkit.Postgres(t, majors[len(majors)-1])
	database, role := logicaltest.Original(t, old)
	c := logicaltest.CaptureOf(t, old, database, dump.Options{})
	o := logicaltest.Options(s, database+"_upgraded")
	o.Roles, o.Check = true, restoring.CheckChecksum
	plan, _, outcome := logicaltest.MustRestore(t, s, c, o)
	t.Cleanup(func() {
		s.Exec(t, "postgres", `DROP DATABASE IF EXISTS "`+outcome.Restored+`" WITH (FORCE)`)
		s.Exec(t, "postgres", `DROP ROLE IF EXISTS "`+role+`"`)
	})
	if !strings.Contains(strings.Join(plan.Notes, "\n"), "upgrade from PostgreSQL 15") {
		t.Errorf("%q", plan.Notes)
	}
	for _, q := range []string{`SELECT count(*) FROM pg_policy`, `SELECT md5(string_agg(a::text, ',' ORDER BY id)) FROM public.answers a`, `SELECT relacl FROM pg_class WHERE relname = 'profiles'`} {
		if want, got := old.Query(t, database, q), s.Query(t, outcome.Restored, q); got != want {
			t.Errorf("%s: %s, not %s", q, got, want)
		}
	}

	// The way back is refused before anything is made.
	c = logicaltest.CaptureOf(t, s, outcome.Restored, dump.Options{})
	plan, _, _, err := logicaltest.Restore(t, c, logicaltest.Options(old, database+"_down"))
	if !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(plan.Problems[0].What, "captured on PostgreSQL") {
		t.Errorf("%v %+v", err, plan)
	}
}

func TestTargetFull(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64m"); err != nil {
		t.Skip("mount a small file system:", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	account, err := user.Lookup("postgres")
	if err != nil {
		t.Skip(err)
	}
	uid, _ := strconv.Atoi(account.Uid)
	if err := os.Chown(dir, uid, -1); err != nil {
		t.Fatal(err)
	}
	// t.TempDir is below a directory that only its owner enters.
	for d := dir; len(d) > len(os.TempDir()); d = d[:strings.LastIndexByte(d, '/')] {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := testkit.Postgres(t, 0, testkit.Own())
	s.Exec(t, "postgres", "CREATE TABLESPACE tiny LOCATION '"+dir+"'")
	s.Exec(t, "postgres", "CREATE DATABASE full_one TEMPLATE template0 TABLESPACE tiny")
	s.Exec(t, "full_one", `CREATE TABLE t AS SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 60000) i`)
	c := logicaltest.CaptureOf(t, s, "full_one", dump.Options{})
	o := logicaltest.Options(s, "full_one")
	o.Replace = true
	_, _, _, err = logicaltest.Restore(t, c, o)
	if !errors.Is(err, cofre.ErrDiskFull) || !strings.Contains(fmt.Sprint(err), `"public"."t"`) {
		t.Errorf("%v", err)
	}
	if got := s.Query(t, "full_one", `SELECT count(*) FROM t`); got != "60000" {
		t.Error(got)
	}
	testkit.Healthy(t, s)
}
