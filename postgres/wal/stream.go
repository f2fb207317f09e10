package wal

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// Streamer receives WAL from a physical replication slot and archives it: whole segments, and in between the
// beginning of the one that is being written, so that the loss of the host costs seconds.
//
//	server ──▶ receive ──▶ spool (this host) ──▶ keep ──▶ stores
//
// The server keeps WAL until it is told that it is durable: in the spool, or with Synchronous in the stores.
type Streamer struct {
	Postgres postgres.Config // a role with REPLICATION that may also read pg_replication_slots
	Slot     string          // made where it does not exist; empty takes cofre
	Archives []Archive       // all mandatory
	System   cofre.SystemID  // whose WAL belongs here; 0 takes the server's

	Spool string // a folder of this host; WAL in it is as readable as the server's own
	// SpoolLimit is how many bytes may wait in Spool for the stores; 0 takes 4 GiB. With that many the streamer
	// receives no more, and the server has to keep its WAL: an alarm is given at half of it.
	SpoolLimit int64
	// Flush is how often the beginning of the segment being written goes to the stores; 0 takes 5 s, less than
	// 0 stores whole segments only.
	Flush time.Duration
	// Synchronous confirms only what the stores have. A server that names the slot's application in
	// synchronous_standby_names then loses no acknowledged commit, and waits while the stores are down.
	Synchronous bool

	Source   cofre.SourceID
	Observer cofre.Observer
}

var slotName = pattern.Lazy(`^[a-z0-9_]{1,63}$`)

// Stream runs until ctx ends, which is no error, and through everything that passes: restarts and failovers of
// the server, stores that are down. What it had received by then is stored before it returns, within ten seconds.
//
// Where WAL was lost to the stream (the slot was invalidated or dropped, or the server had removed what comes
// next) it says so in a warning and goes on with what there is: only a new base backup closes the gap.
//
// Errors: cofre.ErrConfig; cofre.ErrRefused where the server is another system; cofre.ErrExists where a store
// holds other WAL of the same name; those of the spool.
func (s *Streamer) Stream(ctx context.Context) error {
	c := *s
	if c.Slot == "" {
		c.Slot = "cofre"
	}
	if c.SpoolLimit <= 0 {
		c.SpoolLimit = 4 << 30
	}
	if c.Flush == 0 {
		c.Flush = 5 * time.Second
	}
	if c.Observer == nil {
		c.Observer = cofre.Discard
	}
	if !slotName().MatchString(c.Slot) {
		return fmt.Errorf("stream WAL: %q is not the name of a replication slot: %w", c.Slot, cofre.ErrConfig)
	}
	if c.Spool == "" || len(c.Archives) == 0 {
		return fmt.Errorf("stream WAL: spool and repository are needed: %w", cofre.ErrConfig)
	}
	if _, err := stores(c.Archives); err != nil {
		return fmt.Errorf("stream WAL: %w", err)
	}
	c.Archives = remembering(c.Archives)
	r := &stream{Streamer: &c, histories: map[cofre.Timeline]pgdata.History{}}
	for _, a := range c.Archives {
		r.keepers = append(r.keepers, &keeper{stream: r, archive: a, kick: make(chan struct{}, 1), parts: map[pgdata.WALName][]levelled{}})
	}
	return r.run(ctx)
}

// stream is one run of a Streamer. The goroutine of run receives; those of its keepers store.
type stream struct {
	*Streamer
	dir  string // of the spool, for this system
	size int64

	keepers []*keeper // one for each archive

	// Of the receiver.
	file   *os.File
	synced cofre.LSN
	told   bool    // that the spool is filling
	resume *resume // where to go on after WAL that is lost; nil where nothing is

	mu        sync.Mutex
	histories map[cofre.Timeline]pgdata.History // of the timelines that this run has met
	segment   pgdata.Segment                    // being received
	open      bool
	received  cofre.LSN
	queue     []waiting
	taken     int                // how many have been taken out of the queue: the number of its first
	wake      context.CancelFunc // of a receive that is waiting
	fatal     error
}

// stored is up to where every archive has what was received. The caller holds the lock.
func (s *stream) stored() cofre.LSN {
	least := s.keepers[0].stored
	for _, k := range s.keepers {
		least = min(least, k.stored)
	}
	return least
}

