package restoring_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/adopting"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
	"github.com/trustlayer/cofre/postgres/physical/physicaltest"
	"github.com/trustlayer/cofre/postgres/physical/recovering"
	"github.com/trustlayer/cofre/postgres/physical/restoring"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// damaged is a tree of which some files cannot be read from an offset on, for so many bytes.
type damaged struct {
	cofre.Tree
	from  map[string]int64
	bytes int64
}

func (d damaged) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	from, is := d.from[path]
	if is && from == 0 && d.bytes > 1<<30 {
		return nil, fmt.Errorf("open %q: %w", path, cofre.ErrCorrupt)
	}
	r, err := d.Tree.Open(ctx, path)
	if !is || err != nil {
		return r, err
	}
	return &holed{ReadSeekCloser: r, from: from, until: from + d.bytes}, nil
}

type holed struct {
	io.ReadSeekCloser
	at, from, until int64
}

func (h *holed) Seek(at int64, whence int) (int64, error) {
	n, err := h.ReadSeekCloser.Seek(at, whence)
	h.at = n
	return n, err
}

func (h *holed) Read(b []byte) (int, error) {
	if h.at >= h.from && h.at < h.until {
		return 0, fmt.Errorf("a piece: %w", cofre.ErrCorrupt)
	}
	if h.at < h.from {
		b = b[:min(int64(len(b)), h.from-h.at)]
	}
	n, err := h.ReadSeekCloser.Read(b)
	h.at += int64(n)
	return n, err
}

const whole = int64(1) << 40

