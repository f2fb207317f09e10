package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/restore/plan"
)

func newWALCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "wal",
		Short: "Archive and fetch WAL, and say which moments can be recovered",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(edge.NewWALArchiveCommand(&a.App), edge.NewWALFetchCommand(&a.App), newWALStreamCommand(a), newWALStatusCommand(a), newWALAcknowledgeCommand(a), newWALExpireCommand(a))
	return cmd
}

// baseBackups lists the base backups of an installation, oldest first, with the size of WAL segments by system.
func baseBackups(cat *catalog.Catalog, installation string) ([]plan.BaseBackup, map[cofre.SystemID]int64, error) {
	var backups []plan.BaseBackup
	sizes := map[cofre.SystemID]int64{}
	for p := range cat.List(catalog.Want{Installation: installation, Kind: cofre.KindCluster}) {
		for _, c := range p.Components {
			if c.Kind != cofre.KindCluster {
				continue
			}
			s, err := physical.ParseSummary(c.Facts)
			if err != nil {
				return nil, nil, fmt.Errorf("read the facts of the base backup of %s: %w", p.ID, err)
			}
			sizes[s.SystemID] = s.WALSegmentSize
			backups = append(backups, plan.BaseBackup{
				Point: p.ID, SystemID: s.SystemID, Timeline: s.Timeline, Start: s.StartLSN, Stop: s.StopLSN,
				StartedAt: s.StartedAt, StoppedAt: s.StoppedAt, Bytes: c.Bytes,
			})
		}
	}
	return backups, sizes, nil
}

func newWALStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say which moments can be recovered, and where WAL is missing",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.reading(cmd.Context(), func(ctx context.Context, cfg *config.Config, repo reader) error {
				return walStatus(ctx, a, cfg, repo)
			})
		},
	}
}

func walStatus(ctx context.Context, a *app, cfg *config.Config, repo reader) error {
	all := []wal.Status{}
	var alarm error
	err := eachWAL(ctx, cfg, repo, func(_ cofre.Store, inv *wal.Inventory, backups []plan.BaseBackup) error {
		s := wal.StatusOf(inv, backups, promisedSince(cfg))
		for i := range s.Gaps {
			if s.Gaps[i].Alarm && alarm == nil {
				alarm = cofre.WithHint(&s.Gaps[i].GapError, "take a base backup with: cofre backup cluster; or, where the loss is known: cofre wal acknowledge %s %s --why …", s.Gaps[i].From, s.Gaps[i].To)
			}
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		return err
	}
	if a.JSON {
		if err := a.Document(struct {
			Systems []wal.Status        `json:"systems"`
			Error   *edge.ErrorDocument `json:"error,omitempty"`
		}{all, edge.DocumentOf(alarm)}); err != nil {
			return err
		}
		return alarm
	}
	if len(all) == 0 {
		fmt.Fprintln(a.Err, "no base backup and no WAL; begin with: cofre backup cluster")
	}
	for _, s := range all {
		printWALStatus(a, s)
	}
	return alarm
}

// eachWAL hands over, for every system of which there are base backups or WAL, what is stored of it, together with
// the base backups of all of them.
func eachWAL(ctx context.Context, cfg *config.Config, repo reader, visit func(cofre.Store, *wal.Inventory, []plan.BaseBackup) error) error {
	cat, err := catalog.Read(ctx, repo)
	if err != nil {
		return err
	}
	backups, sizes, err := baseBackups(cat, cfg.Name)
	if err != nil {
		return err
	}
	st, err := edge.WALStore(ctx, cfg)
	if err != nil {
		return err
	}
	systems, err := wal.Systems(ctx, st)
	if err != nil {
		return err
	}
	for _, b := range backups {
		if !slices.Contains(systems, b.SystemID) {
			systems = append(systems, b.SystemID)
		}
	}
	for _, system := range systems {
		inv, err := wal.ReadInventory(ctx, st, system, sizes[system], edge.UnlockWAL(ctx, cfg, st))
		if err != nil {
			return err
		}
		if err := visit(st, inv, backups); err != nil {
			return err
		}
	}
	return nil
}

// promisedSince is where the window that the configuration promises begins: zero promises every moment kept.
func promisedSince(cfg *config.Config) time.Time {
	if cfg.Cluster == nil || cfg.Cluster.Keep.Days == 0 {
		return time.Time{}
	}
	return time.Now().AddDate(0, 0, -cfg.Cluster.Keep.Days)
}

func printWALStatus(a *app, s wal.Status) {
	fmt.Fprintf(a.Out, "system %s: %s, %s stored, newest %s\n", s.System, plural(s.Segments, "WAL segment"), size(s.Bytes), clocks(s.NewestAt))
	var rows [][]string
	for _, w := range s.Windows {
		end := "the end of the WAL"
		if w.Gap != nil {
			end = "a gap"
		}
		rows = append(rows, []string{fmt.Sprint(w.Timeline), clock(w.FromAt), w.From.String(), w.To.String(), end, string(w.Backup), strconv.Itoa(w.Backups)})
	}
	if len(rows) > 0 {
		columns(a.Out, []string{"TIMELINE", "FROM", "FROM LSN", "TO LSN", "ENDS AT", "OLDEST BASE BACKUP", "BASE BACKUPS"}, rows)
	} else {
		fmt.Fprintln(a.Out, "nothing can be recovered from the archived WAL: there is no base backup that it continues")
	}
	for _, g := range s.Gaps {
		fmt.Fprintf(a.Out, "gap, %s: %s\n", g.State, g.GapError.Error())
	}
	for _, p := range s.Unusable {
		fmt.Fprintf(a.Out, "base backup %s needs WAL that is not archived; it restores only if it carries its own, and then only to its end (--immediate)\n", p)
	}
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
				return cofre.WithHint(edge.UsageError(cmd, errors.New("an acknowledgement needs a reason")), "add --why TEXT")
			}
			return c.run(cmd.Context(), a, args[0], args[1])
		},
	}
	cmd.Flags().StringVar(&c.why, "why", "", "`TEXT` for whoever finds the gap later")
	cmd.Flags().Uint64Var(&c.system, "system", 0, "system `IDENTIFIER`, where the repository holds WAL of several")
	return cmd
}

func (c *walAcknowledgeCommand) run(ctx context.Context, a *app, from, to string) error {
	cfg, err := a.Settings()
	if err != nil {
		return err
	}
	st, err := edge.WALStore(ctx, cfg)
	if err != nil {
		return err
	}
	systems, err := wal.Systems(ctx, st)
	if err != nil {
		return err
	}
	system := cofre.SystemID(c.system)
	if system == 0 {
		if len(systems) != 1 {
			return cofre.WithHint(fmt.Errorf("WAL of %d systems: %w", len(systems), cofre.ErrAmbiguous), "name one with --system: %v", systems)
		}
		system = systems[0]
	}
	if len(from) != 24 || len(to) != 24 || from[:8] != to[:8] || to < from {
		return cofre.WithHint(edge.Usage(fmt.Errorf("gap %s to %s: not two segments of one timeline, in order", from, to)), "cofre wal status names the gaps")
	}
	timeline, err := strconv.ParseUint(from[:8], 16, 32)
	if err != nil {
		return edge.Usage(fmt.Errorf("segment %q: its timeline is not hexadecimal", from))
	}
	known := wal.Acknowledgement{Timeline: cofre.Timeline(timeline), From: from, To: to, By: person(a.Getenv), At: time.Now().UTC(), Why: c.why}
	if err := wal.Acknowledge(ctx, st, system, known); err != nil {
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
