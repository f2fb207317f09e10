package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// session is one connection: it ends with an error, always.
func (r *run) session(ctx context.Context, ship func(*Shipper)) error {
	conn, err := postgres.Connect(ctx, r.Postgres.WithSettings(map[string]string{"replication": "true"}))
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	pg := conn.PgConn()
	s, err := r.identify(ctx, pg)
	if err != nil {
		return err
	}
	// Before anything is made on the server that would stay there.
	if err := r.lock(s.system); err != nil {
		return err
	}
	if err := r.reserve(ctx, &s); err != nil {
		return err
	}
	if err := r.prepare(s.system, s.size, ship); err != nil {
		return err
	}
	p, err := r.position(ctx, s)
	if err != nil {
		return err
	}
	if r.newest > s.timeline {
		if p, err = r.back(ctx, s); err != nil {
			return err
		}
	}
	if p.timeline != s.timeline {
		h, err := history(ctx, pg, s.timeline)
		if err != nil {
			return err
		}
		parsed, err := pgdata.ParseHistory(s.timeline, h)
		if err != nil {
			return err
		}
		p = follow(parsed, p, s.size)
	}
	return r.stream(ctx, pg, s, p)
}

// stream receives from one place on, and from timeline to timeline.
func (r *run) stream(ctx context.Context, pg *pgconn.PgConn, s server, p place) error {
	for {
		r.newest = p.timeline
		if p.timeline > 1 {
			if err := r.archiveHistory(ctx, pg, p.timeline); err != nil {
				return err
			}
		}
		if err := r.start(ctx, pg, p); err != nil {
			next, err := r.elsewhere(s, p, err)
			if err != nil {
				return err
			}
			p = next
			continue
		}
		next, err := r.receiver.Receive(ctx, pg, p)
		if err != nil {
			// That the WAL was removed the server finds out only when it has begun to send.
			if resume, lostErr := r.elsewhere(s, p, err); lostErr == nil {
				r.resume = &resume
			} else {
				err = lostErr
			}
			return err
		}
		r.tell.note(cofre.Say("stream.next_timeline", "the server went on to timeline {{.timeline}} at {{.lsn}}", "timeline", next.Timeline, "lsn", next.LSN))
		// The child's first segment begins with a copy of its parent's: from there, so that it is whole.
		tli := cofre.Timeline(next.Timeline)
		p = place{tli, pgdata.SegmentAt(tli, cofre.LSN(next.LSN), s.size).Start(s.size)}
	}
}

// start begins replication.
func (r *run) start(ctx context.Context, pg *pgconn.PgConn, p place) error {
	err := pglogrepl.StartReplication(ctx, pg, r.Slot, pglogrepl.LSN(p.at), pglogrepl.StartReplicationOptions{Timeline: int32(p.timeline), Mode: pglogrepl.PhysicalReplication})
	if err != nil {
		return postgres.Explain(err)
	}
	r.tell.note(cofre.Say("stream.receiving", "receiving WAL of timeline {{.timeline}} from {{.lsn}} on", "timeline", p.timeline, "lsn", p.at))
	for _, s := range r.shippers {
		s.From(p.timeline, p.at)
	}
	return nil
}

// elsewhere is where to go on if an error of the server means that it does not have what should come next: that is said,
// and what was received of it is kept. Any other error is returned as it is.
func (r *run) elsewhere(s server, p place, err error) (place, error) {
	said, ok := errors.AsType[*pgconn.PgError](err)
	if ok && s.standby && s.behind(p, said) {
		return p, fmt.Errorf("the standby has WAL up to %s, and what comes next begins at %s: it is waited for: %w", s.flushed, p.at, err)
	}
	if !ok || !s.lost(p, said) {
		return p, err
	}
	next := place{s.timeline, s.reserved().Start(s.size)}
	r.tell.warn(cofre.Say("stream.gap", "WAL from {{.from}} of timeline {{.timeline}} on cannot be received any more ({{.said}}); streaming goes on at {{.at}} of timeline {{.next}}: take a base backup now, with cofre backup cluster",
		"from", p.at, "timeline", p.timeline, "said", said.Message, "at", next.at, "next", next.timeline))
	r.tell.fact(r.gap(p, next, said.Message))
	if aside := r.spool.SetAside(); aside != nil {
		return p, errors.Join(err, aside)
	}
	for _, s := range r.shippers {
		s.Forget()
	}
	return next, nil
}

