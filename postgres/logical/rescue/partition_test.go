package rescue_test

import (
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// A partition that has partitions of its own comes back beside the live one with one index over all of them; and rows that
// pg_dump loads through the root, since the hash of an enum is another one on each server, come back with the whole table and
// with one partition of it.
func TestTablesThatAreParts(t *testing.T) {
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		s.Exec(t, db, `CREATE TABLE public.p (id int, k text, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
CREATE TABLE public.p_a PARTITION OF public.p FOR VALUES IN ('a') PARTITION BY RANGE (id);
CREATE TABLE public.p_a1 PARTITION OF public.p_a FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
CREATE TABLE public."p ATTACH PARTITION 1" PARTITION OF public.p_a1 FOR VALUES FROM (0) TO (10); CREATE TABLE public.p_a2 PARTITION OF public.p_a DEFAULT;
CREATE INDEX ON public.p (k); INSERT INTO public.p SELECT g, 'a' FROM generate_series(1, 20) g;
CREATE TYPE public.color AS ENUM ('red', 'green', 'blue'); CREATE TABLE public.e (c public.color, n int, PRIMARY KEY (c, n)) PARTITION BY HASH (c);
CREATE TABLE public.e0 PARTITION OF public.e FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE public.e1 PARTITION OF public.e FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO public.e SELECT (enum_range(NULL::public.color))[1 + g % 3], g FROM generate_series(1, 30) g`)
		c := logicaltest.CaptureOf(t, s, db, dump.Options{})
		count := func(name string) string { return s.Query(t, db, "SELECT count(*) FROM "+name) }
		for _, name := range []string{"p", "p_a", "p_a1", "e", "e0", "e1"} {
			out, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: s.Config(db), Table: name, ToSchema: "back_" + name})
			if err != nil || len(out.Differs) > 0 {
				t.Errorf("%s: %v, %+v", name, err, out)
				continue
			}
			if want, got := count("public."+name), count("back_"+name+"."+name); got != want {
				t.Errorf("%s: %s rows, captured %s", name, got, want)
			}
			if got := s.Query(t, db, `SELECT count(*) FROM pg_index WHERE NOT indisvalid`); got != "0" {
				t.Errorf("%s: %s indexes are not valid", name, got)
			}
		}
		want := s.Dump(t, db, "--table=public.e*")
		s.Exec(t, db, "DROP TABLE public.e")
		if _, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: s.Config(db), Table: "e"}); err != nil {
			t.Fatal(err)
		}
		if got := s.Dump(t, db, "--table=public.e*"); got != want {
			t.Error(logicaltest.LineDiff(want, got))
		}
		s.Exec(t, db, "DELETE FROM public.e0")
		m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: s.Config(db), Table: "e0"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Apply(t.Context()); err != nil {
			t.Error(err)
		}
		if got := s.Dump(t, db, "--table=public.e*"); got != want {
			t.Error(logicaltest.LineDiff(want, got))
		}
	})
}
