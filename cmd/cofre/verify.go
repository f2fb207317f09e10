package main

import (
	"cmp"
	"context"
	"errors"
	"slices"

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

Neither is a restore. Findings are printed by name and exit with 20. What a point was published without is printed as
well; it exits with 3 where the point was asked for by name, or where a source has no newer point that holds it whole.`,
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
	a.screen.end()
	if res == nil {
		return err
	}
	if a.JSON {
		return cmp.Or(a.Document(verification{res, edge.DocumentOf(edge.Interrupted(ctx, err))}), err)
	}
	printVerified(a, res, err == nil || res.Count() > 0 || errors.Is(err, cofre.ErrPartial))
	return err
}

func printVerified(a *app, res *verify.Result, whole bool) {
	var rows [][]string
	for _, f := range res.Findings {
		rows = append(rows, []string{"", f.Check, string(f.Kind), f.Object, a.Beside(f.What, f.Messages)})
	}
	for _, p := range res.Points {
		for _, f := range slices.Concat(p.Findings, p.Known) {
			rows = append(rows, []string{string(p.ID), f.Check, string(f.Kind), f.Object, a.Beside(f.What, f.Messages)})
		}
	}
	if len(rows) > 0 {
		columns(a.Out, []string{a.Text(cofre.Say("heading.point", "POINT")), a.Text(cofre.Say("heading.check", "CHECK")), a.Text(cofre.Say("heading.kind", "KIND")), a.Text(cofre.Say("heading.object", "OBJECT")), a.Text(cofre.Say("heading.finding", "FINDING"))}, rows)
	}
	if !whole || a.Quiet && len(rows) == 0 {
		return
	}
	reached := cofre.Verbatim(string(res.Reached))
	if res.Reached == "" {
		reached = cofre.Say("verify.no_level", "none")
	}
	a.Line(a.Out, cofre.SayN("verify.reached", len(res.Points), "level reached: {{.level}}, by 1 recovery point, at {{.at}}, in {{.time}}", "level reached: {{.level}}, by {{.n}} recovery points, at {{.at}}, in {{.time}}", "level", reached, "at", a.clocks(res.EndedAt), "time", took(res.EndedAt.Sub(res.StartedAt))))
}
