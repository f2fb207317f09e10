package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
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
			err = a.reading(cmd.Context(), func(ctx context.Context, cfg *config.Config, repo reader) error {
				return c.run(ctx, a, cfg, repo, level, args)
			})
			if errors.Is(err, cofre.ErrCorrupt) && !errors.Is(err, cofre.ErrFindings) {
				// So damaged that it does not open: that is what was asked.
				err = fmt.Errorf("%w: %w", cofre.ErrFindings, err)
			}
			return err
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

func (c *verifyCommand) run(ctx context.Context, a *app, cfg *config.Config, repo reader, level cofre.Level, args []string) error {
	cat, err := a.catalog(ctx, cfg, repo)
	if err != nil {
		return err
	}
	points := slices.Collect(cat.List(catalog.Want{}))
	lacking := cat.Lacking()
	if len(args) == 1 {
		p, err := cat.Find(args[0], catalog.Want{Installation: cfg.Name})
		if err != nil {
			return err
		}
		points = []cofre.RecoveryPoint{p}
		lacking = catalog.Lacking(p, catalog.Want{})
	}
	obs, end := a.progress(ctx)
	defer end()
	res, err := verify.Run(ctx, repo, verify.Request{Points: points, Level: level, Checks: pointChecks(), Observer: obs})
	if err == nil {
		var found []cofre.Finding
		found, err = checkWAL(ctx, cfg, cat, level)
		res.Add(found...)
	}
	end()
	nameVerified(ctx, repo, points, res.Findings)
	if err == nil && res.Count() > 0 {
		err = cofre.WithHint(fmt.Errorf("%w: %s", cofre.ErrFindings, plural(res.Count(), "finding")),
			"back up again now: cofre backup stores afresh what is damaged and still exists at its source, and says what is whole again")
	}
	if err == nil && len(lacking) > 0 {
		err = cofre.WithHint(fmt.Errorf("what is stored is as it was captured, and recovery point %s is %w: %s: %s", lacking[0].Point, cofre.ErrPartial, named(lacking[0]), lacking[0].Why),
			"see what is missing with: cofre show %s; then back up again", lacking[0].Point)
	}
	if a.JSON {
		if perr := a.Document(verification{res, edge.DocumentOf(edge.Interrupted(ctx, err))}); perr != nil {
			return perr
		}
		return err
	}
	c.print(a, res, len(points), err == nil || res.Count() > 0 || errors.Is(err, cofre.ErrPartial))
	return err
}

func (c *verifyCommand) print(a *app, res *verify.Result, points int, whole bool) {
	var rows [][]string
	for _, f := range res.Findings {
		rows = append(rows, []string{"", f.Check, string(f.Kind), f.Object, f.What})
	}
	for _, p := range res.Points {
		for _, f := range slices.Concat(p.Findings, p.Known) {
			rows = append(rows, []string{string(p.ID), f.Check, string(f.Kind), f.Object, f.What})
		}
	}
	if len(rows) > 0 {
		columns(a.Out, []string{"POINT", "CHECK", "KIND", "OBJECT", "FINDING"}, rows)
	}
	if !whole || a.Quiet && len(rows) == 0 {
		return
	}
	reached := string(res.Reached)
	if reached == "" {
		reached = "none"
	}
	fmt.Fprintf(a.Out, "level reached: %s, by %s, at %s, in %s\n", reached, plural(points, "recovery point"), a.clocks(res.EndedAt), took(res.EndedAt.Sub(res.StartedAt)))
}