// resume is a place to go on at, whatever the stores have.
type resume struct {
	timeline cofre.Timeline
	at       cofre.LSN
}

// waiting is something in the spool that shall go to the stores.
type waiting struct {
	name     pgdata.WALName // of the segment
	path     string
	leftover bool // the unfinished segment of an earlier run
}

func (s *stream) run(ctx context.Context) error {
	keepCtx, stopKeeping := context.WithCancel(context.WithoutCancel(ctx))
	defer stopKeeping()
	var keeper sync.WaitGroup
	started := false
	defer func() {
		if s.file != nil {
			_ = s.file.Close()
		}
	}()

	back := backOff{least: 200 * time.Millisecond, most: 15 * time.Second}
	var last string
	for ctx.Err() == nil {
		began := time.Now()
		err := s.session(ctx, func() {
			if !started {
				started = true
				for _, k := range s.keepers {
					keeper.Go(func() { k.keep(keepCtx) })
				}
			}
		})
		if ctx.Err() != nil {
			break
		}
		if f := s.failed(); f != nil {
			err = f
		}
		if permanent(err) {
			stopKeeping()
			keeper.Wait()
			return fmt.Errorf("stream WAL: %w", err)
		}
		if time.Since(began) > time.Minute {
			back.reset()
		}
		if text := err.Error(); text != last {
			s.warn("WAL streaming was interrupted and will be tried again: %v", err)
			last = text
		}
		back.wait(ctx)
	}
	// What was received goes to the stores, if they can be reached.
	stop := time.AfterFunc(10*time.Second, stopKeeping)
	defer stop.Stop()
	if started {
		s.mu.Lock()
		s.queue = append(s.queue, waiting{}) // the end
		s.mu.Unlock()
		s.poke()
		keeper.Wait()
	}
	return s.failed()
}

func permanent(err error) bool {
	return errors.Is(err, cofre.ErrConfig) || errors.Is(err, cofre.ErrRefused) || errors.Is(err, cofre.ErrExists) || errors.Is(err, errSpool)
}

var errSpool = errors.New("spool not usable")

func (s *stream) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fatal
}

func (s *stream) warn(format string, args ...any) {
	s.Observer.Observe(cofre.Event{At: time.Now().UTC(), Type: cofre.TypeWarning, Source: s.Source, Task: "stream WAL", Text: fmt.Sprintf(format, args...)})
}

func (s *stream) note(format string, args ...any) {
	s.Observer.Observe(cofre.Event{At: time.Now().UTC(), Type: cofre.TypeNote, Source: s.Source, Task: "stream WAL", Text: fmt.Sprintf(format, args...)})
}

func (s *stream) poke() {
	for _, k := range s.keepers {
		select {
		case k.kick <- struct{}{}:
		default: // it has been told and will look at everything
		}
	}
}

// slot is what the server says of the slot, and of itself.
type slot struct {
	timeline cofre.Timeline
	restart  cofre.LSN // 0 where the slot reserves nothing
	fresh    bool      // made just now
}

