package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/physical/archiving"
	"github.com/trustlayer/cofre/postgres/wal"
)

func newWALCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wal",
		Short: "Archive and fetch WAL, and say which moments can be recovered",
	}
	cmd.AddCommand(edge.NewWALArchiveCommand(&a.App), edge.NewWALFetchCommand(&a.App), newWALStreamCommand(a), newWALStatusCommand(a), newWALAcknowledgeCommand(a), newWALExpireCommand(a))
	return cmd
}

func newWALStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say which moments can be recovered, and where WAL is missing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return walStatus(ctx, a, in) })
		},
	}
}

func walStatus(ctx context.Context, a *app, in *installation.Installation) error {
	status, err := in.WAL().Status(ctx)
	if err != nil {
		return err
	}
	alarm := status.Trouble()
	if a.JSON {
		doc := struct {
			Systems       []wal.Status        `json:"systems"`
			Archiving     *archiving.Archiver `json:"archiving,omitempty"`
			ArchivingSays string              `json:"archiving_unknown,omitempty"` // why the server could not be asked
			Error         *edge.ErrorDocument `json:"error,omitempty"`
		}{status.Systems, status.Archiver, "", edge.DocumentOf(alarm)}
		if status.ArchiverErr != nil {
			doc.ArchivingSays = cofre.OneLine(status.ArchiverErr)
		}
		if err := a.Document(doc); err != nil {
			return err
		}
		return alarm
	}
	for _, s := range status.Systems {
		printWALStatus(a, s)
	}
	printArchiving(a, status.Archiver, status.ArchiverErr)
	return alarm
}

func printArchiving(a *app, archiver *archiving.Archiver, err error) {
	switch {
	case err != nil:
		edge.Say(a.Out, "", a.Text(cofre.Say("wal.server_not_asked", "the server could not be asked about its archiving: {{.cause}}", "cause", err)))
	case archiver == nil || !archiver.Archives():
	default:
		what, _ := archiver.Trouble()
		if what.IsZero() && archiver.Archived != "" {
			what = cofre.Say("archiving.last", "the server archived {{.file}} last, at {{.at}}", "file", archiver.Archived, "at", a.clock(archiver.ArchiveAt))
		}
		if !what.IsZero() {
			a.Line(a.Out, what)
		}
	}
}

func printWALStatus(a *app, s wal.Status) {
	a.Line(a.Out, cofre.SayN("wal.system", s.Segments, "system {{.system}}: 1 WAL segment, {{.size}} stored, newest {{.newest}}", "system {{.system}}: {{.n}} WAL segments, {{.size}} stored, newest {{.newest}}", "system", s.System, "size", size(s.Bytes), "newest", a.clocks(s.NewestAt)))
	var rows [][]string
	for _, w := range s.Windows {
		rows = append(rows, []string{fmt.Sprint(w.Timeline), a.moment(w.Moment), w.From.String(), w.To.String(), a.Text(endOf(w.Gap)), string(w.Backup), strconv.Itoa(w.Backups)})
	}
	if len(rows) > 0 {
		columns(a.Out, []string{a.Text(cofre.Say("heading.timeline", "TIMELINE")), a.Text(cofre.Say("heading.from", "FROM")), a.Text(cofre.Say("heading.from_lsn", "FROM LSN")), a.Text(cofre.Say("heading.before_lsn", "BEFORE LSN")), a.Text(cofre.Say("heading.ends_at", "ENDS AT")), a.Text(cofre.Say("heading.oldest_base_backup", "OLDEST BASE BACKUP")), a.Text(cofre.Say("heading.base_backups", "BASE BACKUPS"))}, rows)
	} else {
		a.Line(a.Out, cofre.Say("wal.no_window", "nothing can be recovered from the archived WAL: there is no base backup that it continues"))
	}
	for _, w := range s.Windows {
		if w.NoMoment != "" {
			a.say(cofre.Say("wal.no_moment", "timeline {{.timeline}} from base backup {{.point}}: no moment to type yet: {{.why}}; without a target a restore recovers everything there is", "timeline", w.Timeline, "point", w.Backup, "why", w.NoMoment))
		}
	}
	for _, tli := range s.Orphans {
		fmt.Fprintln(a.Out, a.Speaker().Error(wal.ErrNoHistory(tli)))
	}
	for _, g := range s.Gaps {
		a.say(cofre.Say("wal.gap_line", "{{.kind}}, {{.state}}: {{.gap}}", "kind", kindOfGap(g.GapError), "state", stateOfGap(string(g.State)), "gap", g.Message()))
	}
	for _, n := range s.Refused {
		a.say(cofre.Say("wal.refused", "refused: {{.what}}", "what", n.Offered()))
	}
	if s.Unlinked > 0 {
		a.say(cofre.SayN("wal.unlinked", s.Unlinked, "1 segment was archived by an earlier version: only cofre verify --level content compares it with its neighbours", "{{.n}} segments were archived by an earlier version: only cofre verify --level content compares them with their neighbours"))
	}
	for _, r := range s.Repositories {
		a.printHolding(r)
	}
	for _, p := range s.Unusable {
		a.say(cofre.Say("wal.unusable", "base backup {{.point}} needs WAL that is not archived: it cannot be restored", "point", p))
	}
	for _, p := range s.Alone {
		a.say(cofre.Say("wal.alone", "base backup {{.point}} carries its own WAL, and no archived WAL continues it: it restores to its end (--immediate)", "point", p))
	}
}

