package adopting

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/settings"
	"github.com/trustlayer/cofre/postgres/physical/view"
)

// Options say which copy becomes the original.
type Options struct {
	Dir       string // the data directory of a cluster that was restored and has been promoted
	BinDir    string // empty finds the one of the cluster's major version
	Superuser string // to ask a copy that runs; empty is postgres
	// Archive stores a file of pg_wal durably in every repository. Nil: the cluster's WAL is not archived there.
	//
	// Errors: cofre.ErrExists if another is there under its name.
	Archive func(ctx context.Context, path string) error
	Env     []string // what archive_command needs in the environment of a server that is restarted: NAME=VALUE
	Restart bool     // restart a copy that runs: the settings need it
}

// Adoption is a copy that is about to become the original.
type Adoption struct {
	SystemID cofre.SystemID
	Timeline cofre.Timeline
	Running  bool

	o        Options
	major    int
	files    []string // to be archived, in order: histories, then the whole segments of the timeline
	settings []string // that end
	left     bool     // of an adoption that was interrupted
	private  bool     // it was started by a recovery of ours, with arguments of its own
}

// Result is what an adoption did.
type Result struct {
	Dir       string         `json:"dir"`
	SystemID  cofre.SystemID `json:"system_identifier"`
	Timeline  cofre.Timeline `json:"timeline"`
	Archived  []string       `json:"archived"`         // files of pg_wal that are in every repository now
	Settings  []string       `json:"settings_removed"` // that kept the copy from acting
	Restarted bool           `json:"restarted"`
	Next      []cofre.Next   `json:"next,omitempty"`
}

// Plan looks at a copy and changes nothing but that one which runs writes a checkpoint.
//
// Errors: cofre.ErrPreflight if the directory is no restored copy, is not restored whole, or has not been promoted.
func Plan(ctx context.Context, o Options) (*Adoption, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	o.Dir, o.Superuser = dir, cmp.Or(o.Superuser, "postgres")
	a := &Adoption{o: o, Running: datadir.LivePostmaster(dir) != 0}
	if err := a.isCopy(ctx); err != nil {
		return nil, err
	}
	if a.Running {
		if err := a.ask(ctx); err != nil {
			return nil, err
		}
	}
	c, err := datadir.ReadControl(ctx, dir)
	if err != nil {
		return nil, err
	}
	a.SystemID, a.Timeline, a.major = c.SystemID, c.Timeline, c.Major
	if !a.Running && c.State != pgdata.StateShutDown {
		return nil, refuse(cofre.Say("adopt.not_shut_down", "{{.dir}} was not shut down as it should be: it is {{.state}}", "dir", dir, "state", c.State),
			cofre.Say("adopt.start_and_stop", "start and stop it once: {{.command}}", "command", postgres.Ctl("start", dir)+" && "+postgres.Ctl("stop", dir)))
	}
	// A server that is stopped after it has removed recovery.signal, and before it is on its new timeline, starts again on that
	// of the original, and past the target.
	//
	// Source: PostgreSQL, src/backend/access/transam/xlog.c, StartupXLOG.
	if tli := a.recoveredTo(); c.Timeline <= tli {
		return nil, cofre.WithHint(fmt.Errorf("adopt: %s is on timeline %d, as the original: its promotion was interrupted, and it may hold more than its target: %w", dir, c.Timeline, cofre.ErrPreflight),
			cofre.Say("adopt.interrupted", "recover to the same moment once more: {{.command}}", "command", a.again()))
	}
	return a, a.findFiles(c)
}

// recoveredTo is the timeline that the copy was to be recovered along; 0 if it was not to be promoted, or to the latest.
func (a *Adoption) recoveredTo() cofre.Timeline {
	n, err := strconv.ParseUint(a.setting("recovery_target_timeline"), 10, 32)
	if err != nil {
		return 0
	}
	return cofre.Timeline(n)
}

// setting is what the restore has set; empty if it has not.
func (a *Adoption) setting(name string) string {
	for _, line := range a.settings {
		if key, value, _ := strings.Cut(line, "="); strings.TrimSpace(key) == name {
			return strings.Trim(strings.TrimSpace(value), "'")
		}
	}
	return ""
}

// again is the command that recovers to the same moment once more, into a directory of its own.
func (a *Adoption) again() string {
	command := "cofre restore cluster --to " + shell.Quote(a.o.Dir+".again")
	switch lsn := a.setting("recovery_target_lsn"); {
	case lsn != "" && a.setting("recovery_target_inclusive") == "off":
		command += " --lsn " + lsn + " --exclusive"
	case lsn != "":
		command += " --lsn " + lsn
	case a.setting("recovery_target") == "immediate":
		command += " --immediate"
	}
	return fmt.Sprintf("%s --timeline %d --start --action promote", command, a.recoveredTo())
}

