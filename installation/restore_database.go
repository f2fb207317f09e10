package installation

import (
	"cmp"
	"context"
	"regexp"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

// Database is where a database is restored to, and how much of it. The zero value makes the captured database, under its own name,
// on the configured server, and counts its rows.
type Database struct {
	// RestoreOptions without Server is of the configured server. Jobs of 0 are the number of CPUs up to 4.
	restoring.Options
}

func (Database) kind() cofre.Kind { return cofre.KindDatabase }
func (Database) called() string   { return "database" }

func (Database) instead(_ context.Context, _ *Installation, from loss.Choice) (cofre.PointID, bool) {
	return newestWhole(from)
}

func (d Database) replaces(c cofre.Component) cofre.Message {
	if !d.Replace {
		return cofre.Message{}
	}
	return cofre.Say("replace.database", "replace database {{.database}}", "database", cmp.Or(d.Name, c.Name))
}

func (d Database) target(_ context.Context, in *Installation, repo reader, from loss.Choice) (cofre.Target, error) {
	server, err := in.server(d.Server)
	if err != nil {
		return nil, err
	}
	o := d.Options
	o.Server, o.Jobs = server.With("postgres"), sources.Parallel(o.Jobs)
	o.Loss.Known, o.Loss.Export = from.Lost(), "cofre export --to DIR "+string(from.Point.ID)+" --without-lost"
	o.Loss.Elsewhere = func(ctx context.Context, schema, table string) string {
		return d.elsewhere(ctx, in, repo, from, schema, table)
	}
	return restoring.NewTarget(o), nil
}

// elsewhere is the command that brings the rows of a table from another point, beside what was restored; "" if none holds them.
func (d Database) elsewhere(ctx context.Context, in *Installation, repo reader, from loss.Choice, schema, table string) string {
	point, facts, ok := from.Holder(ctx, repo, schema, table)
	if !ok {
		return ""
	}
	words := []string{"cofre restore table", typed(schema, table), string(point)}
	if d.Server.URL != "" {
		words = append(words, "--server", shell.Quote(shell.WithoutPassword(d.Server.URL)))
	}
	if name := cmp.Or(d.Name, from.Component.Name); in.cfg.Database == nil || name != (postgres.Config{URL: in.cfg.Database.URL}).DatabaseName() {
		words = append(words, "--database", shell.Quote(name))
	}
	if len(facts.PrimaryKey) == 0 {
		return strings.Join(append(words, "--to", "rescue"), " ") // beside the empty one
	}
	return strings.Join(append(words, "--merge"), " ")
}

var plainName = pattern.Lazy(`^[a-z_][a-z0-9_]*$`)

// typed is the name of a table as it is typed into a shell.
func typed(schema, table string) string {
	quoted := func(s string, plain *regexp.Regexp) string {
		if plain.MatchString(s) {
			return s
		}
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return shell.Quote(quoted(schema, plainName()) + "." + quoted(table, plainName()))
}

// server is the one that was named, or else the configured one.
//
// Errors: cofre.ErrConfig if there is none.
func (in *Installation) server(named postgres.Config) (postgres.Config, error) {
	if named.URL != "" {
		return named, nil
	}
	return sources.Server(in.cfg, "")
}
