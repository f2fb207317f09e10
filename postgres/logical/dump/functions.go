package dump

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre/postgres/logical"
)

// run are the functions of the database's own, and not of an extension, that a restore calls: of stored expressions, and of operator classes
// of its own under an index. Functions that these call are not found: nobody can tell what the text of one does.
const run = used + `
, own(oid) AS (
	SELECT p.oid FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
	WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND NOT EXISTS (
		SELECT FROM pg_catalog.pg_depend e WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid AND e.deptype = 'e')
), supporting(proc, family) AS (
	SELECT a.amproc::pg_catalog.oid, a.amprocfamily FROM pg_catalog.pg_amproc a JOIN own ON own.oid = a.amproc::pg_catalog.oid
	UNION
	SELECT o.oprcode::pg_catalog.oid, a.amopfamily FROM pg_catalog.pg_amop a JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr JOIN own ON own.oid = o.oprcode::pg_catalog.oid
), called(proc, name) AS (
	SELECT u.proc, u.name FROM used u JOIN own ON own.oid = u.proc
	UNION
	SELECT s.proc, i.type || ' ' || i.identity FROM supporting s JOIN pg_catalog.pg_opclass k ON k.opcfamily = s.family
	JOIN pg_catalog.pg_index x ON k.oid = ANY (x.indclass)
	CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_class'::pg_catalog.regclass, x.indexrelid, 0) i
)
SELECT i.identity, (pg_catalog.array_agg(DISTINCT c.name))[1:20], (SELECT p.prosecdef FROM pg_catalog.pg_proc p WHERE p.oid = c.proc)
FROM called c CROSS JOIN LATERAL pg_catalog.pg_identify_object('pg_catalog.pg_proc'::pg_catalog.regclass, c.proc, 0) i
WHERE c.name IS NOT NULL
GROUP BY c.proc, i.identity ORDER BY 1 LIMIT 1000`

// functionsRun reads them. No code of the database is run for it.
func functionsRun(ctx context.Context, conn *pgx.Conn) ([]logical.FunctionRun, error) {
	all, err := logical.Collect(ctx, conn, "the functions that a restore calls", run, func(r pgx.CollectableRow) (f logical.FunctionRun, err error) {
		return f, r.Scan(&f.Function, &f.Users, &f.AsOwner)
	})
	if all == nil && err == nil {
		all = []logical.FunctionRun{} // none, and not: unknown
	}
	return all, err
}
