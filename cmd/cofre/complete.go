package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/cmd/internal/screen"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
	"github.com/trustlayer/cofre/postgres/physical/settings"
)

// flagWords lists what a flag of a name takes, wherever a command has it.
var flagWords = map[string][]string{
	"action":  {string(settings.ActionPause), string(settings.ActionPromote), string(settings.ActionShutdown)},
	"check":   {string(restoring.CheckCounts), string(restoring.CheckChecksum)},
	"format":  {"directory", "sql", "csv-table"},
	"kind":    kindWords(),
	"level":   {string(cofre.LevelStructure), string(cofre.LevelContent)},
	"section": {"pre-data", "data", "post-data"},
}

func kindWords() []string {
	var s []string
	for _, k := range cofre.Kinds() {
		s = append(s, string(k))
	}
	return s
}

// completing gives the shells what a command can be called with: the words of its flags, kinds of sources, recovery
// points, tables. What cannot be known, because there is no repository or the password is missing, completes to nothing.
func completing(a *app, cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		completing(a, sub)
	}
	for name, choices := range flagWords {
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	arguments := strings.Fields(cmd.Use)[1:]
	if len(arguments) == 0 || cmd.HasSubCommands() {
		return
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
		n := min(len(given), len(arguments)-1)
		return a.complete(cmd.Context(), strings.Trim(arguments[n], "[]")), cobra.ShellCompDirectiveNoFileComp
	}
}

// complete lists what an argument that the usage calls argument may be.
func (a *app) complete(ctx context.Context, argument string) []string {
	switch argument {
	case "POINT", "POINT2":
		return a.choices(ctx, a.pointChoices)
	case "SCHEMA.TABLE":
		return a.choices(ctx, (*installation.Installation).Tables)
	case "...", "database|cluster|storage|config":
		return kindWords()
	}
	return nil
}

func (a *app) choices(ctx context.Context, choose func(*installation.Installation, context.Context) ([]string, error)) []string {
	var found []string
	_ = a.open(ctx, func(ctx context.Context, in *installation.Installation) (err error) {
		found, err = choose(in, ctx)
		return err
	})
	return found
}

func (a *app) pointChoices(in *installation.Installation, ctx context.Context) ([]string, error) {
	listed, err := in.Points(ctx, installation.PointsOptions{})
	if listed == nil {
		return nil, err
	}
	found := []string{catalog.Latest + "\tthe newest"}
	for _, p := range slices.Backward(listed.Points) {
		found = append(found, string(p.ID)+"\t"+a.Clock(p.StartedAt)+" "+screen.Kinds(p.RecoveryPoint))
	}
	return found, nil
}
