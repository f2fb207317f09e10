package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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

type restoreClusterCommand struct {
	restoreOptions
	target        recoveryFlags
	to            string
	action        string
	tablespaces   []string
	delta         bool
	moveAside     bool
	jobs          int
	owner         string
	keepArchive   bool
	keepLibraries []string
	verifyBackup  bool
	keepPartial   bool
	start         bool
	superuser     string
}

// recoveryFlags are the flags that say until when to recover.
type recoveryFlags struct {
	at        string
	tz        string
	lsn       string
	xid       uint64
	name      string
	immediate bool
	exclusive bool
	timeline  uint32
}

func newRestoreClusterCommand(a *app) *cobra.Command {
	var c restoreClusterCommand
	cmd := &cobra.Command{
		Use:   "cluster [POINT] --to DIR",
		Short: "Bring back a whole PostgreSQL cluster, to any moment its WAL reaches",
		Long: `Bring back the data directory of a cluster, ready to recover to a moment: --at, --lsn, --xid, --name, --immediate,
or without one of them to the end of the WAL. The base backup is chosen by the target, or is that of POINT.

A target that cannot be reached exactly is refused, with the moments nearest to it that can. The restored cluster
pauses at the target until it is promoted, unless --action says else. Until cofre adopt it is a copy that acts on nobody:
archiving, subscriptions, jobs and connections from elsewhere are off, by settings in a file of its own.

With --start cofre runs the server on a private socket until the target is reached, carries the action out, and says
where the recovery has stopped. Paused at the target, the server goes on running, to be read, and cofre says how to
reach it, how to promote it and how to move on; otherwise it is shut down, to be started as any other cluster.

  cofre restore cluster --to /var/lib/postgresql/15/restored --at 2026-11-24T14:05:00-03:00 --dry-run
  cofre restore cluster --to /srv/copy --at '2026-11-24 14:05:00' --tz America/Sao_Paulo --start --action promote
  cofre restore cluster latest --to /srv/copy --immediate`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.to == "" {
				return cofre.WithHint(edge.UsageError(cmd, errors.New("a restore of a cluster needs a place")), "give --to DIR")
			}
			for _, name := range []string{"at", "lsn", "xid", "name"} {
				// --at "$TIME" with nothing in the variable would recover to the end of the WAL, disaster and all.
				if f := cmd.Flags().Lookup(name); f.Changed && (f.Value.String() == "" || f.Value.String() == "0") {
					return edge.UsageError(cmd, fmt.Errorf("--%s is empty", name))
				}
			}
			target, err := c.target.parse()
			if err != nil {
				return edge.UsageError(cmd, err)
			}
			a.zone = c.target.zone()
			return a.reading(cmd.Context(), func(ctx context.Context, cfg *config.Config, repo reader) error {
				return c.run(ctx, a, cfg, repo, target, args)
			})
		},
	}
	c.addFlags(cmd)
	f := cmd.Flags()
	c.target.addFlags(cmd)
	f.StringVar(&c.to, "to", "", "the data `DIR` to make")
	f.StringVar(&c.action, "action", "", "`ACTION` at the target: pause, promote or shutdown (default: pause, and promote at the end of the WAL)")
	f.BoolVar(&c.start, "start", false, "run the server until the target is reached, and carry out the action")
	f.StringVar(&c.superuser, "superuser", "postgres", "with --start, the `ROLE` of the restored cluster to ask with")
	f.StringArrayVar(&c.tablespaces, "tablespace", nil, "`OLD=NEW`: another directory for a tablespace, may be repeated")
	f.BoolVar(&c.delta, "delta", false, "DIR holds an older copy: rewrite what differs in place, and delete what is not in the point")
	f.BoolVar(&c.moveAside, "move-aside", false, "DIR is in use: restore beside it, then give it another name")
	f.IntVarP(&c.jobs, "jobs", "j", 0, "`N` files at once (default: the number of CPUs up to 4)")
	f.StringVar(&c.owner, "owner", "", "`USER` to own the files, where cofre runs as root (default: found out)")
	f.BoolVar(&c.keepArchive, "keep-archiving", false, "it is the original at once, archiving and all; only where that is gone for good")
	f.StringArrayVar(&c.keepLibraries, "keep-library", nil, "`NAME` in shared_preload_libraries to load although it acts, or is not known; may be repeated")
	f.BoolVar(&c.verifyBackup, "pg-verifybackup", false, "have pg_verifybackup read everything back once more")
	f.BoolVar(&c.keepPartial, "keep-partial", false, "leave what was brought when the restore fails, for the next one to go on with")
	return cmd
}

