package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
)

type holdCommand struct {
	kind  string
	why   string
	until string
	tz    string
	lift  string
}

func newHoldCommand(a *app) *cobra.Command {
	var c holdCommand
	cmd := &cobra.Command{
		Use:   "hold [POINT]",
		Short: "Keep a recovery point whatever retention says, or list what is held",
		Long: `Keep a recovery point, or its components of one kind, whatever the rules of keep: say, until a moment or until the hold is lifted.
Without POINT, list what is held.

Who holds what, since when and why is in the journal, where nothing is rewritten; the reason is encrypted there.`,
		Example: `  cofre hold latest --why "audit 2026/118" --until 2027-06-30T00:00:00-03:00
  cofre hold
  cofre hold --lift k3v9x2 --why "audit closed"`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := c.options(args)
			if err != nil {
				return edge.Usage(err)
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return c.run(ctx, a, in, o) })
		},
	}
	cmd.Flags().StringVar(&c.kind, "kind", "", "only components of this `KIND`: database, cluster, storage or config")
	cmd.Flags().StringVar(&c.why, "why", "", "the `REASON`, for whoever asks later")
	cmd.Flags().StringVar(&c.until, "until", "", "when the hold ends, a `TIME` in RFC 3339 with an offset (default: when it is lifted)")
	cmd.Flags().StringVar(&c.tz, "tz", "", "time `ZONE` of --until, as in America/Sao_Paulo")
	cmd.Flags().StringVar(&c.lift, "lift", "", "end the hold with this `ID`")
	return cmd
}

func (c *holdCommand) options(args []string) (o installation.HoldOptions, err error) {
	o.Why = c.why
	if c.kind != "" {
		if o.Kind, err = cofre.ParseKind(c.kind); err != nil {
			return o, err
		}
	}
	if c.until != "" {
		if o.Until, err = cofre.ParseMoment(c.until, c.tz); err != nil {
			return o, err
		}
	}
	asked := len(args) == 1 || c.lift != ""
	switch {
	case len(args) == 1 && c.lift != "":
		return o, cofre.Fail(cofre.Say("hold.both", "a recovery point is held, or a hold is lifted: give POINT or --lift"))
	case asked && c.why == "":
		return o, cofre.Fail(cofre.Say("hold.needs_why", "a reason is needed: --why REASON"))
	case len(args) == 1:
		o.Point = args[0]
	}
	return o, nil
}

func (c *holdCommand) run(ctx context.Context, a *app, in *installation.Installation, o installation.HoldOptions) error {
	var h *cofre.Hold
	var err error
	switch {
	case o.Point != "":
		h, err = in.Hold(ctx, o)
	case c.lift != "":
		h, err = in.LiftHold(ctx, c.lift, o.Why)
	default:
		holds, err := in.Holds(ctx)
		if err != nil {
			return err
		}
		return a.ShowHolds(holds)
	}
	if err != nil {
		return err
	}
	return a.ShowHold(h, c.lift != "", in.Checkpoint())
}
