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
	// fresh is how old a status may be that is said again: to compute one reads the catalog and the journal.
	fresh = time.Minute
	// scrapeBound is how long a status may take. Without one it is said what is known without: that there is none, too.
	scrapeBound = 25 * time.Second
)

// scraped is what /metrics is made of. It is guarded.
type scraped struct {
	mu   sync.Mutex
	with Hands
	jobs []metrics.Job

	once   sync.Mutex // of the one that computes a status
	last   *status.Status
	lastAt time.Time
	of     Hands
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

// status is one that is fresh; nil if none could be computed.
func (s *scraped) status(ctx context.Context, with Hands) *status.Status {
	s.once.Lock()
	defer s.once.Unlock()
	if s.last != nil && s.of == with && time.Since(s.lastAt) < fresh {
		return s.last
	}
	found, _ := s.compute(ctx, with) // without one it is said that there is none
	return found
}

// newStatus is one that is computed now; it is fresh for those that scrape.
func (s *scraped) newStatus(ctx context.Context, with Hands) (*status.Status, error) {
	s.once.Lock()
	defer s.once.Unlock()
	return s.compute(ctx, with)
}

func (s *scraped) compute(ctx context.Context, with Hands) (*status.Status, error) {
	s.last = nil
	found, err := with.Status(ctx)
	if err != nil {
		return nil, err
	}
	s.last, s.lastAt, s.of = found, time.Now(), with
	return found, nil
}
