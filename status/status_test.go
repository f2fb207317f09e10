package status_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/postgres/physical/archiving"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/retention"
	"github.com/trustlayer/cofre/status"
)

var (
	now      = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	database = cofre.SourceID{Installation: "tl", Kind: cofre.KindDatabase, Name: "app"}
	cluster  = cofre.SourceID{Installation: "tl", Kind: cofre.KindCluster, Name: "cluster"}
)

// daily is due at 2 in the morning.
func daily(t time.Time) time.Time {
	next := time.Date(t.Year(), t.Month(), t.Day(), 2, 0, 0, 0, time.UTC)
	if !next.After(t) {
		next = next.AddDate(0, 0, 1)
	}
	return next
}

func point(id cofre.PointID, ago time.Duration, of ...cofre.SourceID) cofre.RecoveryPoint {
	at := now.Add(-ago)
	p := cofre.RecoveryPoint{ID: id, Installation: "tl", StartedAt: at, PublishedAt: at.Add(time.Minute)}
	for _, s := range of {
		p.Components = append(p.Components, cofre.Component{Kind: s.Kind, Name: s.Name, StartedAt: at, EndedAt: at.Add(time.Minute), Content: cofre.Content{Root: cofre.ObjectID(id), Bytes: 9 << 30, Stored: 1 << 20}})
	}
	return p
}

// well is an installation in which nothing is wrong.
func well() status.Input {
	return status.Input{
		Now: now, Installation: "tl", RPO: 25 * time.Hour, Sources: []status.Configured{{ID: database, Schedule: "0 2 * * *", Next: daily}},
		Points:     []cofre.RecoveryPoint{point("a", 34*time.Hour, database), point("b", 10*time.Hour, database)},
		Repository: status.Repository{URL: "/repo", Bytes: 1 << 30, Free: 1 << 40},
	}
}

func TestAllIsWell(t *testing.T) {
	s := status.Of(well())
	if s.Verdict != status.OK || len(s.Findings) != 0 || s.Verdict.Err() != nil {
		t.Errorf("%s: %+v", s.Verdict, s.Findings)
	}
	of := s.Sources[0]
	if of.Restorable != 2 || of.RPO != 10*time.Hour || !of.Met || of.Level != cofre.LevelStructure || !of.NextDue.Equal(time.Date(2026, 11, 27, 2, 0, 0, 0, time.UTC)) || of.Overdue != 0 {
		t.Errorf("%+v", of)
	}
	if s.LastRun == nil || s.LastRun.Point != "b" {
		t.Errorf("last run %+v", s.LastRun)
	}
}

