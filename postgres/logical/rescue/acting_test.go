package rescue_test

import (
	"errors"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// A function of the database that runs while an index or a materialized view is made changes rows of the table that were loaded
// before: what is compared is what is there in the end.
func TestRowsChangedBehindTheirLoad(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		database := s.Database(t)
		s.Exec(t, database, `
CREATE FUNCTION public.does() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
  IF pg_catalog.to_regclass('rescue.parts') IS NOT NULL THEN UPDATE rescue.parts SET n = 7 WHERE id = 1 AND n <> 7; END IF;
  RETURN 1;
END $$;
CREATE FUNCTION public.acts(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN public.does(); END $$;
CREATE TABLE public.parts (id int, n int NOT NULL) PARTITION BY RANGE (id);
CREATE TABLE public.parts_1 PARTITION OF public.parts FOR VALUES FROM (0) TO (100);
CREATE TABLE public.parts_2 PARTITION OF public.parts FOR VALUES FROM (100) TO (200);
INSERT INTO public.parts SELECT g, 0 FROM generate_series(1, 150) g;
CREATE INDEX acting ON public.parts_2 (public.acts(n));`)
		c := logicaltest.CaptureOf(t, s, database, dump.Options{})
		o := rescue.TableOptions{Server: s.Config(database), Table: "public.parts", ToSchema: "rescue"}
		if out, err := logicaltest.RestoreTable(t.Context(), c.Tree, o); !errors.Is(err, cofre.ErrUnproven) {
			t.Errorf("rows that were changed behind their load pass for captured ones: %+v, %v", out, err)
		}
	})
}

// A function of the live table changes a row and, alike, the captured one that it is compared with.
func TestMergeAgainstChangedCapture(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		database := s.Database(t)
		s.Exec(t, database, `
CREATE TABLE public.own (id int PRIMARY KEY, n int NOT NULL);
INSERT INTO public.own SELECT g, 0 FROM generate_series(1, 10) g;`)
		c := logicaltest.CaptureOf(t, s, database, dump.Options{})
		s.Exec(t, database, `
DELETE FROM public.own WHERE id = 2;
CREATE FUNCTION public.acts(int) RETURNS boolean LANGUAGE plpgsql AS $$ DECLARE t regclass; BEGIN
  IF $1 <> 2 THEN RETURN true; END IF;
  FOR t IN SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relname = 'own' AND c.relkind = 'r' LOOP
    EXECUTE pg_catalog.format('UPDATE %s SET n = 7 WHERE id = 1', t);
  END LOOP;
  RETURN true;
END $$;
ALTER TABLE public.own ADD CHECK (public.acts(id));`)
		m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: s.Config(database), Table: "public.own"})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close(t.Context())
		if out, err := m.Apply(t.Context()); !errors.Is(err, cofre.ErrUnproven) {
			t.Errorf("a merge was compared with rows that were changed meanwhile: %+v, %v", out, err)
		}
	})
}
