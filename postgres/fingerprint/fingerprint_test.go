package fingerprint_test

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/fingerprint"
)

//go:embed testdata/objects.sql
var objects string

// newer are objects that only some majors have.
var newer = []struct {
	since int
	sql   string
}{
	{14, `CREATE FUNCTION app.sqlbody(a int) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a + 1; END`},
	{14, `ALTER TABLE public.answers ALTER body SET COMPRESSION pglz`},
	{15, `CREATE PUBLICATION filtered FOR TABLE public.parent (id, n) WHERE (n > 5); CREATE PUBLICATION whole FOR TABLES IN SCHEMA app`},
	{15, `CREATE TABLE public.once (a int UNIQUE NULLS NOT DISTINCT)`},
	{17, `GRANT MAINTAIN ON public.parent TO :other`},
	{17, `GRANT ALL ON public.answers TO :other; REVOKE INSERT ON public.answers FROM :other`},
	{18, `CREATE TABLE public.weak (a int, b int, CONSTRAINT b_there NOT NULL a NOT VALID, CONSTRAINT hoped CHECK (b > 0) NOT ENFORCED)`},
	{18, `ALTER TABLE public.parent ADD CONSTRAINT body_there NOT NULL body NOT VALID`},
	{18, `CREATE TABLE public.virtual (a int, b int GENERATED ALWAYS AS (a * 2))`},
}

// rolesOf puts the names of the database's two roles into SQL. They tell where they come from: roles belong to a
// server, and some of these go to a second one.
func rolesOf(major int, db string) *strings.Replacer {
	of := fmt.Sprintf(" of %d.%s\"", major, db)
	return strings.NewReplacer(":role", `"role`+of, ":other", `"other`+of)
}

// original fills a database with one of everything.
func original(t *testing.T, s *testkit.Server, major int) string {
	t.Helper()
	db := s.Database(t)
	roles := rolesOf(major, db)
	t.Cleanup(func() {
		for _, r := range []string{":role", ":other"} {
			s.Exec(t, "postgres", roles.Replace("DROP ROLE IF EXISTS "+r))
		}
	})
	t.Cleanup(func() { s.Drop(t, db) })
	s.Exec(t, db, roles.Replace(objects))
	for _, n := range newer {
		if major >= n.since {
			s.Exec(t, db, roles.Replace(n.sql))
		}
	}
	return db
}

// copied is a database made by pg_dump of the one server and pg_restore of the other.
func copied(t *testing.T, from *testkit.Server, db string, to *testkit.Server) string {
	t.Helper()
	copy := to.Database(t)
	t.Cleanup(func() { to.Drop(t, copy) })
	file := filepath.Join(t.TempDir(), "dump")
	for _, argv := range [][]string{
		{filepath.Join(from.BinDir, "pg_dump"), "--format=custom", "--file=" + file, "--dbname=" + from.URL(db)},
		{filepath.Join(to.BinDir, "pg_restore"), "--dbname=" + to.URL(copy), file},
	} {
		// Of its warnings, and of the schema that is there already, the comparison knows more than the exit status.
		_, err := process.Output(t.Context(), process.Command{Path: argv[0], Args: argv[1:], Env: process.BaseEnv()})
		var tool *cofre.ToolError
		if err != nil && !(errors.As(err, &tool) && strings.Contains(tool.Stderr, "errors ignored")) {
			t.Fatal(err)
		}
	}
	return copy
}

func read(t *testing.T, s *testkit.Server, db string) []byte {
	t.Helper()
	conn := s.Conn(t, db)
	if _, err := conn.Exec(t.Context(), "SET search_path = ''"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := fingerprint.Write(t.Context(), conn, &b); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close(context.Background())
	return b.Bytes()
}

func compare(t *testing.T, want, got []byte, o fingerprint.Options) ([]fingerprint.Difference, *fingerprint.Result) {
	t.Helper()
	var all []fingerprint.Difference
	r, err := fingerprint.Compare(bytes.NewReader(want), bytes.NewReader(got), o, func(d fingerprint.Difference) error {
		all = append(all, d)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, r
}

func namesOf(all []fingerprint.Difference) []string {
	var names []string
	for _, d := range all {
		names = append(names, d.Name)
	}
	return names
}

// A copy that stock tools made is equal, except for the column that was added to the parent of an inheritance.
func TestACopyIsEqual(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := original(t, s, major)
		want := read(t, s, db)
		all, r := compare(t, want, read(t, s, copied(t, s, db, s)), fingerprint.Options{})
		for _, d := range all {
			if d.Lost.IsZero() {
				t.Errorf("%s", d)
			}
		}
		// What pg_dump of each major is known to lose, and nothing else.
		lost := []string{"table public.child: order of columns", "privileges on language sql"}
		if major < 15 {
			lost = append(lost, "comment on schema public: text")
		}
		if names := namesOf(all); !slices.Equal(slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(lost))) {
			t.Errorf("differences of %q, where %q were to be expected", names, lost)
		}
		empty := map[string]bool{}
		for _, k := range r.Kinds {
			if k.Want == 0 {
				empty[k.Kind] = true
			}
		}
		for _, k := range []string{"schemas", "columns", "constraints", "indexes", "triggers", "rules", "row-level security policies", "comments", "default privileges", "large objects", "casts", "user mappings", "event triggers", "published tables", "changed privileges (pg_proc)", "changed privileges (pg_class)"} {
			if empty[k] {
				t.Errorf("no %s were compared", k)
			}
		}
		for _, secret := range []string{"first", "second", "third", "fourth"} {
			if bytes.Contains(want, []byte("password="+secret)) || bytes.Contains(want, []byte("secret="+secret)) || bytes.Contains(want, []byte("'"+secret)) {
				t.Errorf("an option's value %q is in the fingerprint", secret)
			}
		}
	})
}

