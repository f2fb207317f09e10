package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// server is what the server says of itself and of the slot when a session begins.
type server struct {
	system   cofre.SystemID
	size     int64 // of a segment
	timeline cofre.Timeline
	flushed  cofre.LSN // up to where it has WAL

	standby bool // it has WAL from another server, and more of it later

	restart cofre.LSN // from where on the slot keeps WAL; 0 if it keeps none
	fresh   bool      // the slot was made just now
}

// reserved is the beginning of the segment from which on the slot keeps WAL.
func (s server) reserved() pgdata.Segment { return pgdata.SegmentAt(s.timeline, s.restart, s.size) }

// identify asks which system is on the other side, before anything is made on a server that may be the wrong one.
func (r *run) identify(ctx context.Context, pg *pgconn.PgConn) (server, error) {
	var s server
	is, err := pglogrepl.IdentifySystem(ctx, pg)
	if err != nil {
		return s, postgres.Explain(err)
	}
	if err := s.system.UnmarshalText([]byte(is.SystemID)); err != nil {
		return s, err
	}
	s.timeline, s.flushed = cofre.Timeline(is.Timeline), cofre.LSN(is.XLogPos)
	want := r.System
	if r.spool != nil {
		want = r.system
	}
	if want != 0 && s.system != want {
		return s, wal.Foreign(s.system, want)
	}
	return s, nil
}

// reserve looks at the slot, makes it, or makes it again if it was invalidated.
func (r *run) reserve(ctx context.Context, s *server) error {
	conn, err := postgres.Connect(ctx, r.Postgres)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	if err := conn.QueryRow(ctx, "select setting::bigint, pg_is_in_recovery() from pg_settings where name = 'wal_segment_size'").Scan(&s.size, &s.standby); err != nil {
		return postgres.Explain(err)
	}
	var restart, status *string
	var user *int
	err = conn.QueryRow(ctx, `select restart_lsn::text, wal_status, active_pid from pg_replication_slots where slot_name = $1 and slot_type = 'physical'`, r.Slot).Scan(&restart, &status, &user)
	missing := errors.Is(err, pgx.ErrNoRows)
	if err == nil && status != nil && *status == "lost" {
		r.tell.warn(cofre.Say("stream.slot_invalidated", "replication slot {{.slot}} was invalidated: the server removed WAL that had not been received; take a base backup now, because nothing after the last archived segment can be reached from an older one: cofre backup cluster", "slot", r.Slot))
		if _, err := conn.Exec(ctx, "select pg_drop_replication_slot($1)", r.Slot); err != nil {
			return postgres.Explain(err)
		}
		missing = true
	}
	if missing {
		err = conn.QueryRow(ctx, "select coalesce(lsn::text, '0/0') from pg_create_physical_replication_slot($1, true)", r.Slot).Scan(&restart)
		s.fresh = true
		if err == nil {
			r.tell.note(cofre.Say("stream.slot_made", "replication slot {{.slot}} was made: the server keeps from now on all WAL that was not received, also while nothing receives it", "slot", r.Slot))
		}
	}
	if err != nil {
		return postgres.Explain(err)
	}
	if user != nil && !s.fresh {
		return cofre.Fail(cofre.Say("stream.slot_used", "replication slot {{.slot}} is in use, by the server's process {{.pid}}", "slot", r.Slot, "pid", strconv.Itoa(*user)), cofre.ErrLocked)
	}
	if restart != nil {
		s.restart, err = cofre.ParseLSN(*restart)
	}
	return err
}

// position decides where to go on: where this run has come to; else after the last segment that the spool or all
// stores have without a hole; else where the slot begins.
func (r *run) position(ctx context.Context, s server) (place, error) {
	if p := r.resume; p != nil {
		r.resume = nil
		if s.fresh && p.timeline == s.timeline {
			p.at = max(p.at, s.reserved().Start(s.size))
		}
		return *p, nil
	}
	if seg, _, open := r.spool.Current(); open {
		return place{seg.Timeline, seg.Start(s.size)}, nil
	}
	have, err := r.inAll(ctx)
	if err != nil {
		return place{}, err
	}
	return after(append(have, r.spool.Waiting()...), s), nil
}

// inAll lists the segments that all archives have. What one that cannot be asked misses is in the spool: nothing leaves
// that before every archive has it.
//
// Errors: that of an archive, if none can be asked.
func (r *run) inAll(ctx context.Context) ([]pgdata.Segment, error) {
	var have []pgdata.Segment
	var failed error
	listed := 0
	for _, a := range r.Archives {
		there, err := wholeSegments(ctx, a, r.system, r.size)
		if err != nil {
			failed = err
			continue
		}
		if listed++; listed == 1 {
			have = there
			continue
		}
		in := set(there)
		have = slices.DeleteFunc(have, func(seg pgdata.Segment) bool { return !in[seg] })
	}
	if listed > 0 {
		failed = nil
	}
	return have, failed
}

