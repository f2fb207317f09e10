package main

import (
	"context"
	"errors"
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
		fmt.Fprintf(a.Out, "the server was not asked how its archiving is: %s\n", cofre.OneLine(err))
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
	fmt.Fprintf(a.Out, "system %s: %s, %s stored, newest %s\n", s.System, plural(s.Segments, "WAL segment"), size(s.Bytes), a.clocks(s.NewestAt))
	var rows [][]string
	for _, w := range s.Windows {
		end := "the end of the WAL"
		switch {
		case w.Gap != nil && w.Gap.Damaged():
			end = "damage"
		case w.Gap != nil && w.Gap.Breaks():
			end = "a break"
		case w.Gap != nil:
			end = "a gap"
		}
		rows = append(rows, []string{fmt.Sprint(w.Timeline), a.moment(w.Moment), w.From.String(), w.To.String(), end, string(w.Backup), strconv.Itoa(w.Backups)})
	}
	if len(rows) > 0 {
		columns(a.Out, []string{a.Text(cofre.Say("heading.timeline", "TIMELINE")), a.Text(cofre.Say("heading.from", "FROM")), a.Text(cofre.Say("heading.from_lsn", "FROM LSN")), a.Text(cofre.Say("heading.before_lsn", "BEFORE LSN")), a.Text(cofre.Say("heading.ends_at", "ENDS AT")), a.Text(cofre.Say("heading.oldest_base_backup", "OLDEST BASE BACKUP")), a.Text(cofre.Say("heading.base_backups", "BASE BACKUPS"))}, rows)
	} else {
		fmt.Fprintln(a.Out, "nothing can be recovered from the archived WAL: there is no base backup that it continues")
	}
	for _, w := range s.Windows {
		if w.NoMoment != "" {
			fmt.Fprintf(a.Out, "timeline %d from base backup %s: no moment to type yet: %s; without a target a restore recovers everything there is\n", w.Timeline, w.Backup, w.NoMoment)
		}
	}
	for _, tli := range s.Orphans {
		fmt.Fprintln(a.Out, wal.ErrNoHistory(tli).Error())
	}
	for _, g := range s.Gaps {
		kind := "gap"
		switch {
		case g.Damaged():
			kind = "damage"
		case g.Breaks():
			kind = "break"
		}
		fmt.Fprintf(a.Out, "%s, %s: %s\n", kind, g.State, g.GapError.Error())
	}
	for _, n := range s.Refused {
		fmt.Fprintf(a.Out, "refused: %s\n", n.Offered())
	}
	if s.Unlinked > 0 {
		fmt.Fprintf(a.Out, "%s of a version before: only cofre verify --level content compares them with their neighbours\n", plural(s.Unlinked, "segment"))
	}
	for _, r := range s.Repositories {
		if r.Err != nil {
			fmt.Fprintf(a.Out, "%s: not reached: %s\n", r.URL, r.Error)
			continue
		}
		fmt.Fprintf(a.Out, "%s: %s, newest %s\n", r.URL, plural(r.Segments, "WAL segment"), a.clock(r.NewestAt))
		for _, m := range r.Missing {
			fmt.Fprintf(a.Out, "%s: misses what another has: segments %s to %s (%d)\n", r.URL, m.From, m.To, m.Segments)
		}
		for _, name := range r.Damaged {
			fmt.Fprintln(a.Out, a.Text(cofre.Say("wal.is_damaged", "{{.url}}: segment {{.name}} is damaged: cofre backup cluster stores it afresh, if another repository or the server has it", "url", r.URL, "name", name)))
		}
	}
	for _, p := range s.Unusable {
		fmt.Fprintf(a.Out, "base backup %s needs WAL that is not archived: it cannot be restored\n", p)
	}
	for _, p := range s.Alone {
		fmt.Fprintf(a.Out, "base backup %s carries its own WAL, and no archived WAL continues it: it restores to its end (--immediate)\n", p)
	}
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
				return cofre.WithHint(edge.UsageError(cmd, errors.New("an acknowledgement needs a reason")), cofre.Say("gap.why", "add --why TEXT"))
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
		return cofre.WithHint(edge.Usage(fmt.Errorf("gap %s to %s: not two segments of one timeline, in order", from, to)), cofre.Say("gap.names", "cofre wal status names the gaps"))
	}
	timeline, err := strconv.ParseUint(from[:8], 16, 32)
	if err != nil {
		return edge.Usage(fmt.Errorf("segment %q: its timeline is not hexadecimal", from))
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
	fmt.Fprintf(a.Out, "acknowledged: segments %s to %s\n", from, to)
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