func refuse(what, hint cofre.Message) error {
	return cofre.WithHint(fmt.Errorf("adopt: %w", cofre.Fail(what, cofre.ErrPreflight)), hint)
}

// quoted is the directory as the shell takes it.
func (a *Adoption) quoted() string { return shell.Quote(a.o.Dir) }

// isCopy makes sure that the directory is a restored copy, whole and promoted.
func (a *Adoption) isCopy(ctx context.Context) error {
	dir := a.o.Dir
	exists := func(name string) bool {
		_, err := os.Lstat(filepath.Join(dir, name))
		return err == nil
	}
	a.left = exists(datadir.AdoptFile)
	switch {
	case !exists(pgdata.ControlFile) && exists(datadir.MarkerFile):
		return refuse(cofre.Say("adopt.in_part", "{{.dir}} is restored in part only", "dir", dir), cofre.Say("adopt.restore_again", "restore it again, to its end"))
	case !exists(pgdata.ControlFile):
		return refuse(cofre.Say("adopt.no_directory", "{{.dir}} is no data directory", "dir", dir), cofre.Say("adopt.name_directory", "name the data directory of a restored cluster"))
	case !exists(datadir.RecoveryFile) && !a.left && !a.actsAsCopy(ctx):
		return refuse(cofre.Say("adopt.no_copy", "{{.dir}} is no copy that cofre has restored, or was adopted before", "dir", dir), cofre.Say("adopt.acts_already", "it acts as its configuration says; to take a base backup of it: cofre backup cluster"))
	case exists(datadir.LossFile) && !a.left:
		return refuse(cofre.Say("adopt.lost", "{{.dir}} was restored without what the repository had lost, and is no moment of the original: {{.file}} names it", "dir", dir, "file", datadir.LossFile),
			cofre.Say("adopt.take_out", "take out of it what can be read: pg_dump -h {{.dir}}, into another cluster; if it is to be the original all the same: rm {{.file}}", "dir", a.quoted(), "file", shell.Quote(filepath.Join(dir, datadir.LossFile))))
	case exists("standby.signal"):
		return refuse(cofre.Say("adopt.standby", "{{.dir}} is a standby", "dir", dir), cofre.Say("adopt.promote_standby", "remove standby.signal and promote it first, if it is to take the place of the original"))
	case exists(datadir.SignalFile):
		return a.recovering()
	}
	b, err := datadir.Read(filepath.Join(dir, datadir.RecoveryFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			a.settings = append(a.settings, line)
		}
	}
	opts, err := datadir.Read(filepath.Join(dir, "postmaster.opts"))
	a.private = err == nil && strings.Contains(string(opts), datadir.RecoveringPrefix)
	return nil
}

// recovering is the refusal of a copy that has not been promoted.
func (a *Adoption) recovering() error {
	what := cofre.Say("adopt.recovering", "{{.dir}} has not ended its recovery", "dir", a.o.Dir)
	if set, _ := datadir.Read(filepath.Join(a.o.Dir, datadir.RecoveryFile)); strings.Contains(string(set), "recovery_target_action = 'shutdown'") {
		return refuse(what, cofre.Say("adopt.shuts_down", "each time that it is started it shuts down at its target: restore it again with --delta, --start and --action promote"))
	}
	if socket, port, err := whereItListens(a.o.Dir); a.Running && err == nil {
		promote := fmt.Sprintf("psql -h %s -p %s -U %s -c 'SELECT pg_promote()' template1", shell.Quote(socket), port, shell.Quote(a.o.Superuser))
		return refuse(what, cofre.Say("adopt.promote", "promote it: {{.command}}", "command", promote))
	}
	conf, _ := inside.ReadFile(filepath.Join(a.o.Dir, "postgresql.conf")) // it may be elsewhere
	return refuse(what, cofre.Say("adopt.start_and_promote", "start it, and look at it; cofre adopt then says how it is promoted: {{.command}}", "command", datadir.StartCommand(postgres.Ctl("start", a.o.Dir), a.o.Dir, conf)))
}

// actsAsCopy reports whether a copy that runs counts the settings of the restore still, which are gone from its files: its adoption
// has not come to the restart.
func (a *Adoption) actsAsCopy(ctx context.Context) (acts bool) {
	if !a.Running {
		return false
	}
	conn, err := a.connect(ctx)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_settings WHERE sourcefile LIKE '%/' || $1)", datadir.RecoveryFile).Scan(&acts)
	return err == nil && acts
}

