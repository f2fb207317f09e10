package agent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/agent"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/notify"
	"github.com/trustlayer/cofre/status"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// repo is a repository in memory, which several agents may share: its journal, and its leases.
type repo struct {
	mu      sync.Mutex
	entries []journal.Numbered
	held    map[string]bool
	down    bool
}

func (r *repo) add(b journal.Body, facts any) {
	b.Facts, _ = json.Marshal(facts)
	b.At, b.Installation = time.Now(), "t"
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries = append(r.entries, journal.Numbered{Number: int64(len(r.entries)), Entry: journal.Entry{Body: b}})
}

func (r *repo) runs() []runs.Run {
	r.mu.Lock()
	defer r.mu.Unlock()
	var h runs.History
	for _, e := range r.entries {
		h.Take(e)
	}
	return h.Runs(runs.Want{})
}

// done are the runs of a job that did their work.
func (r *repo) done(kind cofre.RunKind, of cofre.Kind) (all []time.Time) {
	for _, run := range r.runs() {
		if run.Kind == kind && run.State == runs.StateDone && (of == "" || slices.Contains(run.Captured(), of)) {
			all = append(all, run.BeganAt)
		}
	}
	return all
}

// hands are those of one agent. What they do takes a minute.
type hands struct {
	*repo
	fails  func(ctx context.Context, j agent.Job) error // nil never
	killed bool                                         // nothing is written any more
	stream func(ctx context.Context) error
	beats  int
	looks  int // at the status
}

func (h *hands) Runs(ctx context.Context) ([]runs.Run, error) {
	if h.down {
		return nil, fmt.Errorf("read: %w", cofre.ErrUnreachable)
	}
	return h.runs(), ctx.Err()
}

func (h *hands) Alone(ctx context.Context, j agent.Job) (context.Context, func(), error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held[j.Name] {
		return nil, nil, fmt.Errorf("lease: %w", cofre.ErrLocked)
	}
	h.held[j.Name] = true
	return ctx, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.held[j.Name] = false
	}, nil
}

