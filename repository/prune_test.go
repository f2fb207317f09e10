package repository_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/store/storetest"
)

// pruned is a repository in memory whose store has a clock of its own.
type pruned struct {
	store *storetest.Memory
	r     *repository.Repository // writes and looks, and never dies
	clock time.Duration          // how far the store's clock is ahead of ours
	want  map[cofre.PointID]map[string][]byte
	order []cofre.PointID
	mu    sync.Mutex
}

func newPruned(t testing.TB) *pruned {
	t.Helper()
	p := &pruned{want: map[cofre.PointID]map[string][]byte{}}
	p.store, p.r = onMemory(t)
	p.store.SetClock(func() time.Time {
		p.mu.Lock()
		defer p.mu.Unlock()
		return time.Now().Add(p.clock)
	})
	return p
}

func (p *pruned) later(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clock += d
}

func (p *pruned) backUp(t testing.TB, r *repository.Repository, files map[string][]byte) cofre.PointID {
	t.Helper()
	id := publish(t, r, capture(t, r, files)).ID
	p.mu.Lock()
	defer p.mu.Unlock()
	p.want[id] = maps.Clone(files)
	p.order = append(p.order, id)
	return id
}

func (p *pruned) expire(t testing.TB, ids ...cofre.PointID) {
	t.Helper()
	var what []cofre.Expiry
	for _, id := range ids {
		what = append(what, cofre.Expiry{Point: id})
		delete(p.want, id)
		p.order = slices.DeleteFunc(p.order, func(other cofre.PointID) bool { return other == id })
	}
	if _, err := p.r.Expire(t.Context(), what...); err != nil {
		t.Fatal(err)
	}
}

// restores reads every file of every point that is kept, and returns what is wrong.
func (p *pruned) restores(t testing.TB, r *repository.Repository) []string {
	t.Helper()
	var wrong []string
	there := map[cofre.PointID]cofre.RecoveryPoint{}
	for q, err := range r.Points(t.Context()) {
		if err != nil {
			return []string{err.Error()}
		}
		there[q.ID] = q
	}
	for id, files := range p.want {
		q, ok := there[id]
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s is not there", id))
			continue
		}
		tree, err := r.Tree(t.Context(), q.Components[0].Root)
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", id, err))
			continue
		}
		for path, b := range files {
			f, err := tree.Open(t.Context(), path)
			if err != nil {
				wrong = append(wrong, fmt.Sprintf("%s: %v", id, err))
				continue
			}
			var got bytes.Buffer
			if _, err := got.ReadFrom(f); err != nil || !bytes.Equal(got.Bytes(), b) {
				wrong = append(wrong, fmt.Sprintf("%s: %s differs (%v)", id, path, err))
			}
			f.Close()
		}
	}
	return wrong
}

// sound fails the test unless all that is kept restores, and a verification of every byte finds nothing.
func (p *pruned) sound(t testing.TB, r *repository.Repository, when string) {
	t.Helper()
	if wrong := p.restores(t, r); len(wrong) > 0 {
		t.Fatalf("%s: %s", when, strings.Join(wrong, "\n"))
	}
	for _, f := range findings(t, r, points(t, r), cofre.LevelContent) {
		if !strings.Contains(f.What, "killed in that instant") {
			t.Errorf("%s: verification found %+v", when, f)
		}
	}
}

func (p *pruned) packs() (n int, size int64) {
	for name, o := range p.store.State() {
		if name[0] == 'p' || name[0] == 'q' {
			n++
			size += int64(len(o.Bytes))
		}
	}
	return n, size
}

// fill makes days points, of which each has a file of its own and shares others with those before.
func (p *pruned) fill(t testing.TB, days int) {
	t.Helper()
	for day := range days {
		p.backUp(t, p.r, map[string][]byte{
			"same": noise(1, 40_000), "own": noise(byte(2+day), 30_000), "dir/half": noise(byte(100+day/2), 20_000), "empty": {},
		})
	}
}

