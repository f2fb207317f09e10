package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/wal"
)

type adoptCommand struct {
	dryRun    bool
	yes       bool
	restart   bool
	superuser string
}

func newAdoptCommand(a *app) *cobra.Command {
	var c adoptCommand
	cmd := &cobra.Command{
		Use:   "adopt DIR",
		Short: "Make a restored cluster the original: it archives, and acts, again",
		Long: `Make the restored cluster in DIR the original. Until then it is a copy that acts on nobody.

The history of its timeline, and what it has written since its promotion, are archived; then the settings that kept it
from acting are removed, exactly those, and with --restart a copy that runs is restarted and backed up at once. Where
the archive has another timeline of this number, nothing is changed. Interrupted anywhere, the same command goes on.

The original must not run any more: both would archive, follow the same subscriptions and run the same jobs.

  cofre adopt /var/lib/postgresql/15/restored --dry-run
  cofre adopt /var/lib/postgresql/15/restored --restart --yes`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				return c.run(ctx, a, in.Config(), args[0])
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&c.dryRun, "dry-run", false, "print the plan, and do nothing")
	f.BoolVarP(&c.yes, "yes", "y", false, "do not ask")
	f.BoolVar(&c.restart, "restart", false, "restart a copy that runs, and take a base backup of it")
	f.StringVar(&c.superuser, "superuser", "postgres", "the `ROLE` to ask a copy that runs with")
	return cmd
}

// adoptDocument is the JSON document of an adoption.
type adoptDocument struct {
	Plan    *cofre.Plan          `json:"plan"`
	Adopted *physical.Adopted    `json:"adopted,omitempty"`
	Point   *cofre.RecoveryPoint `json:"point,omitempty"` // of the base backup that followed
	Error   *edge.ErrorDocument  `json:"error,omitempty"`
}

func (c *adoptCommand) run(ctx context.Context, a *app, cfg *config.Config, dir string) error {
	o := physical.AdoptOptions{Dir: dir, Superuser: c.superuser, Restart: c.restart}
	if cfg.Cluster != nil && cfg.Cluster.WAL != "" {
		var err error
		if o.Archive, err = archiveAsOwner(ctx, a, cfg, dir); err != nil {
			return err
		}
	}
	adoption, err := physical.PlanAdoption(ctx, o)
	if err != nil {
		return err
	}
	plan := adoption.Plan()
	if err := c.noOther(ctx, cfg, adoption); err != nil {
		return err
	}
	if c.dryRun {
		return a.printPlan(plan, nil)
	}
	if !a.JSON && !a.Quiet {
		writePlan(a.Stdio, plan, false)
	}
	if err := a.confirm(ctx, c.yes, "make "+dir+" the original"); err != nil {
		return err
	}
	doc := adoptDocument{Plan: plan}
	doc.Adopted, err = adoption.Adopt(ctx)
	if err == nil {
		doc.Point, err = c.backUp(ctx, a, cfg, doc.Adopted)
	}
	if a.JSON {
		doc.Error = edge.DocumentOf(edge.Interrupted(ctx, err))
		if perr := a.Document(doc); perr != nil {
			return perr
		}
		return err
	}
	if doc.Adopted != nil {
		printAdopted(a, doc)
	}
	return err
}

// noOther refuses where the original still answers at the configured address.
func (c *adoptCommand) noOther(ctx context.Context, cfg *config.Config, adoption *physical.Adoption) error {
	if cfg.Cluster == nil {
		return nil
	}
	server, err := serverOf(cfg.Cluster.URL, cfg.Cluster.Password)
	if err != nil {
		return err
	}
	other, err := adoption.Other(ctx, server)
	if err != nil || !other {
		return err
	}
	return cofre.WithHint(fmt.Errorf("the original of %s still runs at the configured address: %w", adoption.SystemID, cofre.ErrPreflight), "stop it for good, and adopt then")
}

// backUp takes a base backup of the copy where it was restarted: nothing before its timeline is as short a way back.
func (c *adoptCommand) backUp(ctx context.Context, a *app, cfg *config.Config, done *physical.Adopted) (*cofre.RecoveryPoint, error) {
	if cfg.Cluster == nil {
		return nil, nil
	}
	const command = "cofre backup cluster"
	if !done.Restarted {
		done.Next = append(done.Next, command)
		return nil, nil
	}
	point, err := a.in.Capture(ctx, installation.BackupOptions{Kinds: []cofre.Kind{cofre.KindCluster}})
	if err != nil && point == nil {
		err = cofre.WithHint(fmt.Errorf("it is the original now; back it up: %w", err), "once that is mended: %s", command)
	}
	return point, err
}

func printAdopted(a *app, doc adoptDocument) {
	d := doc.Adopted
	fmt.Fprintf(a.Out, "%s is the original, on timeline %d\n", d.Dir, d.Timeline)
	if len(d.Archived) > 0 {
		fmt.Fprintf(a.Out, "archived: %s, of them %s\n", plural(len(d.Archived), "file"), d.Archived[0])
	}
	fmt.Fprintf(a.Out, "removed: %s that kept the copy from acting\n", plural(len(d.Settings), "setting"))
	if d.Restarted {
		fmt.Fprintln(a.Out, "restarted")
	}
	if doc.Point != nil {
		printBackup(a, doc.Point, false)
	}
	for _, n := range d.Next {
		fmt.Fprintf(a.Out, "next: %s\n", n)
	}
}

// archiveAsOwner archives as whoever owns the data directory, who archives from then on: what root writes into a folder
// he could not go on in.
func archiveAsOwner(ctx context.Context, a *app, cfg *config.Config, dir string) (func(context.Context, string) error, error) {
	as, err := physical.OwnerOf(dir)
	if err != nil {
		return nil, err
	}
	if as == nil {
		archiver := &wal.Archiver{Archives: walstore.Archives(ctx, cfg)}
		return func(ctx context.Context, path string) error {
			_, err := archiver.Archive(ctx, path)
			return err
		}, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program to archive with: %w", err)
	}
	args := []string{"wal", "archive"}
	conf, err := a.ConfigPath()
	if err != nil {
		return nil, err
	}
	if conf != "" {
		if conf, err = filepath.Abs(conf); err != nil {
			return nil, err
		}
		args = append(args, "--config", conf)
	}
	return func(ctx context.Context, path string) error {
		err := process.Run(ctx, process.Command{Path: self, Args: append(args, path), Env: os.Environ(), Dir: "/", Credential: as, Name: "cofre wal archive"})
		return asArchived(err)
	}, nil
}

// asArchived gives what the program says of another file under the same name its condition.
func asArchived(err error) error {
	tool, ok := errors.AsType[*cofre.ToolError](err)
	if !ok || !strings.Contains(tool.Stderr, cofre.ErrExists.Error()) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cofre.ErrExists)
}
