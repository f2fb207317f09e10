package basebackup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// watchEvery is how often the session that holds a backup is asked whether it is still there: a capture of hours
// should not learn at its end that the server gave the backup up at its beginning.
const watchEvery = 10 * time.Second

// endBound is how long giving the session back may take after the capture was cancelled.
const endBound = 10 * time.Second

// running is a backup that the server knows of. It is bound to one session: when the session ends, whatever the
// reason, the server forgets the backup and the slot with it.
type running struct {
	mu    sync.Mutex // of conn
	conn  *pgx.Conn
	major int
	start cofre.LSN

	stopWatching context.CancelFunc
	watched      chan struct{}
}

// stopped is what the server says at the end of a backup.
type stopped struct {
	lsn      cofre.LSN
	label    []byte // backup_label
	spaceMap []byte // tablespace_map; empty without tablespaces
}

// beginBackup begins a backup on conn, which nobody else may use until the backup has ended. If keepWAL is
// set, a temporary slot keeps the WAL from here on in pg_wal; slotErr says why there is none.
//
// Errors: *pgconn.PgError of the server.
//
// Source: https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP
func beginBackup(ctx context.Context, conn *pgx.Conn, major int, label string, fast, keepWAL bool) (r *running, slotErr, err error) {
	r = &running{conn: conn, major: major}
	if keepWAL {
		name := fmt.Sprintf("cofre_%d", conn.PgConn().PID())
		_, slotErr = conn.Exec(ctx, "SELECT pg_create_physical_replication_slot($1, true, true)", name)
	}
	// Nothing is asked of this session for as long as the files are read.
	settings := []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"}
	if major >= 14 {
		settings = append(settings, "idle_session_timeout")
	}
	for _, s := range settings {
		if _, err := conn.Exec(ctx, "SET "+s+" = 0"); err != nil {
			return nil, slotErr, fmt.Errorf("begin the backup: %w", err)
		}
	}
	sql := "SELECT pg_backup_start($1, $2)::text"
	if major < 15 {
		sql = "SELECT pg_start_backup($1, $2, false)::text" // false: not exclusive
	}
	var lsn string
	if err := conn.QueryRow(ctx, sql, label, fast).Scan(&lsn); err != nil {
		return nil, slotErr, fmt.Errorf("begin the backup: %w", err)
	}
	r.start, err = cofre.ParseLSN(lsn)
	return r, slotErr, err
}

// watch returns a context that ends when the session is lost.
func (r *running) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, lost := context.WithCancelCause(ctx)
	watching, stop := context.WithCancel(ctx)
	r.stopWatching, r.watched = stop, make(chan struct{})
	go func() {
		defer close(r.watched)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			select {
			case <-watching.Done():
				return
			case <-tick.C:
			}
			if err := r.ping(watching); err != nil && watching.Err() == nil {
				lost(fmt.Errorf("the session that holds the backup was lost, and the server has given the backup up: %w", err))
				return
			}
		}
	}()
	return ctx, func() { r.unwatch(); lost(nil) }
}

func (r *running) ping(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.conn.Ping(ctx)
}

// unwatch ends the watching and waits for it. A ping that is cut short would cost the session, so that it is
// waited for.
func (r *running) unwatch() {
	if r.stopWatching != nil {
		r.mu.Lock() // no ping is under way now
		r.stopWatching()
		r.mu.Unlock()
		<-r.watched
		r.stopWatching = nil
	}
}

// stop ends the backup. It does not wait for the archive: that is awaited elsewhere, with a bound and a reason.
//
// Errors: *pgconn.PgError, among them that a standby was promoted meanwhile. After any error the copy is useless.
func (r *running) stop(ctx context.Context) (s stopped, err error) {
	r.unwatch()
	sql := "SELECT lsn::text, labelfile, spcmapfile FROM pg_backup_stop(false)"
	if r.major < 15 {
		sql = "SELECT lsn::text, labelfile, spcmapfile FROM pg_stop_backup(false, false)"
	}
	var lsn string
	if err := r.conn.QueryRow(ctx, sql).Scan(&lsn, &s.label, &s.spaceMap); err != nil {
		return s, fmt.Errorf("end the backup: %w", err)
	}
	s.lsn, err = cofre.ParseLSN(lsn)
	return s, err
}

// branches is the WAL from start on tli to stop on the timeline that h leads to, oldest first.
func branches(h pgdata.History, tli cofre.Timeline, start, stop cofre.LSN) ([]pgdata.Branch, error) {
	var out []pgdata.Branch
	for _, b := range h.Branches() {
		if b.Timeline < tli || b.To <= start || b.From >= stop {
			continue
		}
		b.From, b.To = max(b.From, start), min(b.To, stop)
		out = append(out, b)
	}
	if len(out) == 0 || out[0].Timeline != tli {
		return nil, fmt.Errorf("timeline %d, on which the backup began, is no ancestor of timeline %d: %w", tli, h.Timeline, errors.ErrUnsupported)
	}
	return out, nil
}

// segments names the segments that hold the WAL of the branches. If a timeline ends inside a segment, both
// timelines have one of it; the child's repeats the parent's, and only it is certain to be whole.
func segments(of []pgdata.Branch, size int64) []string {
	var names []string
	for i, b := range of {
		last := pgdata.SegmentAt(b.Timeline, b.To-1, size)
		for s := pgdata.SegmentAt(b.Timeline, b.From, size); s.Number <= last.Number; s = s.Next() {
			if i+1 < len(of) && pgdata.SegmentAt(of[i+1].Timeline, of[i+1].From, size).Number == s.Number {
				break
			}
			names = append(names, s.Name(size))
		}
	}
	return names
}
