package recovering

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
)

// relationFile is a file of a relation, as its path says.
type relationFile struct {
	database, space, node uint32
}

// fileOf reads base/5/16384.1, global/1262_fsm and pg_tblspc/16385/PG_15_202209061/5/16386.
//
// Source: PostgreSQL, src/common/relpath.c, GetRelationPath.
func fileOf(path string) (f relationFile, ok bool) {
	parts := strings.Split(path, "/")
	number := func(s string) uint32 {
		s, _, _ = strings.Cut(s, ".")
		s, _, _ = strings.Cut(s, "_")
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return 0
		}
		return uint32(n)
	}
	switch {
	case len(parts) == 2 && parts[0] == "global":
		f = relationFile{0, 1664, number(parts[1])}
	case len(parts) == 3 && parts[0] == "base":
		f = relationFile{number(parts[1]), 0, number(parts[2])}
	case len(parts) == 5 && parts[0] == "pg_tblspc":
		f = relationFile{number(parts[3]), number(parts[1]), number(parts[4])}
	}
	return f, f.node != 0
}

// Relations says what the relations are whose files these are, by path: table public.answers of database trustlayer. A recovered cluster
// that has lost pages may not know all of them.
func (r *Result) Relations(ctx context.Context, superuser string, paths []string) map[string]cofre.Message {
	names := map[string]cofre.Message{}
	if r.Server == nil {
		return names
	}
	open := map[uint32]*pgx.Conn{}
	defer func() {
		for _, c := range open {
			if c != nil {
				_ = c.Close(ctx)
			}
		}
	}()
	connect := func(database string) *pgx.Conn {
		to := r.Server.Config(database)
		to.User = superuser
		c, err := postgres.Connect(ctx, to)
		if err != nil {
			return nil
		}
		return c
	}
	open[0] = connect("template1")
	for _, path := range paths {
		f, ok := fileOf(path)
		if !ok || open[0] == nil {
			continue
		}
		database := "template1"
		if f.database != 0 {
			if err := open[0].QueryRow(ctx, "SELECT datname FROM pg_catalog.pg_database WHERE oid = $1 AND datallowconn", f.database).Scan(&database); err != nil {
				continue
			}
			if _, tried := open[f.database]; !tried {
				open[f.database] = connect(database)
			}
		}
		if c := open[f.database]; c != nil {
			if name, err := nameOf(ctx, c, f, database); err == nil {
				names[path] = name
			}
		}
	}
	return names
}

func nameOf(ctx context.Context, c *pgx.Conn, f relationFile, database string) (cofre.Message, error) {
	var kind, name string
	var of *string
	err := c.QueryRow(ctx, `SELECT c.relkind::text, c.oid::regclass::text, (SELECT t.oid::regclass::text FROM pg_catalog.pg_class t WHERE t.reltoastrelid = c.oid OR t.oid = i.indrelid)
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid WHERE c.oid = pg_catalog.pg_filenode_relation($1, $2)`, f.space, f.node).Scan(&kind, &name, &of)
	if err != nil {
		return cofre.Message{}, err
	}
	switch {
	case kind == "i" && of != nil:
		return cofre.Say("recovered.index", "index {{.name}} of {{.table}}, database {{.database}}", "name", name, "table", *of, "database", database), nil
	case kind == "t" && of != nil:
		return cofre.Say("recovered.long_values", "long values of {{.table}}, database {{.database}}", "table", *of, "database", database), nil
	}
	return cofre.Say("recovered.relation", "{{.name}}, database {{.database}}", "name", name, "database", database), nil
}
