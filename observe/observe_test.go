package observe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/observe"
)

func note(i int) cofre.Event { return cofre.Event{Type: cofre.TypeNote, Text: fmt.Sprint(i)} }

func TestRingKeepsTheNewest(t *testing.T) {
	r := observe.NewRing(4)
	for i := range 10 {
		r.Observe(note(i))
	}
	events, missed := r.After(3)
	if missed != 3 || len(events) != 4 || events[0].ID != 7 || events[0].Text != "6" || events[3].ID != 10 {
		t.Errorf("missed %d, events %v", missed, events)
	}
	if events, missed = r.After(10); missed != 0 || len(events) != 0 {
		t.Errorf("missed %d, events %v", missed, events)
	}
}

func TestSubscribersSeeEveryEventOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := observe.NewRing(100)
		r.Observe(note(0))
		var wg sync.WaitGroup
		seen := make([][]uint64, 3)
		for i := range seen {
			wg.Go(func() {
				for e := range r.Subscribe(t.Context(), uint64(i%2)) {
					seen[i] = append(seen[i], e.ID)
				}
			})
		}
		synctest.Wait() // all of them wait for the next
		for i := range 50 {
			r.Observe(note(i))
		}
		r.Close()
		wg.Wait()
		for i, ids := range seen {
			var want []uint64
			for id := uint64(i%2) + 1; id <= 51; id++ {
				want = append(want, id)
			}
			if !slices.Equal(ids, want) {
				t.Errorf("subscriber %d saw %v", i, ids)
			}
		}
	})
}

func TestASubscriptionEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := observe.NewRing(1)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for range r.Subscribe(ctx, 0) {
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

func TestLinesAreFacts(t *testing.T) {
	var b bytes.Buffer
	l := observe.NewLines(&b)
	run := observe.Begin(observe.Tee(l, cofre.Discard), cofre.RunVerify, observe.About{Point: "p"})
	run.Observe(cofre.Event{Type: cofre.TypeTaskProgress, Task: "x", Done: 1})
	run.Observe(cofre.Event{Type: cofre.TypeTaskEnded, Task: "x", Err: errors.New("a\nb")})
	cofre.Tell(run, cofre.FindingMade{Finding: cofre.Finding{Check: "content", Object: "a", What: "damaged"}})
	run.End(t.Context(), cofre.WithHint(fmt.Errorf("look: %w", cofre.ErrFindings), "do this"))
	if l.Err() != nil {
		t.Fatal(l.Err())
	}
	var types []string
	var ids []string
	for text := range strings.Lines(b.String()) {
		var e struct {
			Type, Run, Point, Error string
			Fact                    map[string]any
		}
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		types = append(types, e.Type)
		ids = append(ids, e.Run)
		if e.Point != "p" {
			t.Errorf("point %q of %s", e.Point, text)
		}
		if e.Type == "task_ended" && e.Error != "a; b" {
			t.Errorf("error %q", e.Error)
		}
		if e.Type == "run_ended" && (e.Fact["code"] != "verification_failed" || e.Fact["hint"] != "do this" || e.Fact["message"] != "look: verification found problems") {
			t.Errorf("%s", text)
		}
	}
	if want := []string{"run_began", "task_ended", "finding", "run_ended"}; !slices.Equal(types, want) {
		t.Errorf("%v, want %v", types, want)
	}
	if ids[0] == "" || len(slices.Compact(ids)) != 1 {
		t.Errorf("run ids %v", ids)
	}
}

func TestAnInterruptionIsHowARunEnded(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cofre.ErrInterrupted)
	var code cofre.Code
	run := observe.Begin(cofre.ObserverFunc(func(e cofre.Event) {
		if f, ok := e.Fact.(cofre.RunEnded); ok {
			code = f.Code
		}
	}), cofre.RunBackup, observe.About{})
	run.End(ctx, errors.New("a child was ended"))
	if code != cofre.CodeInterrupted {
		t.Errorf("code %s", code)
	}
}

// Hooks and what is chosen are of the run of the use case that they surround.
func TestARunWithinARunIsAPartOfIt(t *testing.T) {
	var b bytes.Buffer
	outer := observe.Begin(observe.NewLines(&b), cofre.RunRestore, observe.About{})
	cofre.Tell(outer, cofre.HookRan{When: "before_restore"})
	inner := observe.Begin(outer, cofre.RunRestore, observe.About{Point: "p"})
	cofre.Tell(inner, cofre.RestoreStaged{})
	inner.End(t.Context(), nil)
	cofre.Tell(outer, cofre.HookRan{When: "after_restore"})
	outer.End(t.Context(), errors.New("the hook has failed"))
	var got, runs []string
	for text := range strings.Lines(b.String()) {
		var e struct {
			Type, Run, Point string
			Fact             struct{ Code string }
		}
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimSpace(e.Type+" "+e.Point+" "+e.Fact.Code))
		runs = append(runs, e.Run)
	}
	if want := []string{"run_began", "hook_ran", "restore_staged p", "hook_ran p", "run_ended p error"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if runs[0] == "" || len(slices.Compact(runs)) != 1 {
		t.Errorf("runs %q", runs)
	}
}

func TestLogLevels(t *testing.T) {
	var b bytes.Buffer
	log := observe.Log(slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelWarn})))
	log.Observe(cofre.Event{Type: cofre.TypeNote, Text: "quiet"})
	log.Observe(cofre.Event{Type: cofre.TypeWarning, Text: "loud"})
	run := observe.Begin(log, cofre.RunBackup, observe.About{})
	run.End(t.Context(), cofre.ErrUnreachable)
	text := b.String()
	if strings.Contains(text, "quiet") || !strings.Contains(text, "level=WARN msg=warning text=loud") || !strings.Contains(text, "level=ERROR msg=run_ended") || !strings.Contains(text, "code=unreachable") {
		t.Error(text)
	}
}