func (r *recoveryFlags) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&r.at, "at", "", "recover to this `TIME`: RFC 3339 with an offset, or local time with --tz")
	f.StringVar(&r.tz, "tz", "", "time `ZONE` of --at, as in America/Sao_Paulo")
	f.StringVar(&r.lsn, "lsn", "", "recover to this `LSN`: 16/B374D848")
	f.Uint64Var(&r.xid, "xid", 0, "recover to this transaction `ID`")
	f.StringVar(&r.name, "name", "", "recover to the restore point of this `NAME` (pg_create_restore_point)")
	f.BoolVar(&r.immediate, "immediate", false, "only until the base backup is consistent")
	f.BoolVar(&r.exclusive, "exclusive", false, "stop just before the target instead of just after it")
	f.Uint32Var(&r.timeline, "timeline", 0, "recover along this timeline `NUMBER` (default: the newest that the base backup leads to)")
}

// parse makes a recovery target of the flags.
//
// Errors: ones for a person who typed them: more than one target, a time without a zone.
func (r *recoveryFlags) parse() (cofre.RecoveryTarget, error) {
	t := cofre.RecoveryTarget{XID: r.xid, Name: r.name, Immediate: r.immediate, Exclusive: r.exclusive, Timeline: cofre.Timeline(r.timeline)}
	given := 0
	for _, set := range []bool{r.at != "", r.lsn != "", r.xid != 0, r.name != "", r.immediate} {
		if set {
			given++
		}
	}
	if given > 1 {
		return t, cofre.WithHint(errors.New("more than one recovery target"), "give one of --at, --lsn, --xid, --name and --immediate")
	}
	if r.exclusive && r.at == "" && r.lsn == "" && r.xid == 0 {
		return t, errors.New("--exclusive applies to --at, --lsn and --xid")
	}
	var err error
	if r.at != "" {
		t.At, err = parseMoment(r.at, r.tz)
	}
	if r.lsn != "" {
		t.LSN, err = cofre.ParseLSN(r.lsn)
	}
	return t, err
}

// zone is the time zone in which --at was typed, nil without one.
func (r *recoveryFlags) zone() *time.Location {
	if loc, err := time.LoadLocation(r.tz); err == nil && r.tz != "" {
		return loc
	}
	for _, layout := range withOffset {
		if t, err := time.Parse(layout, r.at); err == nil {
			return t.Location()
		}
	}
	return nil
}

// withOffset are the ways to write a time with its offset: RFC 3339, as the screens here do, and as PostgreSQL does.
var withOffset = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999 -07:00", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999-07"}