// connect connects to a copy that runs, through its socket.
func (a *Adoption) connect(ctx context.Context) (*pgx.Conn, error) {
	socket, port, err := whereItListens(a.o.Dir)
	if err != nil {
		return nil, err
	}
	return postgres.Connect(ctx, postgres.Config{URL: fmt.Sprintf("postgres:///template1?host=%s&port=%s&sslmode=disable", url.PathEscape(socket), port), User: a.o.Superuser})
}

// ask asks a copy that runs whether it takes writes, and has it write down which timeline it is on.
func (a *Adoption) ask(ctx context.Context) error {
	if a.private {
		return refuse(cofre.Say("adopt.private", "{{.dir}} is run by its recovery, on a private socket", "dir", a.o.Dir), cofre.Say("adopt.stop_first", "stop it first: {{.command}}", "command", postgres.Ctl("stop", a.o.Dir)))
	}
	conn, err := a.connect(ctx)
	if err != nil {
		return cofre.WithHint(fmt.Errorf("ask the copy that runs in %s: %w", a.o.Dir, err), cofre.Say("adopt.stop_copy", "stop it first: {{.command}}; or name a superuser that it lets in: --superuser", "command", postgres.Ctl("stop", a.o.Dir)))
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var recovering bool
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_is_in_recovery()").Scan(&recovering); err != nil {
		return err
	}
	if recovering {
		return a.recovering()
	}
	// pg_control names the timeline of a promoted server only after a checkpoint.
	if _, err := conn.Exec(ctx, "CHECKPOINT"); err != nil {
		return fmt.Errorf("ask the copy that runs in %s: %w", a.o.Dir, err)
	}
	return nil
}

// whereItListens reads the socket and the port of a running server.
//
// Source: PostgreSQL, src/include/utils/pidfile.h.
func whereItListens(dir string) (socket, port string, err error) {
	b, err := datadir.Read(filepath.Join(dir, "postmaster.pid"))
	if err != nil {
		return "", "", err
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) < 5 {
		return "", "", fmt.Errorf("%s/postmaster.pid has %d lines", dir, len(lines))
	}
	socket = strings.TrimSpace(lines[4])
	if !filepath.IsAbs(socket) {
		socket = filepath.Join(dir, socket)
	}
	return socket, strings.TrimSpace(lines[3]), nil
}

// findFiles lists what the archive must have before the copy archives by itself: the histories of its timelines, and
// what it has written since it was promoted, which nothing has archived. The segment that it writes is not whole yet.
func (a *Adoption) findFiles(c *pgdata.Control) error {
	if a.o.Archive == nil || c.Timeline == 1 {
		return nil
	}
	pgWAL := filepath.Join(a.o.Dir, "pg_wal")
	own := filepath.Join(pgWAL, pgdata.HistoryName(c.Timeline))
	b, err := os.ReadFile(own)
	if err != nil {
		return fmt.Errorf("read the history of timeline %d: %w", c.Timeline, err)
	}
	h, err := pgdata.ParseHistory(c.Timeline, b)
	if err != nil {
		return err
	}
	for _, f := range h.Forks {
		if path := filepath.Join(pgWAL, pgdata.HistoryName(f.Parent)); f.Parent != 1 {
			if _, err := os.Stat(path); err == nil {
				a.files = append(a.files, path)
			}
		}
	}
	a.files = append(a.files, own)
	names, err := os.ReadDir(pgWAL)
	if err != nil {
		return err
	}
	size := c.WALSegmentSize
	for _, e := range names {
		s, err := pgdata.ParseSegment(e.Name(), size)
		if err == nil && pgdata.IsSegmentName(e.Name()) && s.Timeline == c.Timeline && s.End(size) <= c.Redo {
			a.files = append(a.files, filepath.Join(pgWAL, e.Name()))
		}
	}
	return nil
}

// Plan is what Adopt is about to do.
func (a *Adoption) Plan() *cofre.Plan {
	p := cofre.NewPlan(cofre.Say("adopt.title", "adopt {{.dir}}: cluster {{.system}} becomes the original, on timeline {{.timeline}}", "dir", a.o.Dir, "system", a.SystemID, "timeline", a.Timeline))
	for _, f := range a.files {
		p.Do(cofre.Say("step.archive", "archive"), cofre.Verbatim(filepath.Base(f)), cofre.Say("adopt.step_archive", "in every repository"))
	}
	if n := len(a.settings); n > 0 {
		p.Do(cofre.Say("step.remove", "remove"), cofre.Verbatim(datadir.RecoveryFile),
			cofre.SayN("adopt.step_settings", n, "1 setting; the configuration of the original counts again", "{{.n}} settings, among them archive_mode = off; the configuration of the original counts again"))
	}
	switch {
	case a.Running && a.o.Restart:
		p.Do(cofre.Say("step.restart", "restart"), cofre.Verbatim(a.o.Dir), cofre.Say("adopt.step_restart", "with pg_ctl"))
	case a.Running:
		p.Note(cofre.Say("adopt.runs", "the copy runs: the settings count after a restart, which --restart does"))
	case a.o.Restart:
		p.Note(cofre.Say("adopt.stopped", "the copy does not run: --restart has nothing to restart, and no base backup is taken"))
	}
	p.Note(cofre.Say("adopt.acts", "it will archive, follow its subscriptions and run its jobs: the original must not run any more, anywhere"))
	return p
}

