package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
)

type backupCommand struct {
	installation.BackupOptions
	dryRun bool
}

func newBackupCommand(a *app) *cobra.Command {
	var c backupCommand
	cmd := &cobra.Command{
		Use:   "backup [database|cluster|storage|config ...]",
		Short: "Capture what is configured into one recovery point",
		Long: `Capture the named kinds, or everything that is configured, and publish it as one recovery point.

Nothing is visible before everything is stored and checked. Each source is its own: if one cannot be captured, the
others are published without it, the point names it and the cause, and the command exits with 3. If none can, or the
repository fails, there is no recovery point. A backup that is interrupted or killed leaves none either; what it stored
is found again by the next one.`,
		ValidArgs: kindWords(),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if c.Kinds, err = parseKinds(args); err != nil {
				return edge.UsageError(cmd, err)
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return c.run(ctx, a, in) })
		},
	}
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "print what would be done, and do nothing")
	cmd.Flags().IntVarP(&c.Jobs, "jobs", "j", 0, "`N` things to read at once (default: as configured, or the number of CPUs up to 4)")
	cmd.Flags().DurationVar(&c.LockTimeout, "lock-timeout", 0, "how long to wait for a lock on a table (default: as configured)")
	cmd.Flags().BoolVar(&c.AllowEmpty, "allow-empty", false, "accept that a storage is empty although the last backup found objects in it")
	return cmd
}

func parseKinds(args []string) ([]cofre.Kind, error) {
	var kinds []cofre.Kind
	for _, arg := range args {
		k, err := cofre.ParseKind(arg)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, k)
	}
	return kinds, nil
}

func (c *backupCommand) run(ctx context.Context, a *app, in *installation.Installation) error {
	if c.dryRun {
		plan, err := in.PlanBackup(ctx, c.BackupOptions)
		if err != nil {
			return err
		}
		return a.PrintPlan(plan, nil)
	}
	point, err := in.Backup(ctx, c.BackupOptions)
	a.EndProgress()
	if point == nil {
		if errors.Is(context.Cause(ctx), cofre.ErrInterrupted) {
			return cofre.WithHint(err, cofre.Say("backup.again", "no recovery point was made; run it again: what was stored is not stored twice"))
		}
		return err
	}
	return a.ShowBackup(point, in.Checkpoint(), err)
}
