package agent

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/trustlayer/cofre/metrics"
	"github.com/trustlayer/cofre/status"
)

const (
	// A status that is fresh is said. When it is no more, another is computed for the next scrape, beside this one, and it is said until it is stale; each says when
	// it was computed. To compute one reads the journal and lists what is stored: where that takes long, it is done more seldom, so that it takes 1/share of the time.
	fresh, longestFresh = 30 * time.Second, 3 * time.Minute
	share               = 200
	// scrapeBound is how long a status may take. Without one it is said what is known without: that there is none, too.
	scrapeBound = 25 * time.Second
)

// scraped is what /metrics is made of.
type scraped struct {
	lasting context.Context // of what is computed for the next scrape
	stop    context.CancelFunc
	once    sync.Mutex // of the one that computes a status; taken before mu

	mu   sync.Mutex // of all that follows
	with Hands
	jobs []metrics.Job
	last *status.Status // nil if there is none
	at   time.Time      // when it was computed
	took time.Duration
	of   Hands
	runs int // that have ended: a status that was begun before says nothing of the last
}

// publish says how the jobs stand, to those that scrape.
func (a *agent) publish() {
	now := a.o.Now()
	var jobs []metrics.Job
	for _, name := range slices.Sorted(maps.Keys(a.jobs)) {
		j := a.jobs[name]
		m := metrics.Job{Name: j.Label(), NextAt: j.Next(now), Window: j.Window}
		if !m.NextAt.IsZero() {
			m.Interval = j.Next(m.NextAt).Sub(m.NextAt)
		}
		if j.do != nil {
			m.RunningSince = j.do.beganAt
		}
		jobs = append(jobs, m)
	}
	a.scraped.mu.Lock()
	defer a.scraped.mu.Unlock()
	a.scraped.with, a.scraped.jobs = a.with, jobs
}

// scrape answers with everything that is known.
func (a *agent) scrape(w http.ResponseWriter, r *http.Request) {
	a.scraped.mu.Lock()
	with, jobs := a.scraped.with, a.scraped.jobs
	a.scraped.mu.Unlock()
	in := metrics.Input{Version: a.o.Version, Jobs: jobs}
	if with != nil {
		ctx, cancel := context.WithTimeout(r.Context(), scrapeBound)
		defer cancel()
		in.Status = a.scraped.status(ctx, with)
	}
	in.Now = a.o.Now()
	var b bytes.Buffer
	if err := metrics.Write(&b, in); err != nil {
		answer(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(b.Bytes()) // or nobody listens any more
}

// status is one that is not stale; nil if none could be computed. Whoever asks does not wait while there is one.
func (s *scraped) status(ctx context.Context, with Hands) *status.Status {
	last, age, until := s.newest(with)
	switch {
	case last != nil && age < until:
		return last
	case last != nil && age < 2*until+time.Minute:
		s.ahead(with)
		return last
	}
	s.once.Lock()
	defer s.once.Unlock()
	if last, age, until := s.newest(with); last != nil && age < until {
		return last // computed while this waited
	}
	found, _ := s.compute(ctx, with) // without one it is said that there is none
	return found
}

// newest is the status that was computed last, how old it is, and how old it may be to be fresh; nil if there is none of this configuration.
func (s *scraped) newest(with Hands) (last *status.Status, age, until time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of != with {
		return nil, 0, 0
	}
	return s.last, time.Since(s.at), min(max(fresh, share*s.took), longestFresh)
}

// newStatus is one that is computed now; it is fresh for those that scrape.
func (s *scraped) newStatus(ctx context.Context, with Hands) (*status.Status, error) {
	s.once.Lock()
	defer s.once.Unlock()
	return s.compute(ctx, with)
}

// ahead computes a status for the next scrape, unless another does.
func (s *scraped) ahead(with Hands) {
	if s.lasting == nil || !s.once.TryLock() {
		return
	}
	go func() {
		defer s.once.Unlock()
		ctx, cancel := context.WithTimeout(s.lasting, scrapeBound)
		defer cancel()
		_, _ = s.compute(ctx, with) // without one the next scrape waits for it
	}()
}

// compute is for the holder of once.
func (s *scraped) compute(ctx context.Context, with Hands) (*status.Status, error) {
	s.mu.Lock()
	ended := s.runs
	s.mu.Unlock()
	began := time.Now()
	found, err := with.Status(ctx)
	if err != nil {
		found = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last, s.at, s.took, s.of = found, time.Now(), time.Since(began), with; s.runs != ended {
		s.last = nil
	}
	return found, err
}

// ended has a status computed that knows of what has just ended; those that scrape wait for it.
func (s *scraped) ended(with Hands) {
	s.mu.Lock()
	s.last = nil
	s.runs++
	s.mu.Unlock()
	s.ahead(with)
}

// end ends what is computed for the next scrape, and waits for it.
func (s *scraped) end() {
	s.stop()
	s.once.Lock()
	defer s.once.Unlock()
}
