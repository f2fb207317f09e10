package runs_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
)

var at = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

func collect(id cofre.RunID, events ...cofre.Event) runs.Log {
	c := runs.Collect(cofre.Event{At: at, Run: id, Source: cofre.SourceID{Installation: "tl"}}, cofre.RunBegan{Kind: cofre.RunBackup, By: cofre.Actor{Host: "db1", User: "ana"}})
	for _, e := range events {
		c.Observe(e)
	}
	return c.Log()
}

func ended(code cofre.Code) cofre.Event {
	return cofre.Event{At: at.Add(time.Minute), Fact: cofre.RunEnded{Kind: cofre.RunBackup, Code: code, Message: "dump app: unreachable", Hint: "start it", Took: time.Minute}}
}

func TestALogOfEvents(t *testing.T) {
	source := cofre.SourceID{Installation: "tl", Kind: cofre.KindDatabase, Name: "app"}
	dump := cofre.Say("backup.nothing", "nothing to back up") // any sentence
	task := func(kind cofre.EventType, after time.Duration, done int64, err error) cofre.Event {
		return cofre.Event{At: at.Add(after), Type: kind, Source: source, Done: done, Total: 4 << 20, Unit: cofre.UnitBytes, Err: err}.Doing(dump)
	}
	l := collect("r", task(cofre.TypeTaskBegan, 0, 0, nil), task(cofre.TypeTaskProgress, time.Second, 1<<20, nil), task(cofre.TypeTaskEnded, 2*time.Second, 4<<20, nil),
		task(cofre.TypeTaskBegan, 3*time.Second, 0, nil), task(cofre.TypeTaskEnded, 4*time.Second, 0, errors.New("cut\noff")),
		task(cofre.TypeTaskBegan, 5*time.Second, 0, nil), task(cofre.TypeTaskProgress, 6*time.Second, 7, nil),
		cofre.Event{Type: cofre.TypeWarning}.Saying(cofre.Say("catalog.nothing", "nothing")),
		cofre.Event{Fact: cofre.ComponentCaptured{Component: cofre.Component{Kind: cofre.KindDatabase, Name: "app", StartedAt: at, EndedAt: at.Add(time.Second), Content: cofre.Content{Bytes: 5, Stored: 3}}}},
		ended(cofre.CodeUnreachable), cofre.Event{Type: cofre.TypeWarning, Text: "after the end"})
	if len(l.Steps) != 3 || l.Steps[0].Speed() != 2<<20 || !l.Steps[0].Ended || l.Steps[0].Task.Code != "backup.nothing" {
		t.Errorf("steps: %+v", l.Steps)
	}
	if l.Steps[1].Error != "cut; off" || l.Steps[2].Ended || l.Steps[2].Done != 7 {
		t.Errorf("steps: %+v", l.Steps)
	}
	if len(l.Warnings) != 1 || l.Warnings[0].Code != "catalog.nothing" || len(l.Components) != 1 || l.Components[0].Stored != 3 {
		t.Errorf("warnings %v, components %v", l.Warnings, l.Components)
	}
	if l.Code != cofre.CodeUnreachable || l.Hint != "start it" || l.Took != time.Minute || l.By.Host != "db1" {
		t.Errorf("%+v", l)
	}
}

func TestALogIsBounded(t *testing.T) {
	var events []cofre.Event
	for i := range 5000 {
		events = append(events, cofre.Event{Type: cofre.TypeNote, Text: fmt.Sprint(i, strings.Repeat("é", 3000))})
	}
	failed := cofre.Event{At: at, Type: cofre.TypeTaskEnded, Task: "dump", Err: errors.New(strings.Repeat("x", 9000))}
	l := collect("r", append(events, failed, ended(cofre.CodeError))...)
	text, err := json.Marshal(l)
	if err != nil || len(text) > 300<<10 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if l.LeftOut == 0 || len(l.Notes)+l.LeftOut != 5000 || len(l.Steps) != 1 || len(l.Steps[0].Error) > 3000 {
		t.Errorf("%d notes, %d left out, steps %d", len(l.Notes), l.LeftOut, len(l.Steps))
	}
}

