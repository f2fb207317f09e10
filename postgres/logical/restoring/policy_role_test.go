package restoring_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

// A policy that names a role that is missing: no flag leaves that out, and the hint has the statement that leads on. What is left
// out as asked for is said not to be compared.
func TestAPolicyOfAMissingRole(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	role := db + " leitor"
	s.Exec(t, db, `CREATE ROLE "`+role+`"; CREATE TABLE public.t (id int); ALTER TABLE public.t ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON public.t TO "`+role+`" USING (id > 0)`)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	s.Drop(t, db)
	s.Exec(t, "postgres", `DROP ROLE "`+role+`"`)
	o := logicaltest.Options(s, db)
	o.NoOwner, o.NoPrivileges = true, true
	plan, _, _, err := logicaltest.Restore(t, c, o)
	if !errors.Is(err, cofre.ErrPreflight) || len(plan.Problems) != 1 {
		t.Fatalf("%v, %+v", err, plan)
	}
	_, sql, ok := strings.Cut(plan.Problems[0].Hint, "in psql: ")
	if !ok {
		t.Fatalf("hint %s", plan.Problems[0].Hint)
	}
	s.Exec(t, "postgres", sql)
	t.Cleanup(func() { s.Drop(t, db); s.Exec(t, "postgres", `DROP ROLE "`+role+`"`) })
	_, proof, _, err := logicaltest.Restore(t, c, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, flag := range []string{"--no-owner", "--no-privileges"} {
		if !slices.ContainsFunc(proof.NotCompared, func(s string) bool { return strings.Contains(s, flag) }) {
			t.Errorf("not compared: %q", proof.NotCompared)
		}
	}
}
