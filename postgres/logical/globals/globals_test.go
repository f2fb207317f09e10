package globals

import (
	"slices"
	"testing"
)

func TestToCreate(t *testing.T) {
	const script = `--
-- PostgreSQL database cluster dump
--
\restrict abc
SET default_transaction_read_only = off;

CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER INHERIT NOCREATEROLE NOCREATEDB LOGIN NOREPLICATION NOBYPASSRLS PASSWORD 'SCRAM-SHA-256$4096:a;b''c==';
COMMENT ON ROLE app IS 'two; parts
CREATE ROLE intruder;';
CREATE ROLE "My ""Role""";
ALTER ROLE "My ""Role""" WITH NOLOGIN;
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER;
ALTER ROLE app SET search_path TO 'a', 'b;c';
CREATE TABLESPACE fast OWNER app LOCATION '/x';
GRANT "My ""Role""" TO app WITH ADMIN OPTION GRANTED BY postgres;
GRANT pg_read_all_data TO postgres GRANTED BY postgres;
CREATE ROLE authenticator;
CREATE ROLE reader;
CREATE ROLE stranger;
GRANT app TO authenticator;
GRANT pg_read_all_data TO reader;
`
	got, unknown, left := ToCreate(script, []string{"app", "gone"}, map[string]bool{"postgres": true, "pg_read_all_data": true})
	if !slices.Equal(unknown, []string{"gone"}) || !slices.Equal(Roles(got), []string{"app", `My "Role"`, "authenticator", "reader"}) || !slices.Equal(left, []string{"stranger"}) {
		t.Errorf("%q, unknown %q, left %q", Roles(got), unknown, left)
	}
	var verbs []string
	for _, s := range got {
		verbs = append(verbs, s.String())
	}
	want := []string{"create role app", "alter role app", "comment on role app", `create role My "Role"`, `alter role My "Role"`, "role setting app", `membership My "Role" to app`, "create role authenticator", "create role reader", "membership app to authenticator", "membership pg_read_all_data to reader"}
	if !slices.Equal(verbs, want) {
		t.Errorf("%q", verbs)
	}
	if last := got[6].SQL(); last != `GRANT "My ""Role""" TO app WITH ADMIN OPTION` {
		t.Error(last)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("CREATE ROLE a;\nALTER ROLE \"b\" WITH PASSWORD E'\\'';\nGRANT a TO b GRANTED BY c;")
	f.Fuzz(func(_ *testing.T, script string) { ToCreate(script, []string{"a"}, nil) })
}
