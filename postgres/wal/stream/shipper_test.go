package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// kept is an archive in memory that says when it was given what.
type kept struct {
	mu      sync.Mutex
	began   time.Time
	log     []string
	reached map[pgdata.Segment]int64
	fails   error
	content map[pgdata.Segment][]byte
}

func newKept() *kept {
	return &kept{began: time.Now(), reached: map[pgdata.Segment]int64{}, content: map[pgdata.Segment][]byte{}}
}

func (k *kept) add(what string, seg pgdata.Segment, n int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fails != nil {
		what += " fails"
	}
	k.log = append(k.log, fmt.Sprintf("%s: %s %d %d", time.Since(k.began).Round(time.Millisecond), what, seg.Number, n))
	return k.fails
}

func (k *kept) URL() string { return "memory" }

func (k *kept) PutSegment(_ context.Context, seg pgdata.Segment, content []byte) error {
	if err := k.add("segment", seg, len(content)); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.content[seg] = content
	return nil
}

func (k *kept) PutLeftover(_ context.Context, seg pgdata.Segment, content []byte) error {
	return k.add("leftover", seg, len(content))
}

func (k *kept) PutBeginning(_ context.Context, seg pgdata.Segment, r io.ReaderAt, to int64) error {
	b := make([]byte, to)
	if _, err := r.ReadAt(b, 0); err != nil {
		return err
	}
	if err := k.add("beginning", seg, int(to)); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.reached[seg], k.content[seg] = to, b
	return nil
}

func (k *kept) Reached(seg pgdata.Segment) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.reached[seg]
}

func (k *kept) failWith(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fails = err
}

// said returns what was put since the last time it was asked.
func (k *kept) said() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	defer func() { k.log = nil }()
	return strings.Join(k.log, ", ")
}

// shipping is a Shipper that runs, with a spool that the test writes.
type shipping struct {
	*Shipper
	kept  *kept
	told  []string
	lag   []cofre.WALLag
	moved int // how often progressed was called
	end   context.CancelFunc
	done  chan error
}

// ship runs a Shipper within a bubble of synctest.
func ship(t *testing.T, s *Spool, change func(*Shipper)) *shipping {
	t.Helper()
	run := &shipping{kept: newKept(), done: make(chan error, 1)}
	run.Shipper = &Shipper{archive: run.kept, spool: s, flush: 5 * time.Second, progressed: func() { run.moved++ }, tell: teller{cofre.ObserverFunc(func(e cofre.Event) {
		if lag, ok := e.Fact.(cofre.WALLag); ok {
			run.lag = append(run.lag, lag)
			return
		}
		run.told = append(run.told, fmt.Sprintf("%s: %s", e.Type, e.Text))
	}), cofre.SourceID{}}}
	if change != nil {
		change(run.Shipper)
	}
	ctx, cancel := context.WithCancel(t.Context())
	run.end = cancel
	go func() { run.done <- run.Run(ctx) }()
	return run
}

// bubble runs a test in synthetic time, with a spool that has begun the first segment.
func bubble(t *testing.T, readers int, test func(t *testing.T, s *Spool, all []segment)) {
	all := fixtures(t)
	dir := filepath.Join(t.TempDir(), "spool")
	synctest.Test(t, func(t *testing.T) {
		s := openSpool(t, dir, all[0], readers)
		begin(t, s, all[0])
		test(t, s, all)
	})
}

func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// The beginning of the present segment goes when flush has passed, and only if there is more of it; a whole one goes at once.
func TestShipperFlushesInTimeAndShipsWholeSegmentsAtOnce(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *Spool, all []segment) {
		start := all[0].Start(size)
		run := ship(t, s, nil)
		run.From(1, start)
		write(t, s, all[0], 0, 9000)
		time.Sleep(4999 * time.Millisecond)
		synctest.Wait()
		expect(t, "before the time", run.kept.said(), "")
		expect(t, "stored", run.Stored(), start)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		expect(t, "at the time", run.kept.said(), "5s: beginning 8 9000")
		expect(t, "stored", run.Stored(), start+9000)
		time.Sleep(20 * time.Second)
		synctest.Wait()
		expect(t, "nothing new", run.kept.said(), "")
		write(t, s, all[0], 9000, 20000)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		expect(t, "more", run.kept.said(), "30s: beginning 8 20000")
		time.Sleep(time.Second)
		write(t, s, all[0], 20000, size)
		synctest.Wait()
		expect(t, "a whole one", run.kept.said(), fmt.Sprintf("31s: segment 8 %d", size))
		expect(t, "stored", run.Stored(), all[0].End(size))
		expect(t, "waits", s.Bytes(), 0)
		if !bytes.Equal(run.kept.content[all[0].Segment], all[0].content) || run.moved < 3 {
			t.Errorf("other bytes, or nobody was told: %d", run.moved)
		}
		run.end()
		expect(t, "the end", <-run.done, nil)
		expect(t, "told", run.told, "[]")
	})
}

