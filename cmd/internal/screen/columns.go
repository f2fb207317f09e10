package screen

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
)

// Columns prints rows under a header, aligned, without lines: what is printed can be cut and searched. Columns
// named in right are numbers. On a terminal that is narrower each row goes on in lines under it, between columns.
func Columns(w io.Writer, header []string, rows [][]string, right ...int) {
	rows = onLines(rows)
	lines := aligned(header, rows, right)
	if width := edge.TerminalWidth(w); width > 0 && slices.ContainsFunc(lines, func(l string) bool { return utf8.RuneCountInString(l) > width }) {
		lines = folded(width, header, rows, right)
	}
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
}

// onLines has each cell on one line, as the name of a thing may not be.
func onLines(rows [][]string) [][]string {
	plain := make([][]string, len(rows))
	for i, r := range rows {
		for _, cell := range r {
			plain[i] = append(plain[i], cofre.Printable(cell))
		}
	}
	return plain
}

func aligned(header []string, rows [][]string, right []int) (lines []string) {
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
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return lines
}

func cells(texts []string) table.Row {
	row := make(table.Row, len(texts))
	for i, s := range texts {
		row[i] = s
	}
	return row
}

const (
	foldIndent = "    " // before the lines in which a row goes on
	leastHung  = 24     // columns that the text at the end of a row has, if it is to stand on the line of those before it
)

// folded puts as many columns on a line as fit, the next ones on lines under it, and breaks the text of the last between words. What
// ends a row, if it has room on the line before and no heading above it, stays there.
func folded(width int, header []string, rows [][]string, right []int) (lines []string) {
	if header != nil {
		rows = append([][]string{header}, rows...)
	}
	var widths []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	onLine, line, used := make([]int, len(widths)), 0, 0
	for i, n := range widths {
		if i == len(widths)-1 {
			n = min(n, leastHung)
		}
		if used > 0 && used+n > width {
			line, used = line+1, len(foldIndent)
		}
		onLine[i] = line
		used += n + 2
	}
	for _, r := range rows {
		lead, line := "", 0
		end := func() {
			if strings.TrimSpace(lead) != "" {
				lines = append(lines, strings.TrimRight(lead, " "))
			}
		}
		for i, cell := range r {
			if onLine[i] != line && header == nil && strings.Join(r[i+1:], "") == "" && cell != "" && utf8.RuneCountInString(lead+cell) <= width {
				lines = append(lines, lead+cell) // all that the row has
				break
			}
			if onLine[i] != line {
				end()
				lead, line = foldIndent, onLine[i]
			}
			if i == len(r)-1 {
				if cell == "" {
					end()
					break
				}
				if utf8.RuneCountInString(lead)+longestWord(cell) > width {
					end()
					lead = foldIndent
				}
				lines = append(lines, strings.TrimRight(edge.Hang(lead, cell, width), " "))
				break
			}
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if slices.Contains(right, i) {
				cell, pad = pad+cell, ""
			}
			lead += cell + pad + "  "
		}
	}
	return lines
}

// longestWord is how many columns a text needs at least.
func longestWord(text string) (longest int) {
	for word := range strings.FieldsSeq(text) {
		longest = max(longest, utf8.RuneCountInString(word))
	}
	return longest
}