// session is one connection: it ends with an error, always.
func (s *stream) session(ctx context.Context, ready func()) error {
	conn, err := postgres.Connect(ctx, s.Postgres.WithSettings(map[string]string{"replication": "true"}))
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = conn.Close(closing)
	}()
	pg := conn.PgConn()
	is, err := pglogrepl.IdentifySystem(ctx, pg)
	if err != nil {
		return postgres.Explain(err)
	}
	var system cofre.SystemID
	if err := system.UnmarshalText([]byte(is.SystemID)); err != nil {
		return err
	}
	// Before anything is made on a server that may be the wrong one.
	if s.System != 0 && system != s.System {
		return foreign(system, s.System)
	}
	if s.System == 0 {
		s.System = system // before keep begins, which reads it
	}
	sl, err := s.reserve(ctx)
	if err != nil {
		return err
	}
	sl.timeline = cofre.Timeline(is.Timeline)
	if err := s.prepare(system); err != nil {
		return err
	}
	ready()
	tli, at, err := s.position(ctx, sl)
	if err != nil {
		return err
	}
	if tli != sl.timeline {
		if tli, at, err = s.follow(ctx, pg, sl.timeline, tli, at); err != nil {
			return err
		}
	}
	for {
		if tli > 1 {
			if err := s.history(ctx, pg, tli); err != nil {
				return err
			}
		}
		err := s.start(ctx, pg, tli, at)
		if err != nil {
			next, again, aside := s.otherStart(sl, tli, at, err)
			if !again {
				return errors.Join(err, aside)
			}
			tli, at = sl.timeline, next
			continue
		}
		next, err := s.receive(ctx, pg, tli, at)
		if err != nil {
			// That the WAL was removed the server finds out only when it has begun to send.
			place, again, aside := s.otherStart(sl, tli, at, err)
			if again {
				s.resume = &resume{sl.timeline, place}
			}
			return errors.Join(err, aside)
		}
		s.note("the server went on to timeline %d at %s", next.Timeline, next.LSN)
		tli = cofre.Timeline(next.Timeline)
		// The child's first segment begins with a copy of its parent's: from there, so that it is whole.
		at = pgdata.SegmentAt(tli, cofre.LSN(next.LSN), s.size).Start(s.size)
	}
}

// reserve looks at the slot, makes it, or makes it again where it was invalidated.
func (s *stream) reserve(ctx context.Context) (slot, error) {
	conn, err := postgres.Connect(ctx, s.Postgres)
	if err != nil {
		return slot{}, err
	}
	defer postgres.Close(ctx, conn)
	var sl slot
	var restart, status *string
	var size int64
	if err := conn.QueryRow(ctx, "select setting::bigint from pg_settings where name = 'wal_segment_size'").Scan(&size); err != nil {
		return sl, postgres.Explain(err)
	}
	if s.size == 0 {
		s.size = size                            // before keep begins, too; it never changes in the life of a cluster
		s.SpoolLimit = max(s.SpoolLimit, 4*size) // less could never hold a segment and its successor
	}
	var active bool
	err = conn.QueryRow(ctx, `select restart_lsn::text, wal_status, active from pg_replication_slots where slot_name = $1 and slot_type = 'physical'`, s.Slot).Scan(&restart, &status, &active)
	switch {
	case err == nil && status != nil && *status == "lost":
		s.warn("replication slot %s was invalidated: the server removed WAL that had not been received; take a base backup now, for nothing after the last archived segment can be reached from an older one", s.Slot)
		if _, err := conn.Exec(ctx, "select pg_drop_replication_slot($1)", s.Slot); err != nil {
			return sl, postgres.Explain(err)
		}
		fallthrough
	case err != nil && strings.Contains(err.Error(), "no rows"):
		err = conn.QueryRow(ctx, "select coalesce(lsn::text, '0/0') from pg_create_physical_replication_slot($1, true)", s.Slot).Scan(&restart)
		sl.fresh = true
	}
	if err != nil {
		return sl, postgres.Explain(err)
	}
	if active && !sl.fresh {
		return sl, fmt.Errorf("replication slot %s is in use: %w", s.Slot, cofre.ErrLocked)
	}
	if restart != nil {
		if sl.restart, err = cofre.ParseLSN(*restart); err != nil {
			return sl, err
		}
	}
	return sl, nil
}

// prepare makes the spool ready, once, and finds what an earlier run left in it.
func (s *stream) prepare(system cofre.SystemID) error {
	if s.dir != "" {
		return nil
	}
	dir := filepath.Join(s.Spool, "stream", system.String())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		text, suffix := e.Name(), ""
		if i := strings.IndexByte(text, '.'); i >= 0 {
			text, suffix = text[:i], text[i:]
		}
		name, err := pgdata.ParseWALName(text)
		if err != nil || name.Kind != pgdata.WALSegment {
			continue
		}
		switch suffix {
		case "":
			s.queue = append(s.queue, waiting{name: name, path: path})
		case unfinished:
			// The server sends it again from its beginning; if there is still a server. If not, this is the
			// only copy of its last seconds.
			left := strings.TrimSuffix(path, unfinished) + ".left"
			if err := keepLonger(path, left); err != nil {
				return fmt.Errorf("%w: %w", errSpool, err)
			}
			s.queue = append(s.queue, waiting{name: name, path: left, leftover: true})
		case ".left":
			s.queue = append(s.queue, waiting{name: name, path: path, leftover: true})
		}
	}
	s.dir = dir
	return nil
}

