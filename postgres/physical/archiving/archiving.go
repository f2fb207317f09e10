package archiving

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/view"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// Bounds beyond which archiving counts as behind: so many segments wait, or one has waited so long while nothing was
// archived.
const (
	behindSegments = 64
	behindTime     = 5 * time.Minute
)

// Archiver is what a server says of its archiving.
type Archiver struct {
	Mode    string `json:"archive_mode"`
	Command string `json:"-"` // it may hold a secret
	Library string `json:"-"`
	Standby bool   `json:"standby,omitempty"`

	// Failing is the file that could not be archived, and was not since; empty if the last attempt succeeded.
	Failing   string    `json:"failing,omitempty"`
	FailedAt  time.Time `json:"failed_at,omitzero"`
	Failures  int64     `json:"failures"` // since the statistics were reset
	Archived  string    `json:"last_archived,omitempty"`
	ArchiveAt time.Time `json:"last_archived_at,omitzero"`

	// Waiting is how many files wait, and Oldest since when the first of them does; -1 if the role may not look.
	Waiting int       `json:"waiting"`
	Oldest  time.Time `json:"oldest_waiting_at,omitzero"`
	// Behind is how many whole segments lie between the last archived and the one being written; -1 if it cannot be
	// told: on a standby, or when nothing was archived since the statistics were reset.
	Behind int64 `json:"behind"`
	// Room is how much is free where pg_wal is; -1 if this process does not see it.
	Room  int64     `json:"pg_wal_free_bytes"`
	Now   time.Time `json:"now"` // by the server's clock
	Cause string    `json:"cause,omitempty"`

	// Slot is the replication slot from which the WAL is to be streamed, and Streamed whether somebody does. What else the server hands its WAL
	// to is then another's archive.
	Slot     string `json:"slot,omitempty"`
	Streamed bool   `json:"streamed,omitempty"`
}

// Archives reports whether the server hands WAL to an archive: a standby does with archive_mode = always alone.
func (a Archiver) Archives() bool {
	return a.Mode == "always" || a.Mode == "on" && !a.Standby
}

// Trouble says what is wrong with the archiving, and what to do; what is the zero message if nothing is known to be.
func (a Archiver) Trouble() (what, hint cofre.Message) {
	look := cofre.Say("archiving.look", "run the command as the server's user, in the data directory, and see what it says: {{.command}}", "command", a.run())
	waits := max(int64(a.Waiting), a.Behind)
	switch {
	case a.Slot != "" && !a.Streamed:
		return cofre.Say("archiving.not_streamed", "nothing streams the WAL: replication slot {{.slot}} is not in use", "slot", a.Slot),
			cofre.Say("archiving.start_stream", "start cofre wal stream, and keep it running")
	case !a.Archives():
		return what, hint
	case a.Failing != "":
		what = cofre.SayN("archiving.fails", int(a.Failures), "archiving fails on {{.file}}, last at {{.at}}, 1 failure in all", "archiving fails on {{.file}}, last at {{.at}}, {{.n}} failures in all", "file", a.Failing, "at", a.FailedAt)
		if a.Waiting > 0 {
			what = cofre.SayN("archiving.fails_waits", a.Waiting, "{{.fails}}, 1 file waits", "{{.fails}}, {{.n}} files wait", "fails", what)
		}
		if a.Cause != "" {
			return cofre.Say("archiving.cause", "{{.fails}}: {{.cause}}", "fails", what, "cause", recovery.Told(a.Cause)),
				cofre.Say("archiving.two_servers", "two servers archive as one cluster. End the archiving of the one that is a copy (archive_mode = off, and restart it), "+
					"move what it has archived from there on out of the repository, and then: cofre backup cluster")
		}
		return what, cofre.Series(cofre.Say("archiving.log", "the server's log says why"), look)
	case a.Mode != "off" && a.Command == "" && a.Library == "":
		return what, hint // said by itself
	case a.Waiting >= 0 && !a.Oldest.IsZero() && a.Now.Sub(a.Oldest) > behindTime && a.Now.Sub(a.ArchiveAt) > behindTime:
		return cofre.SayN("archiving.stuck", a.Waiting, "archiving does not go on: 1 file waits, since {{.since}}", "archiving does not go on: {{.n}} files wait, the first since {{.since}}", "since", a.Oldest),
			cofre.Series(cofre.Say("archiving.hangs", "see whether archive_command hangs: ps -ef | grep archiver"), look)
	case waits >= behindSegments:
		return cofre.SayN("archiving.behind", int(waits), "archiving is behind: 1 segment waits", "archiving is behind: {{.n}} segments wait"), cofre.Series(cofre.Say("archiving.slow", "see why archive_command is slow"), look)
	}
	return what, hint
}

// run is archive_command for the file that waits, to be run by a person.
func (a Archiver) run() string {
	if a.Command == "" {
		return "archive_command"
	}
	name := a.Failing
	if name == "" {
		return a.Command
	}
	return strings.NewReplacer("%%", "%", "%p", "pg_wal/"+name, "%f", name).Replace(a.Command)
}

