package backup_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/backup"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// said keeps the notes and warnings of a run.
type said struct {
	mu    sync.Mutex
	lines []string
}

func (s *said) Observe(e cofre.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Type == cofre.TypeNote || e.Type == cofre.TypeWarning {
		s.lines = append(s.lines, string(e.Type)+" "+e.Source.Name+": "+e.Text)
	}
}

// TestSilentSource: a source that says nothing is spoken of, twice as seldom each time, and what it said last is named.
func TestSilentSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := &said{}
		s := &source{kind: cofre.KindConfig, name: "c", text: "x", saw: func(c *cofre.Capture) {
			<-time.After(35 * time.Second)
			c.Observer.Observe(cofre.Event{Type: cofre.TypeTaskProgress, Task: "read files", Item: "/srv/a"})
			<-time.After(20 * time.Minute)
		}}
		req := request(s)
		req.Observer = heard
		if _, err := backup.Run(t.Context(), repositorytest.NewMemory(), req); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"note c: capture: no sign of life for 30s; cofre waits for it",
			"note c: capture: no sign of life for 30s (the last: read files, /srv/a); cofre waits for it",
			"note c: capture: no sign of life for 1m0s (the last: read files, /srv/a); cofre waits for it",
			"note c: capture: no sign of life for 2m0s (the last: read files, /srv/a); cofre waits for it",
			"note c: capture: no sign of life for 4m0s (the last: read files, /srv/a); cofre waits for it",
			"note c: capture: no sign of life for 8m0s (the last: read files, /srv/a); cofre waits for it",
			"warning c: capture: no sign of life for 16m0s (the last: read files, /srv/a); cofre waits for it",
		}
		if !slices.Equal(heard.lines, want) {
			t.Errorf("said %q, want %q", heard.lines, want)
		}
	})
}

// TestInterruptedInSystemCall: a source that cannot be ended does not keep the run from ending.
func TestInterruptedInSystemCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		release := make(chan struct{})
		defer close(release)
		s := &source{kind: cofre.KindConfig, name: "c", text: "x", saw: func(*cofre.Capture) {
			cancel(cofre.ErrInterrupted)
			<-release
		}}
		repo := repositorytest.NewMemory()
		began := time.Now()
		point, err := backup.Run(ctx, repo, request(s))
		if !errors.Is(err, cofre.ErrInterrupted) || point != nil || len(published(t, repo)) != 0 {
			t.Errorf("the run ended with %v and %v, want %v and no point", point, err, cofre.ErrInterrupted)
		}
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("the run took %s to end", took)
		}
	})
}