// What was dumped from one major and restored to a newer one is equal as far as both can say.
func TestACopyOnANewerMajorIsEqual(t *testing.T) {
	t.Parallel()
	majors := testkit.Majors()
	if len(majors) < 2 {
		testkit.Missing(t, "postgres", "two majors of PostgreSQL")
	}
	newest := majors[len(majors)-1]
	for _, major := range majors[:len(majors)-1] {
		t.Run(fmt.Sprint(major), func(t *testing.T) {
			t.Parallel()
			s, to := testkit.Postgres(t, major), testkit.Postgres(t, newest)
			db := original(t, s, major)
			roles := rolesOf(major, db)
			to.Exec(t, "postgres", roles.Replace(`CREATE ROLE :role; CREATE ROLE :other`))
			t.Cleanup(func() { to.Exec(t, "postgres", roles.Replace(`DROP ROLE :role; DROP ROLE :other`)) })
			all, r := compare(t, read(t, s, db), read(t, to, copied(t, s, db, to)), fingerprint.Options{})
			for _, d := range all {
				if d.Lost.IsZero() {
					t.Errorf("%s", d)
				}
			}
			if r.Between != [2]int{major, newest} {
				t.Errorf("compared between %v", r.Between)
			}
		})
	}
}

// TestEachDifferenceIsNamed spoils a copy, one thing after the other.
func TestEachDifferenceIsNamed(t *testing.T) {
	t.Parallel()
	for _, major := range oldestAndNewest() {
		s := testkit.Postgres(t, major)
		db := original(t, s, major)
		roles := rolesOf(major, db)
		want, conn := read(t, s, db), s.Conn(t, db)
		if _, err := conn.Exec(t.Context(), "SET search_path = ''"); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct{ sql, name string }{
			{`ALTER TABLE public.answers DISABLE ROW LEVEL SECURITY`, "table public.answers: row-level security"},
			{`ALTER TABLE public.answers NO FORCE ROW LEVEL SECURITY`, "table public.answers: forced row-level security"},
			{`DROP POLICY own ON public.answers`, "policy own on public.answers"},
			{`ALTER POLICY "all of it" ON public.answers USING (false)`, `policy "all of it" on public.answers: using`},
			{`ALTER POLICY own ON public.answers TO :role`, "policy own on public.answers: roles"},
			{`GRANT SELECT ON public.parent TO PUBLIC`, "table public.parent: privileges"},
			{`REVOKE GRANT OPTION FOR SELECT ON public.answers FROM :role`, "table public.answers: privileges"},
			{`REVOKE UPDATE (mood) ON public.answers FROM :other`, "column public.answers.mood: privileges"},
			{`ALTER TABLE public.parent OWNER TO :role`, "table public.parent: owner"},
			{`ALTER TABLE public.answers ENABLE TRIGGER off`, "trigger off on public.answers: enabled"},
			{`DROP TRIGGER audit ON public.answers`, "trigger audit on public.answers"},
			{`DROP INDEX public.parts_d`, "index public.parts_d"},
			{`ALTER TABLE public.parent VALIDATE CONSTRAINT few`, "constraint few on public.parent: validated"},
			{`ALTER TABLE public.answers DROP CONSTRAINT answers_parent_fkey`, "constraint answers_parent_fkey on public.answers"},
			{`ALTER TABLE public.answers ALTER at SET NOT NULL`, "column public.answers.at: not null"},
			{`ALTER TABLE public.answers ALTER mood SET DEFAULT 'happy'`, "column public.answers.mood: default"},
			{`ALTER TABLE public.answers ALTER body SET STATISTICS 10`, "column public.answers.body: statistics target"},
			{`ALTER SEQUENCE public.answers_id_seq INCREMENT 7`, "sequence public.answers_id_seq (parameters): range"},
			{`CREATE OR REPLACE FUNCTION app.logged() RETURNS trigger LANGUAGE plpgsql SET search_path = app, pg_temp AS $$ BEGIN RETURN NULL; END $$`, "function app.logged(): properties"},
			{`GRANT EXECUTE ON FUNCTION app.add(int, int, int[]) TO PUBLIC`, "function app.add(integer,integer,integer[]): privileges"},
			{`GRANT EXECUTE ON FUNCTION app.digest(text, text) TO PUBLIC`, "privileges on function app.digest(pg_catalog.text,pg_catalog.text): privileges"},
			{`REVOKE SELECT ON pg_catalog.pg_largeobject FROM :role`, "privileges on table pg_catalog.pg_largeobject"},
			{`CREATE OR REPLACE VIEW public.happy WITH (security_barrier) AS SELECT p.id, count(a.id) AS answers FROM public.parent p JOIN public.answers a ON a.parent = p.id GROUP BY p.id`, "view public.happy: definition"},
			{`REFRESH MATERIALIZED VIEW public.never`, "materialized view public.never: populated"},
			{`COMMENT ON POLICY own ON public.answers IS NULL`, "comment on policy own on public.answers"},
			{`ALTER DEFAULT PRIVILEGES FOR ROLE :role IN SCHEMA app REVOKE SELECT ON TABLES FROM :other`, roles.Replace(`default privileges of :role on tables in schema app`)},
			{`ALTER SERVER away OPTIONS (SET password 'another')`, "server away: hash of its options"},
			{`DROP USER MAPPING FOR :role SERVER away`, roles.Replace(`user mapping for :role on server away`)},
			{`ALTER EVENT TRIGGER ddl ENABLE`, "event trigger ddl: enabled"},
			{`ALTER PUBLICATION part DROP TABLE public.answers`, "publication part of table public.answers"},
			{`ALTER LARGE OBJECT 1002 OWNER TO :other`, "large object 1002: owner"},
			{`ALTER TYPE app.mood RENAME VALUE 'so so' TO 'la la'`, "type app.mood: labels"},
			{`CREATE TABLE public.more (id int)`, "table public.more"},
			{`DROP EXTENSION pgcrypto`, "extension pgcrypto"},
		} {
			all, _ := compare(t, want, spoilt(t, conn, roles.Replace(test.sql)), fingerprint.Options{})
			if !slices.ContainsFunc(all, func(d fingerprint.Difference) bool { return d.Name == test.name && d.Lost.IsZero() }) {
				t.Errorf("%s: %v, without %s", test.sql, all, test.name)
			}
		}
	}
}

