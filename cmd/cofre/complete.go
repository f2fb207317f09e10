package main

import (
	"context"
	"iter"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/physical"
)

// words lists what a flag of a name takes, wherever a command has it.
var words = map[string][]string{
	"action":  {string(physical.ActionPause), string(physical.ActionPromote), string(physical.ActionShutdown)},
	"check":   {string(logical.CheckCounts), string(logical.CheckChecksum)},
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
	for name, choices := range words {
		if cmd.Flags().Lookup(name) != nil {
			_ = cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(choices, cobra.ShellCompDirectiveNoFileComp))
		}
	}
	arguments := strings.Fields(cmd.Use)[1:]
	if len(arguments) == 0 || cmd.HasSubCommands() {
		return
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, given []string, typed string) ([]string, cobra.ShellCompDirective) {
		n := min(len(given), len(arguments)-1)
		return a.complete(cmd.Context(), strings.Trim(arguments[n], "[]"), typed), cobra.ShellCompDirectiveNoFileComp
	}
}

// complete lists what an argument that the usage calls argument may be.
func (a *app) complete(ctx context.Context, argument, typed string) []string {
	switch argument {
	case "POINT", "POINT2":
		return a.fromCatalog(ctx, a.pointChoices)
	case "SCHEMA.TABLE":
		return a.fromCatalog(ctx, tableChoices)
	case "...", "database|cluster|storage|config":
		return kindWords()
	}
	return nil
}

func (a *app) fromCatalog(ctx context.Context, choose func(context.Context, *config.Config, reader, *catalog.Catalog) iter.Seq[string]) []string {
	var found []string
	_ = a.reading(ctx, func(ctx context.Context, cfg *config.Config, repo reader) error {
		cat, err := a.catalog(ctx, cfg, repo)
		if err == nil {
			found = slices.Collect(choose(ctx, cfg, repo, cat))
		}
		return err
	})
	return found
}

func (a *app) pointChoices(_ context.Context, cfg *config.Config, _ reader, cat *catalog.Catalog) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(catalog.Latest + "\tthe newest") {
			return
		}
		points := slices.Collect(cat.List(catalog.Want{Installation: cfg.Name}))
		for _, p := range slices.Backward(points) {
			if !yield(string(p.ID) + "\t" + a.clock(p.StartedAt) + " " + kinds(p)) {
				return
			}
		}
	}
}

func tableChoices(ctx context.Context, cfg *config.Config, repo reader, cat *catalog.Catalog) iter.Seq[string] {
	return func(yield func(string) bool) {
		_, comp, err := cat.Component(catalog.Latest, catalog.Want{Installation: cfg.Name, Kind: cofre.KindDatabase})
		if err != nil {
			return
		}
		facts, err := databaseFacts(ctx, repo, comp)
		if err != nil {
			return
		}
		for _, t := range facts.Tables {
			if !yield(t.Schema + "." + t.Name) {
				return
			}
		}
	}
}