// parseMoment reads a time that a person typed. Without an offset and without a zone it is refused: the same digits
// are another moment on another machine.
func parseMoment(text, zone string) (time.Time, error) {
	for _, layout := range withOffset {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	if zone == "" {
		return time.Time{}, cofre.WithHint(fmt.Errorf("time %q has no offset", text), "write it as 2026-11-24T14:05:00-03:00, or add --tz America/Sao_Paulo")
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return time.Time{}, cofre.WithHint(fmt.Errorf("time zone %q is not known", zone), "use a name such as America/Sao_Paulo, or UTC")
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", "2006-01-02 15:04", "2006-01-02T15:04"} {
		t, err := time.ParseInLocation(layout, text, loc)
		if err != nil {
			continue
		}
		// Where clocks are set back the same digits come twice. Go takes the first; say so rather than guess.
		if again := t.Add(time.Hour); again.Format(layout) == t.Format(layout) {
			return time.Time{}, cofre.WithHint(fmt.Errorf("time %q comes twice in %s", text, zone), "write it with its offset: %s or %s", t.Format(time.RFC3339), again.Format(time.RFC3339))
		}
		return t.UTC(), nil
	}
	return time.Time{}, cofre.WithHint(fmt.Errorf("time %q cannot be read", text), "write it as 2026-11-24 14:05:00")
}

func (c *restoreClusterCommand) run(ctx context.Context, a *app, cfg *config.Config, repo reader, target cofre.RecoveryTarget, refs []string) error {
	action := physical.Action(c.action)
	if end := (cofre.RecoveryTarget{Timeline: target.Timeline}); action == "" && target == end {
		action = physical.ActionPromote
	}
	action = cmp.Or(action, physical.ActionPause)
	if !slices.Contains([]physical.Action{physical.ActionPause, physical.ActionPromote, physical.ActionShutdown}, action) {
		return cofre.WithHint(edge.Usage(fmt.Errorf("unknown action %q", c.action)), "use pause, promote or shutdown")
	}
	spaces, err := pairs(c.tablespaces)
	if err != nil {
		return err
	}
	cat, err := a.catalog(ctx, cfg, repo)
	if err != nil {
		return err
	}
	way, err := recoveryWay(ctx, cfg, cat, target, refs, func(text string) { a.warn([]string{text}) })
	if err != nil {
		return err
	}
	command, err := c.restoreCommand(a, way, spaces)
	if err != nil {
		return err
	}
	if !a.JSON && !a.Quiet {
		fmt.Fprintf(a.Err, "recovery target: %s%s\n", target, a.echo(target.At))
		if way.recovery != nil {
			fmt.Fprintf(a.Err, "reached at LSN %s on timeline %d, with %s\n", way.recovery.Stop, way.recovery.Timeline, plural(len(way.recovery.Segments), "WAL segment"))
		}
	}
	r := restoring{options: c.restoreOptions, kind: cofre.KindCluster, point: string(way.point)}
	var made *physical.Target
	r.instead = func(ctx context.Context, choice installation.Choice) string {
		return c.whole(ctx, cfg, choice, target)
	}
	r.target = func(choice installation.Choice) (cofre.Target, error) {
		lost, instead := choice.LostNames(ctx, repo), ""
		if len(lost) > 0 {
			instead = r.instead(ctx, choice)
		}
		made = physical.NewTarget(physical.TargetOptions{
			Dir: c.to, Tablespaces: spaces, Delta: c.delta, MoveAside: c.moveAside, Jobs: parallel(c.jobs), Owner: c.owner,
			Recovery: way.target, Plan: way.recovery, Action: action, RestoreCommand: command, EndCommand: endCommand(command), KeepArchiving: c.keepArchive, KeepLibraries: c.keepLibraries,
			VerifyBackup: c.verifyBackup, KeepPartial: c.keepPartial,
			Lost: lost, Instead: instead,
		})
		return made, nil
	}
	r.then = func(ctx context.Context, obs cofre.Observer, done *cofre.Outcome) (*physical.Recovered, error) {
		if !c.start {
			if command != "" {
				done.Next = append(done.Next, "where it is never promoted, to remove the key that reads the archived WAL: rm -r "+shellQuote(filepath.Join(done.Restored, physical.SpoolDir)))
			}
			return nil, nil
		}
		return c.recover(ctx, obs, made, done, physical.RecoverOptions{Recovery: way.target, Plan: way.recovery, Action: action})
	}
	if c.delta || c.moveAside {
		r.replaces = func(cofre.Component) string { return "replace the data directory " + c.to }
	}
	return a.restore(ctx, cfg, repo, r)
}

// whole is the command that reaches the same target from another base backup, which is not known to have lost anything: the
// newest of before, or else of after.
func (c *restoreClusterCommand) whole(ctx context.Context, cfg *config.Config, choice installation.Choice, target cofre.RecoveryTarget) string {
	if target.Immediate {
		return "" // the end of another base backup is another moment
	}
	for _, o := range choice.Others() {
		if len(o.Lost()) > 0 || o.Component.Partial {
			continue
		}
		if _, err := recoveryWay(ctx, cfg, choice.Catalog, target, []string{string(o.Point.ID)}, func(string) {}); err == nil {
			return c.from(o.Point.ID)
		}
	}
	return ""
}

// way is how a recovery target is reached.
type way struct {
	point    cofre.PointID
	target   cofre.RecoveryTarget
	recovery *plan.Recovery // nil where the WAL in the base backup itself is enough
	used     cofre.Timeline // the highest that a base backup of the cluster is on
}

// recoveryWay chooses the base backup, and proves that the target can be reached from it.
//
// Errors: *cofre.UnreachableError, *cofre.GapError; those of the catalog and of the store.
func recoveryWay(ctx context.Context, cfg *config.Config, cat *catalog.Catalog, target cofre.RecoveryTarget, refs []string, warn func(string)) (way, error) {
	want := catalog.Want{Installation: cfg.Name, Kind: cofre.KindCluster}
	ref := catalog.Latest
	if len(refs) == 1 {
		ref = refs[0]
	}
	point, comp, err := cat.Component(ref, want)
	if err != nil {
		return way{}, err
	}
	for _, text := range incomplete(cat, ref, point, want) {
		warn(text)
	}
	summary, err := physical.ParseSummary(comp.Facts)
	if err != nil {
		return way{}, fmt.Errorf("read the facts of the base backup of %s: %w", point.ID, err)
	}
	if summary.OwnWALOnly {
		if len(refs) == 0 && target != (cofre.RecoveryTarget{}) {
			return way{}, cofre.WithHint(&cofre.UnreachableError{Target: target.String(), Why: fmt.Sprintf("the newest base backup, %s, is of a cluster whose WAL is not in the archive: another's is", point.ID)},
				"name the base backup to begin with: cofre restore cluster POINT; cofre list names them")
		}
		return withoutArchive(point, summary, target, "the WAL in the archive is not of the cluster that this base backup was taken of")
	}
	backups, _, err := baseBackups(cat, point.Installation)
	if err != nil {
		return way{}, err
	}
	var highest cofre.Timeline
	for _, b := range backups {
		if b.SystemID == summary.SystemID {
			highest = max(highest, b.Timeline)
		}
	}
	backups = slices.DeleteFunc(backups, func(b plan.BaseBackup) bool {
		return b.SystemID != summary.SystemID || len(refs) == 1 && b.Point != point.ID
	})
	st, err := walstore.Open(ctx, cfg.Repository)
	if err != nil {
		return way{}, err
	}
	systems, err := wal.Systems(ctx, st)
	if err != nil {
		return way{}, err
	}
	if !slices.Contains(systems, summary.SystemID) {
		return withoutArchive(point, summary, target, "the repository holds no WAL of this cluster")
	}
	unlock := walstore.Unlock(ctx, cfg.Repository, st)
	id, err := unlock()
	if err != nil {
		return way{}, err
	}
	inv, err := wal.ReadInventory(ctx, st, summary.SystemID, summary.WALSegmentSize, func() (wal.Identity, error) { return id, nil })
	if err != nil {
		return way{}, err
	}
	copies := walCopies(ctx, cfg, inv, warn)
	inv.Hear(backups)
	found, err := plan.Recover(target, backups, &inv.WAL, wal.Scan(ctx, st, id, inv, copies...))
	if err != nil {
		if w, ok := ownWAL(point, summary, target); ok {
			return w, nil
		}
		if gap, ok := errors.AsType[*cofre.GapError](err); ok && cofre.Hint(err) == "" {
			err = cofre.WithHint(err, "recover to a moment before segment %s, or from a base backup after %s; cofre wal status names both", gap.From, gap.To)
		}
		return way{}, err
	}
	target.Timeline = found.Timeline
	w := way{point: found.Backup.Point, target: target, recovery: found, used: highest}
	return w, historyOf(cat, w, inv, want)
}

// historyOf makes sure of the history that the server asks for first: archived, or in the base backup.
//
// Errors: *cofre.GapError with what mends it.
func historyOf(cat *catalog.Catalog, w way, inv *wal.Inventory, want catalog.Want) error {
	if _, ok := inv.Histories[w.target.Timeline]; ok || w.target.Timeline == 1 {
		return nil
	}
	_, comp, err := cat.Component(string(w.point), want)
	if err != nil {
		return err
	}
	s, err := physical.ParseSummary(comp.Facts)
	if err == nil && !(s.WALIncluded && s.StopTimeline == w.target.Timeline) {
		err = wal.ErrNoHistory(w.target.Timeline)
	}
	return err
}

// withoutArchive is the way where no WAL was archived that goes on from the base backup: only its end can be reached, and only
// where it carries the WAL that makes it consistent.
func withoutArchive(point cofre.RecoveryPoint, s physical.Summary, target cofre.RecoveryTarget, why string) (way, error) {
	if w, ok := ownWAL(point, s, target); ok {
		return w, nil
	}
	if target == (cofre.RecoveryTarget{}) && s.WALIncluded {
		return way{point: point.ID, target: target}, nil
	}
	return way{}, cofre.WithHint(&cofre.UnreachableError{
		Target: target.String(), Why: why,
		Nearest: []string{fmt.Sprintf("the end of base backup %s, %s: --immediate", point.ID, s.StoppedAt.UTC().Format(time.RFC3339))},
	}, "archive WAL with: archive_command = 'cofre wal archive %%p'")
}

// ownWAL is the way to the end of a base backup that carries its own WAL.
func ownWAL(point cofre.RecoveryPoint, s physical.Summary, target cofre.RecoveryTarget) (way, bool) {
	return way{point: point.ID, target: target}, target.Immediate && s.WALIncluded
}

// fetchProgram is what the restored server runs for each segment: cofre-wal, which starts quicker, where it is beside
// this program, and else this program.
func fetchProgram() ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program for restore_command: %w", err)
	}
	small := filepath.Join(filepath.Dir(self), "cofre-wal")
	if _, err := exec.LookPath(small); err == nil {
		return []string{small, "fetch"}, nil
	}
	return []string{self, "wal", "fetch"}, nil
}

