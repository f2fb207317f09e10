package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/verify"
)

type verifyCommand struct {
	level string
	again bool
}

func newVerifyCommand(a *app) *cobra.Command {
	var c verifyCommand
	cmd := &cobra.Command{
		Use:   "verify [POINT]",
		Short: "Check that what recovery points refer to is there and unchanged",
		Long: `Check recovery points, all of the repository or one, and say which level they reached.

  structure   everything referenced exists, and segments of WAL follow one another; quick
  content     every stored byte of the repository is read back and compared with its hash, archived WAL too, whose
              records are walked from segment to segment

At the level content, what was read back within verify.window of the configuration (30 days) and was not written again since is not
read again, except for a share of it: run each night, it reads everything within the window. Damage that is known is always looked
at. --again reads everything. How much of all was read back within the window, and how far all of it is proven, is said at the end.

The WAL of every copy is looked at as that of the repository is, and each is said by itself; what one lacks and another has is
found. A copy that cannot be reached is named, and the command fails.

Neither is a restore. Findings are printed by name and exit with 20. What a point was published without is printed as
well; it exits with 3 if the point was asked for by name, or if a source has no newer point that holds it whole.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			level, err := verify.ParseLevel(c.level)
			if err != nil {
				return edge.Usage(err)
			}
			if c.again && level != cofre.LevelContent {
				return edge.Usage(cofre.WithHint(cofre.Fail(cofre.Say("verify.again_reads", "--again reads everything back, which --level {{.level}} does not do", "level", string(level))), cofre.Say("verify.again_content", "cofre verify --level content --again")))
			}
			o := installation.VerifyOptions{Level: level, Again: c.again}
			if len(args) == 1 {
				o.Point = args[0]
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return runVerify(ctx, a, in, o) })
		},
	}
	cmd.Flags().StringVar(&c.level, "level", string(cofre.LevelStructure), "`LEVEL`, how deep: structure or content")
	cmd.Flags().BoolVar(&c.again, "again", false, "also read what was read back within the window")
	return cmd
}

func runVerify(ctx context.Context, a *app, in *installation.Installation, o installation.VerifyOptions) error {
	res, err := in.Verify(ctx, o)
	a.EndProgress()
	if res == nil {
		return err
	}
	return a.ShowVerified(ctx, res, err)
}
