package restoring_test

import (
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

const keyed = `
CREATE TABLE public.plain (id int PRIMARY KEY, pad text);
INSERT INTO public.plain SELECT g, repeat('x', 100) FROM generate_series(1, 3000) g;
CREATE TABLE public."Parts" (id int PRIMARY KEY, pad text) PARTITION BY RANGE (id);
CREATE TABLE public.low PARTITION OF public."Parts" FOR VALUES FROM (0) TO (1000);
CREATE TABLE public.high PARTITION OF public."Parts" FOR VALUES FROM (1000) TO (9000);
INSERT INTO public."Parts" SELECT g, repeat('y', 100) FROM generate_series(1, 3000) g;
CREATE TABLE public."to plain" (id int CONSTRAINT "leads there" REFERENCES public.plain ON DELETE CASCADE DEFERRABLE);
COMMENT ON CONSTRAINT "leads there" ON public."to plain" IS 'it''s kept';
INSERT INTO public."to plain" VALUES (1), (2999);
CREATE TABLE public.to_first (id int REFERENCES public.plain);
INSERT INTO public.to_first VALUES (1), (NULL);
CREATE TABLE public.to_parts (id int REFERENCES public."Parts");
INSERT INTO public.to_parts SELECT generate_series(1, 2000);
CREATE TABLE public.parts_to (id int CONSTRAINT of_parts REFERENCES public.plain) PARTITION BY RANGE (id);
CREATE TABLE public.parts_to_1 PARTITION OF public.parts_to FOR VALUES FROM (0) TO (9000);
INSERT INTO public.parts_to VALUES (2998);
CREATE TABLE public.tree (id int PRIMARY KEY, up int CONSTRAINT upward REFERENCES public.tree, pad text DEFAULT repeat('z', 100));
INSERT INTO public.tree SELECT g, 3001 - g FROM generate_series(1, 3000) g;
CREATE TABLE public.elsewhere (id int PRIMARY KEY);
CREATE TABLE public.to_elsewhere (id int CONSTRAINT kept REFERENCES public.elsewhere);
`

// Rows that are loaded into tables that are there meet foreign keys that are there: none says that it holds over rows that are lost.
func TestKeysThatAreThereDoNotHoldOverLostRows(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		s.Exec(t, db, keyed)
		c := logicaltest.CaptureOf(t, s, db, dump.Options{})
		o := logicaltest.Options(s, db+"_back")
		o.Filter = logical.Filter{SchemaOnly: true}
		logicaltest.MustRestore(t, s, c, o)
		t.Cleanup(func() { s.Drop(t, o.Name) })
		o.Filter = logical.Filter{DataOnly: true}
		o.Replace, o.Loss.Without = true, true
		_, proof, outcome, err := losing(t, c, o, true, logicaltest.FileOf(t, c, "plain"), logicaltest.FileOf(t, c, "low"), logicaltest.FileOf(t, c, "tree"))
		if err != nil {
			t.Fatal(err)
		}
		want := []string{`constraint "leads there" on "public"."to plain"`, `constraint "of_parts" on "public"."parts_to"`, `constraint "to_parts_id_fkey" on "public"."to_parts"`, `constraint "upward" on "public"."tree"`}
		got := whats(proof)
		for _, w := range want {
			if got[w] == "" {
				t.Errorf("%s is not named as left out: %v", w, got)
			}
		}
		const valid = `SELECT string_agg(conname || CASE WHEN convalidated THEN '' ELSE ' open' END, ', ' ORDER BY conname COLLATE "C") FROM pg_constraint WHERE contype = 'f' AND conparentid = 0`
		keys := "kept, leads there open, of_parts open, to_first_id_fkey, to_parts_id_fkey open, upward open"
		if major < 18 { // which take no key of a partitioned table that is not valid
			keys = strings.Replace(keys, "of_parts open, ", "", 1)
		}
		if found := s.Query(t, o.Name, valid); found != keys {
			t.Errorf("the keys are %s, want %s", found, keys)
		}
		if def := s.Query(t, o.Name, `SELECT pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 'leads there'`); def != "FOREIGN KEY (id) REFERENCES plain(id) ON DELETE CASCADE DEFERRABLE NOT VALID|it's kept" {
			t.Error(def)
		}
		// When the rows are back, what was printed makes all of them valid again.
		s.Exec(t, o.Name, `INSERT INTO public.plain SELECT g FROM generate_series(1, 3000) g ON CONFLICT DO NOTHING; INSERT INTO public."Parts" SELECT g FROM generate_series(1, 3000) g ON CONFLICT DO NOTHING;
			INSERT INTO public.tree SELECT g FROM generate_series(1, 3000) g ON CONFLICT DO NOTHING`)
		n := 0
		for _, next := range outcome.Next {
			if next.Do == cofre.DoFinish && strings.HasPrefix(next.Command, "ALTER TABLE") {
				s.Exec(t, o.Name, next.Command)
				n++
			}
		}
		if found := s.Query(t, o.Name, valid); n != len(want) || found != "kept, leads there, of_parts, to_first_id_fkey, to_parts_id_fkey, upward" {
			t.Errorf("after %d statements the keys are %s", n, found)
		}
	})
}
