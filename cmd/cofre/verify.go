package main

import (
	"cmp"
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/verify"
)

type verifyCommand struct {
	level string
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
			o := installation.VerifyOptions{Level: level}
			if len(args) == 1 {
				o.Point = args[0]
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return runVerify(ctx, a, in, o) })
		},
	}
	cmd.Flags().StringVar(&c.level, "level", string(cofre.LevelStructure), "`LEVEL`, how deep: structure or content")
	return cmd
}

// verification is the JSON document of a verification.
type verification struct {
	*verify.Result
	Error *edge.ErrorDocument `json:"error,omitempty"`
}

func runVerify(ctx context.Context, a *app, in *installation.Installation, o installation.VerifyOptions) error {
	res, err := in.Verify(ctx, o)
	a.EndProgress()
	if res == nil {
		return err
	}
	if a.JSON {
		return cmp.Or(a.Document(verification{res, edge.DocumentOf(edge.Interrupted(ctx, err))}), err)
	}
	a.ShowVerified(res, err == nil || res.Count() > 0 || len(res.WAL) > 0 || errors.Is(err, cofre.ErrPartial))
	return err
}
