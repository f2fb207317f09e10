package recovering

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
)

// Unusable is a database or tablespace of a recovered cluster that cannot be used, as in the original at that moment.
type Unusable struct {
	What string `json:"what"` // database "answers"
	Why  string `json:"why"`

	what, why cofre.Message
}

// unusable is what cannot be used, and why.
func unusable(o sharedObject, why cofre.Message) Unusable {
	what := cofre.Say("recovered.tablespace", `tablespace "{{.name}}"`, "name", o.name)
	if o.kind == "database" {
		what = cofre.Say("recovered.database", `database "{{.name}}"`, "name", o.name)
	}
	return Unusable{What: what.Text, Why: why.Text, what: what, why: why}
}

func (u Unusable) String() string { return u.Message().Text }

// Message says it to a person.
func (u Unusable) Message() cofre.Message {
	return cofre.Say("recovered.cannot_be_used", "{{.what}} cannot be used: {{.why}}", "what", u.what, "why", u.why)
}

// sharedObject is a database or tablespace, as a recovered server knows it.
type sharedObject struct {
	kind     string // database or tablespace
	oid      uint32
	name     string
	space    uint32 // in which a database lies
	invalid  bool   // a DROP DATABASE has marked it
	dropping uint32 // the transaction that is dropping it; 0 if none is
}

// defaultTablespace is pg_default, whose databases lie in base.
//
// Source: PostgreSQL, src/include/catalog/pg_tablespace.dat.
const defaultTablespace = 1663

// sharedObjects lists them; pg_default and pg_global, which have no directory of their own, are 1663 and 1664.
var sharedObjects = `
SELECT kind, oid, name, space, invalid, ` + physical.DroppedBy + `
FROM (SELECT *, (x - next % 4294967296 + 4294967296) % 4294967296 AS newer
      FROM (SELECT 'database' AS kind, oid, datname::text AS name, dattablespace AS space, datconnlimit = -2 AS invalid, xmax::text::bigint AS x FROM pg_catalog.pg_database
            UNION ALL
            SELECT 'tablespace', oid, spcname::text, 0, false, xmax::text::bigint FROM pg_catalog.pg_tablespace WHERE oid NOT IN (1663, 1664)) o,
           (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint AS next) s) o
ORDER BY kind, oid`

// usable asks a cluster that has reached its target whether its databases and tablespaces can be used. What the original
// could not use either at that moment is returned, to be said.
//
// Errors: *cofre.UnreachableError that names what the original had whole, or was dropping: the copy is then not the state
// that was asked for, and is not promoted.
func (r *recovering) usable(ctx context.Context, promoted bool) ([]Unusable, error) {
	conn, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, sharedObjects)
	if err != nil {
		return nil, fmt.Errorf("ask the recovered cluster for its databases: %w", err)
	}
	objects, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (o sharedObject, err error) {
		return o, row.Scan(&o.kind, &o.oid, &o.name, &o.space, &o.invalid, &o.dropping)
	})
	if err != nil {
		return nil, fmt.Errorf("ask the recovered cluster for its databases: %w", err)
	}
	version, err := spaceVersionOf(ctx, r.o.DataDir)
	if err != nil {
		return nil, err
	}
	asked := r.o.Recovery
	asked.Timeline = 0
	toEnd := asked == cofre.RecoveryTarget{} || asked.Immediate
	var told []Unusable
	var wrong []cofre.Message
	for _, o := range objects {
		lacks := o.lacks(r.o.DataDir, version)
		switch {
		case !o.invalid && lacks == "":
			continue
		case o.dropping != 0:
			u := unusable(o, cofre.Say("recovered.being_dropped", "transaction {{.xid}} was dropping it", "xid", fmt.Sprint(o.dropping)))
			if toEnd { // nothing better can be had
				told = append(told, u)
				continue
			}
			wrong = append(wrong, u.Message())
		case o.invalid:
			told = append(told, unusable(o, cofre.Say("recovered.drop_begun", "a DROP DATABASE of it had begun, and not ended")))
		default:
			wrong = append(wrong, unusable(o, cofre.Say("recovered.file_missing", "{{.path}} is missing", "path", lacks)).Message())
		}
	}
	if len(wrong) == 0 {
		return told, nil
	}
	return told, notUsable(r.o, cofre.Series(wrong...), promoted)
}

// lacks is what of the files is missing without which nobody can connect to a database, or use a tablespace.
func (o sharedObject) lacks(dataDir, version string) string {
	text := strconv.FormatUint(uint64(o.oid), 10)
	want := []string{filepath.Join("pg_tblspc", text, version)}
	if o.kind == "database" {
		dir := filepath.Join("base", text)
		if o.space != defaultTablespace {
			dir = filepath.Join("pg_tblspc", strconv.FormatUint(uint64(o.space), 10), version, text)
		}
		want = []string{filepath.Join(dir, "PG_VERSION"), filepath.Join(dir, "pg_filenode.map")}
	}
	for _, path := range want {
		if _, err := os.Stat(filepath.Join(dataDir, path)); errors.Is(err, fs.ErrNotExist) {
			return path
		}
	}
	return ""
}

// notUsable is the error of a recovery that ended where its plan does, in a state that is not to be had.
func notUsable(o Options, why cofre.Message, promoted bool) error {
	err := error(&cofre.UnreachableError{Target: o.Recovery.Message(), Why: cofre.Say("recover.in_the_copy", "in the copy, {{.why}}", "why", why)})
	how := cofre.Say("recover.carries_out", "carries out what was asked for at the target")
	if promoted {
		how = cofre.Say("recover.starts_it", "starts it")
	}
	return cofre.WithHint(err, cofre.Say("recover.unusable", "everything else in the copy is as it was, and {{.start}} {{.how}}; what cannot be used can then be dropped. To have it, ask for another moment, or begin with an older base backup: cofre restore cluster POINT; cofre list names them", "start", postgres.Ctl("start", o.DataDir), "how", how))
}

func spaceVersionOf(ctx context.Context, dir string) (string, error) {
	c, err := datadir.ReadControl(ctx, dir)
	if err != nil {
		return "", err
	}
	return datadir.SpaceVersion(c), nil
}