func (h *hands) Do(ctx context.Context, j agent.Job, o cofre.Observer) error {
	b := journal.Body{Run: cofre.NewRunID(time.Now())}
	o.Observe(cofre.Event{Run: b.Run, Type: "run_began", Fact: cofre.RunBegan{Kind: j.Kind}})
	var err error
	if h.fails != nil {
		err = h.fails(ctx, j)
	}
	if err == nil {
		select {
		case <-time.After(time.Minute):
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if h.killed {
		return err
	}
	if j.Kind == cofre.RunDrill && (err == nil || errors.Is(err, cofre.ErrFindings)) {
		b.Event, b.Code = journal.EventDrilled, cofre.CodeOf(err)
		f := journal.DrilledFacts{What: string(j.Of.Kind), BeganAt: time.Now(), Kind: j.Of.Kind, Depth: cofre.DrilledEverything}
		if err != nil {
			f.Differ, f.Findings = 1, 1
		}
		b.Point = "20260101T000000Z-aaaa"
		h.add(b, f)
		return err
	}
	if err != nil {
		b.Event, b.Code = journal.EventFailed, cofre.CodeOf(err)
		h.add(b, runs.FailedFacts{Kind: j.Kind, What: string(j.Of.Kind)})
		return err
	}
	switch j.Kind {
	case cofre.RunBackup:
		b.Event, b.Point = journal.EventPublished, cofre.PointID("p-"+b.Run)
		h.add(b, map[string]any{"what": j.Of.Kind, "components": []map[string]any{{"kind": j.Of.Kind}}})
	case cofre.RunExpire:
		b.Event = journal.EventExpired
		h.add(b, map[string]any{})
	case cofre.RunPrune:
		b.Event = journal.EventPruned
		h.add(b, map[string]any{})
	case cofre.RunVerify:
		b.Event = journal.EventVerified
		h.add(b, map[string]any{"level_asked": "content"})
	}
	return nil
}

func (h *hands) Stream(ctx context.Context, _ cofre.Observer) error { return h.stream(ctx) }
func (h *hands) Heartbeat(context.Context) error                    { h.beats++; return nil }

func (h *hands) Status(context.Context) (*status.Status, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.looks++
	if h.down {
		return nil, cofre.ErrUnreachable
	}
	past := &status.History{Installation: "t"}
	for _, e := range h.entries {
		past.Take(e)
	}
	s := status.Of(status.Input{Now: time.Now(), Installation: "t", History: past, Sources: []status.Configured{{ID: cofre.SourceID{Installation: "t", Kind: cofre.KindDatabase, Name: "d"}}}})
	s.Verdict, s.Sources = status.OK, nil
	s.Findings = slices.DeleteFunc(s.Findings, func(f status.Finding) bool { return f.Condition != status.ConditionDrill }) // of the rest this knows nothing
	return s, nil
}

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cofre.yaml")
	if err := os.WriteFile(path, []byte("name: t\ntimezone: UTC\nrepository: {url: /nowhere, password: env:PW}\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

const two = `database: {url: "postgres://u@h/d", schedule: "0 2 * * *", window: 2h}
storage: {folder: {path: /objects}, schedule: "0 */6 * * *"}
`

// told collects what an agent says.
type told struct {
	mu   sync.Mutex
	text []string
	by   map[string]int
}

func (o *told) Observe(e cofre.Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by == nil {
		o.by = map[string]int{}
	}
	for _, m := range e.Messages {
		o.by[string(m.Code)]++
	}
	if e.Text != "" {
		o.text = append(o.text, time.Now().UTC().Format("01-02 15:04 ")+e.Text)
	}
}

func (o *told) times(code string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.by[code]
}

func (o *told) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.text, "\n")
}

// serve runs an agent for a time, from now on.
func serve(t *testing.T, h *hands, text string, span time.Duration) *told {
	t.Helper()
	said := &told{}
	cfg := load(t, text)
	err := agent.Run(t.Context(), agent.Options{
		Load: func() (*config.Config, error) { return cfg, nil }, With: func(*config.Config, cofre.Observer) agent.Hands { return h }, For: span, Observer: said,
	})
	if err != nil {
		t.Error(err)
	}
	return said
}

func newRepo() *repo { return &repo{held: map[string]bool{}} }

const day = 24 * time.Hour

// A month, with a stop of five days in it. The bubble's clock begins on 1 January 2000, 00:00 UTC.
func TestAMonthWithAStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{repo: newRepo()}
		serve(t, h, two, 10*day+time.Hour)
		time.Sleep(5 * day)
		said := serve(t, h, two, 15*day)
		// The first at once, since there was none; then each night but five, which are made good by one.
		if got := h.done(cofre.RunBackup, cofre.KindDatabase); len(got) != 1+10+1+15 {
			t.Errorf("%d backups of the database: %v", len(got), got)
		}
		if got := h.done(cofre.RunBackup, cofre.KindStorage); len(got) != 41+1+60 {
			t.Errorf("%d backups of the storage", len(got))
		}
		for _, kind := range []cofre.RunKind{cofre.RunExpire, cofre.RunPrune, cofre.RunVerify} {
			if got := h.done(kind, ""); len(got) != 10+1+15 {
				t.Errorf("%s ran %d times: %v", kind, len(got), got)
			}
		}
		if n := said.times("agent.caught_up"); n != 5 {
			t.Errorf("%d jobs were caught up:\n%s", n, said)
		}
	})
}

// A source that cannot be reached is tried again and again, and delays nothing of the other.
func TestOneSourceThatFailsDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{repo: newRepo(), fails: func(_ context.Context, j agent.Job) error {
			if j.Of.Kind == cofre.KindDatabase {
				time.Sleep(30 * time.Second)
				return fmt.Errorf("dump: %w", cofre.ErrUnreachable)
			}
			return nil
		}}
		said := serve(t, h, two, 3*day)
		if got := h.done(cofre.RunBackup, cofre.KindStorage); len(got) != 12 {
			t.Errorf("%d backups of the storage: %v", len(got), got)
		}
		failed := 0
		for _, r := range h.runs() {
			if r.Failed() {
				failed++
			}
		}
		// 1, 2, 4, 8, 16, 32, 60, 60, … minutes apart, from each 02:00 anew.
		if failed < 80 || failed > 100 || failed-said.times("agent.failed") > 1 { // the last may have failed when the agent had stopped
			t.Errorf("it failed %d times, and was said %d times", failed, said.times("agent.failed"))
		}
	})
}