// Each case breaks one thing, and is found by its code.
func TestWhatIsFound(t *testing.T) {
	facts := func(v any) json.RawMessage { b, _ := json.Marshal(v); return b }
	told := func(bodies ...journal.Body) *status.History {
		h := &status.History{Installation: "tl"}
		for i, b := range bodies {
			b.Installation = "tl"
			h.Take(journal.Numbered{Number: int64(i), Entry: journal.New(b)})
		}
		return h
	}
	window := func(gap *cofre.GapError, stored time.Duration) status.Archived {
		return status.Archived{Status: wal.Status{Windows: []recovery.Window{{Timeline: 1, Backup: "b", FromAt: now.Add(-48 * time.Hour), Gap: gap}}}, StoredAt: []time.Time{now.Add(-stored)}}
	}
	withWAL := func(in *status.Input, of status.Archived) {
		in.Sources = []status.Configured{{ID: cluster, Archives: true}}
		in.Points = []cofre.RecoveryPoint{point("b", 48*time.Hour, cluster)}
		in.WAL = []status.Archived{of}
	}
	for name, c := range map[string]struct {
		breaks  func(*status.Input)
		code    string
		verdict status.Verdict
		next    string
	}{
		"nothing": {func(in *status.Input) { in.Points = nil }, "status.nothing", status.AtRisk, "cofre backup database"},
		"only in part": {func(in *status.Input) {
			in.Points[0].Components[0].Partial, in.Points[1].Components[0].Partial = true, true
		}, "status.nothing", status.AtRisk, "cofre backup database"},
		"newest damaged": {func(in *status.Input) { in.Damage = damage("b") }, "status.newest_damaged", status.AtRisk, "cofre backup database"},
		"older damaged":  {func(in *status.Input) { in.Damage = damage("a") }, "status.damaged", status.Attention, "cofre backup database"},
		"all damaged":    {func(in *status.Input) { in.Damage = damage("a", "b") }, "status.all_damaged", status.AtRisk, "cofre backup database"},
		"stale":          {func(in *status.Input) { in.Points, in.RPO = in.Points[:1], 0 }, "status.overdue", status.Attention, "cofre backup database"},
		"stale for long": {func(in *status.Input) {
			in.Points, in.RPO = []cofre.RecoveryPoint{point("a", 90*time.Hour, database)}, 0
		}, "status.overdue", status.AtRisk, "cofre backup database"},
		"objective":     {func(in *status.Input) { in.RPO = time.Hour }, "status.rpo", status.AtRisk, "cofre backup database"},
		"source failed": {func(in *status.Input) { in.Points = append(in.Points, missing("c", time.Hour)) }, "status.failing", status.Attention, "cofre backup database"},
		"in part": {func(in *status.Input) {
			p := point("c", time.Hour, database)
			p.Components[0].Partial = true
			p.Findings = []cofre.Finding{{Kind: cofre.KindDatabase, Object: "app", What: "a table is missing"}}
			in.Points = append(in.Points, p)
		}, "status.partial", status.Attention, "cofre show c"},
		"run failed": {func(in *status.Input) {
			in.History = told(journal.Body{Event: journal.EventFailed, Run: "r", At: now, Code: cofre.CodeUnreachable, Facts: facts(runs.FailedFacts{Kind: cofre.RunBackup})})
		}, "status.run_failed_code", status.Attention, "cofre runs show r"},
		"point gone": {func(in *status.Input) { in.Gone = []cofre.PointID{"z"} }, "status.point_gone", status.AtRisk, "cofre journal acknowledge z"},
		"run killed": {func(in *status.Input) {
			in.Unended = []runs.Unended{{Begun: runs.Begun{Run: "k", Kind: cofre.RunBackup, Installation: "tl", At: now}}}
		}, "status.run_killed", status.Attention, "cofre runs show k"},
		"overtaken": {func(in *status.Input) {
			in.Overtaken = cofre.Messages{cofre.Say("journal.overtaken", "x"), cofre.Say("journal.overtaken_next", "cofre journal acknowledge x")}
		}, "journal.overtaken", status.Attention, "cofre journal acknowledge x"},
		"frozen":          {func(in *status.Input) { in.Retention = frozen(time.Hour) }, "status.frozen", status.Attention, "cofre expire --dry-run"},
		"frozen for long": {func(in *status.Input) { in.Retention = frozen(99 * time.Hour) }, "status.frozen", status.AtRisk, "cofre expire --dry-run"},
		"found": {func(in *status.Input) {
			in.History = told(journal.Body{Event: journal.EventVerified, At: now, Facts: facts(map[string]any{"level_reached": "structure", "findings": 2})})
		}, "status.found", status.AtRisk, "cofre backup"},
		"verified long ago": {func(in *status.Input) {
			in.History = told(journal.Body{Event: journal.EventVerified, At: now.AddDate(0, -2, 0), Facts: facts(map[string]any{"level_reached": "content"})})
		}, "status.verified_long_ago", status.Attention, "cofre verify --level content"},
		"no room":      {func(in *status.Input) { in.Repository.Free = 1 << 20 }, "status.no_room", status.AtRisk, "cofre prune"},
		"full soon":    {func(in *status.Input) { in.Points = busy(); in.Repository.Free = 400 << 20 }, "status.full_soon", status.Attention, "cofre prune"},
		"full at once": {func(in *status.Input) { in.Points = busy(); in.Repository.Free = 60 << 20 }, "status.full_at_once", status.AtRisk, "cofre prune"},
		"gap": {func(in *status.Input) {
			a := window(&cofre.GapError{Timeline: 1}, time.Hour)
			a.Gaps = []wal.StatusGap{{GapError: cofre.GapError{Timeline: 1, From: "x", To: "y"}, State: wal.GapOpen, Alarm: true}}
			withWAL(in, a)
		}, "gap.segments", status.AtRisk, "cofre backup cluster"},
		"no window": {func(in *status.Input) { withWAL(in, status.Archived{}) }, "status.no_window", status.AtRisk, "cofre check"},
		"archiving fails": {func(in *status.Input) {
			withWAL(in, window(nil, time.Minute))
			in.Archiver = &archiving.Archiver{Mode: "on", Command: "false", Failing: "000000010000000000000001", FailedAt: now, Failures: 3}
		}, "archiving.fails", status.AtRisk, "false"},
		"WAL is old": {func(in *status.Input) { withWAL(in, window(nil, 26*time.Hour)) }, "status.rpo", status.AtRisk, "cofre backup cluster"},
		"copy down": {func(in *status.Input) {
			a := window(nil, time.Minute)
			a.Repositories = []wal.Holding{{}, {URL: "/copy", Err: cofre.ErrUnreachable}}
			withWAL(in, a)
		}, "status.copy_down", status.Attention, "cofre wal status"},
		"repository down": {func(in *status.Input) {
			in.Points = nil
			in.Unknown = unread(status.AreaRepository, cofre.ErrUnreachable)
		}, "status.unread_repository", status.Unclear, "cofre doctor"},
		"server down":     {func(in *status.Input) { in.Unknown = unread(status.AreaServer, cofre.ErrUnreachable) }, "status.unread_server", status.Unclear, "cofre doctor"},
		"journal damaged": {func(in *status.Input) { in.Unknown = unread(status.AreaJournal, cofre.ErrFindings) }, "status.unread_journal", status.AtRisk, "cofre doctor"},
		"journal unread":  {func(in *status.Input) { in.Unknown = unread(status.AreaJournal, cofre.ErrUnreachable) }, "status.unread_journal", status.Unclear, "cofre doctor"},
	} {
		in := well()
		c.breaks(&in)
		s := status.Of(in)
		i := slices.IndexFunc(s.Findings, func(f status.Finding) bool { return f.Messages[0].Code == c.code })
		if i < 0 {
			t.Errorf("%s: no %s among %+v", name, c.code, s.Findings)
			continue
		}
		if f := s.Findings[i]; f.Verdict != c.verdict || !strings.Contains(f.Next, c.next) || s.Verdict != status.Worst(s.Verdict, c.verdict) || s.Verdict.Err() == nil {
			t.Errorf("%s: %s of %s: %s, next %q", name, f.Verdict, s.Verdict, f.What, f.Next)
		}
	}
}

