package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/installation"
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
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				if len(args) == 2 {
					return showDifference(ctx, a, in, args[0], args[1])
				}
				return c.run(ctx, a, in, args[0])
			})
		},
	}
	cmd.Flags().BoolVar(&c.tables, "tables", false, "every table of the database with its exact rows and checksum")
	cmd.Flags().BoolVar(&c.files, "files", false, "every file of the configuration with mode, owner and size")
	return cmd
}

func (c *showCommand) run(ctx context.Context, a *app, in *installation.Installation, ref string) error {
	shown, err := in.Content(ctx, ref, installation.ContentOptions{Tables: c.tables, Files: c.files})
	if err != nil {
		return err
	}
	if a.JSON {
		return a.Document(shown)
	}
	p := shown.Point.RecoveryPoint
	printPoint(a, p, shown.Point.Damage)
	for _, comp := range p.Components {
		if facts := shown.Databases[comp.Name]; facts != nil && comp.Kind == cofre.KindDatabase {
			printTables(a, facts)
		}
		if facts := shown.Files[comp.Name]; facts != nil && comp.Kind == cofre.KindConfig {
			printFiles(a, comp.Name, facts)
		}
	}
	return nil
}

// showDifference shows what changed from one point to another.
func showDifference(ctx context.Context, a *app, in *installation.Installation, from, to string) error {
	d, err := in.Difference(ctx, from, to)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.Document(struct {
			From    cofre.PointID         `json:"from"`
			To      cofre.PointID         `json:"to"`
			Changes []installation.Change `json:"changes"`
		}{d.From.ID, d.To.ID, d.Changes})
	}
	columns(a.Out, nil, [][]string{
		{a.Text(cofre.Say("show.from", "from")), string(d.From.ID), a.clocks(d.From.StartedAt)},
		{a.Text(cofre.Say("show.to", "to")), string(d.To.ID), a.clock(d.To.StartedAt)},
	})
	fmt.Fprintln(a.Out)
	if len(d.Changes) == 0 {
		a.Line(a.Out, cofre.Say("show.nothing_changed", "nothing changed"))
		return nil
	}
	var rows [][]string
	for _, ch := range d.Changes {
		rows = append(rows, []string{ch.Component, a.Beside(ch.Change, ch.Messages), a.Beside(ch.What, ch.Messages), ch.Object, a.Beside(ch.Detail, ch.Messages)})
	}
	columns(a.Out, []string{a.Text(cofre.Say("heading.component", "COMPONENT")), a.Text(cofre.Say("heading.change", "CHANGE")), a.Text(cofre.Say("heading.what", "WHAT")), a.Text(cofre.Say("heading.object", "OBJECT")), a.Text(cofre.Say("heading.detail", "DETAIL"))}, rows)
	return nil
}