// restoreCommand is how the restored server fetches WAL: with this configuration.
func (c *restoreClusterCommand) restoreCommand(a *app, w way, spaces map[string]string) (string, error) {
	if w.recovery == nil {
		return "", nil
	}
	args, err := fetchProgram()
	if err != nil {
		return "", err
	}
	path, err := a.ConfigPath()
	if err != nil {
		return "", err
	}
	if path != "" {
		if path, err = filepath.Abs(path); err != nil {
			return "", err
		}
		args = append(args, "--config", path)
	}
	args = append(args, "--spool", physical.SpoolDir, "--claim", fmt.Sprint(w.target.Timeline), "--used", fmt.Sprint(w.used))
	if edits := physical.WALEdits(w.recovery, spaces); edits != "" {
		args = append(args, "--edits", edits)
	}
	for i, arg := range args {
		// In restore_command a percent sign begins a placeholder.
		args[i] = shellQuote(strings.ReplaceAll(arg, "%", "%%"))
	}
	return strings.Join(args, " ") + ` %f "%p"`, nil
}

// endCommand removes what fetching leaves in the data directory when the server ends its recovery: the key of the
// repository's WAL shall not stay in a cluster that serves.
func endCommand(restoreCommand string) string {
	if restoreCommand == "" {
		return ""
	}
	return "rm -rf " + physical.SpoolDir
}

