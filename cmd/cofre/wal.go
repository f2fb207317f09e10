package main

import (
	"cmp"
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
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/restore/plan"
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
			return a.reading(cmd.Context(), func(ctx context.Context, cfg *config.Config, repo reader) error {
				return walStatus(ctx, a, cfg, repo)
			})
		},
	}
}

// archivingBound is how long the server may take to say how its archiving is: what is archived can be told without it.
const archivingBound = 5 * time.Second

func walStatus(ctx context.Context, a *app, cfg *config.Config, repo reader) error {
	all := []wal.Status{}
	var troubles walTroubles
	err := eachWAL(ctx, cfg, repo, func(held []holding, backups []plan.BaseBackup) error {
		for i := range held {
			if h := &held[i]; h.err == nil {
				h.err = h.inv.ReadChain(ctx, h.store)
			}
		}
		if held[0].err != nil {
			return held[0].err
		}
		holdings := holdingsOf(held)
		here := len(held[0].inv.Segments)
		// What can be recovered is what all of them together have.
		for _, h := range held[1:] {
			if h.err == nil {
				held[0].inv.Merge(h.inv)
			}
		}
		held[0].inv.Hear(backups)
		s := wal.StatusOf(held[0].inv, backups)
		s.Segments, s.Repositories = here, holdings
		troubles.see(s)
		all = append(all, s)
		return nil
	})
	if err != nil {
		return err
	}
	archiver, archiverErr := archiverOf(ctx, cfg)
	alarm := troubles.worst(archiver)
	if a.JSON {
		doc := struct {
			Systems       []wal.Status        `json:"systems"`
			Archiving     *physical.Archiver  `json:"archiving,omitempty"`
			ArchivingSays string              `json:"archiving_unknown,omitempty"` // why the server could not be asked
			Error         *edge.ErrorDocument `json:"error,omitempty"`
		}{all, archiver, "", edge.DocumentOf(alarm)}
		if archiverErr != nil {
			doc.ArchivingSays = cofre.OneLine(archiverErr)
		}
		if err := a.Document(doc); err != nil {
			return err
		}
		return alarm
	}
	for _, s := range all {
		printWALStatus(a, s)
	}
	printArchiving(a, archiver, archiverErr)
	return alarm
}

// archiverOf asks the configured server how its archiving is; nil where no WAL of a server is configured.
func archiverOf(ctx context.Context, cfg *config.Config) (*physical.Archiver, error) {
	if cfg.Cluster == nil || cfg.Cluster.WAL == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, archivingBound)
	defer cancel()
	source, err := clusterSource(ctx, cfg, installation.BackupOptions{})
	if err != nil {
		return nil, err
	}
	found, err := source.Archiver(ctx)
	if err != nil {
		return nil, err
	}
	return &found, nil
}

func printArchiving(a *app, archiver *physical.Archiver, err error) {
	switch {
	case err != nil:
		fmt.Fprintf(a.Out, "the server was not asked how its archiving is: %s\n", cofre.OneLine(err))
	case archiver == nil || !archiver.Archives():
	default:
		what, _ := archiver.Trouble()
		if what == "" && archiver.Archived != "" {
			what = "the server archived " + archiver.Archived + " last, at " + a.clock(archiver.ArchiveAt)
		}
		if what != "" {
			fmt.Fprintln(a.Out, what)
		}
	}
}

// walTroubles are what keeps WAL from being of use, each the first of its kind.
type walTroubles struct {
	recoverable       bool
	gap, orphan, down error
}

func (t *walTroubles) see(s wal.Status) {
	t.recoverable = t.recoverable || len(s.Windows)+len(s.Alone) > 0
	for i, h := range s.Repositories {
		if h.Err != nil && t.down == nil {
			t.down = fmt.Errorf("copies[%d]: %w", i-1, h.Err)
		}
	}
	if len(s.Orphans) > 0 && t.orphan == nil {
		t.orphan = wal.ErrNoHistory(s.Orphans[0])
	}
	for i := range s.Gaps {
		if g := &s.Gaps[i]; g.Alarm && t.gap == nil {
			t.gap = cofre.WithHint(&g.GapError, "take a base backup with: cofre backup cluster; or, where the loss is known: cofre wal acknowledge %s %s --why …", g.From, g.To)
		}
	}
}

// worst is the one that the command ends with.
func (t *walTroubles) worst(archiver *physical.Archiver) error {
	if !t.recoverable {
		return cofre.WithHint(&cofre.UnreachableError{Target: "of any kind", Why: "no base backup is there that archived WAL continues, or that carries its own"}, "begin with: cofre backup cluster")
	}
	if err := cmp.Or(t.gap, t.orphan); err != nil {
		return err
	}
	if archiver != nil {
		if what, hint := archiver.Trouble(); what != "" {
			return cofre.WithHint(fmt.Errorf("%w: %s", cofre.ErrFindings, what), "%s", hint)
		}
	}
	return t.down
}