func damage(points ...cofre.PointID) map[cofre.PointID][]cofre.Finding {
	m := map[cofre.PointID][]cofre.Finding{}
	for _, p := range points {
		m[p] = []cofre.Finding{{Kind: cofre.KindDatabase, Name: "app"}}
	}
	return m
}

func missing(id cofre.PointID, ago time.Duration) cofre.RecoveryPoint {
	p := point(id, ago)
	p.Findings = []cofre.Finding{{Check: cofre.CheckSource, Kind: cofre.KindDatabase, Object: "app", What: "not captured"}}
	return p
}

func frozen(ago time.Duration) *retention.Plan {
	return &retention.Plan{Sources: []retention.Source{{ID: database, Frozen: &retention.Frozen{Since: now.Add(-ago), Reason: cofre.Say("retention.failing", "its captures fail")}}}}
}

// busy is thirty days of which each adds twice 20 MiB.
func busy() (points []cofre.RecoveryPoint) {
	for d := range 60 {
		p := point(cofre.PointID(rune('a'+d)), time.Duration(59-d)*12*time.Hour+10*time.Hour, database)
		p.Components[0].Stored = 20 << 20
		points = append(points, p)
	}
	return points
}

func unread(area status.Area, err error) []status.Unknown {
	return []status.Unknown{{Area: area, Err: err}}
}

