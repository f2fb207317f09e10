package rescue_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// listening remembers which files are read.
type listening struct {
	cofre.Tree
	mu   sync.Mutex
	read []string
}

func (l *listening) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.read = append(l.read, path)
	return l.Tree.Open(ctx, path)
}

func TestRestoreTable(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, _ := logicaltest.Original(t, s)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	server := postgres.Config{URL: s.URL(database)}
	s.Exec(t, database, `UPDATE public.answers SET body = 'changed'; TRUNCATE public.change_logs`)

	tree := &listening{Tree: c.Tree}
	out, err := logicaltest.RestoreTable(t.Context(), tree, rescue.TableOptions{Server: server, Table: "answers", ToSchema: `"Resgate 1"`})
	if err != nil {
		t.Fatal(err)
	}
	if out.Rows != 2001 || out.Table != `"Resgate 1"."answers"` || len(out.Left) < 3 {
		t.Errorf("%+v", out)
	}
	// Facts, table of contents, globals, the rows of that table, and the fingerprint (its format, then its content):
	// nothing else is read.
	if len(tree.read) != 6 {
		t.Errorf("read %q", tree.read)
	}
	for q, want := range map[string]string{
		`SELECT count(*), count(*) FILTER (WHERE body LIKE 'Resposta%'), sum(size) > 0 FROM "Resgate 1".answers`:                                 "2001|2000|t",
		`SELECT count(*) FROM pg_index WHERE indrelid = '"Resgate 1".answers'::regclass`:                                                         "2",
		`SELECT string_agg(contype, '' ORDER BY contype) FROM pg_constraint WHERE conrelid = '"Resgate 1".answers'::regclass AND contype <> 'n'`: "cp",
		`SELECT count(*) FROM pg_trigger WHERE tgrelid = '"Resgate 1".answers'::regclass`:                                                        "0",
		`SELECT count(*) FROM public.answers WHERE body = 'changed'`:                                                                             "2001",
		`SELECT count(*) FROM public.change_logs`:                                                                                                "0",
	} {
		if got := s.Query(t, database, q); got != want {
			t.Errorf("%s: %s, not %s", q, got, want)
		}
	}
	if got := s.Query(t, database, `INSERT INTO "Resgate 1".answers (profile_id, body) VALUES (1, 'x') RETURNING id`); got != "2002" {
		t.Errorf("the identity gives %s", got)
	}
	if _, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: "answers", ToSchema: `"Resgate 1"`}); !errors.Is(err, cofre.ErrPreflight) {
		t.Errorf("a second time: %v", err)
	}

	for table, rows := range map[string]int64{
		`"Odd ""Schema"""."dot.ted"`: 2, "none": 2, "empty": 0, "public.parts": 301, "parts_1": 181, "serials": 10, "PROFILES": 50,
	} {
		out, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: table, ToSchema: "resgate_" + fmt.Sprint(len(table))})
		if err != nil || out.Rows != rows {
			t.Errorf("%s: %+v, %v", table, out, err)
		}
	}
	if got := s.Query(t, database, `SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 'resgate_7.serials'::regclass`); got != `nextval('resgate_7.serials_id_seq'::regclass)` {
		t.Errorf("the default leads to %s", got)
	}
	if got := s.Query(t, database, `INSERT INTO resgate_7.serials (label) VALUES ('novo') RETURNING id`); got != "11" {
		t.Errorf("the sequence gives %s", got)
	}
	_, err = logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: `"Answers"`})
	if !errors.Is(err, cofre.ErrNotFound) || !strings.Contains(cofre.Hint(err), `"public"."answers"`) {
		t.Errorf("%v, hint %s", err, cofre.Hint(err))
	}
	bad := logicaltest.Flipped{Tree: c.Tree, Path: logicaltest.AnswersFile(t, c)}
	if _, err := logicaltest.RestoreTable(t.Context(), bad, rescue.TableOptions{Server: server, Table: "answers", ToSchema: "mau"}); !errors.Is(err, cofre.ErrCorrupt) {
		t.Errorf("changed rows: %v", err)
	}
	if got := s.Query(t, database, `SELECT count(*) FROM pg_namespace WHERE nspname = 'mau'`); got != "0" {
		t.Error("the schema of a failed restore is there")
	}

	// A table that was dropped comes back as it was, with what ties it to others.
	want := s.Dump(t, database, "--table=public.serials")
	s.Exec(t, database, `DROP TABLE public.serials`)
	if _, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: "serials"}); err != nil {
		t.Fatal(err)
	}
	if got := s.Dump(t, database, "--table=public.serials"); got != want {
		t.Error(logicaltest.LineDiff(want, got))
	}
	plan, err := logicaltest.PlanTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: "serials"})
	if err != nil || len(plan.Problems) == 0 || len(plan.Steps) != 3 {
		t.Errorf("%+v, %v", plan, err)
	}
	testkit.Healthy(t, s, database)
}