const unfinished = ".part"

// keepLonger gives a beginning of a segment the name of what an earlier run has left, if that is not longer: a run that
// was killed soon after its start has begun the segment again, and the longer beginning may be the only copy.
func keepLonger(path, left string) error {
	new, err := os.Stat(path)
	if err != nil {
		return err
	}
	if old, err := os.Stat(left); err == nil && old.Size() >= new.Size() {
		return os.Remove(path)
	}
	return durable.Rename(path, left)
}

// position decides where to go on: where this run has come to; else after the last segment that the spool or all
// stores have without a hole; else where the slot begins.
func (s *stream) position(ctx context.Context, sl slot) (cofre.Timeline, cofre.LSN, error) {
	if r := s.resume; r != nil {
		s.resume = nil
		if sl.fresh && r.timeline == sl.timeline {
			r.at = max(r.at, pgdata.SegmentAt(sl.timeline, sl.restart, s.size).Start(s.size))
		}
		return r.timeline, r.at, nil
	}
	s.mu.Lock()
	if s.open {
		seg := s.segment
		s.mu.Unlock()
		return seg.Timeline, seg.Start(s.size), nil
	}
	var have, waits []pgdata.Segment
	for _, w := range s.queue {
		if seg, err := w.name.Segment(s.size); err == nil && !w.leftover {
			waits = append(waits, seg)
		}
	}
	s.mu.Unlock()
	from, err := stores(s.Archives)
	if err != nil {
		return 0, 0, err
	}
	listed := 0
	for _, st := range from {
		there, listErr := s.segments(ctx, st)
		if listErr != nil {
			// What it misses is in the spool: nothing leaves that before every archive has it.
			err = listErr
			continue
		}
		if listed++; listed == 1 {
			have = append(have, there...)
			continue
		}
		in := map[pgdata.Segment]bool{}
		for _, seg := range there {
			in[seg] = true
		}
		have = slices.DeleteFunc(have, func(seg pgdata.Segment) bool { return !in[seg] })
	}
	if listed == 0 {
		return 0, 0, err
	}
	have = append(have, waits...)
	var last pgdata.Segment
	for _, seg := range have {
		if seg.Timeline <= sl.timeline && (seg.Timeline > last.Timeline || seg.Timeline == last.Timeline && seg.Number > last.Number) {
			last = seg
		}
	}
	reserved := pgdata.SegmentAt(sl.timeline, sl.restart, s.size)
	if last.Timeline == 0 {
		return sl.timeline, reserved.Start(s.size), nil
	}
	// archive_command may have run ahead of the slot; what lies between is there, or it is a gap that the slot
	// can still close. The last one that is there is received once more, and so compared: a name says nothing about
	// which server wrote it.
	if sl.restart != 0 && last.Timeline == sl.timeline && reserved.Number <= last.Number {
		in := map[pgdata.Segment]bool{}
		for _, seg := range have {
			in[seg] = true
		}
		at := reserved
		for in[at] {
			at = at.Next()
		}
		if at.Number > reserved.Number {
			at.Number--
		}
		return sl.timeline, at.Start(s.size), nil
	}
	return last.Timeline, last.Next().Start(s.size), nil
}

// segments lists the whole segments of the system in a store.
func (s *stream) segments(ctx context.Context, st cofre.Store) ([]pgdata.Segment, error) {
	var there []pgdata.Segment
	for o, err := range st.List(ctx, prefix(s.System)) {
		if err != nil {
			return nil, fmt.Errorf("list WAL of %s: %w", st.URL(), err)
		}
		if seg, err := pgdata.ParseSegment(filepath.Base(o.Name), s.size); err == nil {
			there = append(there, seg)
		}
	}
	return there, nil
}

