package lease

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/store"
)

// Term is how long a lease lasts that is not renewed. It is longer than what a store or a network usually takes to come back.
const Term = 10 * time.Minute

const (
	prefix = "lease/"
	// digits make the order of names that of numbers.
	digits = 12
	// remembered is how many generations before the newest are left, so that a person sees what happened.
	remembered = 8
	// longest bounds what a generation may say of its term, also one that cannot be read: whoever may write to the store can
	// keep a lease for a while, and not for ever.
	longest = time.Hour
	// maxRecord bounds what is read of an object that anybody who may write to the store could have made.
	maxRecord = 64 << 10
)

// Record is what a generation says, as JSON.
type Record struct {
	Nonce    string    `json:"nonce"` // of the holder; random
	Host     string    `json:"host"`
	PID      int       `json:"pid"`
	Process  string    `json:"process,omitempty"` // what no other process is called: see process
	At       time.Time `json:"at"`                // by the holder's clock; for people
	For      string    `json:"for"`               // what the lease was taken for; for people
	Term     Seconds   `json:"term"`              // of this lease
	Commits  string    `json:"commits,omitempty"`
	Released bool      `json:"released,omitempty"`
}

// Seconds is a duration in whole seconds.
type Seconds int64

// Lease is the right, while it lasts. It may be used by several goroutines.
type Lease struct {
	store cofre.Store
	name  string
	term  time.Duration
	clock func() time.Duration

	turn       chan struct{} // of the one that speaks to the store
	tried      int64         // the generation that was asked for last, and when it was first
	sent       time.Duration
	mu         sync.Mutex
	record     Record
	generation int64
	until      time.Duration // by clock; how long nobody else can have taken it
	lost       error
}

// Options are what a lease may be told. The zero value is right for a program.
type Options struct {
	For  string        // what it is taken for: "backup 20261126T121500Z-k3f9"
	Term time.Duration // 0 is Term
	// Clock counts on while the machine sleeps; nil is that of the machine.
	Clock func() time.Duration
}

// Acquire takes the lease of a name, which is a path of letters, digits and hyphens: "prune", "capture/database/answers".
//
// Errors: cofre.ErrLocked, with the holder, if it is held; those of the store.
func Acquire(ctx context.Context, s cofre.Store, name string, o Options) (*Lease, error) {
	host, _ := os.Hostname() // for people
	l := &Lease{store: s, name: name, term: o.Term, clock: o.Clock, turn: make(chan struct{}, 1)}
	if l.term == 0 {
		l.term = Term
	}
	if l.clock == nil {
		l.clock = awake
	}
	l.record = Record{Nonce: rand.Text(), Host: host, PID: os.Getpid(), Process: process(os.Getpid()), For: o.For, Term: Seconds((l.term + time.Second - 1) / time.Second)}
	if err := l.take(ctx); err != nil {
		return nil, fmt.Errorf("lease %s: %w", name, err)
	}
	return l, nil
}

func (l *Lease) take(ctx context.Context) error {
	newest, modified, err := newest(ctx, l.store, l.name)
	if err != nil {
		return err
	}
	if newest > 0 {
		if err := l.free(ctx, newest, modified); err != nil {
			return err
		}
	}
	l.generation = newest
	return l.next(ctx, l.record)
}

// free returns nil if a generation was given back, by this process also without the store hearing of it, has outlived its term, or is of a process of this machine that has ended.
func (l *Lease) free(ctx context.Context, generation int64, modified time.Time) error {
	held, err := read(ctx, l.store, l.name, generation)
	switch {
	case errors.Is(err, cofre.ErrCorrupt):
		held = Record{Host: "?", For: "?", Term: Seconds(longest / time.Second)}
	case err != nil:
		return err
	case held.Released || isUnheard(held.Nonce):
		return nil
	case store.IsFolder(l.store.URL()) && hasEnded(held.Process, held.PID):
		// Nothing that it asked a folder for is still on its way. A server may carry out later what it was asked for.
		return nil
	}
	now, err := l.storeNow(ctx)
	if err != nil {
		return fmt.Errorf("ask the store for its time: %w", err)
	}
	term := min(max(time.Duration(held.Term), 0), longest/time.Second) * time.Second
	if left := modified.Add(term).Sub(now); left > 0 {
		return lockedBy(held, left)
	}
	return nil
}

