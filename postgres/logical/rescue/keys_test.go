package rescue_test

import (
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// A row is found by what its primary key takes for equal, and what is equal and written otherwise is a row that was changed. A
// generated key is compared, and never written. A foreign key is that of its own table, not of those that inherit from it.
func TestMergeByTheEqualityOfTheKey(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, `CREATE EXTENSION citext; CREATE DOMAIN public.mail AS citext;
CREATE COLLATION public.any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE public.users (email citext PRIMARY KEY, n int); INSERT INTO public.users VALUES ('a@x', 1), ('b@x', 2), ('c@x', 3);
CREATE TABLE public.logins (id int PRIMARY KEY, email citext REFERENCES public.users); INSERT INTO public.logins VALUES (1, 'A@X');
CREATE TABLE public.mails (m public.mail, k int, PRIMARY KEY (m, k)); INSERT INTO public.mails VALUES ('a@x', 1), ('b@x', 2);
CREATE TABLE public.words (w text COLLATE public.any_case PRIMARY KEY, n int); INSERT INTO public.words VALUES ('casa', 1), ('rua', 2);
CREATE TABLE public.prices (p numeric PRIMARY KEY, n int); INSERT INTO public.prices VALUES (1.0, 1), (2.00, 2);
CREATE TABLE public.doubles (a int, d int GENERATED ALWAYS AS (a * 2) STORED PRIMARY KEY, n int); INSERT INTO public.doubles (a, n) SELECT g, g FROM generate_series(1, 5) g;
CREATE TABLE public.parents (id int PRIMARY KEY, n int); INSERT INTO public.parents VALUES (1, 1), (2, 2);
CREATE TABLE public.heirs () INHERITS (public.parents); INSERT INTO public.heirs VALUES (50, 50);
CREATE TABLE public.leads (id int PRIMARY KEY, p int REFERENCES public.parents); INSERT INTO public.leads VALUES (1, 1);
CREATE TABLE public.others () INHERITS (public.leads); INSERT INTO public.others VALUES (7, 777)`)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	for _, q := range []struct{ table, change, all string }{
		{"users", `DELETE FROM users WHERE n = 2; UPDATE users SET email = 'A@X' WHERE n = 1; UPDATE users SET n = 33 WHERE n = 3`, `SELECT email::text, n FROM users ORDER BY 1`},
		{"mails", `UPDATE mails SET m = 'A@X' WHERE k = 1; DELETE FROM mails WHERE k = 2`, `SELECT m::text, k FROM mails ORDER BY k`},
		{"words", `UPDATE words SET w = 'CASA' WHERE n = 1`, `SELECT w FROM words ORDER BY n`},
		{"prices", `UPDATE prices SET p = 1.000 WHERE n = 1`, `SELECT p FROM prices ORDER BY n`},
		{"doubles", `DELETE FROM doubles WHERE a < 3; UPDATE doubles SET n = 0 WHERE a = 4; INSERT INTO doubles (a) VALUES (9)`, `SELECT a, d, n FROM doubles ORDER BY a`},
		{"parents", `UPDATE parents SET n = 0 WHERE id = 1`, `SELECT id, n FROM ONLY parents ORDER BY 1`},
	} {
		all := "SET search_path = public; " + q.all
		want := s.Query(t, db, all)
		s.Exec(t, db, "SET session_replication_role = replica; SET search_path = public; "+q.change)
		changed := s.Query(t, db, all)
		m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: s.Config(db), Table: q.table, DeleteExtra: true})
		if err != nil {
			t.Errorf("%s: %v", q.table, err)
			continue
		}
		out, err := m.Apply(t.Context())
		if err != nil {
			t.Errorf("%s: %v", q.table, err)
			continue
		}
		if got := s.Query(t, db, all); got != want {
			t.Errorf("%s: merged %s, captured %s", q.table, got, want)
		}
		s.Exec(t, db, out.Undo)
		if got := s.Query(t, db, all); got != changed {
			t.Errorf("%s: taken back %s, it was %s", q.table, got, changed)
		}
	}

	// Rows of a table that inherits are none that a foreign key may lead to.
	s.Exec(t, db, `SET session_replication_role = replica; UPDATE public.leads SET p = 50; UPDATE public.parents SET n = 5`)
	m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: s.Config(db), Table: "parents"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Apply(t.Context()); err == nil {
		t.Error("a foreign key that leads to a row of another table was taken for right")
	}
}

