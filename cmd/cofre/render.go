package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/words"
)

// columns prints rows under a header, aligned, without lines: what is printed can be cut and searched. Columns
// named in right are numbers.
func columns(w io.Writer, header []string, rows [][]string, right ...int) {
	t := table.NewWriter()
	t.SetStyle(table.Style{
		Name: "plain",
		Box:  table.BoxStyle{PaddingRight: "  "},
		Format: table.FormatOptions{
			Header: text.FormatDefault,
		},
		Options: table.OptionsNoBordersAndSeparators,
	})
	var configs []table.ColumnConfig
	for _, n := range right {
		configs = append(configs, table.ColumnConfig{Number: n + 1, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(configs)
	if header != nil {
		t.AppendHeader(cells(header))
	}
	for _, r := range rows {
		t.AppendRow(cells(r))
	}
	for line := range strings.Lines(t.Render() + "\n") {
		fmt.Fprintln(w, strings.TrimRight(line, " \n"))
	}
}

func cells(texts []string) table.Row {
	row := make(table.Row, len(texts))
	for i, s := range texts {
		row[i] = s
	}
	return row
}

func size(bytes int64) string { return words.Size(bytes) }

func count(n int64) string { return words.Count(n) }

// clock shows a moment in the zone of this screen: the one that the person typed or configured, or else the machine's. One
// screen has one zone.
func (a *app) clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(a.location()).Format("2006-01-02 15:04:05 -07:00")
}

// clocks adds UTC, for the moment of a screen that a person may go on to type or to look up in a log of a server.
func (a *app) clocks(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	if _, offset := t.In(a.location()).Zone(); offset == 0 {
		return a.clock(t)
	}
	return a.clock(t) + "  (" + t.UTC().Format(time.RFC3339) + ")"
}

func (a *app) location() *time.Location {
	if a.zone != nil {
		return a.zone
	}
	return time.Local
}

func took(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// state says what is known of a point. A verification says more, and says when it did.
func (a *app) state(p cofre.RecoveryPoint, damage []cofre.Finding) string {
	var s []string
	if n := len(damage); n > 0 {
		s = append(s, a.Text(cofre.SayN("state.damaged", n, "damaged (1 object)", "damaged ({{.n}} objects)")))
	}
	for _, f := range p.Missing() {
		s = append(s, a.Text(cofre.Say("state.missing", "{{.kind}} missing", "kind", f.Kind)))
	}
	for _, c := range p.Components {
		if c.Partial {
			s = append(s, a.Text(cofre.Say("state.incomplete", "{{.kind}} incomplete", "kind", c.Kind)))
		}
	}
	if n := len(p.Findings) - len(p.Missing()); n > 0 {
		s = append(s, a.Text(cofre.SayN("state.findings", n, "1 finding", "{{.n}} findings")))
	}
	n := 0
	for _, c := range p.Components {
		n += len(c.Warnings)
	}
	if n > 0 {
		s = append(s, a.Text(cofre.SayN("state.warnings", n, "1 warning", "{{.n}} warnings")))
	}
	if len(s) == 0 {
		return a.Text(cofre.Say("state.complete", "complete"))
	}
	return strings.Join(s, ", ")
}

// kinds lists what a point has, with how many where there are several of a kind.
func kinds(p cofre.RecoveryPoint) string {
	n := map[cofre.Kind]int{}
	for _, c := range p.Components {
		n[c.Kind]++
	}
	var s []string
	for _, k := range cofre.Kinds() {
		switch n[k] {
		case 0:
		case 1:
			s = append(s, string(k))
		default:
			s = append(s, fmt.Sprintf("%s×%d", k, n[k]))
		}
	}
	return strings.Join(s, ",")
}
