package dump_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

// The login that an application uses owns nothing and is granted nothing: it is a member of who is.
func TestRolesBringWhoUsesTheDatabase(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0, testkit.Own())
	database, role := logicaltest.Original(t, s)
	s.Exec(t, "postgres", `CREATE ROLE authenticator LOGIN NOINHERIT; GRANT "`+role+`" TO authenticator; CREATE ROLE grandchild LOGIN; GRANT authenticator TO grandchild; CREATE ROLE stranger LOGIN; CREATE ROLE there; GRANT "`+role+`" TO there`)
	c := logicaltest.CaptureOf(t, s, database, dump.Options{})
	s.Exec(t, "postgres", `DROP ROLE authenticator, grandchild, stranger; REVOKE "`+role+`" FROM there`)

	o := logicaltest.Options(s, database+"_back")
	plan, _, _ := logicaltest.MustRestore(t, s, c, o)
	for _, want := range []string{"2 roles are missing", "authenticator, grandchild", `GRANT "` + role + `" TO "there"`} {
		if !slices.ContainsFunc(plan.Notes, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("no note of %q: %q", want, plan.Notes)
		}
	}
	o.Roles, o.Replace = true, true
	plan, _, _ = logicaltest.MustRestore(t, s, c, o)
	if !slices.ContainsFunc(plan.Notes, func(n string) bool { return strings.Contains(n, "stranger") }) {
		t.Errorf("stranger is not named: %q", plan.Notes)
	}
	if got := s.Query(t, "postgres", `SELECT rolcanlogin, rolinherit, pg_has_role('grandchild', '`+role+`', 'MEMBER'), (SELECT count(*) FROM pg_roles WHERE rolname = 'stranger') FROM pg_roles WHERE rolname = 'authenticator'`); got != "t|f|t|0" {
		t.Errorf("the login is %s", got)
	}
}
