package screen

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/status"
)

// redraw begins a screen anew: on a terminal over the last one, elsewhere after a line that is empty.
func (s *Screen) redraw() {
	if edge.TerminalWidth(s.Out) > 0 {
		fmt.Fprint(s.Out, "\x1b[H\x1b[2J")
		return
	}
	fmt.Fprintln(s.Out)
}

// ShowStatus shows how an installation stands, on one screen of 80 columns, and returns the alarm of its verdict; with --quiet it shows
// one that is an alarm alone.
//
// Errors: the alarm of the verdict; with --json, those of edge.App.Document.
func (s *Screen) ShowStatus(st *status.Status) error {
	alarm := st.Verdict.Err()
	doc := struct {
		*status.Status
		Error *edge.ErrorDocument `json:"error,omitempty"`
	}{st, edge.DocumentOf(alarm)}
	return s.answer(doc, alarm, func() {
		if !s.Quiet || alarm != nil {
			s.showStatus(st)
		}
	})
}

// WatchStatus shows how an installation stands again and again. That a person ends it is how it ends.
//
// Errors: those of look.
func (s *Screen) WatchStatus(ctx context.Context, every time.Duration, look func(context.Context) (*status.Status, error)) error {
	for {
		st, err := look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		s.redraw()
		s.showStatus(st)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
}

func (s *Screen) showStatus(st *status.Status) {
	s.Line(s.Out, cofre.Say("status.title", "{{.verdict}}: {{.name}}, {{.at}}", "verdict", verdictWord(st.Verdict), "name", st.Installation, "at", s.Clock(st.At)))
	if len(st.Sources) > 0 {
		fmt.Fprintln(s.Out)
		var rows [][]string
		for _, of := range st.Sources {
			rows = append(rows, s.sourceRow(st, of))
		}
		Columns(s.Out, []string{
			s.Text(cofre.Say("heading.source", "SOURCE")), s.Text(cofre.Say("heading.from", "FROM")), s.Text(cofre.Say("heading.to", "TO")), s.Text(cofre.Say("heading.rpo", "RPO")),
			s.Text(cofre.Say("heading.proven", "PROVEN")), s.Text(cofre.Say("heading.due", "DUE")), "",
		}, rows)
	}
	fmt.Fprintln(s.Out)
	Columns(s.Out, nil, s.aboutRepository(st))
	for _, f := range st.Findings {
		s.showStatusFinding(f)
	}
}

// sourceRow is a line for a source. A dash is what there is none of, a question mark what is not known.
func (s *Screen) sourceRow(st *status.Status, of status.Source) []string {
	from, to, lost, proven, due := "-", "-", "-", "-", "-"
	if of.Verdict == status.Unclear && of.Success == nil {
		from, to, lost, proven = "?", "?", "?", "?"
	}
	if !of.To.IsZero() {
		from, to, lost = s.day(of.From), s.near(of.To), s.Text(status.Rough(of.RPO))
	}
	if of.Level != "" {
		proven = s.Text(levelWord(of.Level)) + " " + s.ago(st.At.Sub(of.LevelAt))
		if of.LevelDepth != "" && of.LevelDepth != cofre.DrilledEverything {
			proven = s.Text(levelWord(of.Level)) + "/" + string(of.LevelDepth) + " " + s.ago(st.At.Sub(of.LevelAt))
		}
	}
	if !of.NextDue.IsZero() {
		due = s.near(of.NextDue)
	}
	return []string{of.ID.Label(), from, to, lost, proven, due, mark(of)}
}

// mark is what stands behind a source about which something is found below: a table of 80 columns has no room for words.
func mark(of status.Source) string {
	switch of.Verdict {
	case status.AtRisk:
		return "!!"
	case status.Unclear:
		return "?"
	case status.Attention:
		return "!"
	}
	return "ok"
}

func verdictWord(v status.Verdict) cofre.Message {
	switch v {
	case status.AtRisk:
		return cofre.Say("status.at_risk", "AT RISK")
	case status.Unclear:
		return cofre.Say("status.unknown", "UNKNOWN")
	case status.Attention:
		return cofre.Say("status.attention", "ATTENTION")
	}
	return cofre.Say("status.ok", "OK")
}

func (s *Screen) aboutRepository(st *status.Status) [][]string {
	r := st.Repository
	held := cofre.Say("status.size_unknown", "its size is not added up on S3")
	if r.Bytes >= 0 {
		held = cofre.Say("status.holds", "{{.size}}", "size", status.Bytes(r.Bytes))
	}
	if r.Added > 0 && r.Within >= 24*time.Hour {
		held = cofre.Say("status.grows", "{{.holds}}, {{.added}} added in {{.time}}", "holds", held, "added", status.Bytes(r.Added), "time", status.Span(r.Within))
	}
	free := cofre.Say("status.free_unknown", "the store does not say how much is free")
	if r.Free >= 0 {
		free = cofre.Say("status.free", "{{.size}} free", "size", status.Bytes(r.Free))
	}
	if r.FullIn > 0 {
		free = cofre.Say("status.full", "{{.free}}, full in {{.time}} if nothing goes", "free", free, "time", status.Span(r.FullIn))
	}
	copies := cofre.Say("status.no_copies", "none is configured")
	if len(st.Copies) > 0 {
		copies = cofre.Say("status.copies", "{{.urls}}: only WAL is brought there by this version", "urls", strings.Join(st.Copies, ", "))
	}
	rows := [][]string{
		s.about(cofre.Say("status.repository", "repository"), cofre.Verbatim(r.URL)),
		s.about(cofre.Message{}, held),
		s.about(cofre.Message{}, free),
		s.about(cofre.Say("status.copies_label", "copies"), copies),
		s.about(cofre.Say("status.verified_label", "verified"), s.verified(st)),
	}
	rows = append(rows, s.drills(st)...)
	for _, of := range st.Sources {
		if of.Frozen != nil {
			rows = append(rows, s.about(cofre.Say("status.retention", "retention"), cofre.Say("status.frozen_line", "{{.source}} frozen since {{.since}}", "source", of.ID.Label(), "since", of.Frozen.Since)))
		}
		if of.Schedule == "" {
			rows = append(rows, s.about(cofre.Say("status.schedule", "schedule"), cofre.Say("status.no_schedule", "{{.source}} has none: nobody knows when it is due", "source", of.ID.Label())))
		}
	}
	if f := st.LastRun; f != nil {
		rows = append(rows, s.about(cofre.Say("status.backup", "last backup"), cofre.Say("status.backup_at", "{{.at}}, {{.point}}", "at", f.At, "point", f.Point)))
	}
	if st.Checkpoint != "" {
		rows = append(rows, s.about(cofre.Say("status.journal", "journal"), cofre.Verbatim(st.Checkpoint)))
	}
	if at := st.UnknownBefore; !at.IsZero() {
		rows = append(rows, s.about(cofre.Message{}, cofre.Say("status.past_unknown", "what was before {{.at}} nobody vouches for: cofre journal verify --since 'LINE'", "at", at)))
	}
	return rows
}

func (s *Screen) verified(st *status.Status) cofre.Message {
	v := cofre.Say("status.not_verified", "never, but for what each backup proves of itself")
	if of := st.Verified; of != nil {
		v = cofre.SayN("status.last_verified", of.Findings, "at {{.at}}, to level {{.level}}, 1 finding", "at {{.at}}, to level {{.level}}, {{.n}} findings", "at", of.At, "level", levelWord(of.Reached))
	}
	if of := st.Verified; of != nil && of.Findings == 0 {
		v = cofre.Say("status.last_verified_well", "at {{.at}}, to level {{.level}}, without findings", "at", of.At, "level", levelWord(of.Reached))
	}
	if c := st.Coverage; c != nil && c.Bytes > 0 {
		v = cofre.Say("status.covered", "{{.last}}; {{.share}} read back within {{.window}}", "last", v, "share", percent(c.Proven, c.Bytes), "window", status.Span(c.Window))
		if c.Newer > 0 {
			v = cofre.SayN("status.covered_newer", c.Newer, "{{.share}}; 1 newer point was not read back", "{{.share}}; {{.n}} newer points were not read back", "share", v)
		}
	}
	return v
}

func (s *Screen) about(label, what cofre.Message) []string {
	return []string{s.Text(label), s.Text(what)}
}

func (s *Screen) showStatusFinding(f status.Finding) {
	what := s.Beside(f.What, f.Messages)
	if f.Source.Kind != "" {
		what = f.Source.Label() + ": " + what
	}
	fmt.Fprintln(s.Out)
	edge.Say(s.Out, s.Text(verdictWord(f.Verdict))+": ", what)
	edge.Say(s.Out, "  "+s.Text(cofre.Say("status.next", "next"))+": ", s.Beside(f.Next, f.Messages))
}

// near is a moment of these days, in the zone of the title.
func (s *Screen) near(t time.Time) string { return t.In(s.Location()).Format("01-02 15:04") }

func (s *Screen) day(t time.Time) string { return t.In(s.Location()).Format("2006-01-02") }

// ago is how long ago something was.
func (s *Screen) ago(d time.Duration) string { return s.Text(status.Rough(max(d, 0))) }