// follow finds where to go on when the server has gone on to other timelines: what was received may reach beyond
// the fork, and is then of no use to it.
func (s *stream) follow(ctx context.Context, pg *pgconn.PgConn, now, tli cofre.Timeline, at cofre.LSN) (cofre.Timeline, cofre.LSN, error) {
	r, err := pglogrepl.TimelineHistory(ctx, pg, int32(now))
	if err != nil {
		return 0, 0, postgres.Explain(err)
	}
	h, err := pgdata.ParseHistory(now, r.Content)
	if err != nil {
		return 0, 0, err
	}
	for _, b := range h.Branches() {
		if b.Timeline == tli && at < b.To {
			return tli, at, nil // the server tells where it ends
		}
		if b.Timeline > tli {
			return b.Timeline, pgdata.SegmentAt(b.Timeline, b.From, s.size).Start(s.size), nil
		}
	}
	return now, at, nil
}

// start begins replication.
func (s *stream) start(ctx context.Context, pg *pgconn.PgConn, tli cofre.Timeline, at cofre.LSN) error {
	err := pglogrepl.StartReplication(ctx, pg, s.Slot, pglogrepl.LSN(at), pglogrepl.StartReplicationOptions{Timeline: int32(tli), Mode: pglogrepl.PhysicalReplication})
	if err != nil {
		return postgres.Explain(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.keepers {
		if k.storedOf != tli {
			k.stored, k.storedOf = at, tli
		}
		k.stored = max(k.stored, at)
	}
	return nil
}

// otherStart decides what to do when the server does not have what should come next: say so, and go on with what
// it has. Its error is one of the spool.
func (s *stream) otherStart(sl slot, tli cofre.Timeline, at cofre.LSN, err error) (cofre.LSN, bool, error) {
	server, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || sl.restart == 0 {
		return 0, false, nil
	}
	next := pgdata.SegmentAt(sl.timeline, sl.restart, s.size).Start(s.size)
	removed := server.Code == "58P01" || strings.Contains(server.Message, "has already been removed")
	diverged := strings.Contains(server.Message, "is not in this server's history") || strings.Contains(server.Message, "is ahead of the WAL flush position")
	if !removed && !diverged || (tli == sl.timeline && at == next) {
		return 0, false, nil
	}
	s.warn("WAL from %s of timeline %d on cannot be received any more (%s); streaming goes on at %s of timeline %d: take a base backup now", at, tli, server.Message, next, sl.timeline)
	var aside error
	if s.file != nil {
		aside = s.setAside()
	}
	s.mu.Lock()
	s.open = false
	for _, k := range s.keepers {
		k.storedOf = 0
	}
	s.mu.Unlock()
	return next, aside == nil, aside
}

// history archives the history of a timeline: without it nobody can tell where the timeline came from.
func (s *stream) history(ctx context.Context, pg *pgconn.PgConn, tli cofre.Timeline) error {
	h, err := pglogrepl.TimelineHistory(ctx, pg, int32(tli))
	if err != nil {
		return postgres.Explain(err)
	}
	name := pgdata.HistoryOf(tli)
	if err := checkContent(s.System, name, h.Content); err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	if _, err := store(ctx, s.Archives, s.System, name, h.Content, 1); err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	history, err := pgdata.ParseHistory(tli, h.Content)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.histories[tli] = history
	return nil
}

// statusEvery is how often the server is told how far things are; it ends a connection that says nothing for
// wal_sender_timeout, a minute by default.
const statusEvery = time.Second

// silence is after how long a server that does not answer counts as gone.
const silence = time.Minute

// receive takes WAL in until the timeline ends, which it returns, or an error.
func (s *stream) receive(ctx context.Context, pg *pgconn.PgConn, tli cofre.Timeline, at cofre.LSN) (*pglogrepl.CopyDoneResult, error) {
	if err := s.begin(pgdata.SegmentAt(tli, at, s.size)); err != nil {
		return nil, err
	}
	s.synced = at
	// A first report at once would move the slot back to a position whose WAL may be gone.
	reported := time.Now()
	heard := time.Now()
	for {
		if err := s.failed(); err != nil {
			return nil, err
		}
		// A host that is gone sends no reset, and TCP would wait for a quarter of an hour.
		silent := time.Since(heard)
		if silent > silence {
			return nil, fmt.Errorf("the server has been silent for %s: %w", silence, cofre.ErrUnreachable)
		}
		if s.due(reported) {
			if err := s.report(ctx, pg, silent > silence/4); err != nil {
				return nil, err
			}
			reported = time.Now()
		}
		if s.full() {
			if err := s.pause(ctx); err != nil {
				return nil, err
			}
			heard = time.Now() // nothing was listened for
			continue
		}
		msg, err := s.next(ctx, pg)
		if err != nil {
			return nil, err
		}
		if msg != nil {
			heard = time.Now()
		}
		switch m := msg.(type) {
		case nil: // woken, or nothing came
		case *pgproto3.CopyData:
			asked, err := s.take(tli, m.Data)
			if err != nil {
				return nil, err
			}
			if asked {
				reported = time.Time{}
			}
		case *pgproto3.CopyDone:
			next, err := pglogrepl.SendStandbyCopyDone(ctx, pg)
			if err != nil {
				return nil, err
			}
			if next == nil {
				return nil, errors.New("the server ended the stream")
			}
			return next, s.setAside()
		case *pgproto3.ErrorResponse:
			return nil, postgres.Explain(pgconn.ErrorResponseToPgError(m))
		case *pgproto3.CommandComplete:
			return nil, errors.New("the server is shutting down")
		}
	}
}

// due reports whether the server should hear from us: the time has come, or the stores have taken something that
// somebody may be waiting for.
func (s *stream) due(reported time.Time) bool {
	if time.Since(reported) >= statusEvery {
		return true
	}
	if !s.Synchronous {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(s.stored(), s.received) > s.synced
}

// report tells the server how far WAL is received and durable, and may ask it for a sign of life.
func (s *stream) report(ctx context.Context, pg *pgconn.PgConn, answer bool) error {
	s.mu.Lock()
	received, flushed := s.received, min(s.received, s.stored())
	s.mu.Unlock()
	if !s.Synchronous {
		if flushed = s.synced; received > flushed {
			if err := durable.Sync(s.file); err != nil {
				return fmt.Errorf("%w: %w", errSpool, diskFull(err))
			}
			flushed = received
		}
	}
	s.synced = flushed
	return pglogrepl.SendStandbyStatusUpdate(ctx, pg, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: pglogrepl.LSN(received), WALFlushPosition: pglogrepl.LSN(flushed), WALApplyPosition: pglogrepl.LSN(flushed),
		ReplyRequested: answer,
	})
}

// next waits for a message, until it is time for a report or keep has something to be told.
func (s *stream) next(ctx context.Context, pg *pgconn.PgConn) (pgproto3.BackendMessage, error) {
	waitCtx, cancel := context.WithTimeout(ctx, statusEvery)
	defer cancel()
	s.mu.Lock()
	s.wake = cancel
	told := s.Synchronous && min(s.stored(), s.received) > s.synced // before there was somebody to wake
	s.mu.Unlock()
	if told {
		return nil, nil
	}
	msg, err := pg.ReceiveMessage(waitCtx)
	if err != nil && waitCtx.Err() != nil && ctx.Err() == nil && !pg.IsClosed() {
		return nil, nil
	}
	return msg, err
}

// take writes one message's WAL into the spool.
func (s *stream) take(tli cofre.Timeline, data []byte) (asked bool, err error) {
	if len(data) == 0 {
		return false, errors.New("the server sent an empty message")
	}
	if data[0] == pglogrepl.PrimaryKeepaliveMessageByteID {
		k, err := pglogrepl.ParsePrimaryKeepaliveMessage(data[1:])
		return k.ReplyRequested, err
	}
	if data[0] != pglogrepl.XLogDataByteID {
		return false, nil
	}
	x, err := pglogrepl.ParseXLogData(data[1:])
	if err != nil {
		return false, err
	}
	at, b := cofre.LSN(x.WALStart), x.WALData
	s.mu.Lock()
	expected := s.received
	s.mu.Unlock()
	if at != expected {
		return false, fmt.Errorf("the server sent WAL of %s where %s was to come", at, expected)
	}
	for len(b) > 0 {
		seg := pgdata.SegmentAt(tli, at, s.size)
		n := min(int64(len(b)), int64(seg.End(s.size)-at))
		if _, err := s.file.WriteAt(b[:n], int64(at-seg.Start(s.size))); err != nil {
			return false, fmt.Errorf("%w: %w", errSpool, diskFull(err))
		}
		at += cofre.LSN(n)
		b = b[n:]
		s.mu.Lock()
		s.received = at
		s.mu.Unlock()
		if at == seg.End(s.size) {
			if err := s.complete(seg); err != nil {
				return false, err
			}
		}
	}
	if s.Synchronous {
		s.poke()
	}
	return false, nil
}

// begin opens the spool's file of a segment.
func (s *stream) begin(seg pgdata.Segment) error {
	if s.file != nil {
		_ = s.file.Close()
	}
	f, err := os.OpenFile(filepath.Join(s.dir, seg.Name(s.size)+unfinished), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		s.file = nil
		return fmt.Errorf("%w: %w", errSpool, diskFull(err))
	}
	s.file = f
	s.mu.Lock()
	defer s.mu.Unlock()
	s.segment, s.received, s.open = seg, seg.Start(s.size), true
	return nil
}

// complete makes a whole segment durable in the spool, hands it over to keep, and begins the next.
func (s *stream) complete(seg pgdata.Segment) error {
	name := seg.File(s.size)
	path := filepath.Join(s.dir, name.String())
	err := durable.Sync(s.file)
	if err == nil {
		err = durable.Rename(path+unfinished, path)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errSpool, diskFull(err))
	}
	if !s.Synchronous {
		s.synced = seg.End(s.size)
	}
	s.mu.Lock()
	s.queue = append(s.queue, waiting{name: name, path: path})
	s.mu.Unlock()
	s.poke()
	return s.begin(seg.Next())
}

// setAside gives the beginning of a segment that will never be completed to keep: a timeline has ended in it, or the
// rest of it is lost.
func (s *stream) setAside() error {
	s.mu.Lock()
	seg, open := s.segment, s.open
	s.open = false
	s.mu.Unlock()
	if !open {
		return nil
	}
	path := filepath.Join(s.dir, seg.Name(s.size)+unfinished)
	info, err := os.Stat(path) // what an earlier session of this run has received counts as well
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Size() == 0 {
		return os.Remove(path)
	}
	left := filepath.Join(s.dir, seg.Name(s.size)+".left")
	if err == nil {
		err = durable.Sync(s.file)
	}
	if err == nil {
		err = keepLonger(path, left)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errSpool, diskFull(err))
	}
	s.mu.Lock()
	s.queue = append(s.queue, waiting{name: seg.File(s.size), path: left, leftover: true})
	s.mu.Unlock()
	s.poke()
	return nil
}