// gap is what lies between a place that cannot be received any more and the next.
func (r *run) gap(p, next place, why string) cofre.GapFound {
	from := pgdata.SegmentAt(p.timeline, p.at, r.size)
	to := from
	if next.timeline == p.timeline && next.at > p.at {
		to = pgdata.SegmentAt(p.timeline, next.at-1, r.size)
	}
	return cofre.GapFound{
		System: r.system, Timeline: p.timeline, From: from.Name(r.size), To: to.Name(r.size), Why: why, State: string(wal.GapOpen), Alarm: true,
	}
}

func history(ctx context.Context, pg *pgconn.PgConn, tli cofre.Timeline) ([]byte, error) {
	h, err := pglogrepl.TimelineHistory(ctx, pg, int32(tli))
	if err != nil {
		return nil, postgres.Explain(err)
	}
	return h.Content, nil
}

// archiveHistory archives the history of a timeline: without it nobody can tell where the timeline came from.
func (r *run) archiveHistory(ctx context.Context, pg *pgconn.PgConn, tli cofre.Timeline) error {
	content, err := history(ctx, pg, tli)
	if err != nil {
		return err
	}
	if err := wal.ArchiveHistory(ctx, r.Archives, r.system, tli, content); err != nil {
		return err
	}
	h, err := pgdata.ParseHistory(tli, content)
	if err != nil {
		return err
	}
	r.lines.learn(h)
	return nil
}

// Receiver speaks the replication protocol: it writes what the server sends into the spool, and tells the server how far
// that is received and durable.
type Receiver struct {
	spool       *Spool
	stored      func() cofre.LSN // up to where every archive has it
	synchronous bool             // only what the archives have is durable
	limit       int64            // how many bytes may wait in the spool
	tell        teller
	wake        *waker // ends a wait for the server

	pg        *pgconn.PgConn
	confirmed cofre.LSN // what the server was told last
	alarmed   bool      // that the spool is filling
}

// statusEvery is how often the server is told how far things are; it ends a connection that says nothing for
// wal_sender_timeout, a minute by default.
const statusEvery = time.Second

// silence is after how long a server that does not answer counts as gone.
const silence = time.Minute

// Receive takes WAL in from a connection on which replication has begun at the beginning of a segment, until the timeline
// ends: it returns where the next one begins.
//
// Errors: cofre.ErrUnreachable if the server says nothing for a minute; the server's; those of the spool.
func (r *Receiver) Receive(ctx context.Context, pg *pgconn.PgConn, p place) (*pglogrepl.CopyDoneResult, error) {
	if err := r.spool.Begin(pgdata.SegmentAt(p.timeline, p.at, r.spool.size)); err != nil {
		return nil, err
	}
	r.pg, r.confirmed = pg, p.at
	// A first report at once would move the slot back to a position whose WAL may be gone.
	reported, heard := time.Now(), time.Now()
	for {
		// A host that is gone sends no reset, and TCP would wait for a quarter of an hour.
		silent := time.Since(heard)
		if silent > silence {
			return nil, fmt.Errorf("the server has been silent for %s: %w", silence, cofre.ErrUnreachable)
		}
		if time.Since(reported) >= statusEvery || r.more() {
			if err := r.report(ctx, silent > silence/4); err != nil {
				return nil, err
			}
			reported = time.Now()
		}
		if r.full() {
			if err := r.pause(ctx); err != nil {
				return nil, err
			}
			heard = time.Now() // nothing was listened for
			continue
		}
		msg, err := r.next(ctx)
		if err != nil {
			return nil, err
		}
		if msg != nil {
			heard = time.Now()
		}
		switch m := msg.(type) {
		case nil: // woken, or nothing came
		case *pgproto3.CopyData:
			asked, err := r.take(m.Data)
			if err != nil {
				return nil, err
			}
			if asked {
				reported = time.Time{}
			}
		case *pgproto3.CopyDone:
			next, err := pglogrepl.SendStandbyCopyDone(ctx, r.pg)
			if err != nil {
				return nil, err
			}
			if next == nil {
				return nil, errors.New("the server ended the stream")
			}
			return next, r.spool.SetAside()
		case *pgproto3.ErrorResponse:
			return nil, postgres.Explain(pgconn.ErrorResponseToPgError(m))
		case *pgproto3.CommandComplete:
			return nil, errors.New("the server is shutting down")
		}
	}
}