// recover runs the server of a cluster that was just restored until it has reached the target. One that is paused there
// is left running, since whoever asks for a pause wants to look; any other is shut down.
//
// Errors: those of physical.Recover. The restored directory stays: what it lacks is the recovery.
func (c *restoreClusterCommand) recover(ctx context.Context, obs cofre.Observer, made *physical.Target, done *cofre.Outcome, o physical.RecoverOptions) (*physical.Recovered, error) {
	o.DataDir, o.Superuser, o.Observer = done.Restored, c.superuser, obs
	o.Detached = o.Action == physical.ActionPause
	found, err := physical.Recover(ctx, o)
	if err == nil && found.Paused != nil {
		done.Next = c.whilePaused(done.Restored, found.Paused)
		return found, nil
	}
	if found != nil && found.Server != nil {
		err = errors.Join(err, found.Server.Close())
	}
	err = errors.Join(err, forgetSpool(ctx, done.Restored))
	if err != nil {
		return nil, err
	}
	if found.Promoted {
		done.Next, err = made.Next(true) // what was said about a pause is over
	}
	return found, err
}

// whilePaused says what can be done with a server that is paused at its target. Its spool, and the key in it, stay: a
// promotion asks the archive for the timelines that there are.
func (c *restoreClusterCommand) whilePaused(dir string, p *physical.Paused) []string {
	reach := fmt.Sprintf("psql -h %s -p %d -U %s", shellQuote(p.Socket), p.Port, shellQuote(c.superuser))
	stop := "pg_ctl stop -D " + shellQuote(dir)
	return []string{
		"to look: " + reach,
		fmt.Sprintf("to keep this moment: %s -c 'SELECT pg_promote()' template1 && %s && pg_ctl start -D %s", reach, stop, shellQuote(dir)),
		"when it was promoted and is to be the original: cofre adopt " + shellQuote(dir),
		"before another moment is restored to, with cofre restore cluster --delta: " + stop,
		"where it is never promoted, to remove the key that reads the archived WAL: " + stop + " && rm -r " + shellQuote(filepath.Join(dir, physical.SpoolDir)),
	}
}