// A source that hangs for ever is ended at its limit, and told; one that does not even end then is told as well, and delays no other.
func TestASourceThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := &hands{repo: newRepo(), fails: func(ctx context.Context, j agent.Job) error {
			if j.Of.Kind != cofre.KindDatabase {
				return nil
			}
			if len(j.Of.Name) > 1 { // nothing ends it
				<-release
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}}
		limited := two + "serve: {limit: 3h}\n"
		said := serve(t, h, limited, 12*time.Hour)
		if n := said.times("agent.failed"); n < 2 || n > 4 || said.times("agent.overrun") != 1 {
			t.Errorf("it failed %d times:\n%s", n, said)
		}
		if !strings.Contains(said.String(), "longer than serve.limit") {
			t.Error(said)
		}
		time.AfterFunc(20*time.Hour, func() { close(release) })
		said = serve(t, h, strings.Replace(limited, "u@h/d", "u@h/deaf", 1), 30*time.Hour)
		if said.times("agent.hangs") != 1 {
			t.Errorf("%s", said)
		}
		if got := h.done(cofre.RunBackup, cofre.KindStorage); len(got) < 7 {
			t.Errorf("%d backups of the storage: %v", len(got), got)
		}
	})
}

func TestAnOverrunIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{repo: newRepo()}
		serve(t, h, two, time.Hour)
		h.fails = func(ctx context.Context, j agent.Job) error {
			if j.Of.Kind == cofre.KindDatabase {
				time.Sleep(5 * time.Hour)
			}
			return nil
		}
		said := serve(t, h, two, 12*time.Hour)
		if said.times("agent.overrun") != 1 || !strings.Contains(said.String(), "01-01 04:00") {
			t.Errorf("%s", said)
		}
		if got := h.done(cofre.RunBackup, cofre.KindDatabase); len(got) != 2 {
			t.Errorf("%v", got)
		}
	})
}

// Two agents on one repository do each run once between them, also if one is killed in the middle of a run.
func TestTwoAgents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRepo()
		first, second := &hands{repo: r}, &hands{repo: r}
		var all sync.WaitGroup
		all.Go(func() { serve(t, first, two, 5*day+2*time.Hour+30*time.Second); first.killed = true })
		all.Go(func() { serve(t, second, two, 10*day) })
		all.Wait()
		for kind, want := range map[cofre.Kind]int{cofre.KindDatabase: 11, cofre.KindStorage: 40} {
			if got := r.done(cofre.RunBackup, kind); len(got) != want {
				t.Errorf("%d backups of %s: %v", len(got), kind, got)
			}
		}
		if got := r.done(cofre.RunVerify, ""); len(got) != 10 {
			t.Errorf("verified %d times", len(got))
		}
	})
}

// Stopped in the middle of a run, the journal says so, and the next agent begins it again at once.
func TestAStopInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{repo: newRepo()}
		serve(t, h, two, 30*time.Second)
		if all := h.runs(); len(all) != 2 || all[0].Code != cofre.CodeInterrupted || all[1].Code != cofre.CodeInterrupted {
			t.Errorf("%+v", all)
		}
		serve(t, h, two, 3*time.Minute)
		if d, s := h.done(cofre.RunBackup, cofre.KindDatabase), h.done(cofre.RunBackup, cofre.KindStorage); len(d) != 1 || len(s) != 1 {
			t.Errorf("%v %v", d, s)
		}
	})
}

// What was ended says that a context was cancelled, and may not say why: it has not failed.
func TestWhatIsStoppedHasNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{repo: newRepo(), fails: func(ctx context.Context, _ agent.Job) error {
			<-ctx.Done()
			return fmt.Errorf("lock the tables: %w", ctx.Err())
		}}
		if said := serve(t, h, two, 30*time.Second); said.times("agent.failed") > 0 {
			t.Errorf("%s", said)
		}
	})
}

func TestWhatDoesNotEndIsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h := &hands{repo: newRepo(), killed: true, fails: func(context.Context, agent.Job) error { <-release; return nil }}
		cfg := load(t, two)
		began := time.Now()
		err := agent.Run(t.Context(), agent.Options{Load: func() (*config.Config, error) { return cfg, nil }, With: func(*config.Config, cofre.Observer) agent.Hands { return h }, For: time.Minute})
		if err == nil || !strings.Contains(err.Error(), "backup database, backup storage") || time.Since(began) != time.Minute+agent.StopBound {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		close(release)
		synctest.Wait()
	})
}

