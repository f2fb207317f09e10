package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/postgres/logical"
)

type showCommand struct {
	tables bool
	files  bool
}

func newShowCommand(a *app) *cobra.Command {
	var c showCommand
	cmd := &cobra.Command{
		Use:   "show POINT [POINT2]",
		Short: "Show one recovery point, or what changed between two",
		Long: `Show what a recovery point holds and what was recorded beside it. With a second point, show what changed from
the first to the second: tables, rows, sequences, roles, policies, grants and files.

POINT is an id, an unambiguous prefix of one, or latest.`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.reading(cmd.Context(), func(ctx context.Context, cfg *config.Config, repo reader) error {
				return c.run(ctx, a, cfg, repo, args)
			})
		},
	}
	cmd.Flags().BoolVar(&c.tables, "tables", false, "every table of the database with its exact rows and checksum")
	cmd.Flags().BoolVar(&c.files, "files", false, "every file of the configuration with mode, owner and size")
	return cmd
}

func (c *showCommand) run(ctx context.Context, a *app, cfg *config.Config, repo reader, refs []string) error {
	cat, err := a.catalog(ctx, cfg, repo)
	if err != nil {
		return err
	}
	var points []cofre.RecoveryPoint
	for _, ref := range refs {
		p, err := cat.Find(ref, catalog.Want{Installation: cfg.Name})
		if err != nil {
			return err
		}
		points = append(points, p)
	}
	if len(points) == 2 {
		return c.difference(ctx, a, repo, points[0], points[1])
	}
	return c.point(ctx, a, repo, points[0])
}

// pointDocument is the JSON document of one point.
type pointDocument struct {
	Point     describedPoint            `json:"point"`
	Databases map[string]*logical.Facts `json:"databases,omitempty"` // with --tables, by name
	Files     map[string][]files.Fact   `json:"files,omitempty"`     // with --files, by name
}

func (c *showCommand) point(ctx context.Context, a *app, repo reader, p cofre.RecoveryPoint) error {
	damage, err := damageOf(ctx, repo)
	if err != nil {
		return err
	}
	nameFindings(ctx, repo, p, damage[p.ID])
	doc := pointDocument{Point: describedPoint{p, damage[p.ID]}, Databases: map[string]*logical.Facts{}, Files: map[string][]files.Fact{}}
	for _, comp := range p.Components {
		var err error
		switch {
		case c.tables && comp.Kind == cofre.KindDatabase:
			doc.Databases[comp.Name], err = databaseFacts(ctx, repo, comp)
		case c.files && comp.Kind == cofre.KindConfig:
			doc.Files[comp.Name], err = configFacts(ctx, repo, comp)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case c.tables && len(doc.Databases) == 0:
		return fmt.Errorf("tables of recovery point %s: it has no database: %w", p.ID, cofre.ErrNotFound)
	case c.files && len(doc.Files) == 0:
		return fmt.Errorf("files of recovery point %s: it has no config: %w", p.ID, cofre.ErrNotFound)
	}
	if a.JSON {
		return a.Document(doc)
	}
	printPoint(a, p, damage[p.ID])
	for _, comp := range p.Components {
		if facts := doc.Databases[comp.Name]; facts != nil && comp.Kind == cofre.KindDatabase {
			printTables(a, facts)
		}
		if facts := doc.Files[comp.Name]; facts != nil && comp.Kind == cofre.KindConfig {
			printFiles(a, comp.Name, facts)
		}
	}
	return nil
}

func printPoint(a *app, p cofre.RecoveryPoint, damage []cofre.Finding) {
	fmt.Fprintf(a.Out, "recovery point %s\n\n", p.ID)
	columns(a.Out, nil, [][]string{
		{"  installation", p.Installation},
		{"  host", p.Host},
		{"  began", a.clocks(p.StartedAt)},
		{"  published", a.clock(p.PublishedAt)},
		{"  cofre", p.Version},
		{"  size", fmt.Sprintf("%s read, %s added to the repository", size(p.Bytes()), size(added(p)))},
		{"  state", state(p, damage)},
	})
	for _, c := range p.Components {
		fmt.Fprintf(a.Out, "\n%s %s\n", c.Kind, c.Name)
		rows := [][]string{
			{"  captured", fmt.Sprintf("%s, in %s", a.clock(c.StartedAt), took(c.EndedAt.Sub(c.StartedAt)))},
			{"  size", fmt.Sprintf("%s in %s entries, %s added", size(c.Bytes), count(c.Entries), size(c.Stored))},
		}
		columns(a.Out, nil, append(rows, a.described(c)...))
		if c.Partial {
			fmt.Fprintln(a.Out, "  incomplete: something that should be here is known to be missing; see the findings")
		}
		for _, w := range c.Warnings {
			fmt.Fprintf(a.Out, "  warning: %s\n", w)
		}
	}
	if found := append(slices.Clone(p.Findings), damage...); len(found) > 0 {
		fmt.Fprintln(a.Out)
		var rows [][]string
		for _, f := range found {
			rows = append(rows, []string{f.Check, string(f.Kind), f.Object, f.What})
		}
		columns(a.Out, []string{"CHECK", "KIND", "OBJECT", "FINDING"}, rows)
	}
}

// described says what the facts of a component mean to a person.
func (a *app) described(c cofre.Component) [][]string {
	if len(c.Facts) == 0 {
		return nil
	}
	switch c.Kind {
	case cofre.KindDatabase:
		var s logical.Summary
		if json.Unmarshal(c.Facts, &s) != nil {
			return nil
		}
		rows := [][]string{
			{"  snapshot", a.clock(s.TakenAt)},
			{"  content", fmt.Sprintf("%s rows in %s", count(s.Rows), plural(s.Tables, "table"))},
			{"  server", "PostgreSQL " + s.ServerVersion},
			{"  position", fmt.Sprintf("LSN %s of system %s", s.LSN, s.SystemID)},
		}
		if s.LargeObjects > 0 {
			rows = append(rows, []string{"  large objects", count(s.LargeObjects)})
		}
		if s.Flavour != "" {
			rows = append(rows, []string{"  flavour", s.Flavour})
		}
		return rows
	}
	return plainFacts(c.Facts)
}

// plainFacts shows the plain values of facts whose format this command does not know better.
func plainFacts(raw json.RawMessage) [][]string {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	var rows [][]string
	for _, k := range sortedKeys(m) {
		switch v := m[k].(type) {
		case string:
			rows = append(rows, []string{"  " + spaced(k), v})
		case float64:
			rows = append(rows, []string{"  " + spaced(k), count(int64(v))})
		case bool:
			rows = append(rows, []string{"  " + spaced(k), fmt.Sprint(v)})
		case []any:
			if texts := plainTexts(v); texts != "" {
				rows = append(rows, []string{"  " + spaced(k), texts})
			}
		}
	}
	return rows
}

// plainTexts joins a list of texts; "" where it is of something else.
func plainTexts(list []any) string {
	var texts []string
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return ""
		}
		texts = append(texts, s)
	}
	return strings.Join(texts, ", ")
}