// With less than 0 only whole segments go.
func TestShipperOfWholeSegments(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *Spool, all []segment) {
		run := ship(t, s, func(s *Shipper) { s.flush = -1 })
		write(t, s, all[0], 0, 9000)
		time.Sleep(time.Hour)
		synctest.Wait()
		expect(t, "a beginning", run.kept.said(), "")
		write(t, s, all[0], 9000, size)
		synctest.Wait()
		expect(t, "a whole one", run.kept.said(), fmt.Sprintf("1h0m0s: segment 8 %d", size))
		write(t, s, all[1], 0, 100)
		s.End()
		expect(t, "the end", <-run.done, nil)
		expect(t, "at the end", run.kept.said(), "")
	})
}

// A store that is down is asked again, less and less often, and WAL waits. That is told once, and once that it is over. The
// other archive does not wait; what both have leaves the spool.
func TestShipperWaitsForAStoreThatIsDown(t *testing.T) {
	bubble(t, 2, func(t *testing.T, s *Spool, all []segment) {
		down, up := ship(t, s, nil), ship(t, s, nil)
		down.From(1, all[0].Start(size))
		down.kept.failWith(cofre.ErrUnreachable)
		write(t, s, all[0], 0, size)
		write(t, s, all[1], 0, size)
		synctest.Wait()
		expect(t, "the other", up.kept.said(), fmt.Sprintf("0s: segment 8 %d, 0s: segment 9 %d", size, size))
		expect(t, "waits", s.Bytes(), 2*size)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		expect(t, "stored", down.Stored(), all[0].Start(size))
		tries := strings.Split(down.kept.said(), ", ")
		if n := len(tries); n < 20 || n > 50 || !strings.Contains(tries[n-1], "segment fails 8") {
			t.Errorf("%d attempts in ten minutes: %v", n, tries)
		}
		down.kept.failWith(nil)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		expect(t, "stored", down.Stored(), all[1].End(size))
		expect(t, "waits", s.Bytes(), 0)
		expect(t, "told", len(down.told), 2)
		if !strings.Contains(down.told[0], "warning: WAL waits on this host, because memory did not take it") || down.told[1] != "note: memory takes WAL again" {
			t.Errorf("told: %v", down.told)
		}
		// How far it is behind is told about once a minute, and that it has ended: it is told when it has failed again a minute after the last
		// time or later, and a pause, which is left to chance, is half a minute at most.
		last := len(down.lag) - 1
		if last < 7 || last > 11 || down.lag[1] != (cofre.WALLag{Repository: "memory", Received: all[1].End(size), Stored: all[0].Start(size), Bytes: 2 * size, Since: down.lag[0].Since}) ||
			down.lag[0].Since.IsZero() || down.lag[last] != (cofre.WALLag{Repository: "memory"}) || len(up.lag) > 0 {
			t.Errorf("lag: %+v; of the other: %+v", down.lag, up.lag)
		}
		// It fails once more: told again, and asked again as soon as the first time.
		down.kept.said()
		down.kept.failWith(cofre.ErrUnreachable)
		write(t, s, all[2], 0, size)
		time.Sleep(510 * time.Millisecond)
		synctest.Wait()
		expect(t, "attempts in half a second", strings.Count(down.kept.said(), "fails") >= 2, true)
		expect(t, "told", len(down.told), 3)
		down.end()
		up.end()
		expect(t, "the end", errors.Join(<-down.done, <-up.done), nil)
	})
}

