package screen

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres/logical"
)

// showPoint shows a recovery point: of each component what it holds and what is known of it, then every finding and damage.
func (s *Screen) showPoint(p installation.Point) {
	fmt.Fprintln(s.Out, s.Text(cofre.Say("point.id", "recovery point {{.point}}", "point", p.ID))+"\n")
	Columns(s.Out, nil, [][]string{
		s.labelled(cofre.Say("label.installation", "installation"), p.Installation),
		s.labelled(cofre.Say("label.host", "host"), p.Host),
		s.labelled(cofre.Say("label.began", "began"), s.Clocks(p.StartedAt)),
		s.labelled(cofre.Say("label.published", "published"), s.Clock(p.PublishedAt)),
		s.labelled(cofre.Verbatim("cofre"), p.Version),
		s.labelled(cofre.Say("label.size", "size"), s.Text(cofre.Say("show.size", "{{.read}} read, {{.added}} added to the repository", "read", words.Size(p.Bytes()), "added", words.Size(p.Stored())))),
		s.labelled(cofre.Say("label.state", "state"), s.State(p)),
	})
	for _, c := range p.Components {
		fmt.Fprintf(s.Out, "\n%s\n", c.Label())
		rows := [][]string{
			s.labelled(cofre.Say("label.captured", "captured"), s.Text(cofre.Say("show.captured", "{{.at}}, in {{.time}}", "at", s.Clock(c.StartedAt), "time", words.Took(c.EndedAt.Sub(c.StartedAt))))),
			s.labelled(cofre.Say("label.size", "size"), s.Text(cofre.SayN("show.component_size", int(c.Entries), "{{.size}} in 1 entry, {{.added}} added", "{{.size}} in {{.n}} entries, {{.added}} added", "size", words.Size(c.Bytes), "added", words.Size(c.Stored)))),
		}
		Columns(s.Out, nil, append(rows, s.described(c)...))
		if c.Partial {
			edge.Say(s.Out, "  ", s.Text(cofre.Say("show.incomplete", "incomplete: something that should be here is known to be missing; see the findings")))
		}
		for _, w := range c.Warnings {
			edge.Say(s.Out, "  "+s.Word(warning()), s.Beside(w, c.Messages))
		}
	}
	s.showExpired(p.Expired)
	if found := append(slices.Clone(p.Findings), p.Damage...); len(found) > 0 {
		fmt.Fprintln(s.Out)
		var rows [][]string
		for _, f := range found {
			rows = append(rows, []string{f.Check, string(f.Kind), f.Object, s.Beside(f.What, f.Messages)})
		}
		Columns(s.Out, []string{s.Text(cofre.Say("heading.check", "CHECK")), s.Text(cofre.Say("heading.kind", "KIND")), s.Text(cofre.Say("heading.object", "OBJECT")), s.Text(cofre.Say("heading.finding", "FINDING"))}, rows)
	}
}

// showExpired says what the point had.
func (s *Screen) showExpired(expired []cofre.ExpiredComponent) {
	for _, c := range expired {
		fmt.Fprintf(s.Out, "\n%s\n", cofre.SourceID{Kind: c.Kind, Name: c.Name}.Label())
		Columns(s.Out, nil, [][]string{
			s.labelled(cofre.Say("label.captured", "captured"), s.Clock(c.StartedAt)),
			s.labelled(cofre.Say("label.expired", "expired"), s.Text(cofre.Say("show.expired", "{{.at}}; it can no longer be restored, and everything else of the point can", "at", s.Clock(c.ExpiredAt)))),
		})
	}
}