// What fails because the disk is full holds nothing up: to let something go is what makes room.
func TestABackupThatFailedForWantOfRoomFreezesNothing(t *testing.T) {
	var f runs.Failing
	fail := func(code cofre.Code) {
		f.Take(entry(1, "r", journal.EventFailed, code, runs.FailedFacts{Kind: cofre.RunBackup}).Body)
	}
	fail(cofre.CodeNoSpace)
	if _, failed := f.Newest([]cofre.Kind{cofre.KindDatabase}); !f.Since(cofre.KindDatabase).IsZero() || !failed {
		t.Errorf("failing since %s, %t", f.Since(cofre.KindDatabase), failed)
	}
	fail(cofre.CodeUnreachable)
	if f.Since(cofre.KindDatabase).IsZero() {
		t.Error("a server that is gone freezes")
	}
}

func begin(t *testing.T, m runs.Marks, id cofre.RunID) *runs.Mark {
	t.Helper()
	mark, err := m.Begin(runs.Begun{Run: id, Kind: cofre.RunBackup, Installation: "tl", At: at})
	if err != nil {
		t.Fatal(err)
	}
	return mark
}

// What a process that was killed leaves is the file of a mark without its lock.
func TestMarksOfRunsThatWereKilled(t *testing.T) {
	dir := t.TempDir()
	m := runs.MarksOf(dir, "/repo")
	alive, over, killed, late := begin(t, m, "1-alive"), begin(t, m, "2-over"), begin(t, m, "3-killed"), begin(t, m, "4-late")
	over.End()
	killed.Published("p")
	files, err := filepath.Glob(filepath.Join(dir, "runs", "*", "3-killed"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	killed.End()
	// It was cut off in the middle of a line.
	if err := os.WriteFile(files[0], append(text, `{"log":{"run`...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := late.Leave(collect("4-late", ended(cofre.CodeUnreachable))); err != nil {
		t.Fatal(err)
	}
	got := m.Unended()
	if len(got) != 3 || !got[0].Running || got[1].Running || got[1].Published != "p" || got[1].Log != nil || got[2].Log == nil || got[2].Log.Code != cofre.CodeUnreachable {
		t.Fatalf("%+v", got)
	}
	var told []cofre.RunID
	if err := m.Settle(func(u runs.Unended) error { told = append(told, u.Run); return nil }); err != nil || !slices.Equal(told, []cofre.RunID{"3-killed", "4-late"}) {
		t.Errorf("told %v, %v", told, err)
	}
	if got := m.Unended(); len(got) != 1 || got[0].Run != "1-alive" {
		t.Errorf("%+v", got)
	}
	alive.End()
	if got := m.Unended(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if other := runs.MarksOf(dir, "/other").Unended(); len(other) != 0 {
		t.Errorf("of another repository: %+v", other)
	}
}

func TestWhatCannotBeToldStays(t *testing.T) {
	m := runs.MarksOf(t.TempDir(), "/repo")
	if err := begin(t, m, "r").Leave(collect("r", ended(cofre.CodeError))); err != nil {
		t.Fatal(err)
	}
	if err := m.Settle(func(runs.Unended) error { return cofre.ErrUnreachable }); !errors.Is(err, cofre.ErrUnreachable) {
		t.Error(err)
	}
	if got := m.Unended(); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

// While the journal is told of a run that was killed, whoever looks finds it killed, and not as one that goes on.
func TestARunThatIsBeingSettledDoesNotGoOn(t *testing.T) {
	m := runs.MarksOf(t.TempDir(), "/repo")
	if err := begin(t, m, "r").Leave(collect("r", ended(cofre.CodeError))); err != nil {
		t.Fatal(err)
	}
	told := 0
	if err := m.Settle(func(runs.Unended) error {
		told++
		if got := m.Unended(); len(got) != 1 || got[0].Running {
			t.Errorf("%+v", got)
		}
		return m.Settle(func(runs.Unended) error { told++; return nil })
	}); err != nil || told != 1 {
		t.Errorf("told %d times, %v", told, err)
	}
	if got := m.Unended(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestMarksThatCannotBeMadeStandInNobodysWay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	mark, err := runs.MarksOf(file, "/repo").Begin(runs.Begun{Run: "r"})
	if err == nil {
		t.Error("no error")
	}
	mark.Published("p")
	mark.End()
	if err := mark.Leave(runs.Log{}); err != nil {
		t.Error(err)
	}
	if none, err := (runs.Marks{}).Begin(runs.Begun{}); err != nil || none == nil {
		t.Error(none, err)
	}
}

func entry(n int64, run cofre.RunID, event journal.Event, code cofre.Code, facts any) journal.Numbered {
	text, _ := json.Marshal(facts)
	return journal.Numbered{Number: n, Entry: journal.New(journal.Body{Event: event, Run: run, Code: code, Installation: "tl", Host: "db1", At: at.Add(time.Minute), Facts: text})}
}

func TestRunsOfJournalLogsAndMarks(t *testing.T) {
	const done, failed, killed, running, silent, partial = "20261126T010000Z-a", "20261126T020000Z-b", "20261126T030000Z-c", "20261126T040000Z-d", "20261126T050000Z-e", "20261126T060000Z-f"
	var h runs.History
	h.Take(entry(0, done, journal.EventConfigured, "", nil))
	h.Take(entry(1, done, journal.EventPublished, "", nil))
	h.Take(entry(2, failed, journal.EventFailed, cofre.CodeUnreachable, runs.FailedFacts{Kind: cofre.RunRestore, What: "table"}))
	h.Take(entry(3, killed, journal.EventFailed, cofre.CodeKilled, runs.FailedFacts{Kind: cofre.RunVerify}))
	h.Take(entry(4, partial, journal.EventPublished, "", nil))
	h.Logs([]runs.Stored{{Object: "o", Run: silent, Kind: cofre.RunExpire, Code: cofre.CodeOK, EndedAt: at}, {Object: "p", Run: partial, Kind: cofre.RunBackup, Code: cofre.CodePartial, EndedAt: at}})
	going := func(id cofre.RunID, kind cofre.RunKind) runs.Unended {
		return runs.Unended{Begun: runs.Begun{Run: id, Kind: kind, At: at}, Running: true}
	}
	// Two have ended since this host was asked.
	h.Marks([]runs.Unended{going(running, cofre.RunBackup), going(failed, cofre.RunRestore), going(silent, cofre.RunExpire)})
	var got []string
	for _, r := range h.Runs(runs.Want{}) {
		got = append(got, fmt.Sprintf("%s %s %s %s %d", r.ID[9:11], r.Kind, r.State, r.Code, len(r.Entries)))
	}
	want := []string{"01 backup done ok 1", "02 restore failed unreachable 1", "03 verify killed killed 1", "04 backup running  0", "05 expire done ok 0", "06 backup failed partial 1"}
	if slices.Sort(got); got[0] != want[0] {
		t.Errorf("%q", got)
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("no %q in %q", w, got)
		}
	}
	since := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	if n := len(h.Runs(runs.Want{Failed: true})); n != 3 {
		t.Errorf("%d failed", n)
	}
	if all := h.Runs(runs.Want{Kind: cofre.RunBackup, Since: since, Last: 1}); len(all) != 1 || !strings.HasPrefix(string(all[0].ID), "2026") {
		t.Errorf("%+v", all)
	}
}

// Which kinds a publication is of is found out when it matters: whenever that is, the answers are the same.
func TestFailuresAreMadeGoodWheneverOneAsks(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	facts := func(v any) json.RawMessage {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	for round := range 500 {
		var seldom, always runs.Failing
		at := time.Unix(1_790_000_000, 0)
		for range random.IntN(30) {
			at = at.Add(time.Duration(random.IntN(100)) * time.Minute)
			kind := cofre.Kinds()[random.IntN(len(cofre.Kinds()))]
			b := journal.Body{Event: journal.EventPublished, At: at, Facts: facts(map[string]any{"components": []map[string]any{{"kind": kind}}})}
			if random.IntN(3) == 0 {
				what := []string{"", string(kind)}[random.IntN(2)]
				b = journal.Body{Event: journal.EventFailed, At: at.Add(-time.Duration(random.IntN(300)) * time.Minute), Facts: facts(runs.FailedFacts{Kind: cofre.RunBackup, What: what, Later: random.IntN(2) == 0})}
			}
			seldom.Take(b)
			always.Take(b)
			always.MadeGood("", at, cofre.Kinds())
		}
		for _, k := range cofre.Kinds() {
			got, _ := seldom.Newest([]cofre.Kind{k})
			want, _ := always.Newest([]cofre.Kind{k})
			if !seldom.Since(k).Equal(always.Since(k)) || !got.At.Equal(want.At) || seldom.MadeGood("", at, []cofre.Kind{k}) != always.MadeGood("", at, []cofre.Kind{k}) {
				t.Fatalf("round %d: %s fails since %s, want %s", round, k, seldom.Since(k), always.Since(k))
			}
		}
	}
}

// TestMarksBehindAnothersLink: what another user's link leads to is neither read as marks nor taken away as such.
func TestMarksBehindAnothersLink(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives links away")
	}
	dir, roots := t.TempDir(), t.TempDir()
	m := runs.MarksOf(dir, "/repo")
	begin(t, m, "1-over").End()
	made, err := filepath.Glob(filepath.Join(dir, "runs", "*"))
	file := filepath.Join(roots, "file")
	if err != nil || len(made) != 1 || os.Remove(made[0]) != nil || os.WriteFile(file, []byte("{}\n"), 0o600) != nil || os.Symlink(roots, made[0]) != nil || os.Lchown(made[0], 65534, 65534) != nil {
		t.Fatal(made, err)
	}
	if got := m.Unended(); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	if err := m.Settle(func(u runs.Unended) error { t.Errorf("told of %+v", u); return nil }); err != nil {
		t.Error(err)
	}
	if mark, err := m.Begin(runs.Begun{Run: "2-next", Kind: cofre.RunBackup}); err == nil {
		t.Error("begun behind a link of another user")
	} else {
		mark.End()
	}
	if names, err := os.ReadDir(roots); err != nil || len(names) != 1 {
		t.Errorf("root's directory holds %v, %v", names, err)
	}
}

func TestWhatARunDidIsInItsEntries(t *testing.T) {
	var h runs.History
	take := func(run cofre.RunID, event journal.Event, point cofre.PointID, facts string) {
		h.Take(journal.Numbered{Entry: journal.Entry{Body: journal.Body{Run: run, Event: event, Point: point, At: at, Facts: json.RawMessage(facts)}}})
	}
	take("a", journal.EventPublished, "p", `{"components": [{"kind": "database"}, {"kind": "storage"}]}`)
	take("b", journal.EventVerified, "", `{"level_asked": "content", "level_reached": "structure"}`)
	take("c", journal.EventVerified, "p", `{"level_asked": "content", "level_reached": "content"}`)
	take("d", journal.EventVerified, "", `{"level_reached": "structure"}`)
	var got []string
	for _, r := range h.Runs(runs.Want{}) {
		got = append(got, fmt.Sprint(r.ID, r.Captured(), r.Asked()))
	}
	if want := []string{"a[database storage]", "b[]content", "c[]", "d[]structure"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
