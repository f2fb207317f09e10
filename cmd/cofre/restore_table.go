package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
)

type restoreTableCommand struct {
	restoreOptions
	installation.Table
	merge   bool
	delete  bool
	preview int
	columns []string
}

func newRestoreTableCommand(a *app) *cobra.Command {
	var c restoreTableCommand
	cmd := &cobra.Command{
		Use:   "table SCHEMA.TABLE POINT",
		Short: "Bring back one table, reading nothing else",
		Long: `Bring back one table, reading nothing else. It is filled, read back and compared in one transaction: it is
there whole and proven, or not at all.

Under its own name, which must be free, a table comes back with everything it had: owner, grants, row-level
security, policies, triggers, rules, foreign keys, indexes, publications; views and foreign keys that went with it are
made again. With --to SCHEMA it stands next to the live one, with its columns, rows, keys and indexes, and only the
role that restores it may read it. Default privileges of the database never open it.

With --merge the captured rows are compared with the live table by primary key. What is missing, changed and extra is
shown, and on confirmation applied in one transaction, without firing triggers; the rows as they were stay in an undo
table. With --column only these columns are compared and brought back, in rows that the live table has. Rows that differ
and stay as they are, are named.

  cofre restore table public.answers latest
  cofre restore table public.answers latest --to rescue
  cofre restore table public.answers latest --merge --dry-run
  cofre restore table public.answers latest --merge --column body`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.merge && (c.ToSchema != "" || c.Full || c.Bare) {
				return edge.UsageError(cmd, cofre.Fail(cofre.Say("usage.merge_alone", "--merge compares with the live table: it goes without --to, --full and --bare")))
			}
			if len(c.columns) > 0 && (!c.merge || c.delete) {
				return edge.UsageError(cmd, cofre.Fail(cofre.Say("usage.column_merge", "--column limits what --merge brings back in rows that are there: it goes with --merge and without --delete-extra")))
			}
			if c.Full && c.Bare {
				return edge.UsageError(cmd, cofre.Fail(cofre.Say("usage.full_or_bare", "choose one of --full and --bare")))
			}
			c.Table.Table, c.Point = args[0], args[1]
			c.Table.Command = func(point cofre.PointID) string { return commandLine(cmd, []string{args[0], string(point)}, "", nil) }
			c.Loss.Command = withoutLost(cmd, args, c.Loss.Without)
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				if c.merge {
					return c.runMerge(ctx, a, in)
				}
				return c.run(ctx, a, in)
			})
		},
	}
	c.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.ToSchema, "to", "", "`SCHEMA` to make the table in (default: its own, in which the name must be free)")
	f.StringVar(&c.Server.URL, "server", "", "`URL` of the database to restore into (default: the configured one)")
	f.StringVar(&c.Database, "database", "", "`NAME` of the database to restore into (default: the configured one)")
	f.BoolVar(&c.Full, "full", false, "with --to: with foreign keys, triggers, policies, owner and grants, as under its own name")
	f.BoolVar(&c.Bare, "bare", false, "columns, rows, keys and indexes alone, as with --to; refused if row-level security was on")
	f.BoolVar(&c.WithoutSecurity, "without-row-security", false, "with --bare: also if row-level security was on")
	f.BoolVar(&c.Loss.Without, "without-lost", false, "bring back the rows that can be read, and name what the repository has lost; the outcome is then incomplete (3)")
	f.BoolVar(&c.merge, "merge", false, "compare with the live table, and bring back what is missing or changed")
	f.BoolVar(&c.delete, "delete-extra", false, "with --merge: delete live rows that the point does not have")
	f.StringArrayVar(&c.columns, "column", nil, "with --merge: bring back the values of this column alone, by `NAME`, may be repeated")
	f.IntVar(&c.preview, "preview", 20, "with --merge: rows of each kind to show")
	return cmd
}

func (c *restoreTableCommand) run(ctx context.Context, a *app, in *installation.Installation) error {
	c.RestoreOptions.Command = c.Table.Command
	if c.dryRun {
		plan, err := in.PlanRestore(ctx, &c.Table, c.RestoreOptions)
		if plan == nil {
			return err
		}
		return errors.Join(err, a.PrintPlan(plan, err))
	}
	c.Confirm = func(plan *cofre.Plan, _ cofre.Message) error { return a.ConfirmPlan(ctx, plan, cofre.Message{}, true) }
	r, err := in.Restore(ctx, &c.Table, c.RestoreOptions)
	a.EndProgress()
	if r == nil || r.Result == nil || r.Outcome == nil {
		return err
	}
	return a.ShowTable(r, c.Table.Made(), err)
}
