package screen

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/walmend"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres/physical/archiving"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/probe"
)

// walDocument is the JSON document of the status of WAL.
type walDocument struct {
	Systems       []wal.Status        `json:"systems"`
	Archiving     *archiving.Archiver `json:"archiving,omitempty"`
	ArchivingSays string              `json:"archiving_unknown,omitempty"` // why the server could not be asked
	Error         *edge.ErrorDocument `json:"error,omitempty"`
}

// ShowWAL shows which moments can be recovered, and how archiving is, and returns what is wrong.
//
// Errors: what is wrong; with --json, those of edge.App.Document.
func (s *Screen) ShowWAL(st *installation.WALStatus) error {
	alarm := st.Trouble()
	doc := walDocument{st.Systems, st.Archiver, "", edge.DocumentOf(alarm)}
	if st.ArchiverErr != nil {
		doc.ArchivingSays = cofre.OneLine(st.ArchiverErr)
	}
	return s.answer(doc, alarm, func() {
		for _, system := range st.Systems {
			s.showWAL(system)
		}
		s.showArchiving(st.Archiver, st.ArchiverErr)
	})
}

// showWAL shows which moments of one system can be recovered, and everything that is wrong with its WAL.
func (s *Screen) showWAL(of wal.Status) {
	s.Line(s.Out, cofre.SayN("wal.system", of.Segments, "system {{.system}}: 1 WAL segment, {{.size}} stored, newest {{.newest}}", "system {{.system}}: {{.n}} WAL segments, {{.size}} stored, newest {{.newest}}", "system", of.System, "size", words.Size(of.Bytes), "newest", s.Clocks(of.NewestAt)))
	var rows [][]string
	for _, w := range of.Windows {
		rows = append(rows, []string{fmt.Sprint(w.Timeline), s.Moment(w.Moment), w.From.String(), w.To.String(), s.Text(endOf(w.Gap)), string(w.Backup), strconv.Itoa(w.Backups)})
	}
	if len(rows) > 0 {
		Columns(s.Out, []string{s.Text(cofre.Say("heading.timeline", "TIMELINE")), s.Text(cofre.Say("heading.from", "FROM")), s.Text(cofre.Say("heading.from_lsn", "FROM LSN")), s.Text(cofre.Say("heading.before_lsn", "BEFORE LSN")), s.Text(cofre.Say("heading.ends_at", "ENDS AT")), s.Text(cofre.Say("heading.oldest_base_backup", "OLDEST BASE BACKUP")), s.Text(cofre.Say("heading.base_backups", "BASE BACKUPS"))}, rows)
	} else {
		s.Line(s.Out, cofre.Say("wal.no_window", "nothing can be recovered from the archived WAL: there is no base backup that it continues"))
	}
	for _, w := range of.Windows {
		if w.Unplanned != nil {
			s.Say(cofre.Say("wal.no_moment", "timeline {{.timeline}} from base backup {{.point}}: no moment to type yet: {{.why}}; without a target a restore recovers everything there is", "timeline", w.Timeline, "point", w.Backup, "why", w.Unplanned))
		}
	}
	for _, tli := range of.Orphans {
		edge.Say(s.Out, "", s.Error(wal.ErrNoHistory(tli)))
	}
	for _, g := range of.Gaps {
		s.Say(cofre.Say("wal.gap_line", "{{.kind}}, {{.state}}: {{.gap}}", "kind", kindOfGap(g.GapError), "state", stateOfGap(string(g.State)), "gap", g.Message()))
	}
	for _, n := range of.Refused {
		s.Say(cofre.Say("wal.refused", "refused: {{.what}}", "what", recovery.Told(n.Offered())))
	}
	s.showOrigin(of)
	for _, u := range of.Unread {
		s.Say(cofre.Say("wal.unread", "cannot be read: {{.error}}", "error", u.Err))
	}
	if of.Unlinked > 0 {
		s.Say(cofre.SayN("wal.unlinked", of.Unlinked, "1 segment was archived by an earlier version: only cofre verify --level content compares it with its neighbours", "{{.n}} segments were archived by an earlier version: only cofre verify --level content compares them with their neighbours"))
	}
	for _, r := range of.Repositories {
		s.showHolding(r)
	}
	for _, p := range of.Unusable {
		s.Say(cofre.Say("wal.unusable", "base backup {{.point}} needs WAL that is not archived: it cannot be restored", "point", p))
	}
	for _, p := range of.Alone {
		s.Say(cofre.Say("wal.alone", "base backup {{.point}} carries its own WAL, and no archived WAL continues it: it restores to its end (--immediate)", "point", p))
	}
}