func TestWALReachesFurtherThanBaseBackups(t *testing.T) {
	in := well()
	in.RPO = time.Hour
	in.Sources = []status.Configured{{ID: database, Within: cluster}, {ID: cluster, Archives: true}}
	in.Points = []cofre.RecoveryPoint{point("b", 48*time.Hour, database, cluster)}
	in.WAL = []status.Archived{{Status: wal.Status{Windows: []recovery.Window{
		{Timeline: 1, FromAt: now.Add(-47 * time.Hour)}, {Timeline: 2, FromAt: now.Add(-30 * time.Hour)},
	}}, StoredAt: []time.Time{now.Add(-time.Minute), now.Add(-20 * time.Minute)}}}
	s := status.Of(in)
	of := s.Sources[1]
	if !of.EveryMoment || of.RPO != 20*time.Minute || !of.From.Equal(now.Add(-30*time.Hour)) {
		t.Errorf("%+v", of)
	}
	if s.Verdict != status.OK || !s.Sources[0].Met {
		t.Errorf("the cluster brings the database back as well: %+v", s.Findings)
	}
	in.Archiver = &archiving.Archiver{Mode: "on", Command: "x", Oldest: now.Add(-3 * time.Hour), Waiting: 2, Now: now, ArchiveAt: now}
	if of := status.Of(in).Sources[1]; of.RPO != 3*time.Hour || of.Met {
		t.Errorf("what is archived late is old: %+v", of)
	}
}

func TestProofsOfTheJournal(t *testing.T) {
	in := well()
	in.History = &status.History{Installation: "tl"}
	take := func(at time.Time, facts any) {
		text, _ := json.Marshal(facts)
		in.History.Take(journal.Numbered{Entry: journal.New(journal.Body{Event: journal.EventVerified, At: at, Facts: text})})
	}
	take(now.Add(-time.Hour), map[string]any{"level_reached": "content", "findings": 0, "coverage": map[string]any{"window_s": 86400, "bytes": 200, "proven_bytes": 150}})
	s := status.Of(in)
	if of := s.Sources[0]; of.Level != cofre.LevelContent || !of.LevelAt.Equal(now.Add(-time.Hour)) || s.Coverage.Share != 0.75 || s.Coverage.Window != 24*time.Hour {
		t.Errorf("%+v, %+v", of, s.Coverage)
	}
	in.History.Take(journal.Numbered{Entry: journal.New(journal.Body{Event: journal.EventPublished, At: now, Installation: "other", Point: "c"})})
	if s := status.Of(in); s.Coverage.Newer != 1 {
		t.Errorf("a point that nobody has read since counts as read: %+v", s.Coverage)
	}
	take(now, map[string]any{"level_reached": "structure", "continued": true, "components": []any{map[string]any{"point": "b", "root": "b", "level": "drill", "at": now}}})
	if of := status.Of(in).Sources[0]; of.Level != cofre.LevelDrill {
		t.Errorf("%+v", of)
	}
}

func TestAFailureThatWasMadeGoodIsNone(t *testing.T) {
	in := well()
	failed, _ := json.Marshal(runs.FailedFacts{Kind: cofre.RunBackup})
	in.History = &status.History{Installation: "tl"}
	for i, b := range []journal.Body{
		{Event: journal.EventFailed, Run: "r", At: now.Add(-11 * time.Hour), Code: cofre.CodeUnreachable, Facts: failed},
		{Event: journal.EventPublished, Run: "s", At: now.Add(-10 * time.Hour), Point: "b"},
		{Event: journal.EventFailed, Run: "t", At: now.Add(-time.Hour), Code: cofre.CodeInterrupted, Facts: failed},
	} {
		b.Installation = "tl"
		in.History.Take(journal.Numbered{Number: int64(i), Entry: journal.New(b)})
	}
	if s := status.Of(in); s.Verdict != status.OK || s.LastFailure != nil || s.LastRun.ID != "s" {
		t.Errorf("%+v, %+v", s.Findings, s.LastRun)
	}
}