func printTables(a *app, f *logical.Facts) {
	fmt.Fprintf(a.Out, "\ntables of %s\n", f.Database.Name)
	var rows [][]string
	for _, t := range f.Tables {
		rows = append(rows, []string{"  " + t.Schema + "." + t.Name, count(t.Rows), size(t.Bytes), t.Checksum})
	}
	columns(a.Out, []string{"  TABLE", "ROWS", "BYTES", "CHECKSUM"}, rows, 1, 2)
}

func printFiles(a *app, name string, facts []files.Fact) {
	fmt.Fprintf(a.Out, "\nfiles of %s\n", name)
	var rows [][]string
	for _, f := range facts {
		if f.Parent {
			continue
		}
		path := string(f.Path)
		if f.Type == files.TypeLink {
			path += " -> " + string(f.Link)
		}
		rows = append(rows, []string{"  " + f.Mode.String(), fmt.Sprintf("%s:%s", owner(f.User, f.UID), owner(f.Group, f.GID)), size(f.Size), a.clock(f.ModTime), path})
	}
	columns(a.Out, []string{"  MODE", "OWNER", "SIZE", "CHANGED", "PATH"}, rows, 2)
}

func owner(name string, id uint32) string {
	if name != "" {
		return name
	}
	return fmt.Sprint(id)
}

func configFacts(ctx context.Context, repo reader, c cofre.Component) ([]files.Fact, error) {
	tree, err := repo.Tree(ctx, c.Root)
	if err != nil {
		return nil, err
	}
	facts, err := files.List(ctx, tree)
	if err != nil {
		return nil, fmt.Errorf("read the facts of config %s: %w", c.Name, err)
	}
	return facts, nil
}

// databaseFacts reads what was recorded in the snapshot of a dump.
//
// Errors: ErrNotFound where the component has no facts; ErrCorrupt.
func databaseFacts(ctx context.Context, repo reader, c cofre.Component) (*logical.Facts, error) {
	tree, err := repo.Tree(ctx, c.Root)
	if err != nil {
		return nil, err
	}
	return logical.ReadFacts(ctx, tree)
}