// Adopt makes the copy the original. Each step may be done again: an adoption that was interrupted anywhere is ended by
// the next one.
//
// Errors: cofre.ErrExists if the archive has another timeline of this number: nothing was changed then.
func (a *Adoption) Adopt(ctx context.Context) (*Result, error) {
	dir, own := a.o.Dir, datadir.OwnAs(a.o.Dir)
	done := &Result{Dir: dir, SystemID: a.SystemID, Timeline: a.Timeline, Archived: []string{}, Settings: a.settings}
	for _, f := range a.files {
		if err := a.o.Archive(ctx, f); err != nil {
			if errors.Is(err, cofre.ErrExists) {
				err = cofre.WithHint(fmt.Errorf("%w: another cluster is on timeline %d already, so this copy cannot take the original's place; nothing was changed", err, a.Timeline),
					cofre.Say("adopt.recover_again", "recover once more, with cofre restore cluster --start --action promote: it takes a timeline that nobody is on"))
			}
			return nil, fmt.Errorf("adopt %s: %w", dir, err)
		}
		done.Archived = append(done.Archived, filepath.Base(f))
	}
	if err := datadir.Replace(filepath.Join(dir, datadir.AdoptFile), []byte(time.Now().UTC().Format(time.RFC3339)+"\n"), own); err != nil {
		return nil, err
	}
	if err := settings.End(dir, own); err != nil {
		return nil, fmt.Errorf("remove the settings of the copy: %w", err)
	}
	// A recovery that was ended by hand may have left its key there.
	if err := os.RemoveAll(filepath.Join(dir, datadir.SpoolDir)); err != nil {
		return done, err
	}
	if a.Running && a.o.Restart {
		if err := a.restart(ctx); err != nil {
			return done, cofre.WithHint(fmt.Errorf("restart %s, whose settings are those of the original again: %w", dir, err),
				cofre.Say("adopt.start", "see why, start it with {{.start}}, and then: cofre adopt {{.dir}}", "start", postgres.Ctl("start", dir), "dir", shell.Quote(dir)))
		}
		done.Restarted = true
	}
	if err := durable.Remove(filepath.Join(dir, datadir.AdoptFile)); err != nil {
		return done, err
	}
	switch {
	case a.Running && !done.Restarted:
		done.Next = append(done.Next, command(cofre.DoRestart, postgres.Ctl("restart", dir)))
	case !a.Running:
		conf, _ := inside.ReadFile(filepath.Join(dir, "postgresql.conf")) // it may be elsewhere
		done.Next = append(done.Next, command(cofre.DoStart, datadir.StartCommand(postgres.Ctl("start", dir), dir, conf)))
	}
	return done, nil
}

// command is what to do next, if the command says it all.
func command(do cofre.Do, line string) cofre.Next {
	return cofre.Next{Do: do, Command: line, Said: cofre.Verbatim(line)}
}

// restart restarts the copy as whoever owns it, with the arguments that it was started with.
func (a *Adoption) restart(ctx context.Context) (err error) {
	bin := a.o.BinDir
	if bin == "" {
		if bin, err = postgres.BinDir(a.major); err != nil {
			return err
		}
	}
	as, err := datadir.OwnerOf(a.o.Dir)
	if err != nil {
		return err
	}
	return process.Run(ctx, process.Command{
		Path: filepath.Join(bin, "pg_ctl"), Args: []string{"restart", "-D", a.o.Dir, "-w", "-t", "600", "-s", "-l", filepath.Join(a.o.Dir, datadir.AdoptLog)},
		Env: append(process.BaseEnv(), a.o.Env...), Dir: "/", Credential: as,
	})
}

// Other reports whether a server takes writes at an address that is of the same cluster and is not this copy. One that does
// not answer is none.
//
// Errors: of the questions to a server that does.
func (a *Adoption) Other(ctx context.Context, at postgres.Config) (bool, error) {
	conn, err := postgres.Connect(ctx, at)
	if err != nil {
		return false, context.Cause(ctx)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	server, err := postgres.ReadServer(ctx, conn)
	if err != nil || server.SystemID != a.SystemID || server.InRecovery {
		return false, err
	}
	_, _, _, why := view.Find(ctx, conn, server, a.o.Dir)
	return why != nil, nil
}