func prune(t testing.TB, r *repository.Repository) *cofre.Pruned {
	t.Helper()
	done, err := r.Prune(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestPruneFreesWhatExpired(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 12)
	p.expire(t, p.order[:6]...)
	_, before := p.packs()

	young := prune(t, p.r)
	if young.Freed.Count != 0 || young.Announced.Count != 0 || young.Young.Count == 0 {
		t.Errorf("pruned at once: %+v, want what is young to stay", young)
	}
	p.sound(t, p.r, "pruned at once")

	p.later(25 * time.Hour)
	would, err := p.r.Prune(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	if !would.DryRun || would.Freed.Count != 0 {
		t.Errorf("a dry run: %+v", would)
	}
	marked := prune(t, p.r)
	if marked.Freed.Count != 0 || marked.Announced.Count == 0 || marked.Due.IsZero() || marked.Moved.Count == 0 {
		t.Errorf("pruned after a day: %+v, want an announcement and nothing freed", marked)
	}
	p.sound(t, p.r, "announced")
	p.sound(t, openMemory(t, p.store), "announced, opened anew")

	again := prune(t, p.r)
	if again.Freed.Count != 0 {
		t.Errorf("pruned once more before the grace was over: %+v", again)
	}
	p.later(25 * time.Hour)
	freed := prune(t, p.r)
	if freed.Freed.Count != marked.Announced.Count || freed.Freed.Bytes != marked.Announced.Bytes {
		t.Errorf("freed %+v, and announced were %+v", freed.Freed, marked.Announced)
	}
	p.sound(t, p.r, "freed")
	other := openMemory(t, p.store)
	p.sound(t, other, "freed, opened anew")
	n, after := p.packs()
	if n > 8 || after > before*7/10 {
		t.Errorf("%d packs of %d bytes are left of %d bytes, after half of the points expired", n, after, before)
	}
	p.backUp(t, other, map[string][]byte{"own": noise(2, 30_000), "same": noise(1, 40_000)}) // what is gone, and what is not
	p.sound(t, p.r, "backed up again")
}

// A capture that builds on what is announced copies it; one that has not looked since is not let down either.
func TestPruneBesideCaptures(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 6)
	gone := p.order[:3]
	files := maps.Clone(p.want[gone[0]])
	writer := openMemory(t, p.store)
	s, err := writer.Begin(t.Context(), source) // knows everything as stored
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for path, b := range files {
		if _, err := s.Put(t.Context(), cofre.Entry{Path: path, Mode: 0o600, Size: int64(len(b))}, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.expire(t, gone...)
	p.later(25 * time.Hour)
	prune(t, p.r) // marks and announces what the capture has taken for stored
	id := publish(t, writer, c).ID
	p.want[id] = files
	p.sound(t, p.r, "published over an announcement")
	p.later(25 * time.Hour)
	if done := prune(t, p.r); done.Freed.Count == 0 {
		t.Errorf("nothing was freed: %+v", done)
	}
	p.sound(t, p.r, "freed")
	p.sound(t, openMemory(t, p.store), "freed, opened anew")
}

// One that is gone already when it is needed is refused, and stored afresh by the next capture.
func TestPruneFasterThanACapture(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 6)
	gone := p.order[:3]
	files := maps.Clone(p.want[gone[0]])
	writer := openMemory(t, p.store)
	s, err := writer.Begin(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for path, b := range files {
		if _, err := s.Put(t.Context(), cofre.Entry{Path: path, Mode: 0o600, Size: int64(len(b))}, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := s.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.expire(t, gone...)
	for range 2 { // the store's clock leaps, or the capture has slept
		p.later(25 * time.Hour)
		prune(t, p.r)
	}
	err = writer.Publish(t.Context(), point(c))
	if !errors.Is(err, cofre.ErrCorrupt) || !cofre.Retryable(err) {
		t.Fatalf("publish what is gone: %v, want ErrCorrupt, and that it can be tried again", err)
	}
	if err := writer.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.backUp(t, writer, files)
	p.sound(t, p.r, "stored afresh")
}

// step is how many requests apart kills are, and how many there are in all with COFRE_SOAK.
func step(usual int) int {
	if os.Getenv("COFRE_SOAK") != "" {
		return 1
	}
	return usual
}

// Killed, or called off, at any request, a run leaves every point as it was, and the next one goes on.
func TestPruneKilledAtEveryRequest(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 6)
	p.expire(t, p.order[:3]...)
	p.later(25 * time.Hour)
	dying := newMortal(p.store)
	pruner := openMemory(t, dying)
	looks := openMemory(t, p.store)
	kills := 0
	for run := range 3 {
		before := p.store.State()
		for way, how := range []string{"refused", "carried out and not answered", "called off"} {
			for n := 1 + (5*run+way)%step(11); ; n += step(11) {
				p.store.Restore(before)
				repository.Forget(pruner)
				ctx, cancel := context.WithCancel(t.Context())
				dying.requests, dying.dies, dying.carried, dying.before = 0, n, how != "refused", nil
				if how == "called off" {
					dying.dies = 0
					dying.before = func(at int, _ storetest.Verb, _ string) {
						if at == n {
							cancel()
						}
					}
				}
				_, err := pruner.Prune(ctx, false)
				died := ctx.Err() != nil || dying.dies > 0 && dying.requests >= n
				cancel()
				dying.dies, dying.before = 0, nil
				what := fmt.Sprintf("run %d, request %d %s (%v)", run, n, how, err)
				if err != nil && !errors.Is(err, errDied) && !errors.Is(err, cofre.ErrLocked) && !errors.Is(err, context.Canceled) {
					t.Fatal(what)
				}
				if wrong := p.restores(t, looks); len(wrong) > 0 {
					t.Fatalf("%s: %s", what, strings.Join(wrong, "\n"))
				}
				if kills++; kills%60 == 0 {
					p.sound(t, looks, what)
				}
				if !died {
					break
				}
			}
		}
		p.store.Restore(before)
		repository.Forget(pruner)
		prune(t, pruner)
		p.sound(t, looks, fmt.Sprintf("after run %d", run))
		p.later(25 * time.Hour)
	}
	t.Logf("%d kills", kills)
	p.sound(t, openMemory(t, p.store), "at the end, opened anew")
}

// paused is a run that stands still at a request, for as long as the test wants.
type paused struct {
	stands, goOn, ended chan struct{}
	err                 error
}

func pauseAt(t testing.TB, s *mortal, r *repository.Repository, n int) *paused {
	t.Helper()
	pause := &paused{stands: make(chan struct{}), goOn: make(chan struct{}), ended: make(chan struct{})}
	var once sync.Once
	s.requests, s.before = 0, func(at int, _ storetest.Verb, _ string) {
		if at == n {
			once.Do(func() { close(pause.stands) })
			<-pause.goOn
		}
	}
	go func() {
		defer close(pause.ended)
		_, pause.err = r.Prune(t.Context(), false)
	}()
	return pause
}

// A run that sleeps at any request while its lease is taken, others prune and a point is published, does no harm when it wakes.
func TestPruneThatSleeps(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 6)
	first := p.want[p.order[0]]
	p.expire(t, p.order[:3]...)
	p.later(25 * time.Hour)
	prune(t, p.r)
	want := maps.Clone(p.want)
	asleep := newMortal(p.store)
	sleeper, other, writer, looks := openMemory(t, asleep), openMemory(t, p.store), openMemory(t, p.store), openMemory(t, p.store)
	sleeps, lost := 0, 0
	for run := range 2 { // the first finds nothing due yet, the second does
		before := p.store.State()
		for n := 2 + run; ; n += step(9) {
			p.store.Restore(before)
			p.want = maps.Clone(want)
			for _, r := range []*repository.Repository{sleeper, other, writer} {
				repository.Forget(r)
			}
			pause := pauseAt(t, asleep, sleeper, n)
			select {
			case <-pause.stands:
			case <-pause.ended:
			}
			over := pause.isOver()
			p.backUp(t, writer, first) // what has expired, and may be about to go
			p.later(25 * time.Hour)
			prune(t, other)
			p.backUp(t, writer, map[string][]byte{"own": noise(3, 30_000), "new": noise(byte(n), 9_000)})
			p.later(25 * time.Hour)
			prune(t, other)
			close(pause.goOn)
			<-pause.ended
			what := fmt.Sprintf("run %d, asleep at request %d (%v)", run, n, pause.err)
			if pause.err != nil {
				lost++
			}
			if wrong := p.restores(t, looks); len(wrong) > 0 {
				t.Fatalf("%s: %s", what, strings.Join(wrong, "\n"))
			}
			p.later(25 * time.Hour)
			prune(t, other)
			if wrong := p.restores(t, looks); len(wrong) > 0 {
				t.Fatalf("%s, and after one more run: %s", what, strings.Join(wrong, "\n"))
			}
			if sleeps++; sleeps%20 == 0 {
				p.sound(t, looks, what)
			}
			if over {
				break
			}
		}
		p.store.Restore(before)
		p.want = maps.Clone(want)
		p.later(25 * time.Hour)
	}
	t.Logf("asleep %d times, of which %d lost the lease", sleeps, lost)
	if lost < sleeps/3 {
		t.Errorf("only %d of %d runs that slept lost their lease", lost, sleeps)
	}
}

func (p *paused) isOver() bool {
	select {
	case <-p.stands:
		return false
	default:
		return true
	}
}

// A publication that sleeps at any request, between its proof and the moment when its point is visible, is not let down.
func TestPublishThatSleeps(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 6)
	first := p.want[p.order[0]]
	want := maps.Clone(p.want)
	asleep := newMortal(p.store)
	writer, other, looks := openMemory(t, asleep), openMemory(t, p.store), openMemory(t, p.store)
	c := capture(t, writer, first)
	before := p.store.State()
	published, refused := 0, 0
	for n := 1; ; n += step(2) {
		p.store.Restore(before)
		p.want = maps.Clone(want)
		for _, r := range []*repository.Repository{other, writer} {
			repository.Forget(r)
		}
		q := point(c)
		pause := &paused{stands: make(chan struct{}), goOn: make(chan struct{}), ended: make(chan struct{})}
		var once sync.Once
		asleep.requests, asleep.before = 0, func(at int, _ storetest.Verb, _ string) {
			if at == n {
				once.Do(func() { close(pause.stands) })
				<-pause.goOn
			}
		}
		go func() {
			defer close(pause.ended)
			pause.err = writer.Publish(t.Context(), q)
		}()
		select {
		case <-pause.stands:
		case <-pause.ended:
		}
		over := pause.isOver()
		gone := slices.Clone(p.order[:3])
		var what []cofre.Expiry
		for _, id := range gone {
			what = append(what, cofre.Expiry{Point: id})
			delete(p.want, id)
		}
		if _, err := other.Expire(t.Context(), what...); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			p.later(25 * time.Hour)
			prune(t, other)
		}
		close(pause.goOn)
		<-pause.ended
		switch {
		case pause.err == nil:
			published++
			p.want[q.ID] = first
		case errors.Is(pause.err, cofre.ErrCorrupt) && cofre.Retryable(pause.err):
			refused++
		default:
			t.Fatalf("asleep at request %d: %v", n, pause.err)
		}
		if wrong := p.restores(t, looks); len(wrong) > 0 {
			t.Fatalf("asleep at request %d (%v): %s", n, pause.err, strings.Join(wrong, "\n"))
		}
		p.later(25 * time.Hour)
		prune(t, other)
		if wrong := p.restores(t, looks); len(wrong) > 0 {
			t.Fatalf("asleep at request %d (%v), pruned once more: %s", n, pause.err, strings.Join(wrong, "\n"))
		}
		if over {
			break
		}
	}
	t.Logf("%d published, %d refused", published, refused)
	if published == 0 {
		t.Error("every publication was refused")
	}
}

func point(c cofre.Content) cofre.RecoveryPoint {
	now := time.Now().UTC()
	return cofre.RecoveryPoint{
		ID: cofre.NewPointID(now), Installation: source.Installation, StartedAt: now, PublishedAt: now,
		Components: []cofre.Component{{Kind: source.Kind, Name: source.Name, StartedAt: now, EndedAt: now, Content: c}},
	}
}

// Two machines back up, expire and prune at once; of two that prune one has the right to.
func TestTwoPruneAtOnce(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 4)
	p.later(25 * time.Hour)
	machines := []*repository.Repository{openMemory(t, p.store), openMemory(t, p.store)}
	var wg sync.WaitGroup
	var locked, done atomic.Int64
	for i, r := range machines {
		wg.Go(func() {
			for day := range 6 {
				p.backUp(t, r, map[string][]byte{"same": noise(1, 40_000), "own": noise(byte(50+day), 20_000), "who": {byte(i), byte(day)}})
				p.mu.Lock()
				oldest := p.order[0]
				p.mu.Unlock()
				_, err := r.Expire(t.Context(), cofre.Expiry{Point: oldest})
				if err == nil {
					p.mu.Lock()
					delete(p.want, oldest)
					p.order = slices.DeleteFunc(p.order, func(id cofre.PointID) bool { return id == oldest })
					p.mu.Unlock()
				} else if !errors.Is(err, cofre.ErrLocked) && !errors.Is(err, cofre.ErrNotFound) {
					t.Errorf("expire: %v", err)
				}
				switch _, err := r.Prune(t.Context(), false); {
				case errors.Is(err, cofre.ErrLocked):
					locked.Add(1)
				case err != nil:
					t.Errorf("prune: %v", err)
				default:
					done.Add(1)
				}
				p.later(9 * time.Hour)
			}
		})
	}
	wg.Wait()
	t.Logf("pruned %d times, %d times somebody else did", done.Load(), locked.Load())
	if done.Load() == 0 {
		t.Error("nobody could prune")
	}
	for _, r := range append(machines, openMemory(t, p.store)) {
		p.sound(t, r, "at the end")
	}
}

