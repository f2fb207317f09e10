package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
)

type restoreDatabaseCommand struct {
	restoreOptions
	to      string
	server  string
	replace bool
	roles   bool
	jobs    int
	check   string
	filter  logical.Filter
	noOwner bool
	noPriv  bool
	path    string
	lost    bool
	again   func(accept []string) string
	rest    string // the command that was given, with --without-lost
}

func newRestoreDatabaseCommand(a *app) *cobra.Command {
	var c restoreDatabaseCommand
	cmd := &cobra.Command{
		Use:   "database POINT",
		Short: "Bring back a database",
		Long: `Bring back the database of a recovery point: into a new database, compared there with what was captured, and
then renamed. With --replace the database that has the name now is kept under another; without it the name must be free.

A copy that differs from what was captured does not take the name, and is kept: the message names each difference, the
command that takes the copy as it is (--accept) and the one that drops it. What the repository is known to have lost is
named before anything is done; --without-lost restores everything else.

  cofre restore database latest --dry-run
  cofre restore database latest --to trustlayer_yesterday
  cofre restore database latest --replace`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.rest = commandLine(cmd, args, "", nil)
			if !c.lost {
				c.rest += " --without-lost"
			}
			c.again = func(accept []string) string { return commandLine(cmd, args, "accept", accept) }
			return a.reading(cmd.Context(), func(ctx context.Context, cfg *config.Config, repo reader) error {
				return c.run(ctx, a, cfg, repo, args[0])
			})
		},
	}
	c.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.to, "to", "", "`NAME` of the database in the end (default: the captured one's)")
	f.StringVar(&c.server, "server", "", "`URL` of the server to restore to (default: the configured database's)")
	f.BoolVar(&c.replace, "replace", false, "replace the database of that name; it is kept under another name")
	f.BoolVar(&c.roles, "roles", false, "make the roles of the database's users that are missing, with their memberships")
	f.IntVarP(&c.jobs, "jobs", "j", 0, "`N` sessions at once (default: the number of CPUs up to 4)")
	f.StringVar(&c.check, "check", string(logical.CheckCounts), "`HOW` the copy is compared: counts (rows of every table) or checksum (every row)")
	addFilterFlags(cmd, &c.filter)
	f.BoolVar(&c.noOwner, "no-owner", false, "everything belongs to the role that restores")
	f.BoolVar(&c.noPriv, "no-privileges", false, "no GRANT and no REVOKE")
	f.StringArrayVar(&c.accept, "accept", nil, "take the difference of this `NAME` as it is, may be repeated; the outcome is then incomplete (3)")
	f.BoolVar(&c.lost, "without-lost", false, "leave the rows that the repository has lost out, and name them; the outcome is then incomplete (3)")
	f.StringVar(&c.path, "search-path", "", "`SCHEMAS` in which functions look for names without a schema while they are restored (default: none)")
	return cmd
}

// addFilterFlags adds the flags that take a part of a database.
func addFilterFlags(cmd *cobra.Command, filter *logical.Filter) {
	f := cmd.Flags()
	f.BoolVar(&filter.SchemaOnly, "schema-only", false, "definitions, no rows")
	f.BoolVar(&filter.DataOnly, "data-only", false, "rows, no definitions")
	f.StringVar(&filter.Section, "section", "", "one `SECTION`: pre-data, data or post-data")
	f.StringArrayVar(&filter.Schemas, "schema", nil, "only this `SCHEMA`, may be repeated")
	f.StringArrayVar(&filter.ExcludeTables, "exclude-table", nil, "without this `SCHEMA.TABLE`, may be repeated")
}

func (c *restoreDatabaseCommand) run(ctx context.Context, a *app, cfg *config.Config, repo reader, ref string) error {
	level := logical.CheckLevel(c.check)
	if level != logical.CheckCounts && level != logical.CheckChecksum {
		return cofre.WithHint(edge.Usage(fmt.Errorf("unknown check %q", c.check)), "use counts or checksum")
	}
	r := restoring{options: c.restoreOptions, kind: cofre.KindDatabase, point: ref, again: c.again}
	r.target = func(from installation.Choice) (cofre.Target, error) {
		server, err := restoreServer(cfg, c.server)
		if err != nil {
			return nil, err
		}
		return logical.NewTarget(logical.RestoreOptions{
			Server: server.With("postgres"), Name: c.to, Replace: c.replace, Jobs: parallel(c.jobs),
			Roles: c.roles, Filter: c.filter, NoOwner: c.noOwner, NoPrivileges: c.noPriv, Check: level, Now: time.Now,
			Accept: c.accept, SearchPath: c.path, Loss: c.loss(cfg, repo, from),
		}), nil
	}
	if c.replace {
		r.replaces = func(comp cofre.Component) string { return "replace database " + cmp.Or(c.to, comp.Name) }
	}
	return a.restore(ctx, cfg, repo, r)
}

// loss says what is known to be lost, and where the rest of it is.
func (c *restoreDatabaseCommand) loss(cfg *config.Config, repo reader, from installation.Choice) logical.LossOptions {
	return logical.LossOptions{
		Known: from.Lost(), Without: c.lost, Command: c.rest,
		Elsewhere: func(ctx context.Context, schema, table string) string {
			point, facts, ok := from.Holder(ctx, repo, schema, table)
			if !ok {
				return ""
			}
			words := []string{"cofre restore table", typed(schema, table), string(point)}
			if c.server != "" {
				words = append(words, "--server", shellQuote(withoutPassword(c.server)))
			}
			if name := cmp.Or(c.to, from.Component.Name); cfg.Database == nil || name != (postgres.Config{URL: cfg.Database.URL}).DatabaseName() {
				words = append(words, "--database", shellQuote(name))
			}
			if len(facts.PrimaryKey) == 0 {
				return strings.Join(append(words, "--to", "rescue"), " ") // beside the empty one
			}
			return strings.Join(append(words, "--merge"), " ")
		},
	}
}

// commandLine writes the command that was given, with more values of one flag, so that it can be pasted into a shell.
func commandLine(cmd *cobra.Command, args []string, flag string, values []string) string {
	words := strings.Fields(cmd.CommandPath())
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				words = append(words, "--"+f.Name+"="+shellQuote(v))
			}
			return
		}
		words = append(words, "--"+f.Name+"="+shellQuote(withoutPassword(f.Value.String())))
	})
	for _, a := range args {
		words = append(words, shellQuote(a))
	}
	for _, v := range values {
		words = append(words, "--"+flag, shellQuote(v))
	}
	return strings.Join(words, " ")
}