func printPoint(a *app, p cofre.RecoveryPoint, damage []cofre.Finding) {
	fmt.Fprintln(a.Out, a.Text(cofre.Say("point.id", "recovery point {{.point}}", "point", p.ID))+"\n")
	columns(a.Out, nil, [][]string{
		a.labelled(cofre.Say("label.installation", "installation"), p.Installation),
		a.labelled(cofre.Say("label.host", "host"), p.Host),
		a.labelled(cofre.Say("label.began", "began"), a.clocks(p.StartedAt)),
		a.labelled(cofre.Say("label.published", "published"), a.clock(p.PublishedAt)),
		a.labelled(cofre.Verbatim("cofre"), p.Version),
		a.labelled(cofre.Say("label.size", "size"), a.Text(cofre.Say("show.size", "{{.read}} read, {{.added}} added to the repository", "read", size(p.Bytes()), "added", size(added(p))))),
		a.labelled(cofre.Say("label.state", "state"), a.state(p, damage)),
	})
	for _, c := range p.Components {
		fmt.Fprintf(a.Out, "\n%s %s\n", c.Kind, c.Name)
		rows := [][]string{
			a.labelled(cofre.Say("label.captured", "captured"), a.Text(cofre.Say("show.captured", "{{.at}}, in {{.time}}", "at", a.clock(c.StartedAt), "time", took(c.EndedAt.Sub(c.StartedAt))))),
			a.labelled(cofre.Say("label.size", "size"), a.Text(cofre.SayN("show.component_size", int(c.Entries), "{{.size}} in 1 entry, {{.added}} added", "{{.size}} in {{.n}} entries, {{.added}} added", "size", size(c.Bytes), "added", size(c.Stored)))),
		}
		columns(a.Out, nil, append(rows, a.described(c)...))
		if c.Partial {
			fmt.Fprintln(a.Out, "  "+a.Text(cofre.Say("show.incomplete", "incomplete: something that should be here is known to be missing; see the findings")))
		}
		for _, w := range c.Warnings {
			fmt.Fprintln(a.Out, "  "+a.word(warning())+a.Beside(w, c.Messages))
		}
	}
	if found := append(slices.Clone(p.Findings), damage...); len(found) > 0 {
		fmt.Fprintln(a.Out)
		var rows [][]string
		for _, f := range found {
			rows = append(rows, []string{f.Check, string(f.Kind), f.Object, a.Beside(f.What, f.Messages)})
		}
		columns(a.Out, []string{a.Text(cofre.Say("heading.check", "CHECK")), a.Text(cofre.Say("heading.kind", "KIND")), a.Text(cofre.Say("heading.object", "OBJECT")), a.Text(cofre.Say("heading.finding", "FINDING"))}, rows)
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
			a.labelled(cofre.Say("label.snapshot", "snapshot"), a.clock(s.TakenAt)),
			a.labelled(cofre.Say("label.content", "content"), a.Text(cofre.SayN("show.tables", s.Tables, "{{.rows}} rows in 1 table", "{{.rows}} rows in {{.n}} tables", "rows", count(s.Rows)))),
			a.labelled(cofre.Say("label.server", "server"), "PostgreSQL "+s.ServerVersion),
			a.labelled(cofre.Say("label.position", "position"), a.Text(cofre.Say("show.position", "LSN {{.lsn}} of system {{.system}}", "lsn", s.LSN, "system", s.SystemID))),
		}
		if s.LargeObjects > 0 {
			rows = append(rows, a.labelled(cofre.Say("label.large_objects", "large objects"), count(s.LargeObjects)))
		}
		if s.Flavour != "" {
			rows = append(rows, a.labelled(cofre.Say("label.flavour", "flavour"), s.Flavour))
		}
		return rows
	}
	return a.plainFacts(c.Facts)
}

// plainFacts shows the plain values of facts whose format this command does not know better.
func (a *app) plainFacts(raw json.RawMessage) [][]string {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	var rows [][]string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch v := m[k].(type) {
		case string:
			rows = append(rows, a.labelled(factLabel(k), v))
		case float64:
			rows = append(rows, a.labelled(factLabel(k), count(int64(v))))
		case bool:
			yes := cofre.Say("show.no", "no")
			if v {
				yes = cofre.Say("show.yes", "yes")
			}
			rows = append(rows, a.labelled(factLabel(k), a.Text(yes)))
		case []any:
			if texts := plainTexts(v); texts != "" {
				rows = append(rows, a.labelled(factLabel(k), texts))
			}
		}
	}
	return rows
}

// labelled is a line of what is shown of a point.
func (a *app) labelled(label cofre.Message, value string) []string {
	return []string{"  " + a.Text(label), value}
}

// plainTexts joins a list of texts; "" if it is of something else.
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
	fmt.Fprintln(a.Out, "\n"+a.Text(cofre.Say("show.tables_of", "tables of {{.database}}", "database", f.Database.Name)))
	var rows [][]string
	for _, t := range f.Tables {
		rows = append(rows, []string{"  " + t.Schema + "." + t.Name, count(t.Rows), size(t.Bytes), t.Checksum})
	}
	columns(a.Out, []string{"  " + a.Text(cofre.Say("heading.table", "TABLE")), a.Text(cofre.Say("heading.rows", "ROWS")), a.Text(cofre.Say("heading.bytes", "BYTES")), a.Text(cofre.Say("heading.checksum", "CHECKSUM"))}, rows, 1, 2)
}

func printFiles(a *app, name string, facts []files.Fact) {
	fmt.Fprintln(a.Out, "\n"+a.Text(cofre.Say("show.files_of", "files of {{.name}}", "name", name)))
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
	columns(a.Out, []string{"  " + a.Text(cofre.Say("heading.mode", "MODE")), a.Text(cofre.Say("heading.owner", "OWNER")), a.Text(cofre.Say("heading.size", "SIZE")), a.Text(cofre.Say("heading.changed", "CHANGED")), a.Text(cofre.Say("heading.path", "PATH"))}, rows, 2)
}

func owner(name string, id uint32) string {
	if name != "" {
		return name
	}
	return fmt.Sprint(id)
}