func oldestAndNewest() []int {
	majors := testkit.Majors()
	if len(majors) < 2 {
		return []int{testkit.DefaultMajor}
	}
	return []int{majors[0], majors[len(majors)-1]}
}

// spoilt reads the fingerprint inside a transaction that changes something, and takes that back.
func spoilt(t *testing.T, conn *pgx.Conn, sql string) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, step := range []func() error{
		func() error { _, err := conn.Exec(t.Context(), "BEGIN"); return err },
		func() error { _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); return err },
		func() error { return fingerprint.Write(t.Context(), conn, &b) },
		func() error { _, err := conn.Exec(t.Context(), "ROLLBACK"); return err },
	} {
		if err := step(); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	return b.Bytes()
}

func TestWhatIsLeftOutIsNoDifference(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := original(t, s, testkit.DefaultMajor)
	want := read(t, s, db)
	s.Exec(t, db, rolesOf(testkit.DefaultMajor, db).Replace(`ALTER TABLE public.parent OWNER TO :role; REVOKE ALL ON public.answers FROM :other; SELECT lo_unlink(1001)`))
	got := read(t, s, db)
	all, _ := compare(t, want, got, fingerprint.Options{NoOwner: true, NoPrivileges: true, NoData: true})
	if len(all) != 0 {
		t.Errorf("%v", all)
	}
	if all, _ := compare(t, want, got, fingerprint.Options{}); len(all) < 4 {
		t.Errorf("%v", all)
	}
}

// A fingerprint that was cut or is of another kind is said to be damaged, wherever it was cut.
func TestDamageIsCorrupt(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	whole := read(t, s, original(t, s, testkit.DefaultMajor))
	damaged := map[string][]byte{"empty": nil, "another file": []byte("PGDMP\n\\.\n"), "swapped": bytes.Replace(whole, []byte("\nschema app"), []byte("\nschema zzz"), 1)}
	for at := 1; at < len(whole); at += len(whole) / 50 {
		damaged[fmt.Sprint("cut at ", at)] = whole[:at]
	}
	for name, b := range damaged {
		_, err := fingerprint.Compare(bytes.NewReader(b), bytes.NewReader(whole), fingerprint.Options{}, func(fingerprint.Difference) error { return nil })
		if !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