// What does not pass ends it: the archive holds other WAL, or the spool is broken.
func TestShipperEndsWithWhatDoesNotPass(t *testing.T) {
	for _, err := range []error{cofre.ErrExists, cofre.ErrRefused, errSpool} {
		bubble(t, 1, func(t *testing.T, s *Spool, all []segment) {
			run := ship(t, s, nil)
			run.kept.failWith(fmt.Errorf("archive: %w", err))
			write(t, s, all[0], 0, size)
			if got := <-run.done; !errors.Is(got, err) {
				t.Errorf("%v: %v", err, got)
			}
			expect(t, "waits", s.Bytes(), size)
		})
	}
	bubble(t, 1, func(t *testing.T, s *Spool, all []segment) {
		if err := s.Append(all[0].Start(size), all[1].content); err != nil { // under another's name
			t.Fatal(err)
		}
		run := ship(t, s, nil)
		if got := <-run.done; !errors.Is(got, cofre.ErrCorrupt) || run.kept.said() != "" {
			t.Errorf("another segment: %v", got)
		}
	})
}

// At the end everything goes that is there: what waits, a leftover, and the beginning of the present segment.
func TestShipperStoresAllBeforeItEnds(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *Spool, all []segment) {
		write(t, s, all[0], 0, size)
		write(t, s, all[1], 0, 700)
		if err := s.SetAside(); err != nil {
			t.Fatal(err)
		}
		begin(t, s, all[2])
		write(t, s, all[2], 0, 300)
		s.End()
		run := ship(t, s, nil)
		expect(t, "the end", <-run.done, nil)
		expect(t, "stored", run.kept.said(), fmt.Sprintf("0s: segment 8 %d, 0s: leftover 9 700, 0s: beginning 10 300", size))
		expect(t, "waits", s.Bytes(), 0)
	})
	// One that is down is asked until it is stopped from outside.
	bubble(t, 1, func(t *testing.T, s *Spool, all []segment) {
		write(t, s, all[0], 0, 100)
		s.End()
		run := ship(t, s, nil)
		run.kept.failWith(cofre.ErrUnreachable)
		time.Sleep(10 * time.Second)
		run.end()
		expect(t, "the end", <-run.done, nil)
	})
	// A beginning that fails at the end is not given up.
	bubble(t, 1, func(t *testing.T, s *Spool, all []segment) {
		write(t, s, all[0], 0, 100)
		run := ship(t, s, nil)
		run.kept.failWith(cofre.ErrUnreachable)
		s.End()
		time.Sleep(3 * time.Second)
		run.kept.failWith(nil)
		expect(t, "the end", <-run.done, nil)
		expect(t, "stored", run.kept.Reached(all[0].Segment), 100)
	})
}

// A synchronous Shipper does not wait for the time: what is announced is stored, and the receiver is told.
func TestSynchronousShipper(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *Spool, all []segment) {
		start := all[0].Start(size)
		run := ship(t, s, func(s *Shipper) { s.synchronous, s.flush = true, -1 })
		run.From(1, start)
		synctest.Wait()
		for i := range 3 {
			write(t, s, all[0], i*100, (i+1)*100)
			s.Announce()
			synctest.Wait()
			expect(t, "stored", run.Stored(), start+cofre.LSN(i+1)*100)
			expect(t, "told to the receiver", run.moved, i+1)
		}
		expect(t, "without waiting", run.kept.said(), "0s: beginning 8 100, 0s: beginning 8 200, 0s: beginning 8 300")
		run.end()
		<-run.done
	})
	// Where nothing is waited for, before From and after Forget, it stores what is there, once.
	bubble(t, 1, func(t *testing.T, s *Spool, all []segment) {
		run := ship(t, s, func(s *Shipper) { s.synchronous, s.flush = true, -1 })
		synctest.Wait()
		expect(t, "told before there is anything", run.moved, 0)
		run.From(1, all[0].Start(size))
		write(t, s, all[0], 0, 100)
		s.Announce()
		synctest.Wait()
		run.Forget()
		write(t, s, all[0], 100, 200)
		s.Announce()
		synctest.Wait()
		expect(t, "told", run.moved, 2)
		expect(t, "stored", run.kept.said(), "0s: beginning 8 100, 0s: beginning 8 200")
		run.end()
		<-run.done
	})
}