// full reports whether the spool holds as much as it may, and gives the alarm before it does.
func (s *stream) full() bool {
	s.mu.Lock()
	bytes := int64(len(s.queue)) * s.size
	s.mu.Unlock()
	if bytes*2 >= s.SpoolLimit && !s.told {
		s.told = true
		s.warn("%d MiB of WAL wait in %s for the repository; at %d MiB the server has to keep its WAL, and its disk fills", bytes>>20, s.dir, s.SpoolLimit>>20)
	}
	if s.told && bytes == 0 {
		s.told = false
		s.note("the repository has caught up")
	}
	return bytes+s.size > s.SpoolLimit
}

// pause waits while the spool is full.
func (s *stream) pause(ctx context.Context) error {
	waitCtx, cancel := context.WithTimeout(ctx, statusEvery)
	defer cancel()
	s.mu.Lock()
	s.wake = cancel
	s.mu.Unlock()
	<-waitCtx.Done()
	return ctx.Err()
}

// backOff waits longer each time.
type backOff struct {
	least, most time.Duration
	next        time.Duration
}

func (b *backOff) reset() { b.next = 0 }

func (b *backOff) wait(ctx context.Context) {
	b.next = min(max(b.least, b.next*2), b.most)
	t := time.NewTimer(b.next)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// jobsForOne is how many CPUs one segment is compressed with: a stream has one segment at a time.
func jobsForOne() int { return runtime.GOMAXPROCS(0) }
