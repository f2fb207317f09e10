package recovering_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/postgres/physical/settings"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// TestACopyIsAskedForItsDatabases recovers without a plan, by both methods, to a moment at which a database was being
// dropped since before the base backup, and to one at which files are missing: neither is called recovered. A database
// whose DROP was interrupted in the original is said, and no more.
func TestACopyIsAskedForItsDatabases(t *testing.T) {
	for _, method := range []physical.Method{physical.MethodFiles, physical.MethodProtocol} {
		t.Run(string(method), func(t *testing.T) {
			t.Parallel()
			dir := physicaltest.Room(t)
			a := physicaltest.Archive(physicaltest.Shared(t, dir, "archive"))
			s := testkit.Postgres(t, 0, a.Conf(), testkit.Conf("autovacuum = off"))
			s.Exec(t, "postgres", "CREATE DATABASE interrupted")
			s.Exec(t, "postgres", "CREATE DATABASE victim")
			s.Exec(t, "postgres", "CREATE DATABASE whole")
			s.Exec(t, "postgres", "CREATE TABLE marks (n int)")
			whole := s.Query(t, "postgres", "SELECT oid FROM pg_database WHERE datname = 'whole'")
			s.HoldDrop(t, "interrupted").Interrupt()
			drop := s.HoldDrop(t, "victim")
			repo := repositorytest.NewMemory()
			c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a, Method: method}), nil)
			if d := physicaltest.SummaryOf(t, c).Dropping; len(d) != 1 || d[0].Name != "victim" || d[0].XID == 0 {
				t.Errorf("being dropped are %+v", d)
			}
			if text := strings.Join(c.Warnings, "\n"); !strings.Contains(text, `"interrupted"`) || strings.Contains(text, `"victim"`) {
				t.Errorf("warnings %q", text)
			}
			mark := func() cofre.LSN {
				s.Exec(t, "postgres", "INSERT INTO marks VALUES (1)")
				lsn, err := cofre.ParseLSN(s.Query(t, "postgres", "SELECT pg_current_wal_insert_lsn()"))
				if err != nil {
					t.Fatal(err)
				}
				return lsn
			}
			inside := mark()
			mark()
			drop.GoOn()
			after := mark()
			mark()
			last := s.Query(t, "postgres", "SELECT pg_walfile_name(pg_switch_wal())")
			testkit.Await(t, "the archive", 30*time.Second, func() bool { m, _ := a.Missing(t.Context(), 0, []string{last}); return len(m) == 0 })

			n := 0
			recoverTo := func(lsn cofre.LSN, damage func(dir string)) (*recovering.Result, string, error) {
				t.Helper()
				n++
				to, target := filepath.Join(dir, fmt.Sprint("copy", n)), cofre.RecoveryTarget{LSN: lsn}
				physicaltest.Restore(t, repo, c, restoring.Options{Dir: to, Recovery: target, Action: settings.ActionPromote, RestoreCommand: a.RestoreCommand()})
				damage(to)
				r, err := recovering.Run(t.Context(), recovering.Options{DataDir: to, Recovery: target, Action: settings.ActionPromote})
				if r != nil {
					t.Cleanup(func() { _ = r.Server.Close() })
				}
				return r, to, err
			}
			none := func(string) {}
			var unreachable *cofre.UnreachableError

			_, to, err := recoverTo(inside, none)
			if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), `database "victim" cannot be used: transaction `) || strings.Contains(err.Error(), "interrupted") {
				t.Fatalf("inside of a DROP: %v", err)
			}
			if hint := cofre.Hint(err); !strings.Contains(hint, "pg_ctl start -D "+to) {
				t.Errorf("hint %q", hint)
			}
			// What the hint says.
			srv, err := throwaway.Start(t.Context(), throwaway.Options{BinDir: s.BinDir, DataDir: to})
			if err != nil {
				t.Fatal(err)
			}
			copied := &testkit.Server{Server: srv}
			testkit.Await(t, "the promotion", time.Minute, func() bool { return copied.Query(t, "postgres", "SELECT pg_is_in_recovery()") == "f" })
			copied.Exec(t, "postgres", "DROP DATABASE victim")
			if err := srv.Close(); err != nil {
				t.Fatal(err)
			}

			r, _, err := recoverTo(after, none)
			if err != nil || len(r.Unusable) != 1 || r.Unusable[0].What != `database "interrupted"` || !r.Promoted {
				t.Errorf("after it: %+v, %v", r, err)
			}
			_, _, err = recoverTo(after, func(to string) {
				if err := os.Remove(filepath.Join(to, "base", whole, "PG_VERSION")); err != nil {
					t.Fatal(err)
				}
			})
			if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), `database "whole" cannot be used: base/`+whole+"/PG_VERSION is missing") {
				t.Errorf("a file is missing: %v", err)
			}
		})
	}
}