func set(segments []pgdata.Segment) map[pgdata.Segment]bool {
	in := map[pgdata.Segment]bool{}
	for _, seg := range segments {
		in[seg] = true
	}
	return in
}

// after is where to go on after the segments that are stored.
//
// archive_command may have run ahead of the slot; what lies between is there, or it is a gap that the slot can still
// close. The last one that is there is received once more, and so compared: a name says nothing about which server wrote
// it.
func after(have []pgdata.Segment, s server) place {
	var last pgdata.Segment
	for _, seg := range have {
		if seg.Timeline <= s.timeline && (seg.Timeline > last.Timeline || seg.Timeline == last.Timeline && seg.Number > last.Number) {
			last = seg
		}
	}
	reserved := s.reserved()
	switch {
	case last.Timeline == 0:
		return place{s.timeline, reserved.Start(s.size)}
	case s.restart == 0 || last.Timeline != s.timeline || reserved.Number > last.Number:
		return place{last.Timeline, last.Next().Start(s.size)}
	}
	in, at := set(have), reserved
	for in[at] {
		at = at.Next()
	}
	if at.Number > reserved.Number {
		at.Number--
	}
	return place{s.timeline, at.Start(s.size)}
}

// back decides where to go on if the server is on an older timeline than what was received last: it is another one, or the cluster was
// brought back to before its failover. That is said, what was received is kept, and streaming goes on as a new run would, which
// compares the first segment with what the archives have.
func (r *run) back(ctx context.Context, s server) (place, error) {
	r.tell.warn(cofre.Say("stream.older_timeline", "the server is on timeline {{.timeline}}, and WAL of timeline {{.received}} was received before: another server, or one that was brought back to before its failover; streaming goes on with timeline {{.timeline}}: take a base backup now", "timeline", s.timeline, "received", r.newest))
	if err := r.spool.SetAside(); err != nil {
		return place{}, err
	}
	for _, shipper := range r.shippers {
		shipper.Forget()
	}
	have, err := r.inAll(ctx)
	if err != nil {
		return place{}, err
	}
	return after(append(have, r.spool.Waiting()...), s), nil
}

// follow finds where to go on when the server has gone on to other timelines: what was received may reach beyond
// the fork, and is then of no use to it.
func follow(h pgdata.History, p place, size int64) place {
	for _, b := range h.Branches() {
		if b.Timeline == p.timeline && p.at < b.To {
			return p // the server tells where it ends
		}
		if b.Timeline > p.timeline {
			return place{b.Timeline, pgdata.SegmentAt(b.Timeline, b.From, size).Start(size)}
		}
	}
	return place{h.Timeline, p.at}
}

// The SQLSTATEs of a server that does not have the WAL that it is asked for. That it is ahead of its own WAL, a server
// says without a code of its own.
//
// Source: PostgreSQL, src/backend/replication/walsender.c, StartReplication and WalSndSegmentOpen (undefined_file);
// src/backend/utils/error/elog.c, errstart (internal_error, if no code is given).
const (
	undefinedFile = "58P01"
	internalError = "XX000"
)

// behind reports whether an error of the server at p means that its own WAL ends before. A standby that was restarted counts what it
// has replayed, until it receives again: it has the rest, or gets it.
//
// Source: PostgreSQL, src/backend/replication/walsender.c, GetStandbyFlushRecPtr.
func (s server) behind(p place, err *pgconn.PgError) bool {
	return err.Code == internalError && p.timeline == s.timeline && p.at > s.flushed
}

// lost reports whether an error of the server at p means that it does not have what should come next: it has removed it,
// or its own WAL ends before. Its words do not count: they are of the server's language.
func (s server) lost(p place, err *pgconn.PgError) bool {
	removed := err.Code == undefinedFile
	ahead := s.behind(p, err) && !s.standby
	next := place{s.timeline, s.reserved().Start(s.size)}
	return s.restart != 0 && (removed || ahead) && p != next
}

// wholeSegments lists the whole segments of a system in an archive.
//
// Errors: Unusable; the store's.
func wholeSegments(ctx context.Context, a wal.Archive, system cofre.SystemID, size int64) ([]pgdata.Segment, error) {
	if a.Unusable != nil {
		return nil, a.Unusable
	}
	var there []pgdata.Segment
	for o, err := range a.Store.List(ctx, wal.Prefix(system)) {
		if err != nil {
			return nil, fmt.Errorf("list WAL of %s: %w", a.URL(), err)
		}
		name, err := wal.NameOf(system, o.Name)
		if err != nil {
			continue // nobody reads it there
		}
		if seg, err := pgdata.ParseSegment(name, size); err == nil {
			there = append(there, seg)
		}
	}
	return there, nil
}
