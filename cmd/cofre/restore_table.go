package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/restore"
)

type restoreTableCommand struct {
	restoreOptions
	to       string
	server   string
	database string
	full     bool
	bare     bool
	open     bool
	merge    bool
	delete   bool
	preview  int
}

func newRestoreTableCommand(a *app) *cobra.Command {
	var c restoreTableCommand
	cmd := &cobra.Command{
		Use:   "table SCHEMA.TABLE POINT",
		Short: "Bring back one table, reading nothing else",
		Long: `Bring back one table, reading nothing else. It is filled, read back and compared in one transaction: it is
there whole and proven, or not at all.

Under its own name, where it must not exist, a table comes back with everything it had: owner, grants, row-level
security, policies, triggers, rules, foreign keys, indexes, publications; views and foreign keys that went with it are
made again. With --to SCHEMA it stands beside the live one, with its columns, rows, keys and indexes, and nobody but
who restores it may read it. Default privileges of the database never open it.

With --merge the captured rows are compared with the live table by primary key. What is missing, changed and extra is
shown, and on confirmation applied in one transaction, without firing triggers; the rows as they were stay in an undo
table.

  cofre restore table public.answers latest
  cofre restore table public.answers latest --to rescue
  cofre restore table public.answers latest --merge --dry-run`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.merge && (c.to != "" || c.full || c.bare) {
				return edge.UsageError(cmd, errors.New("--merge compares with the live table: it goes without --to, --full and --bare"))
			}
			if c.full && c.bare {
				return edge.UsageError(cmd, errors.New("choose one of --full and --bare"))
			}
			return a.reading(cmd.Context(), func(ctx context.Context, cfg *config.Config, repo reader) error {
				return c.run(ctx, a, cfg, repo, args[0], args[1])
			})
		},
	}
	c.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.to, "to", "", "`SCHEMA` to make the table in (default: its own, where it must not exist)")
	f.StringVar(&c.server, "server", "", "`URL` of the database to restore into (default: the configured one)")
	f.StringVar(&c.database, "database", "", "`NAME` of the database to restore into (default: the configured one)")
	f.BoolVar(&c.full, "full", false, "with --to: with foreign keys, triggers, policies, owner and grants, as under its own name")
	f.BoolVar(&c.bare, "bare", false, "columns, rows, keys and indexes alone, as with --to; refused where row-level security was on")
	f.BoolVar(&c.open, "without-row-security", false, "with --bare: also where row-level security was on")
	f.BoolVar(&c.merge, "merge", false, "compare with the live table, and bring back what is missing or changed")
	f.BoolVar(&c.delete, "delete-extra", false, "with --merge: delete live rows that the point does not have")
	f.IntVar(&c.preview, "preview", 20, "with --merge: rows of each kind to show")
	return cmd
}

// tableDocument is the JSON document of the restore of one table.
type tableDocument struct {
	Point    cofre.PointID `json:"point"`
	Plan     *cofre.Plan   `json:"plan,omitempty"`
	Table    string        `json:"table"`
	Rows     int64         `json:"rows"`
	Bytes    int64         `json:"bytes_read"`
	Checksum string        `json:"checksum"`
	Left     []string      `json:"left_out,omitempty"`
	Made     []string      `json:"made_again,omitempty"`     // of others
	Missing  []string      `json:"not_made_again,omitempty"` // of others, with the reason
	Seconds  float64       `json:"took_seconds"`
}

// capturedDatabase finds the database component that a point holds, by the source's name where there are several,
// and opens it.
func capturedDatabase(ctx context.Context, a *app, cfg *config.Config, repo reader, ref, source string) (cofre.RecoveryPoint, cofre.Tree, error) {
	cat, err := a.catalog(ctx, cfg, repo)
	if err != nil {
		return cofre.RecoveryPoint{}, nil, err
	}
	want := catalog.Want{Installation: cfg.Name, Kind: cofre.KindDatabase, Name: source}
	point, comp, err := cat.Component(ref, want)
	if err != nil {
		return point, nil, err
	}
	a.warn(incomplete(cat, ref, point, want))
	tree, err := repo.Tree(ctx, comp.Root)
	return point, tree, err
}

func (c *restoreTableCommand) run(ctx context.Context, a *app, cfg *config.Config, repo reader, table, ref string) error {
	point, tree, err := capturedDatabase(ctx, a, cfg, repo, ref, c.source)
	if err != nil {
		return err
	}
	server, err := restoreServer(cfg, c.server)
	if err != nil {
		return err
	}
	if c.database != "" {
		server = server.With(c.database)
	}
	obs, end := a.progress(ctx)
	defer end()
	if c.merge {
		return c.runMerge(ctx, a, point.ID, tree, end, logical.MergeOptions{
			Server: server, Table: table, Preview: c.preview, DeleteExtra: c.delete, Observer: obs,
		})
	}
	o := logical.TableOptions{Server: server, Table: table, ToSchema: c.to, Full: c.full, Bare: c.bare, WithoutSecurity: c.open, Observer: obs}
	plan, err := logical.PlanTable(ctx, tree, o)
	if err != nil {
		return err
	}
	plan.Point = point.ID
	if c.dryRun {
		refused := restore.Preflight(plan)
		return errors.Join(refused, a.printPlan(plan, refused))
	}
	if !a.JSON && !a.Quiet || len(plan.Problems) > 0 {
		writePlan(a.Stdio, plan, false)
	}
	if err := restore.Preflight(plan); err != nil {
		return err
	}
	startedAt := time.Now()
	done, err := logical.RestoreTable(ctx, tree, o)
	end()
	if err != nil {
		return err
	}
	seconds := time.Since(startedAt)
	if a.JSON {
		return errors.Join(incompleteTable(done), a.Document(tableDocument{
			point.ID, plan, done.Table, done.Rows, done.Bytes, done.Checksum, done.Left, done.Made, done.Missing, seconds.Seconds(),
		}))
	}
	fmt.Fprintf(a.Out, "restored %s: %s rows in %s\n", done.Table, count(done.Rows), took(seconds))
	fmt.Fprintf(a.Out, "proven equal to what was captured: checksum %s\n", done.Checksum)
	for _, l := range done.Left {
		fmt.Fprintf(a.Out, "left out: %s\n", l)
	}
	for _, m := range done.Made {
		fmt.Fprintf(a.Out, "made again: %s\n", m)
	}
	return incompleteTable(done)
}

// incompleteTable names what leads to the table and could not be made again: the table itself is whole.
func incompleteTable(done *logical.TableOutcome) error {
	if len(done.Missing) == 0 {
		return nil
	}
	return cofre.WithHint(fmt.Errorf("table %s is restored, and what led to it is %w: %s", done.Table, cofre.ErrPartial, strings.Join(done.Missing, "; ")),
		"cofre export --format sql --schema-only has the definitions; make these by hand once the cause is gone")
}
