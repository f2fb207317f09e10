package restoring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

// acting has functions of its own wherever a restore calls one: that of a CHECK changes a row of another table, in the copy alone.
const acting = `
CREATE TABLE public.victim (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO public.victim SELECT g, 0 FROM generate_series(1, 1000) g;
CREATE FUNCTION public.acts(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  UPDATE public.victim SET n = 7 WHERE id = 1 AND current_database() LIKE '%\_restore\_%';
  RETURN true;
END $$;
CREATE TABLE public.bait (a int CHECK (public.acts(a)));
INSERT INTO public.bait VALUES (1);
CREATE FUNCTION public.of_domain(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE DOMAIN public.named AS text CHECK (public.of_domain(VALUE));
CREATE FUNCTION public.generates(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION public.indexes(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 1';
CREATE FUNCTION public.of_cast(int) RETURNS public.named LANGUAGE sql IMMUTABLE AS 'SELECT ''x''::public.named';
CREATE FUNCTION public.excludes(int, int) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 = $2';
CREATE OPERATOR public.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = public.excludes, COMMUTATOR = OPERATOR(public.===));
CREATE FUNCTION public.supports(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT pg_catalog.btint4cmp($1, $2)';
CREATE OPERATOR CLASS public.own_ops FOR TYPE int USING btree AS OPERATOR 3 public.===, FUNCTION 1 public.supports(int, int);
CREATE FUNCTION public.fills(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION public.unused(int) RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE TABLE public.others (a int, b int GENERATED ALWAYS AS (public.generates(a)) STORED, c public.named, EXCLUDE USING btree (a public.own_ops WITH public.===));
CREATE INDEX ON public.others (public.indexes(a));
CREATE MATERIALIZED VIEW public.filled AS SELECT public.fills(id) FROM public.victim;
`

// TestRowsChangedWhileTheyLoad has a function of the captured database change a row of another table while the copy loads: compared, as it is
// unless asked for otherwise, the copy is not proven; counted, it is not called proven. The plan names the functions.
func TestRowsChangedWhileTheyLoad(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		database := s.Database(t)
		s.Exec(t, database, acting)
		c := logicaltest.CaptureOf(t, s, database, dump.Options{})
		o := logicaltest.Options(s, database+"_again")
		o.Jobs = 1 // the larger table first: what the function changes is there
		plan, proof, _, err := logicaltest.Restore(t, c, o)
		if err == nil || proof == nil || proof.Holds() || !slices.ContainsFunc(proof.Checks, func(c cofre.Checked) bool { return c.What == `checksum of "public"."victim"` && !c.OK }) {
			t.Errorf("a changed row was not noticed: %+v, %v", proof, err)
		}
		notes := strings.Join(plan.Notes, "\n")
		for _, f := range []string{"acts", "of_domain", "generates", "indexes", "excludes", "supports", "fills"} {
			if !strings.Contains(notes, "public."+f+"(") {
				t.Errorf("the plan does not name public.%s: %s", f, notes)
			}
		}
		if strings.Contains(notes, "unused") {
			t.Errorf("the plan names what does not run: %s", notes)
		}
		o.Name, o.Check = database+"_counted", restoring.CheckCounts
		_, proof, _ = logicaltest.MustRestore(t, s, c, o)
		if !proof.Counted || len(proof.NotCompared) == 0 {
			t.Errorf("counted rows pass for proven: %+v", proof)
		}
	})
}

// older is a component whose facts are other than they were captured.
type older struct {
	cofre.Tree
	facts []byte
}

func (o older) Stat(ctx context.Context, path string) (cofre.Entry, error) {
	e, err := o.Tree.Stat(ctx, path)
	if path == logical.FactsFile {
		e.Size = int64(len(o.facts))
	}
	return e, err
}

func (o older) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	if path == logical.FactsFile {
		return readSeekNopCloser{bytes.NewReader(o.facts)}, nil
	}
	return o.Tree.Open(ctx, path)
}

type readSeekNopCloser struct{ io.ReadSeeker }

func (readSeekNopCloser) Close() error { return nil }

// ofBefore is the component as versions without a key wrote it.
func ofBefore(t *testing.T, tree cofre.Tree) cofre.Tree {
	t.Helper()
	f := logicaltest.ReadFacts(t, tree)
	f.RowKey, f.Runs = "", nil
	for i := range f.Tables {
		if f.Tables[i].Keyed == "" {
			t.Errorf("table %s was captured without a keyed sum", f.Tables[i].Name)
		}
		var plain logical.Tally
		text := strings.TrimSuffix(logicaltest.Read(t, tree, logical.ArchiveDir+"/"+f.Tables[i].File), logical.EndMarker)
		_, _ = plain.Write([]byte(text))
		f.Tables[i].RowSum = plain.Sum()
	}
	var objects logical.Tally
	for e, err := range tree.List(t.Context(), logical.ArchiveDir) {
		if err != nil {
			t.Fatal(err)
		}
		var oid uint32
		if n, _ := fmt.Sscanf(e.Path, logical.ArchiveDir+"/blob_%d.dat", &oid); n == 1 {
			h := logical.NewObjectHash(nil)
			_, _ = io.WriteString(h, logicaltest.Read(t, tree, e.Path))
			h.AddTo(&objects, oid)
		}
	}
	f.LargeObjects.RowSum = objects.Sum()
	return with(t, tree, f)
}

func with(t *testing.T, tree cofre.Tree, f logical.Facts) cofre.Tree {
	t.Helper()
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return older{tree, raw}
}

// Components of before are compared by the sums that they have, and the proof says so; those of another repository's key are counted.
func TestSumsOfOtherKinds(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := logicaltest.Original(t, s)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	keyed := c.Tree
	_, proof, _ := logicaltest.MustRestore(t, s, c, logicaltest.Options(s, database+"_keyed"))
	if proof.Unkeyed || proof.Counted || len(proof.NotCompared) > 0 {
		t.Errorf("with a key: %+v", proof)
	}

	c.Tree = ofBefore(t, keyed)
	plan, proof, outcome := logicaltest.MustRestore(t, s, c, logicaltest.Options(s, database+"_before"))
	if !proof.Unkeyed || proof.Counted {
		t.Errorf("of before: %+v", proof)
	}
	if !strings.Contains(strings.Join(plan.Notes, "\n"), "was not recorded") {
		t.Errorf("the plan says nothing of functions: %q", plan.Notes)
	}
	table, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: s.Config(outcome.Restored), Table: "public.answers", ToSchema: "rescue"})
	if err != nil || !table.Unkeyed || table.Unsummed {
		t.Errorf("a table of before: %+v, %v", table, err)
	}
	diff, err := logical.Diff(t.Context(), c.Tree, keyed)
	if err != nil || len(diff.Tables) == 0 || slices.ContainsFunc(diff.Tables, func(c logical.TableChange) bool { return c.Change != logical.Unknown }) {
		t.Errorf("from before to now: %+v, %v", diff, err)
	}

	f := logicaltest.ReadFacts(t, keyed)
	f.RowKey = strings.Repeat("0", len(f.RowKey))
	c.Tree = with(t, keyed, f)
	_, proof, _ = logicaltest.MustRestore(t, s, c, logicaltest.Options(s, database+"_elsewhere"))
	if !proof.Counted || len(proof.NotCompared) == 0 {
		t.Errorf("under another key: %+v", proof)
	}
}
