package status_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/status"
)

// A history of a week, in hours before now: what was published and what failed, and the times in which the objective of a day was not reached.
func TestBreachesOfTheJournal(t *testing.T) {
	in := well()
	in.RPO, in.RTO = 25*time.Hour, time.Minute
	in.History = &status.History{Installation: "tl"}
	take := func(event journal.Event, ago time.Duration, run cofre.RunID, code cofre.Code, facts any) {
		text, _ := json.Marshal(facts)
		in.History.Take(journal.Numbered{Entry: journal.New(journal.Body{Event: event, Installation: "tl", Run: run, At: now.Add(-ago), Code: code, Facts: text})})
	}
	published := func(ago time.Duration, kind cofre.Kind, partial bool) {
		take(journal.EventPublished, ago-time.Hour, cofre.RunID("p"), "", map[string]any{"started_at": now.Add(-ago), "components": []any{map[string]any{"kind": kind, "partial": partial}}})
	}
	failed := func(ago time.Duration, run cofre.RunID, what string) {
		take(journal.EventFailed, ago, run, cofre.CodeUnreachable, runs.FailedFacts{Kind: cofre.RunBackup, What: what})
	}
	failed(200*time.Hour, "0", "") // before there was anything
	published(190*time.Hour, cofre.KindDatabase, false)
	published(166*time.Hour, cofre.KindDatabase, false)
	failed(142*time.Hour, "1", "")
	failed(141*time.Hour, "2", "database")
	failed(140*time.Hour, "3", "storage")
	published(120*time.Hour, cofre.KindDatabase, false)
	published(96*time.Hour, cofre.KindStorage, false) // of another
	published(90*time.Hour, cofre.KindDatabase, true) // not whole
	published(72*time.Hour, cofre.KindDatabase, false)
	slow := green
	slow.Steps = map[cofre.DrillStage]int64{"restore": 70_000, "ask": 9000}
	well := green
	well.Steps = map[cofre.DrillStage]int64{"restore": 50_000, "ask": 90_000}
	drilled(in.History, 60*time.Hour, "b", slow)
	drilled(in.History, 50*time.Hour, "b", differs)
	drilled(in.History, 40*time.Hour, "b", well)
	type breach struct {
		of       status.Condition
		from, to time.Duration // before now; 0 goes on
		worst    time.Duration
		code     string
		run      cofre.RunID
	}
	want := []breach{
		{status.ConditionRPO, 141 * time.Hour, 119 * time.Hour, 47 * time.Hour, "status.breach_failed", "2"},
		{status.ConditionRPO, 95 * time.Hour, 71 * time.Hour, 49 * time.Hour, "status.breach_partial", "p"},
		{status.ConditionRTO, 60 * time.Hour, 40 * time.Hour, 70 * time.Second, "status.breach_slow", "run-b"},
		{status.ConditionRPO, 47 * time.Hour, 0, 72 * time.Hour, "status.breach_none", ""},
	}
	got := status.Of(in).Breaches
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, w := range want {
		b := got[i]
		ended := w.to == 0 && b.To.IsZero() || b.To.Equal(now.Add(-w.to))
		if b.Of != w.of || !b.From.Equal(now.Add(-w.from)) || !ended || b.Worst != w.worst || string(b.Messages[0].Code) != w.code || b.Run != w.run || b.Cause == "" {
			t.Errorf("%d: %+v", i, b)
		}
	}
	in.Sources[0].Next = func(t time.Time) time.Time { return t.Add(100 * time.Hour) }
	if b := status.Of(in).Breaches; b[len(b)-1].Messages[0].Code != "status.breach_rare" {
		t.Errorf("%+v", b[len(b)-1])
	}
	// What the journal does not know, or nobody promised, is no breach.
	in.Unknown = unread(status.AreaJournal, cofre.ErrUnreachable)
	if b := status.Of(in).Breaches; len(b) > 0 {
		t.Errorf("%+v", b)
	}
	in.Unknown, in.RPO, in.RTO = nil, 0, 0
	if b := status.Of(in).Breaches; len(b) > 0 {
		t.Errorf("%+v", b)
	}
}
