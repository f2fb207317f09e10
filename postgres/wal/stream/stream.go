package stream

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/internal/retry"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Config says what is streamed, and where to.
type Config struct {
	Postgres postgres.Config // a role with REPLICATION that may also read pg_replication_slots
	Slot     string          // made if it does not exist; empty takes cofre
	Archives []wal.Archive   // all mandatory
	System   cofre.SystemID  // whose WAL belongs here; 0 takes the server's

	Spool string // a folder of this host; WAL in it is as readable as the server's own
	// SpoolLimit is how many bytes may wait in Spool for the stores; 0 takes 4 GiB. With that many nothing more is
	// received, and the server has to keep its WAL: an alarm is given at half of it.
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

// Run streams until ctx ends, which is no error, and through everything that passes: restarts and failovers of
// the server, stores that are down. What it had received by then is stored before it returns, within ten seconds.
//
// If WAL was lost to the stream (the slot was invalidated or dropped, or the server had removed what comes
// next) it says so in a warning and goes on with what there is: only a new base backup closes the gap.
//
// Errors: cofre.ErrConfig; cofre.ErrRefused if the server is another system; cofre.ErrExists if a store
// holds other WAL of the same name; those of the spool.
func Run(ctx context.Context, c Config) error {
	if err := c.complete(); err != nil {
		return fmt.Errorf("stream WAL: %w", err)
	}
	r := &run{Config: c, tell: teller{c.Observer, c.Source}, lines: &timelines{}}
	if err := r.run(ctx); err != nil {
		return fmt.Errorf("stream WAL: %w", err)
	}
	return nil
}

// complete fills in what is not given, and refuses what cannot be.
func (c *Config) complete() error {
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
		return fmt.Errorf("%q is not the name of a replication slot: %w", c.Slot, cofre.ErrConfig)
	}
	if c.Spool == "" || len(c.Archives) == 0 {
		return fmt.Errorf("spool and repository are needed: %w", cofre.ErrConfig)
	}
	for _, a := range c.Archives {
		if a.Unusable != nil {
			return a.Unusable
		}
	}
	c.Archives = wal.Remembering(c.Archives)
	return nil
}

// run is one run. Its fields are those of the goroutine of run, which receives; the Spool, the Shippers and the timelines
// have locks of their own.
type run struct {
	Config
	tell  teller
	lines *timelines
	wake  waker

	// Made by the first session, which learns from the server whose WAL it is and how long segments are.
	system   cofre.SystemID
	size     int64
	spool    *Spool
	unlock   func() error // the spool; nil if it is not locked
	shippers []*Shipper
	receiver *Receiver

	fullDisk bool // that the spool's disk was full was said

	resume *place         // where to go on after WAL that is lost; nil if none is
	newest cofre.Timeline // that was received in this run
}

// place is a position to go on at, whatever the stores have.
type place struct {
	timeline cofre.Timeline
	at       cofre.LSN
}

func (r *run) run(ctx context.Context) error {
	receiving, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	shipping, stopShipping := context.WithCancel(context.WithoutCancel(ctx))
	defer stopShipping()
	failures := make(chan error, len(r.Archives))
	var shippers sync.WaitGroup
	ship := func(s *Shipper) {
		shippers.Go(func() {
			if err := s.Run(shipping); err != nil {
				failures <- err
				fail(err)
			}
		})
	}
	err := r.receive(receiving, ship)
	if err == nil && ctx.Err() != nil {
		// What was received goes to the stores, if they can be reached.
		stop := time.AfterFunc(10*time.Second, stopShipping)
		defer stop.Stop()
		if r.spool != nil {
			r.spool.End()
		}
	} else {
		stopShipping()
	}
	shippers.Wait()
	if r.spool != nil {
		r.left(shipping.Err() != nil)
		_ = r.spool.Close()
	}
	if r.unlock != nil {
		_ = r.unlock()
	}
	select {
	case failed := <-failures:
		return failed
	default:
		return err
	}
}

// left says that a run ends before an archive has everything.
func (r *run) left(early bool) {
	_, received, open := r.spool.Current()
	if !early || r.spool.Bytes() == 0 && (!open || r.stored() >= received) {
		return
	}
	r.tell.warn(cofre.Say("stream.left", "WAL that not every repository has stays in {{.directory}}: the next cofre wal stream on this host stores it", "directory", r.spool.dir))
}

// receive holds sessions one after the other until ctx ends; its error is one that does not pass. ship is called for
// every Shipper, once the first session has made them.
func (r *run) receive(ctx context.Context, ship func(*Shipper)) error {
	back := retry.Backoff{First: 200 * time.Millisecond, Most: 15 * time.Second}
	last := ""
	for {
		if ctx.Err() != nil {
			return nil
		}
		began := time.Now()
		err := r.session(ctx, ship)
		if ctx.Err() != nil {
			return nil
		}
		if permanent(err) {
			if !r.drains(ctx, err) {
				return err
			}
			continue
		}
		if time.Since(began) > time.Minute {
			back.Reset()
		}
		if text := err.Error(); text != last {
			r.tell.warn(cofre.Say("stream.interrupted", "WAL streaming was interrupted and will be tried again: {{.error}}", "error", err))
			last = text
		}
		if back.Wait(ctx) != nil {
			return nil
		}
	}
}

