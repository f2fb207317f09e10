package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/cmd/internal/screen"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/internal/words"
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
	if err != nil {
		return err
	}
	if a.JSON {
		return a.Document(struct {
			Points []installation.Point `json:"points"`
		}{listed.Points})
	}
	points := listed.Points
	if len(points) == 0 {
		a.Line(a.Err, noPoints(in.Name(), listed.Installations))
		return nil
	}
	header := []string{a.Text(cofre.Say("heading.point", "POINT")), a.Text(cofre.Say("heading.taken", "TAKEN")), a.Text(cofre.Say("heading.kinds", "KINDS")), a.Text(cofre.Say("heading.size", "SIZE")), a.Text(cofre.Say("heading.new", "NEW")), a.Text(cofre.Say("heading.state", "STATE"))}
	if c.all {
		header = append(header, a.Text(cofre.Say("heading.installation", "INSTALLATION")))
	}
	var rows [][]string
	for _, p := range points {
		row := []string{string(p.ID), a.Clock(p.StartedAt), screen.Kinds(p.RecoveryPoint), words.Size(p.Bytes()), words.Size(p.RecoveryPoint.Stored()), a.State(p.RecoveryPoint, p.Damage)}
		if c.all {
			row = append(row, p.Installation)
		}
		rows = append(rows, row)
	}
	screen.Columns(a.Out, header, rows, 3, 4)
	for _, p := range points {
		if len(p.Damage) > 0 {
			edge.Say(a.Err, a.Word(edge.HintWord()), a.Text(cofre.Say("list.damaged", "a point that is damaged has lost what cofre show names; a backup stores afresh what still exists at its source: cofre backup")))
			break
		}
	}
	return nil
}

// noPoints says that there is nothing to list, and what there is instead.
func noPoints(name string, there []string) cofre.Message {
	if len(there) == 0 || slices.Contains(there, name) {
		return cofre.Say("list.none", "no recovery points of {{.name}}; make one with: cofre backup", "name", name)
	}
	return cofre.Say("list.others", "no recovery points of {{.name}}; the repository has those of {{.others}}: cofre list --all", "name", name, "others", strings.Join(there, ", "))
}