// ReadStream asks a server whether somebody streams its WAL from a slot.
//
// Errors: those of package postgres.
func (a *Archiver) ReadStream(ctx context.Context, conn *pgx.Conn, slot string) error {
	a.Slot = slot
	err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND active)`, slot).Scan(&a.Streamed)
	if err != nil {
		return postgres.Explain(fmt.Errorf("ask whether the WAL is streamed: %w", err))
	}
	return nil
}

// Refuser is an Archive that knows what it has refused.
type Refuser interface {
	// Refused says why a file of a cluster cannot be archived, because another of that name is there; "" if it can.
	//
	// Errors: those of the archive; one if file is no name of WAL.
	Refused(ctx context.Context, system cofre.SystemID, file string) (string, error)
}

// Read asks a server how its archiving is. dataDirectory is where this process sees its data directory, empty if that is
// where the server does; refuser is asked for the cause of a failure, and may be nil.
//
// Errors: those of package postgres.
func Read(ctx context.Context, conn *pgx.Conn, server postgres.Server, dataDirectory string, refuser Refuser) (Archiver, error) {
	set := server.Settings
	a := Archiver{
		Mode: set["archive_mode"], Command: set["archive_command"], Library: set["archive_library"], Standby: server.InRecovery,
		Waiting: -1, Behind: -1, Room: -1,
	}
	if a.Command == "(disabled)" {
		a.Command = ""
	}
	var failed, archived *string
	var failedAt, archivedAt *time.Time
	err := conn.QueryRow(ctx, `SELECT last_failed_wal, last_failed_time, failed_count, last_archived_wal, last_archived_time, clock_timestamp()
FROM pg_catalog.pg_stat_archiver`).Scan(&failed, &failedAt, &a.Failures, &archived, &archivedAt, &a.Now)
	if err != nil {
		return a, postgres.Explain(fmt.Errorf("ask how archiving is: %w", err))
	}
	if archived != nil && archivedAt != nil {
		a.Archived, a.ArchiveAt = *archived, archivedAt.UTC()
	}
	seen := pgWAL(ctx, conn, server, dataDirectory)
	if seen != "" {
		if free, _, err := datadir.Free(seen); err == nil { // or nothing is known of it
			a.Room = free
		}
	}
	waiting, err := waitingFiles(ctx, conn, seen)
	if err != nil {
		return a, err
	}
	if waiting != nil {
		a.Waiting = len(waiting)
		for _, at := range waiting {
			if a.Oldest.IsZero() || at.Before(a.Oldest) {
				a.Oldest = at.UTC()
			}
		}
	}
	if failed != nil && failedAt != nil && a.Archives() && failedAt.After(a.ArchiveAt) {
		// What failed and waits no more was archived by hand, or in another life of the directory.
		if _, waits := waiting[*failed]; waits || waiting == nil {
			a.Failing, a.FailedAt = *failed, failedAt.UTC()
		}
	}
	if !a.Standby && pgdata.IsSegmentName(a.Archived) {
		if err := a.behind(ctx, conn); err != nil {
			return a, err
		}
	}
	if refuser != nil && a.Failing != "" {
		if a.Cause, err = refuser.Refused(ctx, server.SystemID, a.Failing); err != nil {
			a.Cause = "" // the repository is looked at by itself
		}
	}
	return a, nil
}

// behind counts the whole segments that the server has written since the last that it archived.
func (a *Archiver) behind(ctx context.Context, conn *pgx.Conn) error {
	var now string
	var size int64
	err := conn.QueryRow(ctx, `SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), pg_catalog.pg_size_bytes(current_setting('wal_segment_size'))`).Scan(&now, &size)
	if err != nil {
		return postgres.Explain(fmt.Errorf("ask where the WAL is: %w", err))
	}
	last, err := pgdata.ParseSegment(a.Archived, size)
	if err != nil {
		return nil // of another life
	}
	current, err := pgdata.ParseSegment(now, size)
	if err == nil && current.Timeline == last.Timeline && current.Number > last.Number {
		a.Behind = int64(current.Number-last.Number) - 1
	}
	return nil
}

// pgWAL is where this process sees the server's pg_wal; "" if it does not.
func pgWAL(ctx context.Context, conn *pgx.Conn, server postgres.Server, dataDirectory string) string {
	seen, _, _, why := view.Find(ctx, conn, server, dataDirectory)
	if why != nil {
		return ""
	}
	return seen.At(path.Join(seen.There, "pg_wal"))
}

// waitingFiles lists what waits to be archived, with since when: in the data directory if it is visible, or as the server
// lists it for roles that may look. It returns nil if neither is so.
//
// Source: PostgreSQL, src/backend/utils/adt/genfile.c, pg_ls_archive_statusdir, which pg_monitor may call.
func waitingFiles(ctx context.Context, conn *pgx.Conn, seen string) (map[string]time.Time, error) {
	if all, ok := readWaiting(seen); ok {
		return all, nil
	}
	var may bool
	if err := conn.QueryRow(ctx, `SELECT pg_catalog.has_function_privilege('pg_catalog.pg_ls_archive_statusdir()', 'EXECUTE')`).Scan(&may); err != nil || !may {
		return nil, postgres.Explain(err)
	}
	rows, err := conn.Query(ctx, `SELECT name, modification FROM pg_catalog.pg_ls_archive_statusdir() WHERE name LIKE '%.ready'`)
	if err != nil {
		return nil, postgres.Explain(fmt.Errorf("look at what waits to be archived: %w", err))
	}
	all := map[string]time.Time{}
	var name string
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&name, &at}, func() error {
		all[strings.TrimSuffix(name, ".ready")] = at
		return nil
	})
	return all, postgres.Explain(err)
}

// readWaiting reads the folder of the server's pg_wal; ok is false if this process does not see it.
func readWaiting(pgWAL string) (all map[string]time.Time, ok bool) {
	if pgWAL == "" {
		return nil, false
	}
	entries, err := os.ReadDir(filepath.Join(pgWAL, "archive_status"))
	if err != nil {
		return nil, false
	}
	all = map[string]time.Time{}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".ready")
		if !ok {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // archived meanwhile
		}
		all[name] = info.ModTime()
	}
	return all, true
}