// A value is what its type writes. What a cast to text says of it is whatever the owner of the type wants: here, the same of all, and nothing of
// some.
func TestMergeByWhatTypesWrite(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, `CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'glad'); CREATE TYPE public.pair AS (a int, b int);
CREATE FUNCTION public.say(public.mood) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT 'a mood' $$; CREATE CAST (public.mood AS text) WITH FUNCTION public.say(public.mood);
CREATE FUNCTION public.say(public.pair) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT NULL::text $$; CREATE CAST (public.pair AS text) WITH FUNCTION public.say(public.pair);
CREATE TABLE public.moods (id int PRIMARY KEY, m public.mood, p public.pair, t text);
INSERT INTO public.moods VALUES (1, 'sad', (1, NULL), 'x'), (2, 'ok', (2, 2), ''), (3, NULL, NULL, NULL), (4, 'glad', (NULL, NULL), 'y')`)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	const all = `SELECT pg_catalog.format('%s|%s|%s|%s', id, m, p, coalesce(t, 'NULL')) FROM public.moods ORDER BY id`
	for change, rows := range map[string]int64{
		`UPDATE public.moods SET m = 'glad' WHERE id = 1`:             1,
		`UPDATE public.moods SET p = (2, 3) WHERE id = 2`:             1,
		`UPDATE public.moods SET p = (NULL, NULL) WHERE id IN (3, 4)`: 1,
		`UPDATE public.moods SET t = NULL WHERE id IN (2, 3)`:         1,
		`UPDATE public.moods SET t = t`:                               0,
	} {
		want := s.Query(t, db, all)
		s.Exec(t, db, change)
		m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: s.Config(db), Table: "moods"})
		if err != nil {
			t.Fatalf("%s: %v", change, err)
		}
		if m.Comparison != (rescue.Comparison{Changed: rows, Same: 4 - rows}) {
			t.Errorf("%s: %+v", change, m.Comparison)
		}
		if _, err := m.Apply(t.Context()); err != nil {
			t.Errorf("%s: %v", change, err)
		}
		if got := s.Query(t, db, all); got != want {
			t.Errorf("%s: merged %s, captured %s", change, got, want)
		}
	}
}

// A foreign key to a period is covered by all rows of its key together.
func TestMergeOfPeriods(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 18)
	db := s.Database(t)
	s.Exec(t, db, `CREATE EXTENSION btree_gist; CREATE TABLE public.rooms (id int, at daterange, PRIMARY KEY (id, at WITHOUT OVERLAPS));
INSERT INTO public.rooms VALUES (1, '[2026-01-01,2026-02-01)'), (1, '[2026-02-01,2026-03-01)');
CREATE TABLE public.stays (id int, room int, at daterange, who text, PRIMARY KEY (id, at WITHOUT OVERLAPS), FOREIGN KEY (room, PERIOD at) REFERENCES public.rooms (id, PERIOD at));
INSERT INTO public.stays VALUES (1, 1, '[2026-01-20,2026-02-10)', 'a'), (2, 1, '[2026-01-20,2026-02-10)', 'b')`)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	merge := func() error {
		s.Exec(t, db, "UPDATE public.stays SET who = 'x' WHERE id = 1; DELETE FROM public.stays WHERE id = 2")
		m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: s.Config(db), Table: "stays"})
		if err != nil {
			return err
		}
		_, err = m.Apply(t.Context())
		return err
	}
	if err := merge(); err != nil {
		t.Error(err)
	}
	if got := s.Query(t, db, "SELECT string_agg(who, '' ORDER BY id) FROM public.stays"); got != "ab" {
		t.Errorf("merged %s", got)
	}
	s.Exec(t, db, "SET session_replication_role = replica; DELETE FROM public.rooms WHERE at @> '2026-02-05'::date")
	if err := merge(); err == nil {
		t.Error("a stay beyond its room's period was taken for right")
	}
}