// A position counts for its timeline, and not for WAL that was received before a loss.
func TestStoredIsOfATimelineAndOfThisStream(t *testing.T) {
	bubble(t, 1, func(t *testing.T, s *Spool, all []segment) {
		var shipper Shipper
		shipper.spool = s
		shipper.From(1, 100)
		shipper.From(1, 50)
		expect(t, "back on the same timeline", shipper.Stored(), cofre.LSN(100))
		shipper.From(2, 50)
		expect(t, "another timeline", shipper.Stored(), cofre.LSN(50))
		shipper.confirm(1, 900, 0)
		expect(t, "stored of another timeline", shipper.Stored(), cofre.LSN(50))
		shipper.confirm(2, 900, 0)
		expect(t, "stored", shipper.Stored(), cofre.LSN(900))
		shipper.confirm(2, 800, 0)
		expect(t, "stored again", shipper.Stored(), cofre.LSN(900))

		// The WAL that waits is of before: the server has lost it, and writes its positions anew.
		write(t, s, all[0], 0, size)
		shipper.Forget()
		shipper.From(2, 60)
		expect(t, "after a loss", shipper.Stored(), cofre.LSN(60))
		shipper.confirm(2, 900, s.Next(nil).number-1)
		expect(t, "an item of before", shipper.Stored(), cofre.LSN(60))
		write(t, s, all[1], 0, size)
		shipper.confirm(2, 900, s.Last()-1)
		expect(t, "an item of after", shipper.Stored(), cofre.LSN(900))
	})
}

func TestPlaceToGoOnAt(t *testing.T) {
	seg := func(tli cofre.Timeline, n uint64) pgdata.Segment { return pgdata.Segment{Timeline: tli, Number: n} }
	for _, c := range []struct {
		what    string
		have    []pgdata.Segment
		tli     cofre.Timeline
		restart uint64 // segment
		want    pgdata.Segment
	}{
		{"nothing is stored", nil, 1, 7, seg(1, 7)},
		{"what is stored ends before the slot begins", []pgdata.Segment{seg(1, 3), seg(1, 4)}, 1, 7, seg(1, 5)},
		{"the last one once more", []pgdata.Segment{seg(1, 6), seg(1, 7), seg(1, 8)}, 1, 7, seg(1, 8)},
		{"a hole that the slot can close", []pgdata.Segment{seg(1, 7), seg(1, 8), seg(1, 11)}, 1, 7, seg(1, 8)},
		{"a hole at the beginning", []pgdata.Segment{seg(1, 9)}, 1, 7, seg(1, 7)},
		{"the slot keeps nothing", []pgdata.Segment{seg(1, 9)}, 1, 0, seg(1, 10)},
		{"an older timeline is stored", []pgdata.Segment{seg(1, 9)}, 2, 9, seg(1, 10)},
		{"a timeline that the server does not know", []pgdata.Segment{seg(3, 12), seg(1, 9)}, 2, 9, seg(1, 10)},
		{"two timelines", []pgdata.Segment{seg(2, 9), seg(1, 20)}, 2, 9, seg(2, 9)},
	} {
		got := after(slices.Clone(c.have), server{timeline: c.tli, size: size, restart: cofre.LSN(c.restart * size)})
		if got != (place{c.want.Timeline, c.want.Start(size)}) {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
	h := pgdata.History{Timeline: 3, Forks: []pgdata.Fork{{Parent: 1, At: 5*size + 100}}}
	for _, c := range []struct{ at, want place }{
		{place{1, 4 * size}, place{1, 4 * size}},
		{place{1, 5 * size}, place{1, 5 * size}},
		{place{1, 6 * size}, place{3, 5 * size}},
		{place{1, 5*size + 100}, place{3, 5 * size}},
		{place{2, 6 * size}, place{3, 5 * size}}, // of which the server knows nothing
		{place{4, 6 * size}, place{3, 6 * size}},
	} {
		if got := follow(h, c.at, size); got != c.want {
			t.Errorf("from %+v on: %+v, want %+v", c.at, got, c.want)
		}
	}
}
