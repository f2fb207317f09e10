package notify_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/notify"
	"github.com/trustlayer/cofre/status"
)

var start = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func wrong(key string, v status.Verdict) notify.Condition {
	return notify.Condition{Key: key, Kind: status.ConditionFailure, Verdict: v, What: cofre.Verbatim(key)}
}

func sure(notify.Condition) bool { return false }

// Each thing is told once, again after a day, and once that it is over; also if it is over before anybody could be told.
func TestEachThingIsToldOnce(t *testing.T) {
	var l notify.Ledger
	now := start
	tell := func(want string, all ...notify.Condition) {
		t.Helper()
		l.Take(now, all, sure)
		now = now.Add(11 * time.Second)
		b, _ := l.Next(now, 24*time.Hour)
		if !b.Empty() {
			l.Keep(now, b)
		}
		if got := fmt.Sprintf("%d %d %d", len(b.New), len(b.Still), len(b.Over)); got != want {
			t.Errorf("at %s: new, still, over are %s, want %s", now.Format(time.TimeOnly), got, want)
		}
		now = now.Add(10 * time.Minute)
	}
	a, b, worse := wrong("a", status.Attention), wrong("b", status.Attention), wrong("a", status.AtRisk)
	tell("1 0 0", a)
	tell("0 0 0", a)
	tell("1 0 0", a, b)
	tell("1 0 0", worse, b)
	tell("0 0 0", worse, b)
	tell("0 0 0", a, b) // better is no news
	tell("0 0 1", a)
	now = now.Add(24 * time.Hour)
	tell("0 1 0", a)
	tell("0 0 1")
	tell("0 0 0")
	// Gone before it could be told.
	l.Take(now, []notify.Condition{a}, sure)
	l.Take(now, nil, sure)
	tell("1 0 0")
	tell("0 0 1")
	// Gone, and there again, before it was told that it is gone.
	tell("1 0 0", a)
	l.Take(now, nil, sure)
	tell("0 0 0", a)
	// What nobody knows is not over.
	l.Take(now, nil, func(notify.Condition) bool { return true })
	tell("0 0 0", a)
}

// What could not be read for a moment is not told, and what stays unread is.
func TestAMomentWithoutNetworkIsNoNews(t *testing.T) {
	var l notify.Ledger
	down := notify.Condition{Key: "unread/repository", Kind: status.ConditionUnread, Verdict: status.Unclear}
	l.Take(start, []notify.Condition{down}, sure)
	if b, at := l.Next(start.Add(time.Minute), time.Hour); !b.Empty() || at.Sub(start) < time.Minute {
		t.Errorf("%+v, next at %s", b, at)
	}
	l.Take(start.Add(2*time.Minute), nil, sure)
	if b, _ := l.Next(start.Add(time.Hour), time.Hour); !b.Empty() || len(l.Entries) > 0 {
		t.Errorf("%+v", b)
	}
	l.Take(start, []notify.Condition{down}, sure)
	if b, _ := l.Next(start.Add(5*time.Minute), time.Hour); len(b.New) != 1 {
		t.Errorf("%+v", b)
	}
}

// Whatever happens: nothing is told that is not so, nothing is forgotten, each thing that was told is told to be over, and a storm is few messages.
func TestLedgers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var l notify.Ledger
		now, there, told := start, map[string]bool{}, map[string]bool{}
		var sent []time.Time
		step := func() {
			var all []notify.Condition
			for k, is := range there {
				if is {
					all = append(all, wrong(k, status.Attention))
				}
			}
			l.Take(now, all, sure)
			b, at := l.Next(now, 1000*time.Hour)
			if b.Empty() {
				if !at.IsZero() && !at.After(now) {
					rt.Fatalf("next at %s, and it is %s", at, now)
				}
				return
			}
			if rapid.IntRange(0, 3).Draw(rt, "down") == 0 {
				return
			}
			l.Keep(now, b)
			sent = append(sent, now)
			for _, e := range b.New {
				if told[e.Key] {
					rt.Fatalf("%s was told twice", e.Key)
				}
				told[e.Key] = true
			}
			for _, e := range b.Over {
				if !told[e.Key] || there[e.Key] {
					rt.Fatalf("%s is over: told %v, there %v", e.Key, told[e.Key], there[e.Key])
				}
				told[e.Key] = false
			}
		}
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			k := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "key")
			there[k] = rapid.Bool().Draw(rt, "is")
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(rt, "seconds")) * time.Second)
			step()
		}
		for range 60 {
			now = now.Add(6 * time.Minute)
			step()
		}
		for k, is := range there {
			if is != told[k] {
				rt.Fatalf("%s is there: %v, and was told: %v", k, is, told[k])
			}
		}
		for i := range sent {
			if i >= 12 && sent[i].Sub(sent[i-12]) < 30*time.Minute {
				rt.Fatalf("13 messages within %s", sent[i].Sub(sent[i-12]))
			}
		}
	})
}

// What comes, or goes, within a moment of something else is told with it.
func TestWhatBreaksTogetherIsToldTogether(t *testing.T) {
	var l notify.Ledger
	now := start
	tell := func() notify.Batch {
		t.Helper()
		_, at := l.Next(now, 24*time.Hour)
		now = at
		b, _ := l.Next(now, 24*time.Hour)
		l.Keep(now, b)
		return b
	}
	a, b := wrong("a", status.Attention), wrong("b", status.Attention)
	l.Take(now, []notify.Condition{a}, sure)
	now = now.Add(100 * time.Millisecond)
	l.Take(now, []notify.Condition{a, b}, sure)
	if got := tell(); len(got.New) != 2 {
		t.Errorf("told of %d, want 2: %+v", len(got.New), got)
	}
	now = now.Add(time.Minute)
	l.Take(now, []notify.Condition{b}, sure)
	now = now.Add(100 * time.Millisecond)
	l.Take(now, nil, sure)
	if got := tell(); len(got.Over) != 2 {
		t.Errorf("%d are over, want 2: %+v", len(got.Over), got)
	}
}