// State says what is known of a point. A verification says more, and says when it did.
func (s *Screen) State(p installation.Point) string {
	var known []string
	if p.Back {
		known = append(known, s.Text(cofre.Say("state.back", "had expired")))
	}
	if n := len(p.Damage); n > 0 {
		known = append(known, s.Text(cofre.SayN("state.damaged", n, "damaged (1 object)", "damaged ({{.n}} objects)")))
	}
	for _, f := range p.Missing() {
		known = append(known, s.Text(cofre.Say("state.missing", "{{.kind}} missing", "kind", f.Kind)))
	}
	for _, c := range p.Expired {
		known = append(known, s.Text(cofre.Say("state.expired", "{{.kind}} expired", "kind", c.Kind)))
	}
	for _, c := range p.Components {
		if c.Partial {
			known = append(known, s.Text(cofre.Say("state.incomplete", "{{.kind}} incomplete", "kind", c.Kind)))
		}
	}
	if n := len(p.Findings) - len(p.Missing()); n > 0 {
		known = append(known, s.Text(cofre.SayN("state.findings", n, "1 finding", "{{.n}} findings")))
	}
	n := 0
	for _, c := range p.Components {
		n += len(c.Warnings)
	}
	if n > 0 {
		known = append(known, s.Text(cofre.SayN("state.warnings", n, "1 warning", "{{.n}} warnings")))
	}
	if len(known) == 0 {
		return s.Text(cofre.Say("state.complete", "complete"))
	}
	return strings.Join(known, ", ")
}

// Kinds lists what a point has, with how many if there are several of a kind.
func Kinds(p cofre.RecoveryPoint) string {
	n := map[cofre.Kind]int{}
	for _, c := range p.Components {
		n[c.Kind]++
	}
	var all []string
	for _, k := range cofre.Kinds() {
		switch n[k] {
		case 0:
		case 1:
			all = append(all, string(k))
		default:
			all = append(all, fmt.Sprintf("%s×%d", k, n[k]))
		}
	}
	return strings.Join(all, ",")
}

// described says what the facts of a component mean to a person.
func (s *Screen) described(c cofre.Component) [][]string {
	if len(c.Facts) == 0 {
		return nil
	}
	switch c.Kind {
	case cofre.KindDatabase:
		var sum logical.Summary
		if json.Unmarshal(c.Facts, &sum) != nil {
			return nil
		}
		rows := [][]string{
			s.labelled(cofre.Say("label.snapshot", "snapshot"), s.Clock(sum.TakenAt)),
			s.labelled(cofre.Say("label.content", "content"), s.Text(cofre.SayN("show.tables", sum.Tables, "{{.rows}} rows in 1 table", "{{.rows}} rows in {{.n}} tables", "rows", s.Count(sum.Rows)))),
			s.labelled(cofre.Say("label.server", "server"), "PostgreSQL "+sum.ServerVersion),
			s.labelled(cofre.Say("label.position", "position"), s.Text(cofre.Say("show.position", "LSN {{.lsn}} of system {{.system}}", "lsn", sum.LSN, "system", sum.SystemID))),
		}
		if sum.LargeObjects > 0 {
			rows = append(rows, s.labelled(cofre.Say("label.large_objects", "large objects"), s.Count(sum.LargeObjects)))
		}
		if sum.Flavour != "" {
			rows = append(rows, s.labelled(cofre.Say("label.flavour", "flavour"), sum.Flavour))
		}
		return rows
	}
	return s.plainFacts(c.Facts)
}

// plainFacts shows the plain values of facts whose format this command does not know better.
func (s *Screen) plainFacts(raw json.RawMessage) [][]string {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	var rows [][]string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		switch v := m[k].(type) {
		case string:
			if at, err := time.Parse(time.RFC3339Nano, v); err == nil {
				v = s.Clock(at)
			}
			rows = append(rows, s.labelled(factLabel(k), v))
		case float64:
			rows = append(rows, s.labelled(factLabel(k), s.Count(int64(v))))
		case bool:
			yes := cofre.Say("show.no", "no")
			if v {
				yes = cofre.Say("show.yes", "yes")
			}
			rows = append(rows, s.labelled(factLabel(k), s.Text(yes)))
		case []any:
			if texts := plainTexts(v); texts != "" {
				rows = append(rows, s.labelled(factLabel(k), texts))
			}
		}
	}
	return rows
}

// labelled is a line of what is shown of a point.
func (s *Screen) labelled(label cofre.Message, value string) []string {
	return []string{"  " + s.Text(label), value}
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