// A repository that is down for an hour: nothing is begun before it was read once; afterwards what fails is tried again.
func TestARepositoryThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hands{repo: newRepo()}
		h.down = true
		time.AfterFunc(time.Hour, func() { h.down = false })
		said := serve(t, h, two, 3*time.Hour)
		if d := h.done(cofre.RunBackup, cofre.KindDatabase); len(d) != 2 || d[0].Before(time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)) {
			t.Errorf("%v\n%s", d, said)
		}
		if n := said.times("agent.unread"); n < 60 || n > 130 {
			t.Errorf("said %d times", n)
		}
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, said, reload := &hands{repo: newRepo()}, &told{}, make(chan struct{})
		configs := []any{load(t, two), load(t, two), errors.New("line 3 is wrong"), load(t, strings.Replace(two, "0 2 * * *", "0 * * * *", 1))}
		go func() {
			for range 3 {
				time.Sleep(10 * time.Minute)
				reload <- struct{}{}
			}
		}()
		err := agent.Run(t.Context(), agent.Options{
			Load: func() (*config.Config, error) {
				next := configs[0]
				configs = configs[1:]
				cfg, _ := next.(*config.Config)
				err, _ := next.(error)
				return cfg, err
			},
			Reload: reload, For: 5*time.Hour + 30*time.Minute, Observer: said, With: func(*config.Config, cofre.Observer) agent.Hands { return h },
		})
		if err != nil || said.times("agent.same") != 1 || said.times("agent.refused") != 1 || said.times("agent.reloaded") != 1 || !strings.Contains(said.String(), "changed: database.schedule;") {
			t.Errorf("%v\n%s", err, said)
		}
		if got := h.done(cofre.RunBackup, cofre.KindDatabase); len(got) != 1+5 {
			t.Errorf("%v", got)
		}
	})
}

// box keeps the titles of what people are told.
type box struct {
	mu     sync.Mutex
	titles []string
}

func (b *box) Name() string { return "box" }

func (b *box) Send(_ context.Context, l notify.Letter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.titles = append(b.titles, l.Title)
	return nil
}

// What people were told of a job that no status knows is not over because the agent reads its configuration again, or is another one.
func TestAReloadIsNoAllClear(t *testing.T) {
	const conf = two + `serve: {expire: never, prune: never, verify: "0 3 * * *"}
notify: {to: ["env:A"], digest: never, repeat: 1000h}
state_dir: `
	synctest.Test(t, func(t *testing.T) {
		h, to, state, reload := &hands{repo: newRepo()}, &box{}, t.TempDir(), make(chan struct{})
		h.fails = func(_ context.Context, j agent.Job) error {
			if j.Kind == cofre.RunVerify {
				return cofre.ErrUnreachable
			}
			return nil
		}
		first, second := load(t, conf+state), load(t, strings.Replace(conf, "0 2 * * *", "0 * * * *", 1)+state)
		run := func(d time.Duration, configs ...*config.Config) {
			t.Helper()
			err := agent.Run(t.Context(), agent.Options{
				Load:   func() (*config.Config, error) { next := configs[0]; configs = configs[1:]; return next, nil },
				Reload: reload, For: d, With: func(*config.Config, cofre.Observer) agent.Hands { return h },
				Recipient: func(notify.Recipient) (notify.Service, error) { return to, nil },
			})
			if err != nil {
				t.Error(err)
			}
		}
		go func() { time.Sleep(30 * time.Hour); reload <- struct{}{} }()
		run(40*time.Hour, first, second)
		run(2*time.Hour, second)
		if len(to.titles) != 1 || !strings.Contains(to.titles[0], "verify failed") {
			t.Errorf("told %q", to.titles)
		}
		h.fails = nil
		run(48*time.Hour, second)
		if len(to.titles) != 2 || !strings.Contains(to.titles[1], "well again: verify failed") {
			t.Errorf("told %q", to.titles)
		}
	})
}

