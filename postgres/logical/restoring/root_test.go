package restoring_test

import (
	"testing"

	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

// The hash of an enum is that of a number which differs from database to database: pg_dump has such rows loaded
// through the root, which cannot be copied from.
func TestATablePartitionedByTheHashOfAnEnum(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, func(t *testing.T, major int) {
		s := testkit.Postgres(t, major)
		db := s.Database(t)
		s.Exec(t, db, `
CREATE TYPE public.color AS ENUM ('red', 'green', 'blue', 'black', 'white');
CREATE TABLE public.paints (c public.color, n int) PARTITION BY HASH (c);
CREATE TABLE public.paints_0 PARTITION OF public.paints FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE public.paints_1 PARTITION OF public.paints FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO public.paints SELECT (enum_range(NULL::public.color))[1 + i % 5], i FROM generate_series(1, 1000) i;`)
		c := logicaltest.CaptureOf(t, s, db, dump.Options{})
		o := logicaltest.Options(s, db+"_back")
		o.Check = restoring.CheckChecksum
		_, proof, outcome := logicaltest.MustRestore(t, s, c, o)
		const rows = `SELECT count(*), sum(n), md5(string_agg(c || ' ' || n, ',' ORDER BY n)) FROM public.paints`
		if want, got := s.Query(t, db, rows), s.Query(t, outcome.Restored, rows); got != want {
			t.Errorf("%s, not %s", got, want)
		}
		if proof.Checks[0].Got != "1000" {
			t.Errorf("%+v", proof.Checks)
		}
	})
}
