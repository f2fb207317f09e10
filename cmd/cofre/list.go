package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
)

type listCommand struct {
	kind string
	last int
	all  bool
}

func newListCommand(a *app) *cobra.Command {
	var c listCommand
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the recovery points, oldest first",
		Long: `List the recovery points of the configured installation, oldest first.

SIZE is what was read from the sources, NEW what the point added to the repository, compressed and encrypted.
STATE says what was known when the point was published, and "damaged" if a verification, a backup or a restore has
found since that something of it is lost. "cofre verify" says what holds now, and "cofre show" names what is lost.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kind, err := c.wanted()
			if err != nil {
				return err
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return c.run(ctx, a, in, kind) })
		},
	}
	cmd.Flags().StringVar(&c.kind, "kind", "", "only points with this `KIND`: database, cluster, storage or config")
	cmd.Flags().IntVar(&c.last, "last", 0, "only the newest `N`")
	cmd.Flags().BoolVar(&c.all, "all", false, "points of every installation in the repository")
	return cmd
}

// wanted is the kind that was asked for, empty for every one.
func (c *listCommand) wanted() (cofre.Kind, error) {
	if c.kind == "" {
		return "", nil
	}
	kind, err := cofre.ParseKind(c.kind)
	if err != nil {
		return "", edge.Usage(err)
	}
	return kind, nil
}

func (c *listCommand) run(ctx context.Context, a *app, in *installation.Installation, kind cofre.Kind) error {
	listed, err := in.Points(ctx, installation.PointsOptions{Kind: kind, Last: c.last, All: c.all})
	if listed == nil {
		return err
	}
	return errors.Join(a.ShowPoints(in.Name(), listed, c.all, err), err)
}
