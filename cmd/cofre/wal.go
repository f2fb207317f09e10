package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
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
	cmd.AddCommand(newWALArchiveCommand(a), newWALFetchCommand(a), newWALStreamCommand(a), newWALStatusCommand(a), newWALAcknowledgeCommand(a), newWALExpireCommand(a))
	return cmd
}

type walArchiveCommand struct {
	spool string
}

func newWALArchiveCommand(a *app) *cobra.Command {
	var c walArchiveCommand
	cmd := &cobra.Command{
		Use:   "archive PATH",
		Short: "Store one file of pg_wal, for archive_command",
		Long: `Store one file of pg_wal, compressed and encrypted. When it exits with 0 the file is durable in the repository; the
same file may be handed over again, another one under the same name is refused.

  archive_command = 'cofre wal archive --config /etc/cofre/cofre.yaml %p'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args[0]) },
	}
	cmd.Flags().StringVar(&c.spool, "spool", "", "`DIR` of this machine for archiving waiting segments ahead")
	return cmd
}

func (c *walArchiveCommand) run(ctx context.Context, a *app, path string) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	st, err := walStore(ctx, cfg)
	if err != nil {
		return err
	}
	recipient, err := walRecipient(ctx, st)
	if err != nil {
		return err
	}
	archiver := &wal.Archiver{Stores: []cofre.Store{st}, Recipient: recipient, Spool: c.spool}
	done, err := archiver.Archive(ctx, path)
	if err != nil {
		return err
	}
	if done.Damaged != 0 {
		fmt.Fprintf(a.Err, "warning: the records of %s end at %s, before the segment does: recovery cannot read past it; take a base backup with: cofre backup cluster\n", done.Name, done.Damaged)
	}
	if a.json {
		return a.document(done)
	}
	return nil
}

type walFetchCommand struct {
	spool   string
	standby bool
	ahead   string // hidden: a process of its own that fills the spool
}

func newWALFetchCommand(a *app) *cobra.Command {
	var c walFetchCommand
	cmd := &cobra.Command{
		Use:   "fetch NAME PATH",
		Short: "Bring one file of pg_wal back, for restore_command",
		Long: `Bring one archived file back to PATH.

  restore_command = 'cofre wal fetch --config /etc/cofre/cofre.yaml %f %p'

It exits as PostgreSQL needs it: 0 delivered, 1 the repository was reached and does not have the file, and 126 or
above for everything else, which stops the recovery. PostgreSQL takes 1 to 125 for the end of WAL, and would promote.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args[0], args[1]) },
	}
	cmd.Flags().StringVar(&c.spool, "spool", "", "`DIR` on the data directory's file system for fetching ahead")
	cmd.Flags().BoolVar(&c.standby, "standby", false, "every failure exits with 1, for a standby, which asks again")
	cmd.Flags().StringVar(&c.ahead, "after", "", "")
	if err := cmd.Flags().MarkHidden("after"); err != nil {
		panic("cofre: internal error: " + err.Error())
	}
	return cmd
}

// fetchFailure carries the exit code that PostgreSQL needs.
type fetchFailure struct {
	error
	code int
}

func (f *fetchFailure) Unwrap() error { return f.error }

// forServer gives every error of wal fetch that run did not see, of its command line above all, a code that stops
// the recovery: 2 would be taken for the end of WAL.
func forServer(called *cobra.Command, err error) error {
	if err == nil || called.CommandPath() != "cofre wal fetch" {
		return err
	}
	if _, ok := errors.AsType[*fetchFailure](err); ok {
		return err
	}
	return &fetchFailure{err, wal.FetchExit(err, false)}
}

func (c *walFetchCommand) run(ctx context.Context, a *app, name, path string) (err error) {
	defer func() {
		// A panic would end the process with 2, which PostgreSQL takes for the end of WAL.
		if p := recover(); p != nil {
			err = fmt.Errorf("fetch %s: internal error: %v", name, p)
		}
		if err != nil {
			err = &fetchFailure{err, wal.FetchExit(err, c.standby)}
		}
	}()
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	f, err := c.fetcher(ctx, cfg)
	if err != nil {
		return err
	}
	if c.ahead != "" {
		return f.PrefetchAfter(ctx, c.ahead)
	}
	if c.spool != "" {
		f.Background = func(after string) error { return c.background(name, path, after) }
	}
	return f.Fetch(ctx, name, path)
}

func (c *walFetchCommand) fetcher(ctx context.Context, cfg *config.Config) (*wal.Fetcher, error) {
	st, err := walStore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	unlock := unlockWAL(ctx, cfg, st)
	f := &wal.Fetcher{Store: st, Spool: c.spool}
	if c.spool == "" {
		f.Identity, err = unlock()
		return f, err
	}
	if f.Spool, err = filepath.Abs(c.spool); err != nil {
		return nil, err
	}
	if c.ahead != "" {
		// The key is there as long as the recovery lasts. Who runs beside it does not bring it back after that.
		unlock = func() (wal.Identity, error) { return wal.Identity{}, errors.New("the recovery has ended") }
	} else if err := os.MkdirAll(f.Spool, 0o700); err != nil {
		return nil, fmt.Errorf("make spool: %w", err)
	}
	recipient, err := wal.LoadRecipient(ctx, st)
	if err != nil {
		return nil, err
	}
	f.Identity, err = wal.KeepIdentity(wal.IdentityFile(f.Spool), recipient, unlock)
	return f, err
}

// background starts a process that fetches what comes after a segment, while PostgreSQL replays it. It belongs to
// nobody who could wait for it; of several, one works.
func (c *walFetchCommand) background(name, path, after string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(s string) bool { return s == name || s == path })
	cmd := exec.Command(self, append(args, "--after", after, name, path)...)
	cmd.Args[0] = os.Args[0]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
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
	if a.json {
		if err := a.document(struct {
			Systems []wal.Status   `json:"systems"`
			Error   *errorDocument `json:"error,omitempty"`
		}{all, documentOf(alarm)}); err != nil {
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
	st, err := walStore(ctx, cfg)
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
		inv, err := wal.ReadInventory(ctx, st, system, sizes[system], unlockWAL(ctx, cfg, st))
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
				return cofre.WithHint(usageError(cmd, errors.New("an acknowledgement needs a reason")), "add --why TEXT")
			}
			return c.run(cmd.Context(), a, args[0], args[1])
		},
	}
	cmd.Flags().StringVar(&c.why, "why", "", "`TEXT` for whoever finds the gap later")
	cmd.Flags().Uint64Var(&c.system, "system", 0, "system `IDENTIFIER`, where the repository holds WAL of several")
	return cmd
}

func (c *walAcknowledgeCommand) run(ctx context.Context, a *app, from, to string) error {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	st, err := walStore(ctx, cfg)
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
		return cofre.WithHint(&usage{fmt.Errorf("gap %s to %s: not two segments of one timeline, in order", from, to)}, "cofre wal status names the gaps")
	}
	timeline, err := strconv.ParseUint(from[:8], 16, 32)
	if err != nil {
		return &usage{fmt.Errorf("segment %q: its timeline is not hexadecimal", from)}
	}
	known := wal.Acknowledgement{Timeline: cofre.Timeline(timeline), From: from, To: to, By: person(a.getenv), At: time.Now().UTC(), Why: c.why}
	if err := wal.Acknowledge(ctx, st, system, known); err != nil {
		return err
	}
	if a.json {
		return a.document(known)
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