// One failed backup is one thing to act on, also if it holds retention up, until that has lasted.
func TestAFailedBackupIsFoundOnce(t *testing.T) {
	for ago, want := range map[time.Duration]int{time.Hour: 1, 99 * time.Hour: 2} {
		in := well()
		in.Points = append(in.Points, missing("c", time.Hour))
		in.Retention = frozen(ago)
		if s := status.Of(in); len(s.Findings) != want {
			t.Errorf("%s: %+v", ago, s.Findings)
		}
	}
}

// A backup of one source says nothing of another that failed.
func TestAFailureIsMadeGoodByItsOwnSource(t *testing.T) {
	in := well()
	in.History = &status.History{Installation: "tl"}
	failed, _ := json.Marshal(runs.FailedFacts{Kind: cofre.RunBackup, What: "database"})
	take := func(b journal.Body) {
		b.Installation = "tl"
		in.History.Take(journal.Numbered{Entry: journal.New(b)})
	}
	take(journal.Body{Event: journal.EventFailed, Run: "r", At: now.Add(-2 * time.Hour), Code: cofre.CodeUnreachable, Facts: failed})
	take(journal.Body{Event: journal.EventPublished, Run: "s", At: now.Add(-time.Hour), Facts: json.RawMessage(`{"components":[{"kind":"config"}]}`)})
	if s := status.Of(in); s.Verdict != status.Attention || s.LastFailure == nil || s.LastFailure.ID != "r" || s.Sources[0].Failure == nil {
		t.Errorf("%+v", s)
	}
	take(journal.Body{Event: journal.EventPublished, Run: "t", At: now, Facts: json.RawMessage(`{"components":[{"kind":"database"}]}`)})
	if s := status.Of(in); s.Verdict != status.OK || s.LastFailure != nil {
		t.Errorf("%+v", s)
	}
}

// What failed last of all hides no failure of another source: each is said, and each until its own source is captured.
func TestEachSourceThatFailsIsSaid(t *testing.T) {
	in := well()
	in.Sources = append(in.Sources, status.Configured{ID: cofre.SourceID{Installation: "tl", Kind: cofre.KindConfig, Name: "config"}})
	in.History = &status.History{Installation: "tl"}
	take := func(b journal.Body) {
		b.Installation = "tl"
		in.History.Take(journal.Numbered{Entry: journal.New(b)})
	}
	failed := func(what string) json.RawMessage {
		text, _ := json.Marshal(runs.FailedFacts{Kind: cofre.RunBackup, What: what})
		return text
	}
	failures := func() (ids []cofre.RunID, found int) {
		s := status.Of(in)
		for _, of := range s.Sources {
			if of.Failure != nil {
				ids = append(ids, of.Failure.Run)
			}
		}
		for _, f := range s.Findings {
			if f.Condition == status.ConditionFailure {
				found++
			}
		}
		return ids, found
	}
	take(journal.Body{Event: journal.EventFailed, Run: "r", At: now.Add(-2 * time.Minute), Code: cofre.CodeUnreachable, Facts: failed("database")})
	take(journal.Body{Event: journal.EventFailed, Run: "s", At: now.Add(-time.Minute), Code: cofre.CodeError, Facts: failed("config")})
	if ids, found := failures(); !slices.Equal(ids, []cofre.RunID{"r", "s"}) || found != 2 {
		t.Errorf("failed: %q, %d findings", ids, found)
	}
	take(journal.Body{Event: journal.EventPublished, Run: "t", At: now, Facts: json.RawMessage(`{"components":[{"kind":"config"}]}`)})
	if ids, found := failures(); !slices.Equal(ids, []cofre.RunID{"r"}) || found != 1 {
		t.Errorf("still failed: %q, %d findings", ids, found)
	}
	// One run that was of both is one thing to act on.
	take(journal.Body{Event: journal.EventFailed, Run: "u", At: now.Add(time.Second), Code: cofre.CodeError, Facts: failed("")})
	if ids, found := failures(); !slices.Equal(ids, []cofre.RunID{"u", "u"}) || found != 1 {
		t.Errorf("failed at once: %q, %d findings", ids, found)
	}
}

