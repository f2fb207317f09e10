package restoring_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

// The owner of a database is no superuser, and is the one member of pg_database_owner there, which owns schema public.
func TestRestoreByTheOwnerOfTheDatabase(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		if major < 15 {
			return // schema public belongs to whoever made the cluster
		}
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		role := db + "_owner"
		s.Exec(t, "postgres", `CREATE ROLE "`+role+`" LOGIN CREATEDB; ALTER DATABASE "`+db+`" OWNER TO "`+role+`"`)
		t.Cleanup(func() {
			s.Drop(t, db+"_back")
			s.Drop(t, db)
			s.Exec(t, "postgres", `DROP ROLE "`+role+`"`)
		})
		u, err := url.Parse(s.URL(db))
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.User(role)
		s.Exec(t, db, `SET SESSION AUTHORIZATION "`+role+`"; GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE TABLE public.t (id int); INSERT INTO public.t VALUES (1); CREATE PUBLICATION p FOR TABLE public.t`)
		c := logicaltest.CaptureFrom(t, postgres.Config{URL: u.String()}, dump.Options{})
		o := logicaltest.Options(s, db+"_back")
		o.Server = postgres.Config{URL: u.String()}.With("postgres")
		plan, proof, _, err := logicaltest.Restore(t, c, o)
		if err != nil {
			t.Fatalf("%v: %+v, %+v", err, plan, proof)
		}
		if got := s.Query(t, db+"_back", `SELECT (SELECT count(*) FROM public.t), (SELECT count(*) FROM pg_publication_tables), pg_catalog.has_schema_privilege('public', 'public', 'CREATE')`); got != "1|1|t" {
			t.Error(got)
		}
	})
}

// The locale of a database is not one of the encoding of the database from which it is asked for.
func TestRestoreOfALocaleInAnotherEncoding(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	var locale string
	for _, name := range []string{"pt_BR.ISO-8859-1", "en_US.ISO-8859-1", "de_DE.ISO-8859-1"} {
		if s.Query(t, "postgres", `SELECT count(*) FROM pg_collation WHERE collcollate = '`+name+`' OR collcollate = '`+strings.ReplaceAll(name, "ISO-8859-1", "iso88591")+`'`) != "0" {
			locale = name
		}
	}
	if locale == "" {
		t.Skip("the machine has no locale in LATIN1: localedef -i pt_BR -f ISO-8859-1 pt_BR.ISO-8859-1")
	}
	name := db + "_latin"
	s.Exec(t, "postgres", `CREATE DATABASE "`+name+`" TEMPLATE template0 ENCODING LATIN1 LOCALE '`+locale+`'`)
	t.Cleanup(func() { s.Drop(t, name); s.Drop(t, name+"_back") })
	s.Exec(t, name, `CREATE TABLE public."preço" (id int); INSERT INTO public."preço" VALUES (1)`)
	if _, proof, _, err := logicaltest.Restore(t, logicaltest.CaptureOf(t, s, name, dump.Options{}), logicaltest.Options(s, name+"_back")); err != nil {
		t.Errorf("%v: %+v", err, proof)
	}
}