func lockedBy(held Record, left time.Duration) error {
	left = max(left, 0)
	return cofre.WithHint(cofre.Fail(cofre.Say("lease.held", "held by {{.host}} (process {{.pid}}) for {{.what}}", "host", held.Host, "pid", strconv.Itoa(held.PID), "what", cofre.Verbatim(held.For)), cofre.ErrLocked),
		cofre.Say("lease.wait", "wait until it ends; see on {{.host}} whether it still runs: ps -p {{.pid}}; if it was killed, or {{.host}} is gone for good, the lease ends by itself in {{.left}}, at {{.until}}; to try again before that does no harm",
			"host", held.Host, "pid", strconv.Itoa(held.PID), "left", left.Round(time.Second), "until", time.Now().Add(left).UTC().Format(time.RFC3339)))
}

// storeNow is the time of the store: that of an object which is created for it.
func (l *Lease) storeNow(ctx context.Context) (time.Time, error) {
	name := prefix + l.name + "/now-" + rand.Text()
	if err := l.store.Create(ctx, name, strings.NewReader(""), 0); err != nil && !errors.Is(err, cofre.ErrExists) {
		return time.Time{}, err
	}
	o, err := l.store.Stat(ctx, name)
	if err != nil {
		return time.Time{}, err
	}
	_ = l.store.Delete(ctx, name) // if it may not be deleted it stays, and means nothing
	return o.ModifiedAt, nil
}

// next creates the next generation. If it returns nil, that generation is ours, and no higher one was there when it was created.
func (l *Lease) next(ctx context.Context, r Record) error {
	generation := l.generation + 1
	if l.tried != generation {
		// An attempt that had no answer may be the one that succeeded: the term is counted from the first.
		l.tried, l.sent = generation, l.clock()
	}
	r.At = time.Now().UTC()
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	err = l.store.Create(ctx, name(l.name, generation), bytes.NewReader(body), int64(len(body)))
	if err != nil {
		// Its answer may have been lost, or it was tried twice below: whose it is stands in it.
		there, readErr := read(ctx, l.store, l.name, generation)
		switch {
		case errors.Is(readErr, cofre.ErrNotFound):
			return err
		case readErr != nil:
			return errors.Join(err, readErr)
		case there.Nonce != r.Nonce || there.Commits != r.Commits || there.Released != r.Released:
			return lockedBy(there, time.Duration(there.Term)*time.Second)
		}
	}
	// A generation that was created, superseded and removed long ago can be created again: the newest one counts.
	newest, _, err := newest(ctx, l.store, l.name)
	if err != nil {
		return err
	}
	if newest > generation {
		return fmt.Errorf("generation %d is superseded by %d: %w", generation, newest, cofre.ErrLocked)
	}
	l.mu.Lock()
	l.generation, l.record, l.until = generation, r, l.sent+l.term
	l.mu.Unlock()
	if old := generation - remembered; old > 0 {
		_ = l.store.Delete(ctx, name(l.name, old)) // if it may not be deleted it stays, and means nothing
	}
	return nil
}

// ErrLost is of a lease that somebody else may have taken.
var ErrLost = cofre.Fail(cofre.Say("lease.lost", "the lease was lost"), cofre.ErrLocked)

// Renew prolongs the lease by its term.
//
// Errors: ErrLost, which is a cofre.ErrLocked, from the moment when somebody else has taken it; those of the store, after which the lease
// lasts as long as it did.
func (l *Lease) Renew(ctx context.Context) error { return l.say(ctx, "renew", func(*Record) {}) }

// Commit says what is done next under the lease. If it returns nil, nobody had taken the lease before, and whoever takes it
// afterwards sees what was committed.
//
// Errors: those of Renew.
func (l *Lease) Commit(ctx context.Context, what string) error {
	return l.say(ctx, "commit", func(r *Record) { r.Commits = what })
}