// A base backup of which something is lost comes back with all that can be read, each file that is not as captured named, and a server
// starts on it: whichever file it is.
func TestWithoutWhatIsLostOfABaseBackup(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if testing.Short() && major != testkit.DefaultMajor {
			t.Skip("one major is enough for -short")
		}
		dir := physicaltest.Room(t)
		s := testkit.Postgres(t, major, testkit.Own(), testkit.InitArgs("--data-checksums"))
		s.Exec(t, "postgres", "CREATE TABLE rows AS SELECT g AS id, repeat('x', 100) AS pad FROM generate_series(1, 20000) g; CREATE TABLE kept AS SELECT g AS id FROM generate_series(1, 1000) g; CHECKPOINT")
		file := physical.DataDir + "/" + s.Query(t, "postgres", "SELECT pg_relation_filepath('rows')")
		here := physical.DataDir + "/base/" + s.Query(t, "postgres", "SELECT oid FROM pg_database WHERE datname = 'postgres'")
		repo := repositorytest.NewMemory()
		src := basebackup.NewSource("test", basebackup.Config{Name: "cluster", Server: s.Config("postgres")})
		other := physicaltest.Backup(t, repo, src, nil)
		c := physicaltest.Backup(t, repo, src, nil)
		donor, err := repo.Tree(t.Context(), other.Root)
		if err != nil {
			t.Fatal(err)
		}
		for name, q := range map[string]struct {
			lost  map[string]int64
			bytes int64
			rows  string // how many can be read
			how   string
		}{
			"pages of a table": {map[string]int64{file: 256 << 10}, 128 << 10, "< 20000", "empty pages in the place of 16 of"},
			"a whole table":    {map[string]int64{file: 0}, whole, "= 0", "empty pages in the place of"},
			"ends of transactions": {
				map[string]int64{physical.DataDir + "/pg_xact/0000": 0},
				whole, "= 20000",
				"count as committed",
			},
			"versions": {map[string]int64{physical.DataDir + "/PG_VERSION": 0, here + "/PG_VERSION": 0}, whole, "= 20000", "made anew"},
			"label":    {map[string]int64{physical.DataDir + "/backup_label": 0}, whole, "= 20000", "made anew"},
			"manifest": {map[string]int64{physical.DataDir + "/backup_manifest": 0}, whole, "= 20000", "left out"},
			"facts":    {map[string]int64{physical.FactsFile: 0}, whole, "= 20000", "no block is compared"},
			"hashes":   {map[string]int64{physical.HashesFile: 0}, whole, "= 20000", "no block is compared"},
			"control and maps": {
				map[string]int64{physical.DataDir + "/global/pg_control": 0, physical.DataDir + "/global/pg_filenode.map": 0, here + "/pg_filenode.map": 0},
				whole, "= 20000",
				"that of the base backup of recovery point other",
			},
			"configuration": {
				map[string]int64{physical.DataDir + "/postgresql.conf": 0, physical.DataDir + "/pg_hba.conf": 0, physical.DataDir + "/pg_ident.conf": 0, physical.DataDir + "/postgresql.auto.conf": 0},
				whole, "= 20000",
				"no settings but those that cofre sets",
			},
		} {
			tree, err := repo.Tree(t.Context(), c.Root)
			if err != nil {
				t.Fatal(err)
			}
			tree = damaged{tree, q.lost, q.bytes}
			to := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
			o := restoring.Options{Dir: to, Jobs: 2, VerifyBackup: true}
			// Nobody knows, and it is not to be left out: nothing that a server starts on is left.
			if err := through(t, tree, c, restoring.NewTarget(o)); err == nil {
				t.Fatalf("%s: restored", name)
			}
			if _, err := os.Stat(filepath.Join(to, "global", "pg_control")); !os.IsNotExist(err) {
				t.Fatalf("%s: pg_control is there: %v", name, err)
			}
			o.Loss = restoring.LossOptions{Without: true, Other: func(ctx context.Context, path string) ([]byte, cofre.PointID, error) {
				b, err := physical.ReadAll(ctx, donor, path)
				return b, "other", err
			}}
			target := restoring.NewTarget(o)
			if err := through(t, tree, c, target); err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			note, err := os.ReadFile(filepath.Join(to, "cofre-lost.txt"))
			if err != nil || !strings.Contains(string(note), q.how) {
				t.Errorf("%s: %v, noted: %s", name, err, note)
			}
			for path := range q.lost {
				if p := physical.ServerPath(path); !strings.HasSuffix(path, ".json") && path != physical.HashesFile && !strings.Contains(string(note), p+": ") {
					t.Errorf("%s: %s is not named: %s", name, p, note)
				}
			}
			r := physicaltest.Recovered(t, recovering.Options{DataDir: to})
			if got := physicaltest.Query(t, r, "SELECT (SELECT count(*) "+q.rows+" FROM rows), (SELECT count(*) FROM kept), (SELECT count(*) FROM pg_class) > 300"); got != "t|1000|t" {
				t.Errorf("%s: read %s", name, got)
			}
			if named := r.Relations(t.Context(), "postgres", []string{physical.ServerPath(file)}); !strings.Contains(named[physical.ServerPath(file)].Text, "rows") {
				t.Errorf("%s: the file is called %v", name, named)
			}
			if err := r.Server.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := adopting.Plan(t.Context(), adopting.Options{Dir: to}); err == nil || !strings.Contains(cofre.Hint(err), "cofre-lost.txt") {
				t.Errorf("%s: adopted: %v", name, err)
			}
			if err := os.RemoveAll(to); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// through carries a restore out; what it cannot bring is discarded.
func through(t *testing.T, tree cofre.Tree, c cofre.Component, target *restoring.Target) error {
	t.Helper()
	plan, err := target.Plan(t.Context(), c, tree)
	if err != nil {
		return err
	}
	if len(plan.Problems) > 0 {
		return fmt.Errorf("%s: %w", plan.Problems[0].What, cofre.ErrPreflight)
	}
	err = target.Stage(t.Context(), cofre.Discard)
	if err == nil {
		var proof *cofre.Proof
		if proof, err = target.Check(t.Context(), cofre.Discard); err == nil && !proof.Holds() {
			err = fmt.Errorf("%+v: %w", proof.Checks, cofre.ErrUnproven)
		}
		if err == nil && target.Losses() != (len(proof.Accepted()) > 0) {
			t.Errorf("accepted: %v", proof.Accepted())
		}
	}
	if err != nil {
		if left := target.Discard(t.Context()); left != nil {
			t.Error(left)
		}
		return err
	}
	_, err = target.Publish(t.Context())
	return err
}