// say prints a sentence on lines of its own.
func (a *app) say(m cofre.Message) { edge.Say(a.Out, "", a.Text(m)) }

func (a *app) printHolding(r wal.Holding) {
	if r.Err != nil {
		a.say(cofre.Say("wal.not_reached", "{{.url}}: not reached: {{.cause}}", "url", r.URL, "cause", r.Err))
		return
	}
	a.say(cofre.SayN("wal.holding", r.Segments, "{{.url}}: 1 WAL segment, newest {{.newest}}", "{{.url}}: {{.n}} WAL segments, newest {{.newest}}", "url", r.URL, "newest", a.clock(r.NewestAt)))
	for _, m := range r.Missing {
		a.say(cofre.SayN("wal.misses", int(m.Segments), "{{.url}}: misses 1 segment that another has: {{.from}}", "{{.url}}: misses {{.n}} segments that another has: {{.from}} to {{.to}}", "url", r.URL, "from", m.From, "to", m.To))
	}
	for _, name := range r.Damaged {
		a.say(cofre.Say("wal.is_damaged", "{{.url}}: segment {{.name}} is damaged: cofre backup cluster stores it afresh, if another repository or the server has it", "url", r.URL, "name", name))
	}
}

// endOf says what a window ends at.
func endOf(gap *cofre.GapError) cofre.Message {
	switch {
	case gap == nil:
		return cofre.Say("wal.ends_at_end", "the end of the WAL")
	case gap.Damaged():
		return cofre.Say("wal.ends_at_damage", "damage")
	case gap.Breaks():
		return cofre.Say("wal.ends_at_break", "a break")
	}
	return cofre.Say("wal.ends_at_gap", "a gap")
}

func kindOfGap(g cofre.GapError) cofre.Message {
	switch {
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

// moment shows a moment that was planned, as it is to be typed.
func (a *app) moment(t time.Time) string {
	if t.Nanosecond() == 0 {
		return a.clock(t)
	}
	return t.In(a.location()).Format("2006-01-02 15:04:05.000000 -07:00")
}

type walAcknowledgeCommand struct {
	why    string
	system uint64
}

func newWALAcknowledgeCommand(a *app) *cobra.Command {
	var c walAcknowledgeCommand
	cmd := &cobra.Command{
		Use:   "acknowledge FROM TO",
		Short: "Record that a gap is known, so that it alarms no more",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.why == "" {
				return cofre.WithHint(edge.UsageError(cmd, cofre.Fail(cofre.Say("gap.no_reason", "an acknowledgement needs a reason"))), cofre.Say("gap.why", "add --why TEXT"))
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				return c.run(ctx, a, in, args[0], args[1])
			})
		},
	}
	cmd.Flags().StringVar(&c.why, "why", "", "`TEXT` for whoever finds the gap later")
	cmd.Flags().Uint64Var(&c.system, "system", 0, "system `IDENTIFIER`, where the repository holds WAL of several")
	return cmd
}

func (c *walAcknowledgeCommand) run(ctx context.Context, a *app, in *installation.Installation, from, to string) error {
	if len(from) != 24 || len(to) != 24 || from[:8] != to[:8] || to < from {
		return cofre.WithHint(edge.Usage(cofre.Fail(cofre.Say("gap.not_two", "gap {{.from}} to {{.to}}: not two segments of one timeline, in order", "from", from, "to", to))), cofre.Say("gap.names", "cofre wal status names the gaps"))
	}
	timeline, err := strconv.ParseUint(from[:8], 16, 32)
	if err != nil {
		return edge.Usage(cofre.Fail(cofre.Say("gap.timeline", "segment \"{{.segment}}\": its timeline is not hexadecimal", "segment", from)))
	}
	known, err := in.WAL().Acknowledge(ctx, cofre.SystemID(c.system), wal.Acknowledgement{
		Timeline: cofre.Timeline(timeline), From: from, To: to, By: person(a.Getenv), Why: c.why,
	})
	if err != nil {
		return err
	}
	if a.JSON {
		return a.Document(known)
	}
	a.Line(a.Out, cofre.Say("gap.acknowledged", "acknowledged: segments {{.from}} to {{.to}}", "from", from, "to", to))
	return nil
}

// person is who runs cofre, as far as the environment says.
func person(getenv func(string) string) string {
	for _, name := range []string{"SUDO_USER", "USER", "LOGNAME"} {
		if v := getenv(name); v != "" {
			return v
		}
	}
	return "unknown"
}
