// Package probe sends a mark through the whole way of WAL, from the server to every repository and back.
package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Probe is one such mark: it is written by the server, its segment is ended, archived by whatever
// archives, and read back from every repository, where the mark must be in it. It is what pgBackRest's check does,
// and proves more: that what is stored can be decrypted, and is what the server wrote.
type Probe struct {
	Postgres postgres.Config // a role that may call pg_switch_wal
	Archives []wal.Archive
	// Unlock gives the key that reads what an archive holds, in the order of Archives.
	Unlock []func() (wal.Identity, error)
	// Timeout bounds the wait for the segment; 0 takes one minute.
	Timeout time.Duration
	// Streamed says that WAL is received from a replication slot, and that archive_command need not be set.
	Streamed bool
	Observer cofre.Observer
}

// Probed is what was proven.
type Probed struct {
	System   cofre.SystemID   `json:"system_identifier"`
	Timeline cofre.Timeline   `json:"timeline"`
	Segment  string           `json:"segment"`
	LSN      cofre.LSN        `json:"lsn"` // of the mark
	Read     []ProbedAtSource `json:"repositories"`

	file pgdata.WALName // Segment
}

// ProbedAtSource is one repository from which the mark was read back.
type ProbedAtSource struct {
	URL     string  `json:"url"`
	Seconds float64 `json:"seconds"` // from the end of the segment until it was there
}

const (
	probePrefix  = "cofre check "
	probeTimeout = time.Minute
	probePoll    = 200 * time.Millisecond
)

// Run carries the probe out. It changes nothing but that a segment ends early, which costs up to its size in pg_wal.
//
// Errors: *cofre.GapError if the segment did not come in time; cofre.ErrPreflight if the server cannot archive as it is
// set; cofre.ErrDenied for a role without the right to end a segment; cofre.ErrCorrupt if another content was stored;
// those of the server and of the stores.
func (p Probe) Run(ctx context.Context) (_ *Probed, err error) {
	conn, err := postgres.Connect(ctx, p.Postgres)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := p.able(ctx, conn); err != nil {
		return nil, err
	}
	mark := probePrefix + rand.Text()
	done, err := write(ctx, conn, mark)
	if err != nil {
		return nil, denied(postgres.Explain(fmt.Errorf("write a mark and end its segment: %w", err)), conn)
	}
	p.observe(cofre.Say("wal.marked", "segment {{.segment}} holds a mark; waiting until it is archived", "segment", done.Segment))
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout(), errLate)
	defer cancel()
	began := time.Now()
	for i, a := range p.Archives {
		if err := p.await(ctx, conn, a, done); err != nil {
			return nil, err
		}
		at := ProbedAtSource{URL: a.URL(), Seconds: time.Since(began).Seconds()}
		if err := p.readBack(context.WithoutCancel(ctx), i, done, mark); err != nil {
			return nil, fmt.Errorf("read %s back from %s: %w", done.Segment, a.URL(), err)
		}
		done.Read = append(done.Read, at)
	}
	return done, nil
}

// denied gives an error of a missing right the statement that grants it.
func denied(err error, conn *pgx.Conn) error {
	if !errors.Is(err, cofre.ErrDenied) {
		return err
	}
	return cofre.WithHint(err, cofre.Say("wal.grant_switch", "as a superuser: GRANT EXECUTE ON FUNCTION pg_catalog.pg_switch_wal() TO {{.role}}", "role", pgx.Identifier{conn.Config().User}.Sanitize()))
}

var errLate = errors.New("it did not come in time")

func (p Probe) timeout() time.Duration {
	if p.Timeout > 0 {
		return p.Timeout
	}
	return probeTimeout
}

func (p Probe) observe(m cofre.Message) {
	if p.Observer != nil {
		p.Observer.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeNote}.Saying(m))
	}
}

// able refuses a server on which the probe could only wait.
func (p Probe) able(ctx context.Context, conn *pgx.Conn) error {
	var standby bool
	var mode, command, library string
	err := conn.QueryRow(ctx, `SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('archive_mode'),
		pg_catalog.current_setting('archive_command'), coalesce(pg_catalog.current_setting('archive_library', true), '')`).Scan(&standby, &mode, &command, &library)
	if err != nil {
		return postgres.Explain(fmt.Errorf("read how the server archives: %w", err))
	}
	switch {
	case standby:
		return cofre.WithHint(fmt.Errorf("check the way of WAL: the server is a standby, and writes none: %w", cofre.ErrPreflight), cofre.Say("wal.primary", "check the primary"))
	case p.Streamed:
		return nil
	case mode == "off":
		return cofre.WithHint(fmt.Errorf("check the way of WAL: archive_mode is off: %w", cofre.ErrPreflight),
			cofre.Say("wal.archive_mode", "set it, with: ALTER SYSTEM SET archive_mode = 'on'; then restart the server"))
	// What is not set at all reads as a word of the server's.
	case (command == "" || command == "(disabled)") && library == "":
		return cofre.WithHint(fmt.Errorf("check the way of WAL: archive_command is not set: %w", cofre.ErrPreflight),
			cofre.Say("wal.archive_command", "set it, with: ALTER SYSTEM SET archive_command = 'cofre wal archive --config /etc/cofre/cofre.yaml %p'; SELECT pg_reload_conf()"))
	}
	return nil
}

