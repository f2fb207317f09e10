package export_test

import (
	"bytes"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/export"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

// Rows alone load in the order that they are written in, under the foreign keys that are there.
func TestExportedRowsLoadUnderForeignKeys(t *testing.T) {
	t.Parallel()
	for name, circle := range map[string]string{
		"in an order": "",
		"in a circle": `ALTER TABLE public.z_first ADD FOREIGN KEY (id) REFERENCES public.a_last (id);`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.Postgres(t, 0)
			const definitions = `
CREATE TABLE public.a_last (id int PRIMARY KEY, boss int REFERENCES public.a_last, m int, d date);
CREATE TABLE public.m_middle (id int, d date, PRIMARY KEY (id, d), z int) PARTITION BY RANGE (d);
CREATE TABLE public.b_part PARTITION OF public.m_middle DEFAULT;
CREATE TABLE public.z_first (id int PRIMARY KEY);
CREATE UNIQUE INDEX z_other ON public.z_first (id);
ALTER TABLE public.a_last ADD FOREIGN KEY (m, d) REFERENCES public.m_middle;
ALTER TABLE public.m_middle ADD FOREIGN KEY (z) REFERENCES public.z_first (id);`
			from, to := s.Database(t), s.Database(t)
			s.Exec(t, from, definitions+`
INSERT INTO public.z_first SELECT generate_series(1, 9);
INSERT INTO public.m_middle SELECT i, '2026-01-01', i FROM generate_series(1, 9) i;
INSERT INTO public.a_last SELECT i, 10 - i, i, '2026-01-01' FROM generate_series(1, 9) i;`+circle)
			s.Exec(t, to, definitions+circle)
			c := logicaltest.CaptureOf(t, s, from, dump.Options{})
			var b bytes.Buffer
			if err := export.SQL(t.Context(), c.Tree, logical.Filter{DataOnly: true}, &b, cofre.Discard); err != nil {
				t.Fatal(err)
			}
			if _, err := process.Output(t.Context(), process.Command{
				Path: testkit.Binary(t, testkit.DefaultMajor, "psql"), Env: process.BaseEnv(), Stdin: &b,
				Args: []string{"--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname=" + s.URL(to)},
			}); err != nil {
				t.Fatal(err)
			}
			if n := s.Query(t, to, `SELECT (SELECT count(*) FROM public.a_last), (SELECT count(*) FROM public.m_middle), (SELECT count(*) FROM public.z_first)`); n != "9|9|9" {
				t.Errorf("%s rows", n)
			}
		})
	}
}