// What was found by reading is not gone because somebody looked without reading.
func TestFindingsStayUntilSomebodyReadsAgain(t *testing.T) {
	in := well()
	in.History = &status.History{Installation: "tl"}
	take := func(asked cofre.Level, findings int) status.Verdict {
		facts, _ := json.Marshal(map[string]any{"level_asked": asked, "level_reached": "structure", "findings": findings})
		in.History.Take(journal.Numbered{Entry: journal.New(journal.Body{Event: journal.EventVerified, At: now, Facts: facts})})
		return status.Of(in).Verdict
	}
	for i, c := range []struct {
		asked    cofre.Level
		findings int
		verdict  status.Verdict
	}{{"structure", 1, status.AtRisk}, {"structure", 0, status.OK}, {"content", 2, status.AtRisk}, {"structure", 0, status.AtRisk}, {"structure", 1, status.AtRisk}, {"structure", 0, status.AtRisk}, {"content", 0, status.OK}} {
		if got := take(c.asked, c.findings); got != c.verdict {
			t.Errorf("%d: %s", i, got)
		}
	}
}

// A clock that ran ahead hides nothing.
func TestAMomentThatIsYetToCome(t *testing.T) {
	in := well()
	in.RPO = time.Hour
	in.Points = append(in.Points, point("c", -48*time.Hour, database))
	if of := status.Of(in).Sources[0]; of.RPO != 10*time.Hour || of.Met || of.Restorable != 3 {
		t.Errorf("%+v", of)
	}
	in.Points = in.Points[2:]
	if s := status.Of(in); s.Verdict != status.Unclear || s.Sources[0].Met {
		t.Errorf("%+v", s)
	}
}

// What is behind a gap, and what a system left behind, is not every moment, and not how old the newest is.
func TestEveryMomentIsEveryOne(t *testing.T) {
	in := well()
	in.Sources = []status.Configured{{ID: cluster, Archives: true}}
	in.Points = []cofre.RecoveryPoint{point("b", 48*time.Hour, cluster)}
	in.WAL = []status.Archived{
		{Former: true, Status: wal.Status{Windows: []recovery.Window{{Timeline: 7, FromAt: now.Add(-90 * time.Hour), To: 900}}}, StoredAt: []time.Time{now}},
		{Status: wal.Status{Windows: []recovery.Window{{Timeline: 1, FromAt: now.Add(-47 * time.Hour), To: 100, Gap: &cofre.GapError{}}, {Timeline: 1, FromAt: now.Add(-9 * time.Hour), To: 200}}}, StoredAt: []time.Time{now, now.Add(-time.Hour)}},
	}
	if of := status.Of(in).Sources[0]; !of.EveryMoment || !of.From.Equal(now.Add(-9*time.Hour)) || of.RPO != time.Hour {
		t.Errorf("%+v", of)
	}
}

