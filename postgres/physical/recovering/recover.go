package recovering

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/settings"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// recoverPoll is how often a recovering server is asked how far it is, and recoverTell how often the observer is
// told. maxRaises bounds how often a server is started again with a setting raised: there are five such settings.
const (
	recoverPoll = 50 * time.Millisecond
	recoverTell = 5 * time.Second
	maxRaises   = 10
)

// closeBound is how long a server that ends is waited for.
const closeBound = 10 * time.Second

// Options say how a restored cluster is recovered.
type Options struct {
	DataDir  string
	BinDir   string // empty finds the one of the cluster's major version
	Recovery cofre.RecoveryTarget
	Plan     *recovery.Recovery // how Recovery is reached; nil takes whatever the server reaches
	Action   settings.Action    // empty is ActionPause
	// Superuser is a role to ask with; empty is the bootstrap superuser's usual name, postgres.
	Superuser string
	Settings  map[string]string // over the cluster's own while it recovers: shared_buffers on a small machine
	// In is where the server's socket, log and configuration are put while it recovers, in a directory of their own; empty is the one for
	// temporary files. Its path is short: a socket's is bounded.
	In string
	// Env is what restore_command needs in its environment: NAME=VALUE.
	Env []string
	// Detached lets the server go on when this process ends without Result.Server.Close, so that a person can
	// look at a cluster that is paused at its target. A server whose recovery was killed goes on as well.
	Detached bool
	Observer cofre.Observer // nil observes nothing
}

// Result is where a recovery ended.
type Result struct {
	LSN      cofre.LSN      `json:"lsn"`                   // the last that was replayed
	Planned  cofre.LSN      `json:"planned_lsn,omitempty"` // that the plan said: the same, or it was an error
	CommitAt time.Time      `json:"commit_at,omitzero"`    // of the last transaction that was replayed
	Timeline cofre.Timeline `json:"timeline"`              // the cluster is on now
	Stopped  string         `json:"stopped,omitempty"`     // what the server says about where it stopped
	Promoted bool           `json:"promoted"`              // it takes writes
	Took     time.Duration  `json:"took_ns"`               // from the start of the server
	Raised   []string       `json:"raised,omitempty"`      // settings that the WAL demanded more of
	Unusable []Unusable     `json:"unusable,omitempty"`    // in the copy, as in the original at that moment
	// Paused is how to reach a detached server that is paused at its target; nil if there is none.
	Paused *Paused `json:"paused,omitempty"`

	// Server runs, reachable over its private socket only, until it is closed. It is nil after ActionShutdown.
	Server *throwaway.Server `json:"-"`
}

// Paused is a server that goes on without this process: read-only, at its target. It ends with pg_ctl stop, and then
// leaves a directory with its socket's name and its log.
type Paused struct {
	Socket string `json:"socket"` // the directory of its Unix socket, closed to other users
	Port   int    `json:"port"`   // of the socket's name
	PID    int    `json:"pid"`
	Log    string `json:"log"`
}

// Run starts the server of a restored cluster, on a private socket, waits until it has reached its recovery
// target, and says where it stopped. With ActionPromote it then lets it take writes and ends the recovery
// settings; with ActionPause it leaves it read-only, to be looked at.
//
// Whoever calls closes Result.Server; a cluster that is to serve is then started by what runs PostgreSQL on
// the machine.
//
// Errors: *cofre.UnreachableError if the recovery ended elsewhere than its plan, or without a database or tablespace that
// the original had whole: it is then not promoted; cofre.ErrNotFound without server programs of the version; otherwise one
// with the end of the server's log.
func Run(ctx context.Context, o Options) (*Result, error) {
	if o.Observer == nil {
		o.Observer = cofre.Discard
	}
	if o.Superuser == "" {
		o.Superuser = "postgres"
	}
	if o.Action == "" {
		o.Action = settings.ActionPause
	}
	b, err := datadir.Read(filepath.Join(o.DataDir, pgdata.ControlFile))
	if err != nil {
		return nil, err
	}
	c, err := pgdata.ParseControl(b)
	if err != nil {
		return nil, err
	}
	if o.BinDir == "" {
		if o.BinDir, err = postgres.BinDir(c.Major); err != nil {
			return nil, err
		}
	}
	r := &recovering{o: o, began: time.Now()}
	done, err := r.run(ctx)
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return done, nil
}

// recovering is a recovery under way.
type recovering struct {
	o      Options
	began  time.Time
	server *throwaway.Server
	raised []string
	told   time.Time
}

