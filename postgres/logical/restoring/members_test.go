package restoring_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	flow "github.com/trustlayer/cofre/restore"
)

// The state of an extension's sequence comes back where the extension asked for it, and a table that was added to the extension by
// hand is lost by name, with what the dump holds of it alone: pg_restore passes over the same.
func TestWhatAnExtensionKeepsInADump(t *testing.T) {
	t.Parallel()
	const major = 18 // from which on a server finds extensions in other places
	if !slices.Contains(testkit.Majors(), major) {
		t.Skip("no PostgreSQL 18 is here")
	}
	dir, err := os.MkdirTemp("/tmp", "cofre-extension-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, "extension"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil { // the server is another user
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"counted.control": "default_version = '1.0'\n",
		"counted--1.0.sql": "CREATE SEQUENCE public.counted_seq; SELECT pg_catalog.pg_extension_config_dump('public.counted_seq', '');\n" +
			"CREATE SEQUENCE public.own_seq;\n" +
			"CREATE TABLE public.rules (id int, ours bool DEFAULT false); INSERT INTO public.rules VALUES (1, true); SELECT pg_catalog.pg_extension_config_dump('public.rules', 'WHERE NOT ours');\n" +
			"CREATE TABLE public.untold (id int); INSERT INTO public.untold VALUES (1); SELECT pg_catalog.pg_extension_config_dump('public.untold', '');\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "extension", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s := testkit.Postgres(t, major, testkit.Conf("extension_control_path = '"+dir+":$system'"))
	database := s.Database(t)
	s.Exec(t, database, `CREATE EXTENSION counted; SELECT setval('counted_seq', 4711), setval('own_seq', 5);
INSERT INTO rules VALUES (2), (3); DELETE FROM untold`)
	restore := func() (*flow.Result, error) {
		return run(t, logicaltest.CaptureOf(t, s, database, dump.Options{}), logicaltest.Options(s, database+"_copy"))
	}
	res, err := restore()
	if !errors.Is(err, cofre.ErrPartial) {
		t.Fatalf("%v %s", err, cofre.Hint(err))
	}
	// What the extension does not tell from its own is compared, and is there twice.
	if differ := res.Proof.Accepted(); len(differ) != 2 || differ[0].What != `rows of "public"."untold"` || differ[0].Got != "1" || differ[1].What != `checksum of "public"."untold"` {
		t.Errorf("%+v", differ)
	}
	s.Exec(t, database, "INSERT INTO untold VALUES (2)")
	if got := s.Query(t, database+"_copy", `SELECT count(*), sum(id) FROM rules`); got != "3|6" {
		t.Errorf("rows of the extension and of its users: %s", got)
	}
	if got := s.Query(t, database+"_copy", `SELECT (SELECT last_value FROM counted_seq), (SELECT last_value FROM own_seq)`); got != "4711|1" {
		t.Error(got)
	}
	s.Drop(t, database+"_copy")

	s.Exec(t, database, `CREATE ROLE counted_reader`)
	s.Exec(t, database, `CREATE TABLE "Added" (id int, secret text); GRANT SELECT ON "Added" TO counted_reader; ALTER EXTENSION counted ADD TABLE "Added";
REVOKE SELECT ON "Added" FROM counted_reader; GRANT INSERT (id) ON "Added" TO counted_reader; ALTER TABLE "Added" ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON "Added" USING (id > 0)`)
	res, err = restore()
	if !errors.Is(err, cofre.ErrPartial) {
		t.Fatalf("%v %s", err, cofre.Hint(err))
	}
	var said []string
	for _, d := range res.Proof.Accepted() {
		said = append(said, d.What)
		if !strings.Contains(d.What, "Added") && !strings.Contains(d.What, "untold") && !strings.HasPrefix(d.What, "extension counted") {
			t.Errorf("%+v", d)
		}
	}
	if !slices.Contains(said, `table public."Added" of extension counted`) {
		t.Errorf("%q", said)
	}
	s.Drop(t, database+"_copy")
}