// drains waits, if the spool's disk is full of what waits there, until an archive has taken some of it: ended, the run could not
// bring it away either, and each next one would end as it begins. It returns false if nothing waits: something else fills the disk.
func (r *run) drains(ctx context.Context, err error) bool {
	if r.spool == nil || !errors.Is(err, errSpool) || !errors.Is(err, cofre.ErrDiskFull) {
		return false
	}
	before := r.spool.Bytes()
	if before == 0 {
		return false
	}
	if !r.fullDisk {
		r.fullDisk = true
		r.tell.warn(cofre.Say("stream.disk_full", "the disk of the spool is full ({{.error}}): nothing more is received until the repository has taken what waits there, and the server keeps its WAL", "error", err))
	}
	look := time.NewTicker(200 * time.Millisecond)
	defer look.Stop()
	for r.spool.Bytes() >= before {
		select {
		case <-ctx.Done():
			return true
		case <-look.C:
		}
	}
	return true
}

func permanent(err error) bool {
	return errors.Is(err, cofre.ErrConfig) || errors.Is(err, cofre.ErrRefused) || errors.Is(err, cofre.ErrExists) || errors.Is(err, errSpool)
}

// prepare makes the spool and the Shippers, once.
func (r *run) prepare(system cofre.SystemID, size int64, ship func(*Shipper)) error {
	if r.spool != nil {
		return nil
	}
	spool, err := OpenSpool(r.spoolDir(system), system, size, len(r.Archives))
	if err != nil {
		return err
	}
	r.system, r.size, r.spool = system, size, spool
	r.SpoolLimit = max(r.SpoolLimit, 4*size) // less could never hold a segment and its successor
	r.receiver = &Receiver{spool: spool, stored: r.stored, synchronous: r.Synchronous, limit: r.SpoolLimit, tell: r.tell, wake: &r.wake}
	for _, a := range r.Archives {
		s := &Shipper{
			archive: &wal.Sequence{
				Archive: a, System: system, Size: size, WholeOnly: r.Flush < 0 && !r.Synchronous,
				Before: func(seg pgdata.Segment) (pgdata.Segment, bool) { return r.lines.before(seg, size) },
				Warn:   r.tell.warn,
				Tell:   r.tell.fact,
			},
			system: system, spool: spool, flush: r.Flush, synchronous: r.Synchronous, tell: r.tell, progressed: r.wake.wake,
		}
		r.shippers = append(r.shippers, s)
		ship(s)
	}
	return nil
}

func (r *run) spoolDir(system cofre.SystemID) string {
	return filepath.Join(r.Spool, "stream", system.String())
}

// lock makes the spool this run's own until it ends: another would take what is being received here for what an earlier run has left.
func (r *run) lock(system cofre.SystemID) error {
	if r.unlock != nil {
		return nil
	}
	dir := r.spoolDir(system)
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return unusable(diskFull(err))
	}
	if err := inside.Own(dir); err != nil { // what lies in it is archived as this host's
		return unusable(err)
	}
	unlock, err := durable.LockDir(dir)
	if errors.Is(err, cofre.ErrLocked) {
		return cofre.WithHint(unusable(cofre.Fail(cofre.Say("stream.spool_in_use", "another cofre wal stream uses the spool {{.directory}}", "directory", dir), err)),
			cofre.Say("stream.spool_of_its_own", "end the other one first; or, to stream twice, give this one a slot and a spool of its own: --slot NAME --spool DIR"))
	}
	if err != nil {
		return unusable(err)
	}
	r.unlock = unlock
	return nil
}

// stored is up to where every archive has what was received.
func (r *run) stored() cofre.LSN {
	least := r.shippers[0].Stored()
	for _, s := range r.shippers[1:] {
		least = min(least, s.Stored())
	}
	return least
}

// teller tells an observer of what happens.
type teller struct {
	observer cofre.Observer
	source   cofre.SourceID
}

func (t teller) warn(m cofre.Message) { t.say(cofre.TypeWarning, m) }
func (t teller) note(m cofre.Message) { t.say(cofre.TypeNote, m) }

func (t teller) fact(f cofre.Fact) {
	t.observer.Observe(cofre.Event{At: time.Now().UTC(), Type: f.EventType(), Source: t.source, Fact: f})
}

func (t teller) say(kind cofre.EventType, m cofre.Message) {
	t.observer.Observe(cofre.Event{At: time.Now().UTC(), Type: kind, Source: t.source}.Doing(streamTask()).Saying(m))
}

// timelines are the histories of the timelines that a run has met.
type timelines struct {
	mu  sync.Mutex
	all map[cofre.Timeline]pgdata.History
}

func (t *timelines) learn(h pgdata.History) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[cofre.Timeline]pgdata.History{}
	}
	t.all[h.Timeline] = h
}

func (t *timelines) before(seg pgdata.Segment, size int64) (pgdata.Segment, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return wal.Before(seg, t.all[seg.Timeline], size)
}

// waker ends a wait of the Receiver, so that it looks at what the Shippers have done.
type waker struct {
	mu     sync.Mutex
	cancel context.CancelFunc
}

// before makes the wait that begins now the one that wake ends. A wake from here on is not lost.
func (w *waker) before(cancel context.CancelFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cancel = cancel
}

func (w *waker) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.cancel != nil {
		w.cancel()
	}
}

func streamTask() cofre.Message { return cofre.Say("stream.task", "stream WAL") }