// more reports whether the archives have taken something that somebody may be waiting for.
func (r *Receiver) more() bool {
	_, received, _ := r.spool.Current()
	return r.synchronous && min(r.stored(), received) > r.confirmed
}

// report tells the server how far WAL is received and durable, and may ask it for a sign of life.
func (r *Receiver) report(ctx context.Context, answer bool) error {
	_, received, _ := r.spool.Current()
	flushed, err := min(received, r.stored()), r.spool.Intact()
	if !r.synchronous && err == nil {
		flushed, err = r.spool.Sync()
	}
	if err != nil {
		return err
	}
	r.confirmed = flushed
	return pglogrepl.SendStandbyStatusUpdate(ctx, r.pg, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: pglogrepl.LSN(received), WALFlushPosition: pglogrepl.LSN(flushed), WALApplyPosition: pglogrepl.LSN(flushed),
		ReplyRequested: answer,
	})
}

// next waits for a message, until it is time for a report or the archives have taken something.
func (r *Receiver) next(ctx context.Context) (pgproto3.BackendMessage, error) {
	waiting, cancel := context.WithTimeout(ctx, statusEvery)
	defer cancel()
	r.wake.before(cancel)
	if r.more() {
		return nil, nil
	}
	msg, err := r.pg.ReceiveMessage(waiting)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil && !r.pg.IsClosed() {
		return nil, nil
	}
	return msg, err
}

// take writes one message's WAL into the spool.
func (r *Receiver) take(data []byte) (asked bool, err error) {
	if len(data) == 0 {
		return false, errors.New("the server sent an empty message")
	}
	switch data[0] {
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		return k.ReplyRequested, err
	case pglogrepl.XLogDataByteID:
		x, err := pglogrepl.ParseXLogData(data[1:])
		if err != nil {
			return false, err
		}
		err = r.spool.Append(cofre.LSN(x.WALStart), x.WALData)
		if r.synchronous {
			r.spool.Announce()
		}
		return false, err
	}
	return false, nil
}

// full reports whether the spool holds as much as it may, and gives the alarm before it does.
func (r *Receiver) full() bool {
	waits := r.spool.Bytes()
	if waits*2 >= r.limit && !r.alarmed {
		r.alarmed = true
		r.tell.warn(cofre.Say("stream.waits", "{{.waiting}} MiB of WAL wait in {{.directory}} for the repository; at {{.limit}} MiB the server has to keep its WAL, and its disk fills", "waiting", waits>>20, "directory", r.spool.dir, "limit", r.limit>>20))
	}
	if r.alarmed && waits == 0 {
		r.alarmed = false
		r.tell.note(cofre.Say("stream.caught_up", "the repository has caught up"))
	}
	return waits+r.spool.size > r.limit
}

// pause waits while the spool is full.
func (r *Receiver) pause(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, statusEvery)
	defer cancel()
	r.wake.before(cancel)
	<-waiting.Done()
	return ctx.Err()
}
