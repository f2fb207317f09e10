package stream

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/retry"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// archive is what a Shipper stores into; *wal.Sequence is one.
type archive interface {
	URL() string
	PutSegment(ctx context.Context, seg pgdata.Segment, content []byte) error
	PutLeftover(ctx context.Context, seg pgdata.Segment, content []byte) error
	PutBeginning(ctx context.Context, seg pgdata.Segment, r io.ReaderAt, to int64) error
	Reached(seg pgdata.Segment) int64
}

// Shipper brings WAL from the spool into one archive. Each archive has one, so that none waits for another that is down:
// what is lost with the host is then only what no archive had been given.
type Shipper struct {
	archive     archive
	system      cofre.SystemID
	spool       *Spool
	flush       time.Duration // how often the beginning of the present segment goes; less than 0: never
	synchronous bool          // it goes whenever there is more of it
	tell        teller
	progressed  func() // is called when more is stored

	mu     sync.Mutex
	stored cofre.LSN      // everything before it, of timeline of, is in the archive, as far as this run received it
	of     cofre.Timeline // a position says nothing without its timeline: after a failover WAL is written there anew; 0 is none
	since  int            // number of the last item of the spool that says nothing about stored: it was received before
}

// From says that streaming goes on at a position of a timeline: what is before it is stored, or is not this run's.
func (s *Shipper) From(tli cofre.Timeline, at cofre.LSN) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of != tli {
		s.stored, s.of = at, tli
	}
	s.stored = max(s.stored, at)
}

// Forget says that what comes next does not follow what was received.
func (s *Shipper) Forget() {
	last := s.spool.Last()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of, s.since = 0, last
}

// Stored is up to where the archive has what was received.
func (s *Shipper) Stored() cofre.LSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored
}

// confirm notes that a segment is stored up to a position, by an item that was added to the spool after item number after.
func (s *Shipper) confirm(tli cofre.Timeline, to cofre.LSN, after int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if tli == s.of && after >= s.since {
		s.stored = max(s.stored, to)
	}
}

// Run ships in order: whole segments first, then what there is of the one that is being received. It returns nil when ctx
// ends, or when everything is stored after the spool's End. A store that does not take it is asked again, for as long as
// it takes.
//
// Errors: those that do not pass: see permanent.
func (s *Shipper) Run(ctx context.Context) error {
	back := retry.Backoff{First: 500 * time.Millisecond, Most: 30 * time.Second}
	var last *Item
	flushed := time.Now()
	failing := false
	lag := lagging{shipper: s}
	for ctx.Err() == nil {
		changed, ended := s.spool.Changed(), s.spool.Ended() // before Next, which then has all of it
		item := s.spool.Next(last)
		var err error
		switch {
		case item != nil:
			if err = s.ship(ctx, item); err == nil {
				last = item
			}
		case ended || s.due(flushed):
			flushed = time.Now()
			err = s.shipBeginning(ctx)
			if err == nil && ended {
				return nil
			}
		default:
			s.wait(ctx, changed, flushed)
			continue
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			if failing {
				s.tell.note(cofre.Say("stream.takes_again", "{{.repository}} takes WAL again", "repository", s.archive.URL()))
				failing = false
			}
			lag.end()
			back.Reset()
			s.progressed()
		case permanent(err):
			return err
		default:
			if !failing {
				s.tell.warn(cofre.Say("stream.not_taken", "WAL waits on this host, because {{.repository}} did not take it: {{.error}}", "repository", s.archive.URL(), "error", err))
				failing = true
			}
			lag.goesOn()
			_ = back.Wait(ctx)
		}
	}
	return nil
}

// lagging tells how far an archive is behind that does not take WAL: when that begins, once a minute, and when it has ended.
type lagging struct {
	shipper       *Shipper
	since, toldAt time.Time // zero if it is not behind
}

func (l *lagging) goesOn() {
	if l.since.IsZero() {
		l.since = time.Now()
	}
	if time.Since(l.toldAt) < time.Minute {
		return
	}
	l.toldAt = time.Now()
	s := l.shipper
	_, received, _ := s.spool.Current()
	s.tell.fact(cofre.WALLag{Repository: s.archive.URL(), System: s.system, Received: received, Stored: s.Stored(), Bytes: s.spool.Bytes(), Since: l.since.UTC()})
}

func (l *lagging) end() {
	if !l.since.IsZero() {
		l.since, l.toldAt = time.Time{}, time.Time{}
		l.shipper.tell.fact(cofre.WALLag{Repository: l.shipper.archive.URL(), System: l.shipper.system})
	}
}

// due reports whether it is time for the beginning of the present segment.
func (s *Shipper) due(flushed time.Time) bool {
	if s.synchronous {
		seg, received, open := s.spool.Current()
		return open && (int64(received-seg.Start(s.spool.size)) > s.archive.Reached(seg) || s.behind(seg.Timeline, received))
	}
	return s.flush > 0 && time.Since(flushed) >= s.flush
}

// behind reports whether a position is further than what is known as stored. Of a timeline that nobody waits for it says
// no: between Forget and From nothing can be confirmed, and one that is behind then would be asked without end.
func (s *Shipper) behind(tli cofre.Timeline, received cofre.LSN) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return tli == s.of && received > s.stored
}

// wait waits for something new in the spool, or until the next beginning is due.
func (s *Shipper) wait(ctx context.Context, changed <-chan struct{}, flushed time.Time) {
	until := time.Minute
	if s.flush > 0 && !s.synchronous {
		until = max(0, s.flush-time.Since(flushed))
	}
	t := time.NewTimer(until)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-changed:
	case <-t.C:
	}
}

// ship stores an item of the spool.
func (s *Shipper) ship(ctx context.Context, it *Item) error {
	content, err := s.spool.Read(it)
	if err != nil {
		return err
	}
	switch {
	case !it.Leftover:
		err = s.archive.PutSegment(ctx, it.Segment, content)
	case content != nil:
		err = s.archive.PutLeftover(ctx, it.Segment, content)
	}
	if err != nil {
		return err
	}
	s.spool.Done(it)
	if !it.Leftover {
		s.confirm(it.Segment.Timeline, it.Segment.End(s.spool.size), it.number-1)
	}
	return nil
}

// shipBeginning stores what was received of the present segment since the last time.
func (s *Shipper) shipBeginning(ctx context.Context) error {
	number := s.spool.Last()
	seg, received, open := s.spool.Current()
	if !open || (s.flush < 0 && !s.synchronous) {
		return nil
	}
	start := seg.Start(s.spool.size)
	if to := int64(received - start); to > s.archive.Reached(seg) {
		f, err := s.spool.Beginning(seg)
		if err != nil || f == nil {
			return err // whole by now: it goes as such
		}
		defer f.Close()
		if err := s.archive.PutBeginning(ctx, seg, f, to); err != nil {
			return err
		}
	}
	s.confirm(seg.Timeline, start+cofre.LSN(s.archive.Reached(seg)), number)
	return nil
}