// Release gives the lease back. A lease that was lost needs none.
//
// Errors: those of the store; the lease then ends with its term, and for this process at once.
func (l *Lease) Release(ctx context.Context) error {
	err := l.say(ctx, "release", func(r *Record) { r.Released = true })
	if errors.Is(err, ErrLost) {
		return nil
	}
	if err != nil {
		unheard.Store(l.record.Nonce, true)
	}
	return err
}

// unheard are the leases that this process has given back, by their nonces, of which the store did not hear. A process that lives long, in front of a store that was away, would
// wait for itself otherwise. What it asked the store for may still be on its way, but only to create a generation that is not there.
var unheard sync.Map

func isUnheard(nonce string) bool {
	_, is := unheard.Load(nonce)
	return is
}

func (l *Lease) say(ctx context.Context, verb string, change func(*Record)) error {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return fmt.Errorf("%s lease %s: %w", verb, l.name, context.Cause(ctx))
	}
	if err := l.isLost(); err != nil {
		return err
	}
	r := l.record
	r.Commits = ""
	change(&r)
	if r.Released {
		_ = l.lose(ErrLost) // also if no answer comes: the request may still be on its way
	}
	err := l.next(ctx, r)
	switch {
	case errors.Is(err, cofre.ErrLocked):
		return l.lose(fmt.Errorf("lease %s: %w: %w", l.name, ErrLost, err))
	case err != nil:
		return fmt.Errorf("%s lease %s: %w", verb, l.name, err)
	}
	return nil
}

func (l *Lease) isLost() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

func (l *Lease) lose(why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lost = why
	return why
}

// Valid reports whether nobody else can have taken the lease, as far as the clock of the store runs as that of this machine does. Before
// what cannot be taken back, Commit asks the store instead.
func (l *Lease) Valid() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost == nil && l.clock() < l.until
}

// Generation numbers the newest generation that is ours.
func (l *Lease) Generation() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generation
}

// Keep renews the lease until stop is called, and returns a context that ends if the lease is lost, with ErrLost as its cause.
func (l *Lease) Keep(ctx context.Context) (held context.Context, stop func()) {
	held, cancel := context.WithCancelCause(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		every := time.NewTicker(l.term / 4)
		defer every.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-every.C:
			}
			err := l.Renew(held)
			if errors.Is(err, ErrLost) || !l.Valid() && held.Err() == nil {
				cancel(errors.Join(ErrLost, err))
				return
			}
		}
	})
	return held, func() { cancel(nil); done.Wait() }
}

// Newest returns the newest generation of a lease and what it says. The generation is 0 if nobody ever had it.
//
// Errors: those of the store; cofre.ErrCorrupt if it cannot be read.
func Newest(ctx context.Context, s cofre.Store, name string) (int64, Record, error) {
	generation, _, err := newest(ctx, s, name)
	if err != nil || generation == 0 {
		return 0, Record{}, err
	}
	r, err := read(ctx, s, name, generation)
	return generation, r, err
}

func newest(ctx context.Context, s cofre.Store, lease string) (generation int64, modified time.Time, err error) {
	for o, err := range s.List(ctx, prefix+lease+"/") {
		if err != nil {
			return 0, time.Time{}, err
		}
		n, err := strconv.ParseInt(strings.TrimPrefix(o.Name, prefix+lease+"/"), 10, 64)
		if err == nil && len(o.Name) == len(prefix+lease)+1+digits && n > generation {
			generation, modified = n, o.ModifiedAt
		}
	}
	return generation, modified, nil
}

func read(ctx context.Context, s cofre.Store, lease string, generation int64) (Record, error) {
	text, err := bounded.Read(ctx, s, name(lease, generation), maxRecord)
	if err != nil {
		return Record{}, err
	}
	var r Record
	if err := json.Unmarshal(text, &r); err != nil {
		return Record{}, fmt.Errorf("generation %d of lease %s: %w: %w", generation, lease, cofre.ErrCorrupt, err)
	}
	return r, nil
}

func name(lease string, generation int64) string {
	return fmt.Sprintf("%s%s/%0*d", prefix, lease, digits, generation)
}