// The guide's way, data-only into the live table, stops at the first duplicate key with nothing restored; after
// a TRUNCATE it writes an audit row for every row and leaves the sequence where it was.
// An UPDATE without WHERE is taken back in its one column: what was written to others since, what was added and what was deleted
// stays, and is named.
func TestMergeColumns(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		database := s.Database(t)
		s.Exec(t, database, `
CREATE TABLE public.people (id int, part int, name text, "E-mail" text, age int GENERATED ALWAYS AS (id + 1) STORED, PRIMARY KEY (id, part));
INSERT INTO public.people SELECT i, i % 2, 'name ' || i, i || '@example.com' FROM generate_series(1, 100) i`)
		c := logicaltest.CaptureOf(t, s, database, dump.Options{})
		s.Exec(t, database, `
UPDATE public.people SET "E-mail" = NULL;
UPDATE public.people SET name = 'newer' WHERE id = 7;
DELETE FROM public.people WHERE id BETWEEN 11 AND 40;
INSERT INTO public.people VALUES (200, 0, 'added', 'added@example.com')`)
		o := rescue.MergeOptions{Server: postgres.Config{URL: s.URL(database)}, Table: "people", Columns: []string{`"E-mail"`}}
		m, err := logicaltest.CompareTable(t.Context(), c.Tree, o)
		if err != nil {
			t.Fatal(err)
		}
		if m.Comparison != (rescue.Comparison{Missing: 30, Changed: 70, Extra: 1}) || m.Changes() != (rescue.Comparison{Changed: 70}) {
			t.Errorf("%+v, to change %+v", m.Comparison, m.Changes())
		}
		out, err := m.Apply(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if out.Inserted != 0 || out.Updated != 70 || out.Deleted != 0 {
			t.Errorf("%+v", out)
		}
		missing := [][]string{}
		for i := 11; i <= 30; i++ { // the first twenty
			missing = append(missing, []string{fmt.Sprint(i), fmt.Sprint(i % 2)})
		}
		if want := []rescue.LeftRows{{Kind: "missing", Rows: 30, Keys: missing}, {Kind: "extra", Rows: 1, Keys: [][]string{{"200", "0"}}}}; !reflect.DeepEqual(m.Left, want) {
			t.Errorf("left: %+v, not %+v", m.Left, want)
		}
		const restored = `SELECT count(*), count(*) FILTER (WHERE "E-mail" = id || '@example.com'), min(name) FILTER (WHERE id = 7) FROM public.people`
		if got := s.Query(t, database, restored); got != "71|70|newer" {
			t.Error(got)
		}
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
		s.Exec(t, database, out.Undo)
		if got := s.Query(t, database, restored); got != "71|0|newer" {
			t.Errorf("after the undo: %s", got)
		}
		for column, want := range map[string]error{"id": cofre.ErrPreflight, "E-mail": cofre.ErrConfig, "nothing": cofre.ErrNotFound, "age": cofre.ErrNotFound} {
			o.Columns = []string{column}
			if _, err := logicaltest.CompareTable(t.Context(), c.Tree, o); !errors.Is(err, want) || want != cofre.ErrPreflight && cofre.Hint(err) == "" {
				t.Errorf("column %s: %v, hint %q", column, err, cofre.Hint(err))
			}
		}
		testkit.Healthy(t, s, database)
	})
}

