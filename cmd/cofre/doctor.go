package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/logical"
)

type doctorCommand struct {
	printGrants bool
}

func newDoctorCommand(a *app) *cobra.Command {
	var c doctorCommand
	cmd := &cobra.Command{
		Use:   "doctor [--print-grants [MAJOR]]",
		Short: "Look at everything a backup needs, and say what changes what is missing",
		Long: `Look at the configuration, the repository and every source, and print what was found, with the command, SQL or line
that changes what stands in the way. Nothing is changed.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.printGrants {
				return c.grants(cmd.Context(), a, args)
			}
			if len(args) > 0 {
				return edge.UsageError(cmd, cofre.Fail(cofre.Say("usage.unexpected", "unexpected \"{{.word}}\"", "word", args[0])))
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return c.run(ctx, a, in) })
		},
	}
	cmd.Flags().BoolVar(&c.printGrants, "print-grants", false, "print the SQL of a role that can do exactly what a backup needs, for a server of version MAJOR (default: the configured server's)")
	return cmd
}

func (c *doctorCommand) run(ctx context.Context, a *app, in *installation.Installation) error {
	looked, err := in.Doctor(ctx)
	return a.ShowDiagnoses(looked, err)
}

// grants prints the SQL for a backup role.
func (c *doctorCommand) grants(ctx context.Context, a *app, args []string) error {
	major, err := c.major(ctx, a, args)
	if err != nil {
		return err
	}
	sql := logical.PrintGrants(major)
	if a.JSON {
		return a.Document(map[string]any{"major": major, "sql": sql})
	}
	fmt.Fprint(a.Out, sql)
	return nil
}

func (c *doctorCommand) major(ctx context.Context, a *app, args []string) (int, error) {
	if len(args) == 1 {
		major, err := strconv.Atoi(args[0])
		if err != nil {
			return 0, edge.Usage(cofre.Fail(cofre.Say("doctor.not_major", "version \"{{.version}}\" is not a number such as 15", "version", args[0])))
		}
		return major, nil
	}
	major := 0
	err := a.open(ctx, func(ctx context.Context, in *installation.Installation) (err error) {
		major, err = in.ServerMajor(ctx)
		return err
	})
	return major, err
}