// A drill that is red did its work, and is not tried again before its time; it is told once, by what the status says, and that another is not is told, too.
func TestADrillThatIsRedIsTold(t *testing.T) {
	const conf = two + `serve: {expire: never, prune: never, verify: never, drill: "0 3 * * 0"}
notify: {to: ["env:A"], digest: never, repeat: 1000h}
state_dir: `
	synctest.Test(t, func(t *testing.T) {
		h, to, cfg := &hands{repo: newRepo()}, &box{}, load(t, conf+t.TempDir())
		drills, red := 0, 1
		h.fails = func(_ context.Context, j agent.Job) error {
			if j.Kind != cofre.RunDrill || j.Of.Kind != cofre.KindDatabase {
				return nil
			}
			if drills++; drills == red {
				return cofre.ErrFindings
			}
			return nil
		}
		run := func(d time.Duration) {
			t.Helper()
			err := agent.Run(t.Context(), agent.Options{
				Load: func() (*config.Config, error) { return cfg, nil }, For: d, With: func(*config.Config, cofre.Observer) agent.Hands { return h },
				Recipient: func(notify.Recipient) (notify.Service, error) { return to, nil },
			})
			if err != nil {
				t.Error(err)
			}
		}
		run(8 * 24 * time.Hour)
		if drills != 1 || len(to.titles) != 1 || !strings.Contains(to.titles[0], "is red") {
			t.Errorf("%d drills, told %q", drills, to.titles)
		}
		run(2 * time.Hour) // another agent, which has read of it
		if len(to.titles) != 1 {
			t.Errorf("told %q", to.titles)
		}
		run(7 * 24 * time.Hour)
		if drills != 2 || len(to.titles) != 2 || !strings.Contains(to.titles[1], "is red") {
			t.Errorf("%d drills, told %q", drills, to.titles)
		}
	})
}

// A stream that fails is begun again, and the server commits now and then.
func TestTheStreamIsSupervised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var began []time.Duration
		start := time.Now()
		h := &hands{repo: newRepo(), stream: func(ctx context.Context) error {
			began = append(began, time.Since(start)/time.Second)
			if len(began) < 10 {
				return errors.New("the server is gone")
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}}
		said := serve(t, h, "cluster: {url: 'postgres://u@h/d', wal: stream}\nobjectives: {rpo: 1h}\n", 61*time.Minute)
		if want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183, 243}; !slices.Equal(began, want) {
			t.Errorf("%v", began)
		}
		if said.times("agent.stream") != 9 || h.beats != 4 {
			t.Errorf("%d beats\n%s", h.beats, said)
		}
	})
}

// Ready is who knows what ran, whatever fails then.
func TestLiveAndReady(t *testing.T) {
	h := &hands{repo: newRepo(), fails: func(context.Context, agent.Job) error { return errors.New("everything fails") }}
	blocked, cfg := make(chan struct{}), load(t, two)
	at := make(chan net.Addr, 1)
	ctx, stop := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		err := agent.Run(ctx, agent.Options{
			Load: func() (*config.Config, error) { return cfg, nil }, Listen: "127.0.0.1:0", Listening: func(a net.Addr) { at <- a },
			With: func(*config.Config, cofre.Observer) agent.Hands { return &blockedHands{h, blocked} },
		})
		if err != nil {
			t.Error(err)
		}
	})
	address := (<-at).String()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, string) {
		r, err := client.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
		return r.StatusCode, string(b)
	}
	if code, _ := get("/livez"); code != 200 {
		t.Errorf("/livez: %d", code)
	}
	if code, text := get("/readyz"); code != 503 || !strings.Contains(text, "not read yet") {
		t.Errorf("/readyz: %d %s", code, text)
	}
	close(blocked)
	for code := 0; code != 200; code, _ = get("/readyz") {
	}
	// What is said is not looked at each time, but again when something has ended.
	for range 20 {
		if _, text := get("/metrics"); !strings.Contains(text, "cofre_status_known 1") || !strings.Contains(text, `cofre_expected_interval_seconds{task="backup storage"} 21600`) {
			t.Error(text)
		}
	}
	// Whoever is there is named.
	err := agent.Run(ctx, agent.Options{Load: func() (*config.Config, error) { return cfg, nil }, Listen: address})
	if err == nil || !strings.Contains(cofre.Hint(err), "--listen") {
		t.Errorf("a second agent at one address: %v", err)
	}
	stop()
	ended.Wait()
	if h.looks == 0 || h.looks > 2 {
		t.Errorf("looked %d times", h.looks)
	}
}

type blockedHands struct {
	*hands
	until chan struct{}
}

func (h *blockedHands) Runs(ctx context.Context) ([]runs.Run, error) {
	<-h.until
	return h.hands.Runs(ctx)
}