// configure makes in dir what the server is started with beside its own configuration, and returns its arguments:
// nobody but us and the server's user gets in, and it gets nowhere. The files are read by the server's user.
func (r *recovering) configure(dir string) (args []string, err error) {
	hba := filepath.Join(dir, "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("local all all trust\n"), 0o644); err != nil {
		return nil, err
	}
	set := map[string]string{
		"data_directory": r.o.DataDir, // postgresql.conf may name the original's
		"hba_file":       hba, "ident_file": filepath.Join(dir, "pg_ident.conf"),
		"external_pid_file": filepath.Join(dir, "pid"), "ssl": "off", "lc_messages": "C", "log_min_messages": "warning",
	}
	if r.o.Plan != nil || r.o.Recovery != (cofre.RecoveryTarget{}) {
		set["recovery_target_action"] = string(settings.ActionPause) // what comes after it is carried out here
	}
	if err := os.WriteFile(set["ident_file"], nil, 0o644); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(r.o.DataDir, "postgresql.conf")); errors.Is(err, fs.ErrNotExist) {
		conf := filepath.Join(dir, "postgresql.conf")
		if err := os.WriteFile(conf, []byte("# The original keeps its configuration outside the data directory.\n"), 0o644); err != nil {
			return nil, err
		}
		set["config_file"] = conf
	}
	for name, value := range r.o.Settings {
		set[name] = value
	}
	for name, value := range set {
		args = append(args, "-c", name+"="+value)
	}
	return args, nil
}

func (r *recovering) run(ctx context.Context) (*Result, error) {
	obs := r.o.Observer
	obs.Observe(cofre.Event{Type: cofre.TypeTaskBegan}.Doing(recoverTask()).Saying(cofre.Verbatim(r.o.Recovery.String())))
	done, err := r.untilReached(ctx)
	if err == nil {
		done.Unusable, err = r.usable(ctx, done.Promoted)
	}
	if err == nil {
		err = r.settle(ctx, done)
	}
	obs.Observe(cofre.Event{Type: cofre.TypeTaskEnded, Err: err}.Doing(recoverTask()))
	if err != nil {
		return nil, err
	}
	done.Took, done.Raised = time.Since(r.began), r.raised
	return done, nil
}

// untilReached starts the server, again with a setting raised if the WAL demands it, until it has reached the
// target or its recovery has ended.
func (r *recovering) untilReached(ctx context.Context) (*Result, error) {
	for range maxRaises {
		if err := r.start(ctx); err != nil {
			return nil, r.explain(err)
		}
		done, err := r.await(ctx)
		if err != nil {
			return nil, r.explain(err)
		}
		if done != nil {
			return done, nil
		}
		if err := r.close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("recover the cluster: settings were raised %d times (%s) and the WAL demands more", maxRaises, strings.Join(r.raised, ", "))
}

func (r *recovering) start(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		// A server that is recovering answers late, and nothing bounds how much WAL there is.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 365*24*time.Hour)
		defer cancel()
	}
	for range maxRaises {
		err := r.launch(ctx)
		if err == nil {
			return nil
		}
		// Up to 13 a setting that is too low ends the server instead of pausing it.
		if again, raiseErr := r.raise(err.Error()); raiseErr != nil || !again {
			return errors.Join(err, raiseErr)
		}
	}
	return errors.New("start the recovering server: its settings were raised too often")
}