// eachWAL hands over, for every system of which there are base backups or WAL, what each repository holds of it, in
// the order of the configuration, together with the base backups of all systems.
//
// Errors: those of the repository. One of a copy is in its holding.
func eachWAL(ctx context.Context, cfg *config.Config, repo reader, visit func([]holding, []plan.BaseBackup) error) error {
	cat, err := catalog.Read(ctx, repo)
	if err != nil {
		return err
	}
	// Those of every installation: WAL belongs to a system, and what one of them needs is needed.
	backups, sizes, err := baseBackups(cat, "")
	if err != nil {
		return err
	}
	all := make([]holding, len(cfg.Repositories()))
	var systems []cofre.SystemID
	for i, r := range cfg.Repositories() {
		h := &all[i]
		h.repository = r
		if h.store, h.err = walstore.Open(ctx, r); h.err == nil {
			var here []cofre.SystemID
			here, h.err = wal.Systems(ctx, h.store)
			systems = append(systems, here...)
		}
		if i == 0 && h.err != nil {
			return h.err
		}
	}
	for _, b := range backups {
		systems = append(systems, b.SystemID)
	}
	slices.Sort(systems)
	for _, system := range slices.Compact(systems) {
		of := slices.Clone(all)
		for i := range of {
			h := &of[i]
			if h.err == nil {
				h.inv, h.err = wal.ReadInventory(ctx, h.store, system, sizes[system], walstore.Unlock(ctx, h.repository, h.store))
			}
			if i == 0 && h.err != nil {
				return h.err
			}
		}
		if err := visit(of, backups); err != nil {
			return err
		}
	}
	return nil
}

// holding is what one repository holds of one system's WAL.
type holding struct {
	repository config.Repository
	store      cofre.Store
	inv        *wal.Inventory
	err        error // why it could not be asked
}

// holdingsOf compares what the repositories hold.
func holdingsOf(all []holding) []wal.Holding {
	if len(all) < 2 {
		return nil
	}
	var inventories []*wal.Inventory
	for _, h := range all {
		if h.err == nil {
			inventories = append(inventories, h.inv)
		}
	}
	var out []wal.Holding
	for _, h := range all {
		o := wal.Holding{URL: h.repository.URL, Err: h.err}
		if h.err == nil {
			o.Segments, o.NewestAt, o.Missing = len(h.inv.Segments), h.inv.NewestAt, wal.Missing(h.inv, inventories...)
		} else {
			o.Error = cofre.OneLine(h.err)
		}
		out = append(out, o)
	}
	return out
}

// promisedSince is where the window that the configuration promises begins: zero promises every moment kept.
func promisedSince(cfg *config.Config) time.Time {
	if cfg.Cluster == nil || cfg.Cluster.Keep.Days == 0 {
		return time.Time{}
	}
	return time.Now().AddDate(0, 0, -cfg.Cluster.Keep.Days)
}

func printWALStatus(a *app, s wal.Status) {
	fmt.Fprintf(a.Out, "system %s: %s, %s stored, newest %s\n", s.System, plural(s.Segments, "WAL segment"), size(s.Bytes), a.clocks(s.NewestAt))
	var rows [][]string
	for _, w := range s.Windows {
		end := "the end of the WAL"
		switch {
		case w.Gap != nil && w.Gap.Why != "":
			end = "a break"
		case w.Gap != nil:
			end = "a gap"
		}
		rows = append(rows, []string{fmt.Sprint(w.Timeline), a.clock(nextSecond(w.FromAt)), w.From.String(), w.To.String(), end, string(w.Backup), strconv.Itoa(w.Backups)})
	}
	if len(rows) > 0 {
		columns(a.Out, []string{"TIMELINE", "FROM", "FROM LSN", "BEFORE LSN", "ENDS AT", "OLDEST BASE BACKUP", "BASE BACKUPS"}, rows)
	} else {
		fmt.Fprintln(a.Out, "nothing can be recovered from the archived WAL: there is no base backup that it continues")
	}
	for _, tli := range s.Orphans {
		fmt.Fprintln(a.Out, wal.ErrNoHistory(tli).Error())
	}
	for _, g := range s.Gaps {
		kind := "gap"
		if g.Why != "" {
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
	}
	for _, p := range s.Unusable {
		fmt.Fprintf(a.Out, "base backup %s needs WAL that is not archived: it cannot be restored\n", p)
	}
	for _, p := range s.Alone {
		fmt.Fprintf(a.Out, "base backup %s carries its own WAL, and no archived WAL continues it: it restores to its end (--immediate)\n", p)
	}
}

// nextSecond is the first whole second that is not before t: typed as it is printed, it must not lie before it.
func nextSecond(t time.Time) time.Time {
	if s := t.Truncate(time.Second); s.Before(t) {
		return s.Add(time.Second)
	}
	return t
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
	st, err := walstore.Open(ctx, cfg.Repository)
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