func TestMergeTable(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database, role := logicaltest.Original(t, s)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	server := postgres.Config{URL: s.URL(database)}
	const state = `SELECT md5(string_agg(a::text, ',' ORDER BY id)) FROM public.answers a`
	captured := s.Query(t, database, state)
	s.Exec(t, database, `
DELETE FROM public.answers WHERE id BETWEEN 101 AND 200;
UPDATE public.answers SET body = 'outra' WHERE id IN (1, 2, 3);
UPDATE public.answers SET n = NULL WHERE id = 4;
INSERT INTO public.answers (profile_id, body) VALUES (1, 'depois');
ALTER TABLE public.answers ALTER COLUMN id RESTART WITH 1;
ALTER TABLE public.answers ENABLE ALWAYS TRIGGER audit;
TRUNCATE public.change_logs`)
	damaged := s.Query(t, database, state)

	compare := func(o rescue.MergeOptions) *logicaltest.Merging {
		t.Helper()
		o.Server = server
		if o.Table == "" {
			o.Table = "answers"
		}
		o.Preview = 5
		m, err := logicaltest.CompareTable(t.Context(), c.Tree, o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	closed := func(m *logicaltest.Merging) {
		t.Helper()
		if err := m.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	m := compare(rescue.MergeOptions{})
	if m.Comparison != (rescue.Comparison{Missing: 100, Changed: 4, Extra: 1, Same: 1897}) || len(m.Preview) != 10 {
		t.Errorf("%+v, %d rows shown", m.Comparison, len(m.Preview))
	}
	for _, d := range m.Preview {
		if d.Kind == "changed" && d.Key[0] == "4" && (len(d.Columns) != 1 || d.Columns[0].Name != "n" || d.Columns[0].Live != nil) {
			t.Errorf("%+v", d)
		}
	}
	if s.Query(t, database, state) != damaged {
		t.Error("comparing changed the live table")
	}

	// What was shown is what is applied, or nothing.
	s.Exec(t, database, `UPDATE public.answers SET body = 'entretanto' WHERE id = 500`)
	if _, err := m.Apply(t.Context()); !errors.Is(err, cofre.ErrRefused) {
		t.Errorf("applied to a table that changed: %v", err)
	}
	closed(m)
	s.Exec(t, database, `TRUNCATE public.change_logs`)

	before := s.Query(t, database, state)
	m = compare(rescue.MergeOptions{DeleteExtra: true})
	out, err := m.Apply(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	closed(m)
	if out.Inserted != 100 || out.Updated != 5 || out.Deleted != 1 || len(out.Sequences) != 1 {
		t.Errorf("%+v", out)
	}
	if s.Query(t, database, state) != captured {
		t.Error("the table is not what was captured")
	}
	for q, want := range map[string]string{
		`SELECT count(*) FROM public.change_logs`:                 "0",
		`SELECT tgenabled FROM pg_trigger WHERE tgname = 'audit'`: "A",
		`SELECT string_agg(cofre_action || n, ' ' ORDER BY cofre_action) FROM (SELECT cofre_action, count(*) n FROM ` + out.UndoTable + ` GROUP BY 1) u`: "deleted1 inserted100 updated5",
	} {
		if got := s.Query(t, database, q); got != want {
			t.Errorf("%s: %s, not %s", q, got, want)
		}
	}
	s.Exec(t, database, `ALTER TABLE public.answers DISABLE TRIGGER audit`)
	s.Exec(t, database, out.Undo)
	if s.Query(t, database, state) != before {
		t.Error("undo did not bring back what was there")
	}
	if got := s.Query(t, database, `INSERT INTO public.answers (profile_id, body) VALUES (1, 'novo') RETURNING id > 2000`); got != "t" {
		t.Error("the sequence would give a number that is taken")
	}

	// A row that refers to a profile which is gone: the foreign key is checked although triggers are off.
	s.Exec(t, database, `DELETE FROM public.answers WHERE profile_id = 7; DELETE FROM public.profiles WHERE id = 7`)
	m = compare(rescue.MergeOptions{})
	if _, err := m.Apply(t.Context()); err == nil || !strings.Contains(err.Error(), "answers_profile_id_fkey") {
		t.Errorf("a broken foreign key: %v", err)
	}
	closed(m)

	// An owner who is no superuser merges too.
	s.Exec(t, database, `DELETE FROM public.serials WHERE id > 5; CREATE TRIGGER audit AFTER INSERT ON public.serials FOR EACH ROW EXECUTE FUNCTION public.log_change(); TRUNCATE public.change_logs`)
	s.Exec(t, "postgres", `ALTER ROLE "`+role+`" LOGIN; GRANT CREATE ON DATABASE `+database+` TO "`+role+`"`)
	server.User = role
	m = compare(rescue.MergeOptions{Table: "serials"})
	if out, err = m.Apply(t.Context()); err != nil || out.Inserted != 5 {
		t.Errorf("%+v, %v", out, err)
	}
	closed(m)
	if got := s.Query(t, database, `SELECT (SELECT count(*) FROM public.serials), (SELECT count(*) FROM public.change_logs), (SELECT tgenabled FROM pg_trigger WHERE tgrelid = 'public.serials'::regclass)`); got != "10|0|O" {
		t.Error(got)
	}
	if _, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: server, Table: "empty"}); !errors.Is(err, cofre.ErrPreflight) {
		t.Errorf("a table without a primary key: %v", err)
	}
	testkit.Healthy(t, s, database)
}

// Columns that the index of a primary key includes are none of the key: rows are the same if the key is, and these are compared as others.
func TestAPrimaryKeyThatIncludesOtherColumns(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database := s.Database(t)
	s.Exec(t, database, `CREATE TABLE t (id int, note text, place box, PRIMARY KEY (id) INCLUDE (note, place)); INSERT INTO t SELECT i, 'note ' || i, '(1,1),(0,0)' FROM generate_series(1, 10) i`)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	s.Exec(t, database, `UPDATE t SET note = 'x' WHERE id = 3; DELETE FROM t WHERE id = 4`)
	m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: postgres.Config{URL: s.URL(database)}, Table: "t"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(t.Context())
	if out, err := m.Apply(t.Context()); err != nil || out.Inserted != 1 || out.Updated != 1 || out.Deleted != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if got := s.Query(t, database, `SELECT count(*), count(*) FILTER (WHERE note = 'note ' || id) FROM t`); got != "10|10" {
		t.Error(got)
	}
}

// A copy beside the live table is there for its rows: what cannot be made on it is named, and does not keep them back.
func TestACopyWhoseConstraintsCannotBeMade(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	database := s.Database(t)
	s.Exec(t, database, `CREATE TABLE t (id int PRIMARY KEY, note text);
CREATE FUNCTION of_row(t) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1.id > 0'; ALTER TABLE t ADD CONSTRAINT of_row CHECK (of_row(t.*));
CREATE FUNCTION gone(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT $1'; CREATE INDEX t_gone ON t (public.gone(note)); CREATE INDEX t_note ON t (note);
INSERT INTO t SELECT i, 'note ' || i FROM generate_series(1, 10) i`)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	s.Exec(t, database, `DROP FUNCTION gone CASCADE; DELETE FROM t WHERE id = 4`)
	server := postgres.Config{URL: s.URL(database)}
	out, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: server, Table: "t", ToSchema: "rescue"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(out.Differs, "; "); len(out.Differs) != 2 || !strings.Contains(got, "of_row") || !strings.Contains(got, "t_gone") {
		t.Errorf("%q", out.Differs)
	}
	if got := s.Query(t, database, `SELECT (SELECT count(*) FROM rescue.t), (SELECT string_agg(indexrelid::regclass::text, ' ' ORDER BY indexrelid::regclass::text COLLATE "C") FROM pg_index WHERE indrelid = 'rescue.t'::regclass)`); got != "10|rescue.t_note rescue.t_pkey" {
		t.Error(got)
	}
	m, err := logicaltest.CompareTable(t.Context(), c.Tree, rescue.MergeOptions{Server: server, Table: "t"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close(t.Context())
	if out, err := m.Apply(t.Context()); err != nil || out.Inserted != 1 {
		t.Errorf("%+v, %v", out, err)
	}
}