// launch starts the server once. Its directory is removed with it.
func (r *recovering) launch(ctx context.Context) error {
	sweep(os.TempDir())
	prefix := datadir.RecoveringPrefix
	if r.o.In != "" {
		prefix = "r-" // who named it removes it
	}
	dir, err := os.MkdirTemp(r.o.In, prefix)
	if err != nil {
		return err
	}
	args, err := r.configure(dir)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	r.server, err = throwaway.Start(ctx, throwaway.Options{
		BinDir: r.o.BinDir, DataDir: r.o.DataDir, Args: args, Env: r.o.Env, Dir: dir, Detached: r.o.Detached, User: r.o.Superuser,
	})
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

// await polls until recovery has paused at its target or ended. It returns nil if the server must be started
// again, with a setting that it has raised.
func (r *recovering) await(ctx context.Context) (*Result, error) {
	done, err := r.poll(ctx)
	if err == nil || ctx.Err() != nil || !postgres.IsConnectionLost(err) {
		return done, err
	}
	// The server ends, or one of its processes has and the others follow.
	gone, cancel := context.WithTimeout(ctx, closeBound)
	defer cancel()
	for r.server.Running() && gone.Err() == nil {
		select {
		case <-gone.Done():
		case <-time.After(recoverPoll):
		}
	}
	log := r.server.Log()
	if again, raiseErr := r.raise(log); raiseErr != nil || again {
		return nil, raiseErr
	}
	err = fmt.Errorf("the recovering server has ended: %s", lastLines(log))
	if strings.Contains(log, notFetched) {
		err = cofre.WithHint(err, cofre.Say("recover.goes_on", "WAL could not be fetched, and nothing was promoted: once it can be, start the server on {{.dir}}, and the recovery goes on where it was", "dir", r.o.DataDir))
	}
	return nil, err
}

func (r *recovering) poll(ctx context.Context) (*Result, error) {
	conn, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = postgres.Close(ctx, conn) }()
	tick := time.NewTicker(recoverPoll)
	defer tick.Stop()
	for {
		at, err := progress(ctx, conn)
		if err != nil {
			return nil, err
		}
		log := r.server.Log()
		if at.paused {
			if again, err := r.raise(log); err != nil || again {
				return nil, err
			}
		}
		// A server pauses at its target, and if the WAL demands more than it has: which, its log says, a moment later.
		if at.paused && strings.Contains(log, pausing) || !at.recovering {
			done := &Result{LSN: at.lsn, CommitAt: at.commit, Promoted: !at.recovering, Server: r.server, Stopped: stoppedText(log)}
			fromLog := done.LSN == 0
			if fromLog {
				done.LSN = redoDone(log)
			}
			if p := r.o.Plan; p != nil {
				done.Planned = p.Reach
				// The server does not count the very transaction whose record it stops after.
				if !p.CommitAt.IsZero() {
					done.CommitAt = p.CommitAt
				}
			}
			return done, checkReached(r.o, done.LSN, fromLog, done.Promoted)
		}
		if time.Since(r.told) > recoverTell {
			r.told = time.Now()
			r.o.Observer.Observe(cofre.Event{Type: cofre.TypeNote}.Doing(recoverTask()).Saying(at.message()))
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (r *recovering) connect(ctx context.Context) (*pgx.Conn, error) {
	to := r.server.Config("template1") // the one database that cannot have been dropped
	to.User = r.o.Superuser
	return postgres.Connect(ctx, to)
}

// at is how far a recovering server is.
type at struct {
	recovering, paused bool
	lsn                cofre.LSN
	commit             time.Time
}

func (p at) message() cofre.Message {
	if p.commit.IsZero() {
		return cofre.Say("recover.replayed", "replayed up to {{.lsn}}", "lsn", p.lsn)
	}
	return cofre.Say("recover.replayed_commits", "replayed up to {{.lsn}}, transactions up to {{.at}}", "lsn", p.lsn, "at", p.commit)
}

func progress(ctx context.Context, conn *pgx.Conn) (p at, err error) {
	var lsn *string
	var commit *time.Time
	err = conn.QueryRow(ctx, `
SELECT r, CASE WHEN r THEN pg_catalog.pg_is_wal_replay_paused() ELSE false END,
       pg_catalog.pg_last_wal_replay_lsn()::text, pg_catalog.pg_last_xact_replay_timestamp()
FROM pg_catalog.pg_is_in_recovery() r`).Scan(&p.recovering, &p.paused, &lsn, &commit)
	if err != nil {
		return p, err
	}
	if commit != nil {
		p.commit = commit.UTC()
	}
	if lsn != nil {
		p.lsn, err = cofre.ParseLSN(*lsn)
	}
	return p, err
}

// settle carries out the action.
func (r *recovering) settle(ctx context.Context, done *Result) error {
	conn, err := r.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = postgres.Close(ctx, conn) }()
	if r.o.Action == settings.ActionPromote && !done.Promoted {
		if _, err := conn.Exec(ctx, "SELECT pg_catalog.pg_promote(true, 600)"); err != nil {
			return fmt.Errorf("promote the recovered cluster: %w: %s", err, lastLines(r.server.Log()))
		}
		p, err := progress(ctx, conn)
		if err != nil {
			return err
		}
		if p.recovering {
			return fmt.Errorf("promote the recovered cluster: it is still recovering: %s", lastLines(r.server.Log()))
		}
		done.Promoted = true
	}
	if done.Timeline, err = timelineOf(ctx, conn, r.o.DataDir, done.Promoted); err != nil {
		return err
	}
	if done.Promoted {
		if err := settings.EndRecovery(r.o.DataDir, datadir.OwnAs(r.o.DataDir)); err != nil {
			return fmt.Errorf("take the recovery settings away: %w", err)
		}
	}
	switch {
	case r.o.Action == settings.ActionShutdown:
		done.Server = nil
		return r.close()
	case r.o.Detached && !done.Promoted:
		s := r.server
		done.Paused = &Paused{Socket: s.Socket, Port: s.Port, PID: s.PID(), Log: s.LogFile()}
	}
	return nil
}

// timelineOf is the timeline that a server is on. pg_control names the new one of a promoted server only after its
// next checkpoint; the name of its current WAL segment does at once.
func timelineOf(ctx context.Context, conn *pgx.Conn, dir string, promoted bool) (cofre.Timeline, error) {
	if !promoted {
		c, err := datadir.ReadControl(ctx, dir)
		if err != nil {
			return 0, err
		}
		return max(c.Timeline, c.MinRecoveryTimeline), nil
	}
	var segment string
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())").Scan(&segment); err != nil {
		return 0, fmt.Errorf("read the timeline of the recovered cluster: %w", err)
	}
	w, err := pgdata.ParseWALName(segment)
	return w.Timeline, err
}