// Whatever the input: the verdict is the worst of the findings, nothing unknown is called good, each finding has something to do next, and what was lost never shrinks
// a doubt.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := well()
		in.RPO = time.Duration(rapid.IntRange(0, 48).Draw(rt, "rpo")) * time.Hour
		in.Points = nil
		for i := range rapid.IntRange(0, 6).Draw(rt, "points") {
			p := point(cofre.PointID(rune('a'+i)), time.Duration(rapid.IntRange(-5, 90).Draw(rt, "ago"))*time.Hour, database)
			p.Components[0].Partial = rapid.Bool().Draw(rt, "partial")
			p.Components[0].Stored = rapid.Int64Range(0, 1<<50).Draw(rt, "stored")
			in.Points = append(in.Points, p)
		}
		slices.SortFunc(in.Points, func(a, b cofre.RecoveryPoint) int { return a.StartedAt.Compare(b.StartedAt) })
		in.Repository.Free = rapid.Int64Range(-1, 1<<50).Draw(rt, "free")
		for _, area := range []status.Area{status.AreaRepository, status.AreaCatalog, status.AreaJournal, status.AreaWAL, status.AreaServer, status.AreaSpace, status.AreaSize} {
			if rapid.IntRange(0, 4).Draw(rt, "unknown") == 0 {
				in.Unknown = append(in.Unknown, status.Unknown{Area: area, Err: errors.New("down")})
			}
		}
		s := status.Of(in)
		worst := status.OK
		for _, f := range s.Findings {
			worst = status.Worst(worst, f.Verdict)
			if f.What == "" || f.Next == "" || !slices.Contains(status.Conditions, f.Condition) || len(f.Messages) != 2 {
				rt.Errorf("a finding that says nothing, or nothing to do: %+v", f)
			}
		}
		if s.Verdict != worst || (len(in.Unknown) > 0 && s.Verdict == status.OK) || (s.Verdict == status.OK) != (s.Verdict.Err() == nil) {
			rt.Errorf("verdict %s of %+v", s.Verdict, s.Findings)
		}
		blind := slices.ContainsFunc(in.Unknown, func(u status.Unknown) bool { return u.Area == status.AreaRepository || u.Area == status.AreaCatalog })
		if of := s.Sources[0]; blind && (of.Restorable > 0 || !of.To.IsZero() || of.Verdict == status.OK) || of.RPO < 0 || of.Restorable == 0 && !of.To.IsZero() {
			rt.Errorf("%+v", of)
		}
		if s.Repository.FullIn < 0 {
			rt.Errorf("full in %s", s.Repository.FullIn)
		}
		in.Damage = damage("a", "b", "c", "d", "e", "f")
		if after := status.Of(in); !blind && (after.Sources[0].Restorable != 0 || len(in.Points) > 0 && after.Verdict != status.AtRisk) {
			rt.Errorf("all is damaged, and %d are restorable: %s", after.Sources[0].Restorable, after.Verdict)
		}
	})
}

// What a rule or a page goes by beside the verdict.
func TestFactsBesideTheVerdict(t *testing.T) {
	in := well()
	in.RPO, in.RTO, in.Window = time.Hour, 4*time.Hour, 7*24*time.Hour
	in.Sources[0].Within = cluster
	in.Sources = append(in.Sources, status.Configured{ID: cluster, Archives: true})
	in.Holds = []cofre.Hold{{ID: "ended", Until: now.Add(-time.Hour)}, {ID: "for ever"}, {ID: "later", Until: now.Add(48 * time.Hour)}, {ID: "soon", Until: now.Add(time.Hour)}}
	in.Gone = []cofre.PointID{"x", "y"}
	in.WAL = []status.Archived{
		{Status: wal.Status{Repositories: []wal.Holding{{URL: "/former", Missing: make([]wal.Span, 9)}}}, Former: true},
		{Status: wal.Status{Repositories: []wal.Holding{{URL: "/a"}, {URL: "/b", Missing: make([]wal.Span, 1)}}}},
		{Status: wal.Status{Repositories: []wal.Holding{{URL: "/a"}, {URL: "/b", Missing: make([]wal.Span, 2), Err: errors.New("away")}}}},
	}
	s := status.Of(in)
	if s.Holds != 3 || !s.HoldEnds.Equal(now.Add(time.Hour)) || s.Gone != 2 || s.RTO != 4*time.Hour || s.Window != in.Window {
		t.Errorf("holds %d until %s, gone %d, RTO %s, window %s", s.Holds, s.HoldEnds, s.Gone, s.RTO, s.Window)
	}
	if of := s.Sources[0]; of.Within != cluster || of.Interval != 24*time.Hour || !of.Met {
		t.Errorf("within %v, interval %s, met %t", of.Within, of.Interval, of.Met)
	}
	if !s.Unread.Equal(in.Points[0].PublishedAt) {
		t.Errorf("unread since %s", s.Unread)
	}
	if len(s.WAL) != 2 || s.WAL[1].URL != "/b" || len(s.WAL[1].Missing) != 3 || s.WAL[1].Err == nil {
		t.Errorf("%+v", s.WAL)
	}
}