func (s *Screen) showHolding(r wal.Holding) {
	if r.Err != nil {
		s.Say(cofre.Say("wal.not_reached", "{{.url}}: not reached: {{.cause}}", "url", r.URL, "cause", r.Err))
		return
	}
	s.Say(cofre.SayN("wal.holding", r.Segments, "{{.url}}: 1 WAL segment, newest {{.newest}}", "{{.url}}: {{.n}} WAL segments, newest {{.newest}}", "url", r.URL, "newest", s.Clock(r.NewestAt)))
	for _, m := range r.Missing {
		s.Say(cofre.SayN("wal.misses", m.Segments, "{{.url}}: misses 1 segment that another has: {{.from}}: cofre wal mend stores it there, too", "{{.url}}: misses {{.n}} segments that another has: {{.from}} to {{.to}}: cofre wal mend stores them there, too", "url", r.URL, "from", m.From, "to", m.To))
	}
	for _, name := range r.Damaged {
		s.Say(cofre.Say("wal.is_damaged", "{{.url}}: segment {{.name}} is damaged: cofre wal mend stores it afresh if another repository has it, and cofre backup cluster if the server has it, too", "url", r.URL, "name", name))
	}
}

// showArchiving shows what a server says of its archiving, or why it could not be asked.
func (s *Screen) showArchiving(archiver *archiving.Archiver, err error) {
	switch {
	case err != nil:
		edge.Say(s.Out, "", s.Text(cofre.Say("wal.server_not_asked", "the server could not be asked about its archiving: {{.cause}}", "cause", err)))
	case archiver == nil || !archiver.Archives() && archiver.Slot == "":
	default:
		what, _ := archiver.Trouble()
		if what.IsZero() && archiver.Slot == "" && archiver.Archived != "" {
			what = cofre.Say("archiving.last", "the server archived {{.file}} last, at {{.at}}", "file", archiver.Archived, "at", s.Clock(archiver.ArchiveAt))
		}
		if !what.IsZero() {
			s.Line(s.Out, what)
		}
	}
}

// endOf says what a window ends at.
func endOf(gap *cofre.GapError) cofre.Message {
	switch {
	case gap == nil:
		return cofre.Say("wal.ends_at_end", "the end of the WAL")
	case gap.Refused:
		return cofre.Say("wal.ends_at_refused", "WAL of unknown origin")
	case gap.Damaged():
		return cofre.Say("wal.ends_at_damage", "damage")
	case gap.Breaks():
		return cofre.Say("wal.ends_at_break", "a break")
	}
	return cofre.Say("wal.ends_at_gap", "a gap")
}

func kindOfGap(g cofre.GapError) cofre.Message {
	switch {
	case g.Refused:
		return cofre.Say("wal.gap_refused", "refused")
	case g.Damaged():
		return cofre.Say("wal.damage", "damage")
	case g.Breaks():
		return cofre.Say("wal.break", "break")
	}
	return cofre.Say("wal.gap", "gap")
}

func stateOfGap(state string) cofre.Message {
	switch state {
	case "acknowledged":
		return cofre.Say("wal.acknowledged", "acknowledged")
	case "superseded":
		return cofre.Say("wal.superseded", "superseded")
	case "open":
		return cofre.Say("wal.open", "open")
	}
	return cofre.Verbatim(state)
}

// ShowMended shows what became of the WAL that a repository had lost. err is how the mending ended, and is returned.
func (s *Screen) ShowMended(done []walmend.File, err error) error {
	doc := struct {
		Files []walmend.File      `json:"files"`
		Error *edge.ErrorDocument `json:"error,omitempty"`
	}{done, edge.DocumentOf(err)}
	return s.answer(doc, err, func() {
		if len(done) > 0 || err == nil {
			s.showMended(done)
		}
	})
}

func (s *Screen) showMended(done []walmend.File) {
	for _, f := range done {
		s.Say(f.Message())
	}
	if len(done) == 0 && !s.Quiet {
		s.Line(s.Out, cofre.Say("wal.nothing_to_mend", "nothing to mend: each repository has what another has, and nothing is known to be damaged"))
	}
}

// ShowAcknowledged shows that a gap is known.
//
// Errors: with --json, those of edge.App.Document.
func (s *Screen) ShowAcknowledged(known wal.Acknowledgement) error {
	return s.answer(known, nil, func() {
		if !s.Quiet {
			s.Line(s.Out, cofre.Say("gap.acknowledged", "acknowledged: segments {{.from}} to {{.to}}", "from", known.From, "to", known.To))
		}
	})
}

// probed is the JSON document of a check of the whole way of WAL.
type probed struct {
	*probe.Probed
	Error *edge.ErrorDocument `json:"error,omitempty"`
}

// ShowChecked shows what was sent through the whole way of WAL, and from where it was read back. err is how the check ended, and is returned.
func (s *Screen) ShowChecked(ctx context.Context, done *probe.Probed, err error) error {
	return s.answer(probed{done, edge.DocumentOf(edge.Interrupted(ctx, err))}, err, func() {
		if err != nil || s.Quiet {
			return
		}
		s.Line(s.Out, cofre.Say("check.segment", "segment {{.segment}} of system {{.system}}, with a mark at {{.lsn}}", "segment", done.Segment, "system", done.System, "lsn", done.LSN))
		for _, r := range done.Read {
			s.Line(s.Out, cofre.Say("check.read_back", "read back from {{.url}}, archived in {{.time}}", "url", r.URL, "time", words.Took(time.Duration(r.Seconds*float64(time.Second)))))
		}
	})
}