// forgetSpool removes what fetching left in a data directory whose server does not run any more. A process that fetches
// ahead may not have noticed that, and adds files while they are removed; without the key it begins nothing new.
func forgetSpool(ctx context.Context, dir string) error {
	spool := filepath.Join(dir, physical.SpoolDir)
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := wal.Forget(spool)
		if err == nil {
			err = os.Remove(spool)
		}
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, syscall.ENOTEMPTY) || time.Now().After(deadline) || ctx.Err() != nil:
			return fmt.Errorf("remove the key that the recovery has used, and what it has fetched: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// printRecovered says where a recovery has stopped.
func printRecovered(a *app, r *physical.Recovered) {
	fmt.Fprintf(a.Out, "recovered to LSN %s on timeline %d in %s\n", r.LSN, r.Timeline, took(r.Took))
	if !r.CommitAt.IsZero() {
		fmt.Fprintf(a.Out, "the last transaction in it: %s%s\n", r.CommitAt.UTC().Format(time.RFC3339Nano), a.echo(r.CommitAt))
	}
	if r.Stopped != "" {
		fmt.Fprintf(a.Out, "the server says: %s\n", r.Stopped)
	}
	for _, s := range r.Raised {
		fmt.Fprintf(a.Out, "raised, as the WAL demands: %s\n", s)
	}
	for _, u := range r.Unusable {
		fmt.Fprintf(a.Out, "as in the original then, %s\n", u)
	}
	switch {
	case r.Paused != nil:
		fmt.Fprintf(a.Out, "paused at the target, running read-only as process %d, log in %s\n", r.Paused.PID, r.Paused.Log)
	case r.Promoted:
		fmt.Fprintln(a.Out, "promoted, and shut down")
	default:
		fmt.Fprintln(a.Out, "not promoted, and shut down")
	}
}

// shellQuote quotes a word for the shell where it needs it.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// pairs reads OLD=NEW words.
func pairs(words []string) (map[string]string, error) {
	m := map[string]string{}
	for _, w := range words {
		from, to, ok := strings.Cut(w, "=")
		if !ok || from == "" || to == "" {
			return nil, edge.Usage(fmt.Errorf("%q is not of the form OLD=NEW", w))
		}
		m[from] = to
	}
	return m, nil
}

// echo shows a moment of UTC in the zone of the screen too: a mistaken zone is seen before it costs three hours.
func (a *app) echo(t time.Time) string {
	if _, offset := t.In(a.location()).Zone(); t.IsZero() || offset == 0 {
		return ""
	}
	return " = " + a.clock(t)
}
