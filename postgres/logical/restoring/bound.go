package restoring

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// insisting are the extensions that insist on one database of a server, by its name, and so are made in no staged one:
// the parameter that names the database, the schema that they make, and what in a difference's name is theirs.
var insisting = map[string]struct {
	parameter, schema string
	theirs            func() *regexp.Regexp
}{
	"pg_cron": {"cron.database_name", "cron", pattern.Lazy(`(^| )(extension pg_cron|schema cron|cron\.)|^default privileges of .* in schema cron$`)},
}

// leaveBound takes extensions that can only be made in another database out of the restore, with what is theirs, and
// says so. The last lines of the outcome tell whether they can be created when the copy has its name.
func (t *Target) leaveBound(ctx context.Context, conn *pgx.Conn, p *cofre.Plan) error {
	for _, e := range t.sel.Entries(pgarchive.SectionPreData) {
		b, ok := insisting[e.Tag]
		if e.Desc != "EXTENSION" || !ok {
			continue
		}
		var database *string
		if err := conn.QueryRow(ctx, "SELECT pg_catalog.current_setting($1, true)", b.parameter).Scan(&database); err != nil {
			return fmt.Errorf("read the parameter %s: %w", b.parameter, err)
		}
		t.sel.Leave(func(x *pgarchive.Entry) bool {
			return x == e || x.Namespace == b.schema || slices.Contains(x.Depends, e.DumpID) || x.Tag == "SCHEMA "+b.schema
		})
		t.without = append(t.without, e.Tag)
		if database == nil || *database == "" {
			p.Note(cofre.Say("database.extension_nowhere", "extension {{.name}} is left out, with its tables: this server does not preload it, and so it can be created in no database", "name", e.Tag))
			continue
		}
		p.Note(cofre.Say("database.extension_elsewhere", "extension {{.name}} is left out, with its tables: it can be created in database {{.database}} alone ({{.parameter}})", "name", e.Tag, "database", *database, "parameter", b.parameter))
		if *database == t.o.Name {
			t.afterwards = append(t.afterwards, cofre.Next{
				Do: cofre.DoFinish, Command: "CREATE EXTENSION " + e.Tag + ";",
				Said: cofre.Say("database.extension_now", "extension {{.name}} can be created now, in database {{.database}}: CREATE EXTENSION {{.name}};", "name", e.Tag, "database", t.o.Name),
			})
		}
	}
	return nil
}

// leftOutReason says why a difference is none of the copy's: it is of an extension that the plan left out.
func (t *Target) leftOutReason(name string) cofre.Message {
	for _, e := range t.without {
		if insisting[e].theirs().MatchString(strings.TrimPrefix(name, "comment on ")) {
			return cofre.Say("database.differs_extension", "extension {{.name}} insists on another database, and the plan left it out", "name", e)
		}
	}
	return cofre.Message{}
}