// insufficient is what the server says about a setting that is lower than the primary had: as a detail or, up to
// 13, in the error itself.
//
// Source: PostgreSQL, src/backend/access/transam/xlogrecovery.c, RecoveryRequiresIntParameter.
var (
	insufficient = regexp.MustCompile(`(max_[a-z_]+) = (\d+) is a lower setting than on the (?:primary|master) server,? (?:where its value was|\(its value was) (\d+)`)
	stopping     = regexp.MustCompile(`recovery stopping [^\n]*`)
	redoDoneAt   = regexp.MustCompile(`redo done at ([0-9A-F]+/[0-9A-F]+)`)
	pausing      = "pausing at the end of recovery"
	notFetched   = "could not restore file"
	notReached   = "recovery ended before configured recovery target was reached"
)

// raise raises a setting that the log says is too low. It reports whether there was one.
func (r *recovering) raise(log string) (again bool, err error) {
	found := insufficient.FindAllStringSubmatch(log, -1)
	for _, m := range found {
		n, err := strconv.Atoi(m[3])
		if err != nil {
			return false, err
		}
		if line := m[1] + " = " + m[3]; !slices.Contains(r.raised, line) {
			r.raised = append(r.raised, line)
		} else {
			continue // said twice
		}
		if err := settings.Raise(r.o.DataDir, m[1], n, datadir.OwnAs(r.o.DataDir)); err != nil {
			return false, fmt.Errorf("raise %s: %w", m[1], err)
		}
		again = true
		r.o.Observer.Observe(cofre.Event{Type: cofre.TypeNote}.Doing(recoverTask()).Saying(cofre.Say("recover.raised", "{{.setting}} is raised to {{.value}}, as the WAL demands, and the server is started again", "setting", m[1], "value", n)))
	}
	return again, nil
}

// explain recognises an end of WAL before the target.
func (r *recovering) explain(err error) error {
	text := err.Error()
	if r.server != nil {
		text += r.server.Log()
	}
	if strings.Contains(text, notReached) {
		return endedEarly(r.o, text)
	}
	if _, ok := errors.AsType[*cofre.UnreachableError](err); ok {
		return err
	}
	return fmt.Errorf("recover the cluster in %s: %w", r.o.DataDir, err)
}

func (r *recovering) close() error {
	if r.server == nil {
		return nil
	}
	s := r.server
	r.server = nil
	return s.Close()
}

func stoppedText(log string) string {
	all := stopping.FindAllString(log, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1]
}

func redoDone(log string) cofre.LSN {
	m := redoDoneAt.FindStringSubmatch(log)
	if m == nil {
		return 0
	}
	lsn, err := cofre.ParseLSN(m[1])
	if err != nil {
		return 0
	}
	return lsn
}

// lastLines is the end of a server's log, for an error, after what the last restore_command said.
func lastLines(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	first := max(0, len(lines)-5)
	for i := first - 1; i >= 0; i-- {
		if strings.HasPrefix(lines[i], "cofre: ") {
			return strings.Join(append([]string{lines[i]}, lines[first:]...), "\n")
		}
	}
	return strings.Join(lines[first:], "\n")
}

func recoverTask() cofre.Message { return cofre.Say("recover.task", "recover cluster") }
