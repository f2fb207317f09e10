package restoring_test

import (
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

// Databases whose encoding has no way to UTF-8, with names and rows of which no byte is ASCII, and with one role named so.
const namedInBytes = "CREATE TABLE \"A\xe7\xe3o\" (\"\xe9\" serial PRIMARY KEY, t text); INSERT INTO \"A\xe7\xe3o\" (t) VALUES (E'\\\\347\\\\377\\\\200'), ('\xfc');" + `
CREATE TABLE "%cofre:x" (i int); ` +
	"COMMENT ON TABLE \"A\xe7\xe3o\" IS 'ma\xe7\xe3'; CREATE TYPE \"esp\xe9cie\" AS ENUM ('\xe9'); CREATE SCHEMA \"esquem\xe3\"; CREATE TABLE \"esquem\xe3\".\"\xff\xfe\" (e public.\"esp\xe9cie\");" +
	"INSERT INTO \"esquem\xe3\".\"\xff\xfe\" VALUES ('\xe9'); ALTER TABLE \"A\xe7\xe3o\" ENABLE ROW LEVEL SECURITY; CREATE ROLE \"Jos\xe9\"; GRANT SELECT ON \"A\xe7\xe3o\" TO \"Jos\xe9\";" +
	"CREATE POLICY \"pol\xedtica\" ON \"A\xe7\xe3o\" TO \"Jos\xe9\" USING (t <> '\xe3'); ALTER TABLE \"esquem\xe3\".\"\xff\xfe\" OWNER TO \"Jos\xe9\"; SELECT setval('\"A\xe7\xe3o_\xe9_seq\"', 42)"

func TestRestoreOfNamesInBytes(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major, testkit.Own())
		s.Exec(t, "postgres", "CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
		s.Exec(t, "bytes", "SET client_encoding = 'SQL_ASCII'; "+namedInBytes)
		s.Exec(t, "bytes", "ALTER DATABASE bytes OWNER TO \"Jos\xe9\"; GRANT CREATE ON DATABASE bytes TO \"Jos\xe9\"; ALTER ROLE \"Jos\xe9\" IN DATABASE bytes SET search_path = \"esquem\xe3\"; COMMENT ON DATABASE bytes IS 'maç\xe3'")
		o := logicaltest.Options(s, "bytes_again")
		o.Check = restoring.CheckChecksum
		c := logicaltest.CaptureOf(t, s, "bytes", dump.Options{})
		_, _, outcome := logicaltest.MustRestore(t, s, c, o)
		for name, rows := range map[string]int64{"\"A\xe7\xe3o\"": 2, "\"esquem\xe3\".\"\xff\xfe\"": 1, `"%cofre:x"`: 0} {
			out, err := logicaltest.RestoreTable(t.Context(), c.Tree, rescue.TableOptions{Server: s.Config(outcome.Restored), Table: name, ToSchema: "rescue"})
			if err != nil || out.Rows != rows {
				t.Errorf("table %q: %+v, %v", name, out, err)
			}
		}
		s.Exec(t, outcome.Restored, "DROP SCHEMA rescue CASCADE")
		if want, got := s.Dump(t, "bytes"), s.Dump(t, outcome.Restored); got != want {
			t.Errorf("%s", logicaltest.LineDiff(want, got))
		}
	})
}

// The same name in databases of several encodings, of one server whose other databases are in UTF-8: what the server keeps of
// the role are the bytes that it was made with.
func TestRestoreOfARoleNamedInTheEncoding(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0, testkit.Own())
	// And one role whose name is no text in any of them but the first.
	s.Exec(t, "postgres", "CREATE DATABASE anything TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
	s.Exec(t, "anything", "SET client_encoding = 'SQL_ASCII'; CREATE ROLE \"\x81\xff\" CREATEDB")
	for encoding, name := range map[string]string{"LATIN1": "Jos\xe9", "MULE_INTERNAL": "Jos\x81\xe9", "EUC_JP": "\xc6\xfc\xcb\xdc", "EUC_JIS_2004": "\xc6\xfc\xcb\xdc\xa1\xbc", "EUC_TW": "\xe5\xed\xc5\xfe", "WIN1251": "\xc8\xe2\xe0\xed"} {
		t.Run(encoding, func(t *testing.T) {
			database := "in_" + strings.ToLower(encoding)
			s.Exec(t, "postgres", "CREATE DATABASE "+database+" TEMPLATE template0 ENCODING '"+encoding+"' LC_COLLATE 'C' LC_CTYPE 'C'")
			sql := `SET client_encoding = 'ENC'; CREATE ROLE "NAME"; ALTER DATABASE ` + database + ` OWNER TO "NAME"; CREATE TABLE "NAME" ("NAME" text PRIMARY KEY);
INSERT INTO "NAME" VALUES ('NAME'), ('a'); ALTER TABLE "NAME" OWNER TO "NAME"; COMMENT ON DATABASE ` + database + ` IS 'NAME'`
			s.Exec(t, database, strings.NewReplacer("ENC", encoding, "NAME", name).Replace(sql))
			c := logicaltest.CaptureOf(t, s, database, dump.Options{RolePasswords: true})
			want := s.Dump(t, database, "--create")
			s.Exec(t, "postgres", "DROP DATABASE "+database)
			s.Exec(t, "template1", "DO $$ DECLARE r name; BEGIN FOR r IN SELECT rolname FROM pg_roles WHERE rolname !~ '^pg_' AND NOT rolsuper AND NOT rolcreatedb LOOP EXECUTE format('DROP ROLE %I', r); END LOOP; END $$")
			o := logicaltest.Options(s, database)
			o.Roles, o.Check = true, restoring.CheckChecksum
			logicaltest.MustRestore(t, s, c, o)
			if got := s.Dump(t, database, "--create"); got != want {
				t.Errorf("%s", logicaltest.LineDiff(want, got))
			}
		})
	}
}

// What whoever starts us has set for clients of theirs is nothing to a capture.
func TestCaptureWithAnEncodingOfTheEnvironment(t *testing.T) {
	s := testkit.Postgres(t, 0)
	s.Exec(t, "postgres", "CREATE DATABASE environment TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
	t.Cleanup(func() { s.Drop(t, "environment") })
	s.Exec(t, "environment", `CREATE TABLE "ação" (t text); INSERT INTO "ação" VALUES ('ü')`)
	want := s.Dump(t, "environment")
	for _, client := range []string{"GBK", "SJIS", "LATIN1"} {
		t.Setenv("PGCLIENTENCODING", client)
		_, _, outcome := logicaltest.MustRestore(t, s, logicaltest.CaptureOf(t, s, "environment", dump.Options{}), logicaltest.Options(s, "environment_"+strings.ToLower(client)))
		if got := s.Dump(t, outcome.Restored); got != want {
			t.Errorf("%s: %s", client, logicaltest.LineDiff(want, got))
		}
	}
}
