package screen

import (
	"context"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/expiry"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/retention"
)

// ShowExpiry shows what left the catalog or, if it is planned alone, what goes, what stays and why.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowExpiry(e *expiry.Expiry, planned bool) error {
	return s.answer(e.Document(), nil, func() {
		switch {
		case planned:
			s.showExpiry(e, true)
		case !s.Quiet:
			s.showGone(e)
		}
	})
}

// ConfirmExpiry shows what goes, and asks whether it is to go.
//
// Errors: those of Confirm.
func (s *Screen) ConfirmExpiry(ctx context.Context, e *expiry.Expiry, yes bool) error {
	if !s.JSON && !s.Quiet {
		s.showExpiry(e, false)
	}
	return s.Confirm(ctx, yes, e.Question())
}

// showExpiry shows what goes and why and, if all is true, what stays, too; then what that does to each source.
func (s *Screen) showExpiry(e *expiry.Expiry, all bool) {
	header := []string{
		s.Text(cofre.Say("heading.source", "SOURCE")), s.Text(cofre.Say("heading.point", "POINT")),
		s.Text(cofre.Say("heading.verdict", "VERDICT")), s.Text(cofre.Say("heading.why", "WHY")),
	}
	var rows [][]string
	for _, d := range e.Decisions {
		verdict := cofre.Say("expire.goes", "goes")
		if d.Keep {
			verdict = cofre.Say("expire.stays", "stays")
		}
		if all || !d.Keep {
			rows = append(rows, []string{d.Source.Label(), string(d.Point), s.Text(verdict), s.reasons(d)})
		}
	}
	if len(rows) > 0 {
		Columns(s.Out, header, rows)
	}
	for _, of := range e.Sources {
		s.showSource(of)
	}
	s.showExpiredWAL(e.WAL)
	if f := e.Frees; f != nil {
		s.Say(cofre.Say("expire.frees", "{{.size}} come free: they are deleted by the second run of cofre prune, a day after the first", "size", words.Size(max(0, f.Bytes))))
		if f.Shared > 0 {
			s.Say(cofre.Say("expire.frees_shared", "{{.size}} more are in files with something that stays: they come free when more than half of such a file is unused", "size", words.Size(f.Shared)))
		}
	}
	if e.Empty() {
		s.Say(cofre.Say("expire.nothing", "nothing goes"))
	}
}

func (s *Screen) reasons(d retention.Decision) string {
	texts := make([]string, len(d.Reasons))
	for i, r := range d.Reasons {
		texts[i] = s.Text(r)
	}
	return strings.Join(texts, "; ")
}

func (s *Screen) showSource(of retention.Source) {
	name := of.ID.Label()
	if of.Frozen != nil {
		s.Say(cofre.Say("expire.frozen", "{{.source}}: nothing expires since {{.since}}: {{.why}}", "source", name, "since", s.Clock(of.Frozen.Since), "why", of.Frozen.Reason))
	}
	if of.Expired == 0 {
		return
	}
	s.Say(cofre.SayN("expire.of_source", of.Expired, "{{.source}}: 1 goes, {{.stay}} stay", "{{.source}}: {{.n}} go, {{.stay}} stay", "source", name, "stay", of.Kept))
	if !of.Oldest.IsZero() && !of.Moves.Equal(of.Oldest) {
		s.Say(cofre.Say("expire.moves", "{{.source}}: the oldest whole one is of {{.before}} now, and of {{.after}} then", "source", name, "before", s.Clock(of.Oldest), "after", s.Clock(of.Moves)))
	}
}

func (s *Screen) showExpiredWAL(w *expiry.WAL) {
	if w == nil {
		return
	}
	for _, of := range w.Systems {
		what := cofre.SayN("wal.to_remove", of.Segments, "system {{.system}}: 1 WAL segment goes", "system {{.system}}: {{.n}} WAL segments go", "system", of.System)
		if w.Removed {
			what = cofre.SayN("wal.removed", of.Segments, "system {{.system}}: 1 WAL segment removed", "system {{.system}}: {{.n}} WAL segments removed", "system", of.System)
		}
		if of.Copy != "" {
			what = cofre.Say("wal.in_copy", "{{.what}} in {{.copy}}", "what", what, "copy", of.Copy)
		}
		s.Say(what)
	}
}

// showGone shows what left the catalog.
func (s *Screen) showGone(e *expiry.Expiry) {
	components, points := 0, 0
	for _, g := range e.Gone {
		components += len(g.Components)
		if g.Whole {
			points++
		}
	}
	if components > 0 {
		s.Say(cofre.SayN("expire.gone", components, "1 component left the catalog, {{.points}} recovery points whole; its bytes stay until they are pruned", "{{.n}} components left the catalog, {{.points}} recovery points whole; their bytes stay until they are pruned", "points", points))
	}
	s.showExpiredWAL(e.WAL)
	if e.Empty() {
		s.showExpiry(e, false)
	}
}
