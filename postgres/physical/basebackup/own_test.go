package basebackup_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

// won is an archive that another cluster writes to: it has files of the right names and other bytes.
type won struct {
	physicaltest.Archive
	segments, histories bool
}

func (w won) Holds(ctx context.Context, system cofre.SystemID, name string, content []byte) (bool, error) {
	own, err := w.Archive.Holds(ctx, system, name, content)
	if isHistory := strings.HasSuffix(name, ".history"); isHistory && w.histories || !isHistory && w.segments {
		own = false
	}
	return own, err
}

// TestABaseBackupProvesItsWAL promotes a copy while it archives nothing and backs it up then, by both methods: the history
// comes into the archive, and an archive with another's WAL is not relied on.
func TestABaseBackupProvesItsWAL(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if testing.Short() && major != testkit.DefaultMajor {
			t.Skip("one major is enough for -short")
		}
		dir := physicaltest.Room(t)
		a := physicaltest.Archive(physicaltest.Shared(t, dir, "archive"))
		s := testkit.Postgres(t, major, a.Conf())
		repo := repositorytest.NewMemory()
		first := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres"), Archive: a}), nil)
		to := filepath.Join(dir, "promoted")
		physicaltest.Restore(t, repo, first, restoring.Options{Dir: to, RestoreCommand: a.RestoreCommand(), Action: settings.ActionPromote})
		r := physicaltest.Recovered(t, recovering.Options{DataDir: to, Action: settings.ActionPromote})
		if err := r.Server.Close(); err != nil {
			t.Fatal(err)
		}
		history := filepath.Join(string(a), "00000002.history")
		if _, err := os.Stat(history); err == nil {
			t.Fatal("the history is archived already")
		}
		// As whoever removed the file with the settings did.
		if err := os.Remove(filepath.Join(to, "cofre-recovery.conf")); err != nil {
			t.Fatal(err)
		}
		p, err := throwaway.Start(t.Context(), throwaway.Options{BinDir: s.BinDir, DataDir: to})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		promoted := &testkit.Server{Server: p}
		for _, method := range []physical.Method{physical.MethodFiles, physical.MethodProtocol} {
			take := func(to basebackup.Archive) (cofre.Component, physical.Summary) {
				t.Helper()
				promoted.Exec(t, "postgres", "CREATE TABLE IF NOT EXISTS later (id int); INSERT INTO later VALUES (1)")
				c := physicaltest.Backup(t, repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: promoted.Config("postgres"), Archive: to, Method: method}), nil)
				return c, physicaltest.SummaryOf(t, c)
			}
			if err := os.RemoveAll(history); err != nil {
				t.Fatal(err)
			}
			c, sum := take(a)
			if _, err := os.Stat(history); err != nil {
				t.Errorf("%s: the history was not archived: %v", method, err)
			}
			if c.Partial || sum.OwnWALOnly || sum.WALIncluded || len(c.Warnings) > 0 {
				t.Errorf("%s: %+v, warnings %q", method, sum, c.Warnings)
			}
			c, sum = take(won{a, false, true})
			if !c.Partial || !sum.OwnWALOnly || !sum.WALIncluded {
				t.Errorf("%s, another history: %+v, warnings %q", method, sum, c.Warnings)
			}
			lost := won{a, true, false}
			if method == physical.MethodFiles {
				c, sum = take(lost)
				if !c.Partial || !sum.OwnWALOnly || !sum.WALIncluded {
					t.Errorf("%s, other segments: %+v, warnings %q", method, sum, c.Warnings)
				}
				continue
			}
			_, err := physicaltest.TryBackup(t, t.Context(), repo, basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: promoted.Config("postgres"), Archive: lost, Method: method}), nil)
			if err == nil || cofre.Hint(err) == "" {
				t.Errorf("%s, other segments: %v", method, err)
			}
		}
		testkit.Healthy(t, promoted)
	})
}