// write puts the mark into the WAL and ends its segment.
func write(ctx context.Context, conn *pgx.Conn, mark string) (*Probed, error) {
	var lsn string
	var done Probed
	var system, timeline int64
	// Twice, so that one of the two is whole on a page.
	err := conn.QueryRow(ctx, `SELECT pg_catalog.pg_logical_emit_message(false, 'cofre', $1)::text`, mark).Scan(&lsn)
	if err == nil {
		err = conn.QueryRow(ctx, `SELECT pg_catalog.pg_logical_emit_message(false, 'cofre', $1)::text`, mark).Scan(&lsn)
	}
	if err == nil {
		// pg_switch_wal returns where the segment ended; its name is that of the segment that was ended.
		err = conn.QueryRow(ctx, `SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal()), s.system_identifier, c.timeline_id
			FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c`).
			Scan(&done.Segment, &system, &timeline)
	}
	if err != nil {
		return nil, err
	}
	done.System, done.Timeline = cofre.SystemID(system), cofre.Timeline(timeline)
	if done.file, err = pgdata.ParseWALName(done.Segment); err != nil {
		return nil, err
	}
	done.Timeline = done.file.Timeline
	done.LSN, err = cofre.ParseLSN(lsn)
	return &done, err
}

// await waits until an archive has the segment. What the server says of its archiver meanwhile is passed on at the end.
func (p Probe) await(ctx context.Context, conn *pgx.Conn, a wal.Archive, done *Probed) error {
	if a.Unusable != nil {
		return a.Unusable
	}
	object := wal.ObjectName(done.System, done.file)
	tick := time.NewTicker(probePoll)
	defer tick.Stop()
	for {
		_, err := a.Store.Stat(ctx, object)
		if err == nil {
			return nil
		}
		if !errors.Is(err, cofre.ErrNotFound) && ctx.Err() == nil {
			return err
		}
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
		}
		if !errors.Is(context.Cause(ctx), errLate) {
			return context.Cause(ctx)
		}
		gap := &cofre.GapError{Timeline: done.Timeline, From: done.Segment, To: done.Segment}
		return cofre.WithHint(fmt.Errorf("wait %s for the segment in %s: %w", p.timeout(), a.URL(), gap), p.why(context.WithoutCancel(ctx), conn))
	}
}

// why is what the server says of the segment that did not come, with the next step.
func (p Probe) why(ctx context.Context, conn *pgx.Conn) cofre.Message {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if p.Streamed {
		var active int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE active AND slot_type = 'physical'`).Scan(&active); err == nil && active == 0 {
			return cofre.Say("wal.nobody_receives", "nobody receives WAL from this server; start: cofre wal stream")
		}
		return cofre.Say("wal.received_only", "WAL is received, and did not come to the repository: see what cofre wal stream says")
	}
	var failed string
	err := conn.QueryRow(ctx, `SELECT coalesce(last_failed_wal, '') FROM pg_catalog.pg_stat_archiver
		WHERE last_failed_time > coalesce(last_archived_time, '-infinity')`).Scan(&failed)
	if err == nil && failed != "" {
		return cofre.Say("wal.archive_fails", "the server's archive_command fails on {{.segment}}; its log says why, and so does, as the server's user in the data directory: cofre wal archive pg_wal/{{.segment}}", "segment", failed)
	}
	return cofre.Say("wal.not_yet", "archive_command has not come to it yet, or stores elsewhere: compare its --config with this one, or wait longer with --timeout")
}

// readBack brings the segment from an archive and looks for the mark.
func (p Probe) readBack(ctx context.Context, i int, done *Probed, mark string) error {
	id, err := p.Unlock[i]()
	if err != nil {
		return err
	}
	content, err := wal.Read(ctx, p.Archives[i].Store, id, done.System, done.file)
	if err != nil {
		return err
	}
	if !bytes.Contains(content, []byte(strings.TrimPrefix(mark, probePrefix))) {
		return cofre.WithHint(fmt.Errorf("the mark that was written to it is not in it: %w", cofre.ErrCorrupt),
			cofre.Say("wal.same_identifier", "another server with the same identifier archives here: see cofre wal status"))
	}
	return nil
}