// A capture that goes on for days says so, and finds at its end what it has stored and what it has taken for stored.
func TestPruneBesideACaptureOfDays(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 6)
	gone := p.order[:3]
	files := maps.Clone(p.want[gone[0]])
	files["own"] = noise(77, 60_000)
	restore := repository.CapturesSayEvery(10 * time.Millisecond)
	defer restore()
	writer := openMemory(t, p.store)
	s, err := writer.Begin(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	for path, b := range files {
		if _, err := s.Put(t.Context(), cofre.Entry{Path: path, Mode: 0o600, Size: int64(len(b))}, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	repository.AwaitFlush(s)
	p.expire(t, gone...)
	said := func() int {
		n := 0
		for _, err := range p.store.List(t.Context(), "cofre/capturing/") {
			if err == nil {
				n++
			}
		}
		return n
	}
	for range 4 { // days, on each of which somebody prunes
		p.later(25 * time.Hour)
		before := said()
		testkit.Await(t, "that the capture says that it goes on", 20*time.Second, func() bool { return said() > before })
		prune(t, p.r)
	}
	c, err := s.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := publish(t, writer, c).ID
	p.want[id] = files
	p.sound(t, p.r, "published after four days")
	if n := said(); n != 0 {
		t.Errorf("%d objects still say that a capture goes on", n)
	}
	for range 2 {
		p.later(25 * time.Hour)
		prune(t, p.r)
	}
	p.sound(t, openMemory(t, p.store), "pruned after it, opened anew")
}

// What comes free is said before it goes, and is what pruning then frees.
func TestFreesWhatExpires(t *testing.T) {
	p := newPruned(t)
	p.fill(t, 12)
	p.later(25 * time.Hour)
	for range 2 {
		prune(t, p.r)
		p.later(25 * time.Hour)
	}
	var what []cofre.Expiry
	for _, id := range p.order[:9] {
		what = append(what, cofre.Expiry{Point: id})
	}
	before, err := p.r.Frees(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	after, err := p.r.Frees(t.Context(), what...)
	if err != nil {
		t.Fatal(err)
	}
	said := after.Announced.Bytes + after.Young.Bytes + after.Shared.Bytes - before.Announced.Bytes - before.Young.Bytes - before.Shared.Bytes
	_, full := p.packs()
	p.expire(t, slices.Clone(p.order[:9])...)
	for range 3 {
		prune(t, p.r)
		p.later(25 * time.Hour)
	}
	_, left := p.packs()
	if freed := full - left; said < freed*9/10 || said > freed*11/10 || freed < full/4 {
		t.Errorf("%d bytes were said to come free, and %d of %d did", said, freed, full)
	}
}
