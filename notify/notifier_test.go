package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/notify"
	"github.com/trustlayer/cofre/status"
)

// sink is a service that keeps what it is given.
type sink struct {
	mu      sync.Mutex
	letters []notify.Letter
	at      []time.Time
	down    error
	hangs   bool
	slow    time.Duration // how long it takes to say that it has a message
}

func (s *sink) Name() string { return "sink" }

func (s *sink) Send(ctx context.Context, l notify.Letter) error {
	s.mu.Lock()
	down, hangs := s.down, s.hangs
	s.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if down != nil {
		return down
	}
	s.mu.Lock()
	s.letters, s.at = append(s.letters, l), append(s.at, time.Now())
	slow := s.slow
	s.mu.Unlock()
	select {
	case <-time.After(slow):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sink) titles() (all []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.letters {
		all = append(all, l.Title)
	}
	return all
}

func (s *sink) set(down error, hangs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.hangs = down, hangs
}

// office is an installation, and those who are told of it.
type office struct {
	t     *testing.T
	cfg   *config.Config
	sinks []*sink
	ahead time.Duration // how far the clock of the machine is
	waits bool          // for what is known of jobs

	mu  sync.Mutex
	s   status.Status
	err error
}

func newOffice(t *testing.T, notifyKey string, sinks int) *office {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "cofre.yaml")
	if err := os.WriteFile(path, []byte("name: tl\ntimezone: America/Sao_Paulo\nlanguage: en\nrepository: {url: /b, password: env:PW}\nstate_dir: state\nnotify: "+notifyKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, cfg: cfg, s: status.Status{Verdict: status.OK, Checkpoint: "cofre/1 42 abc="}}
	for range sinks {
		o.sinks = append(o.sinks, &sink{})
	}
	return o
}

func (o *office) stand(change func(*status.Status)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	change(&o.s)
}

// open starts a notifier, in the bubble of the test.
func (o *office) open() (n *notify.Notifier, end func()) {
	n = notify.New(notify.Options{
		Config: o.cfg,
		Look: func(context.Context) (*status.Status, error) {
			o.mu.Lock()
			defer o.mu.Unlock()
			s := o.s
			s.At = time.Now().Add(o.ahead)
			return &s, o.err
		},
		Open: func(r notify.Recipient) (notify.Service, error) { return o.sinks[r.Number], nil },
		Say:  func(w bool, m cofre.Message) { o.t.Log(w, m.Text) },
		Now:  func() time.Time { return time.Now().Add(o.ahead) },
	})
	if !o.waits {
		n.Informed()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { n.Run(ctx); close(done) }()
	return n, func() { cancel(); <-done }
}

func (o *office) expect(i int, want ...string) {
	o.t.Helper()
	got := o.sinks[i].titles()
	ok := len(got) == len(want)
	for i := range got {
		ok = ok && strings.Contains(got[i], want[i])
	}
	if !ok {
		o.t.Errorf("%d was told:\n%s\nwant:\n%s", i, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

var database = cofre.SourceID{Installation: "tl", Kind: cofre.KindDatabase, Name: "app"}

const never = `{to: ["env:A", "env:B"], digest: never}`

// A failure is told within seconds, once, also across a restart; and its all-clear.
func TestAFailureAndItsAllClear(t *testing.T) {
	o := newOffice(t, never, 2)
	synctest.Test(t, func(t *testing.T) {
		n, end := o.open()
		time.Sleep(time.Minute)
		failed := time.Now()
		n.Failed("backup database", database, "r1", failed, cofre.CodeUnreachable, cofre.Verbatim("refused"), false)
		time.Sleep(5 * time.Second)
		o.expect(0, "backup database failed")
		if at := o.sinks[1].at[0]; at.Sub(failed) > 5*time.Second {
			t.Errorf("told after %s", at.Sub(failed))
		}
		o.stand(func(s *status.Status) {
			s.Sources = []status.Source{{ID: database, Failure: &status.Failure{At: failed, Run: "r1", Code: cofre.CodeUnreachable, Message: "refused"}}}
		})
		time.Sleep(time.Hour)
		end()
		n, end = o.open()
		n.Failed("backup database", database, "r1", failed, cofre.CodeUnreachable, cofre.Message{}, false)
		n.Failed("backup database", database, "r2", time.Now(), cofre.CodeUnreachable, cofre.Message{}, false)
		time.Sleep(time.Hour)
		o.expect(1, "backup database failed")
		n.Well("backup database", time.Now(), false)
		o.stand(func(s *status.Status) { s.Sources = nil })
		n.Look()
		time.Sleep(time.Hour)
		end()
		o.expect(0, "backup database failed", "well again")
		o.expect(1, "backup database failed", "well again")
	})
}

// A message that is under way when the notifier ends is told once: its recipient has it, and has not said so yet. One that hangs is given up.
func TestTheEndGivesUpNoMessageThatIsUnderWay(t *testing.T) {
	o := newOffice(t, never, 2)
	synctest.Test(t, func(t *testing.T) {
		o.sinks[0].slow = notify.LastWords - time.Second
		o.sinks[1].set(nil, true)
		n, end := o.open()
		time.Sleep(time.Minute)
		n.Failed("backup database", database, "r1", time.Now(), cofre.CodeUnreachable, cofre.Verbatim("refused"), true)
		for len(o.sinks[0].titles()) == 0 {
			time.Sleep(time.Millisecond)
		}
		stopped := time.Now()
		end()
		if took := time.Since(stopped); took > 2*notify.LastWords {
			t.Errorf("it ended after %s", took)
		}
		o.expect(0, "backup database failed")
		o.sinks[1].set(nil, false)
		o.waits = true
		_, end = o.open()
		time.Sleep(time.Hour)
		end()
		o.expect(0, "backup database failed")
		o.expect(1, "backup database failed")
	})
}

// A job that no status knows of is told as well, and one that goes on beyond its window.
func TestJobsThatNoStatusKnows(t *testing.T) {
	o := newOffice(t, `{to: ["env:A"], digest: never}`, 1)
	synctest.Test(t, func(*testing.T) {
		n, end := o.open()
		n.Well("verify", time.Now(), true) // nothing was wrong
		time.Sleep(time.Minute)
		n.Failed("verify", cofre.SourceID{}, "r", time.Now(), cofre.CodeError, cofre.Message{}, true)
		time.Sleep(time.Hour)
		n.Well("verify", time.Now(), true)
		time.Sleep(time.Hour)
		n.Late("backup database", database, "r", time.Now(), cofre.Verbatim("it goes on"))
		time.Sleep(time.Hour)
		n.Late("backup database", database, "r", time.Now(), cofre.Message{})
		time.Sleep(time.Hour)
		end()
		o.expect(0, "verify failed", "well again: verify failed", "it goes on", "well again")
	})
}

// What the notifier before was told of a job is not over because this one has not heard of it yet.
func TestWhatNobodyHasSaidYetIsNotOver(t *testing.T) {
	o := newOffice(t, `{to: ["env:A"], digest: never, repeat: 1000h}`, 1)
	synctest.Test(t, func(*testing.T) {
		n, end := o.open()
		n.Failed("verify", cofre.SourceID{}, "r", time.Now(), cofre.CodeError, cofre.Message{}, true)
		n.Failed("prune", cofre.SourceID{}, "s", time.Now(), cofre.CodeError, cofre.Message{}, true)
		n.Late("backup database", database, "r", time.Now(), cofre.Verbatim("it goes on"))
		time.Sleep(time.Minute)
		end()
		o.expect(0, "3 things are wrong")
		o.waits = true
		n, end = o.open()
		time.Sleep(time.Hour)
		o.expect(0, "3 things are wrong")
		n.Well("verify", time.Now(), true)
		time.Sleep(time.Hour)
		o.expect(0, "3 things are wrong", "well again: verify failed")
		n.Failed("prune", cofre.SourceID{}, "s", time.Now(), cofre.CodeError, cofre.Message{}, true)
		n.Informed()
		time.Sleep(time.Hour)
		end()
		o.expect(0, "3 things are wrong", "well again: verify failed", "well again: database app: it goes on")
	})
}

// A clock that was ahead, and is set back, holds nothing up: neither what is told, nor what is over, nor the digest.
func TestAClockThatIsSetBack(t *testing.T) {
	o := newOffice(t, `{to: ["env:A"], digest: "30 7 * * *"}`, 1)
	synctest.Test(t, func(*testing.T) {
		o.ahead = 400 * 24 * time.Hour
		n, end := o.open()
		n.Failed("verify", cofre.SourceID{}, "r", time.Now().Add(o.ahead), cofre.CodeError, cofre.Message{}, true)
		time.Sleep(time.Minute)
		o.expect(0, "verify failed")
		o.ahead = 0
		n.Well("verify", time.Now(), true)
		time.Sleep(10 * time.Minute)
		o.expect(0, "verify failed", "well again: verify failed")
		n.Failed("prune", cofre.SourceID{}, "r", time.Now(), cofre.CodeError, cofre.Message{}, true)
		time.Sleep(24 * time.Hour)
		end()
		o.expect(0, "verify failed", "well again: verify failed", "prune failed", "something is to be looked at", "prune failed")
		if text := o.sinks[0].letters[3].Text; !strings.Contains(text, "prune failed") {
			t.Error(text)
		}
	})
}

// One that hangs, and one that is down, delay no other, and are told when they are back.
func TestOneRecipientDelaysNoOther(t *testing.T) {
	o := newOffice(t, `{to: ["env:A", "env:B", "env:C"], digest: never}`, 3)
	synctest.Test(t, func(t *testing.T) {
		o.sinks[0].set(nil, true)
		o.sinks[1].set(errors.New("down"), false)
		n, end := o.open()
		time.Sleep(time.Minute)
		failed := time.Now()
		n.Failed("backup database", database, "r1", failed, cofre.CodeError, cofre.Message{}, false)
		if took := time.Since(failed); took > 0 {
			t.Errorf("it waited %s", took)
		}
		time.Sleep(5 * time.Second)
		o.expect(2, "failed")
		n.Well("backup database", time.Now(), false)
		time.Sleep(time.Minute)
		o.expect(2, "failed", "well again")
		o.sinks[0].set(nil, false)
		o.sinks[1].set(nil, false)
		time.Sleep(time.Hour)
		o.expect(0, "failed", "well again")
		o.expect(1, "failed", "well again")
		end()
	})
}

// Everything at once is one message, and recipients are told what they want alone, in their language.
func TestAStormIsOneMessage(t *testing.T) {
	o := newOffice(t, `{to: [{url: "env:A", language: pt-BR}, {url: "env:B", only: [space]}, {url: "env:C", only: [digest]}], digest: never}`, 3)
	o.s.Verdict = status.AtRisk
	for i := range 60 {
		source := cofre.SourceID{Installation: "tl", Kind: cofre.KindStorage, Name: fmt.Sprint(i)}
		o.s.Findings = append(o.s.Findings, status.Finding{Verdict: status.AtRisk, Condition: status.ConditionDamage, Source: source, What: "lost", Next: "x"})
	}
	o.s.Findings = append(o.s.Findings, status.Finding{Verdict: status.AtRisk, Condition: status.ConditionSpace, What: "full", Next: "x"})
	synctest.Test(t, func(t *testing.T) {
		_, end := o.open()
		time.Sleep(12 * time.Hour)
		end()
		o.expect(0, "61 coisas estão erradas")
		o.expect(1, "full")
		o.expect(2)
		if text := o.sinks[0].letters[0].Text; strings.Count(text, "\n") > 50 || !strings.Contains(text, "e mais 41") {
			t.Errorf("%s", text)
		}
		var d struct {
			Version    int
			Kind       string
			Conditions []struct{ State, Key, What_text string }
		}
		if err := json.Unmarshal(o.sinks[0].letters[0].Document, &d); err != nil || d.Version != 1 || d.Kind != "trouble" || len(d.Conditions) != 61 || d.Conditions[0].State != "new" {
			t.Errorf("%v, %+v", err, d)
		}
	})
}

// What could not be read says nothing of what was wrong before: nothing is over.
func TestNothingIsOverThatIsNotKnownToBe(t *testing.T) {
	o := newOffice(t, `{to: ["env:A"], digest: never}`, 1)
	gap := status.Finding{Verdict: status.AtRisk, Condition: status.ConditionGap, Source: database, What: "gap", Next: "x"}
	o.s.Findings = []status.Finding{gap}
	synctest.Test(t, func(*testing.T) {
		_, end := o.open()
		time.Sleep(time.Hour)
		o.stand(func(s *status.Status) {
			s.Findings = []status.Finding{{Verdict: status.Unclear, Condition: status.ConditionUnread, Area: status.AreaRepository, What: "down", Next: "x"}}
		})
		time.Sleep(time.Hour)
		o.expect(0, "gap", "down")
		o.mu.Lock()
		o.err = cofre.ErrUnreachable
		o.mu.Unlock()
		time.Sleep(time.Hour)
		o.expect(0, "gap", "down")
		end()
		_, end = o.open()
		time.Sleep(time.Hour)
		o.expect(0, "gap", "down")
		o.mu.Lock()
		o.err = nil
		o.mu.Unlock()
		o.stand(func(s *status.Status) { s.Findings = nil })
		time.Sleep(time.Hour)
		o.expect(0, "gap", "down", "2 things are well again")
		end()
	})
}

// The digest comes each day at its time, in its zone, once, also if the machine was off then; with the checkpoint.
func TestTheDigest(t *testing.T) {
	o := newOffice(t, `{to: ["env:A", "env:B"], digest: "30 7 * * *"}`, 2)
	synctest.Test(t, func(t *testing.T) { // it is 2000-01-01 00:00 UTC
		_, end := o.open()
		time.Sleep(10 * time.Hour) // 08:00 there, in summer
		o.expect(0, "all is well")
		if at := o.sinks[0].at[0].UTC().Format("15:04"); at != "09:30" {
			t.Errorf("at %s", at)
		}
		if text := o.sinks[0].letters[0].Text; !strings.Contains(text, "\ncofre/1 42 abc=\n") {
			t.Errorf("%s", text)
		}
		end()
		_, end = o.open()
		time.Sleep(10 * time.Minute)
		end()
		o.expect(0, "all is well")
		time.Sleep(70 * time.Hour)
		o.sinks[1].set(errors.New("down"), false)
		_, end = o.open()
		time.Sleep(10 * time.Minute)
		o.expect(0, "all is well", "all is well")
		o.expect(1, "all is well")
		o.sinks[1].set(nil, false)
		time.Sleep(20 * time.Minute)
		o.expect(1, "all is well", "all is well")
		o.mu.Lock()
		o.err = errors.New("down")
		o.mu.Unlock()
		time.Sleep(24 * time.Hour)
		end()
		o.expect(1, "all is well", "all is well", "could not be looked at", "nobody knows")
	})
}

// What was told is remembered without any address.
func TestTheMemoryHoldsNoAddress(t *testing.T) {
	o := newOffice(t, `{to: ["http://zqx7.example.com/"], digest: never}`, 1)
	o.s.Findings = []status.Finding{{Verdict: status.AtRisk, Condition: status.ConditionSpace, What: "full", Next: "x"}}
	synctest.Test(t, func(*testing.T) {
		_, end := o.open()
		time.Sleep(time.Minute)
		end()
	})
	files, _ := filepath.Glob(filepath.Join(o.cfg.StateDir, "notify", "*"))
	if len(files) != 1 {
		t.Fatal(files)
	}
	text, err := os.ReadFile(files[0])
	info, _ := os.Stat(files[0])
	if err != nil || strings.Contains(string(text), "zqx7") || !strings.Contains(string(text), "space/") || info.Mode().Perm() != 0o600 {
		t.Errorf("%v: %s", err, text)
	}
	if err := os.WriteFile(files[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(*testing.T) {
		_, end := o.open()
		time.Sleep(time.Minute)
		end()
	})
	o.expect(0, "full", "full") // rather twice than never
}

// The URL of the heartbeat is fetched as long as all is well, the other one if not, and what hangs is not fetched again meanwhile.
func TestTheHeartbeat(t *testing.T) {
	var mu sync.Mutex
	var got []string
	asked := make(chan struct{}, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Method+" "+r.URL.Path)
		asked <- struct{}{}
	}))
	defer server.Close()
	o := newOffice(t, `{heartbeat: {url: "file:ping", fail: "file:fail"}}`, 0)
	for _, name := range []string{"ping", "fail"} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(o.cfg.Path), name), []byte(server.URL+"/zqx7"+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, end := o.open()
	<-asked
	n.Failed("verify", cofre.SourceID{}, "r", time.Now(), cofre.CodeError, cofre.Message{}, true)
	n.Look()
	<-asked
	n.Well("verify", time.Now().Add(time.Second), true)
	n.Look()
	<-asked
	o.stand(func(s *status.Status) { s.Verdict = status.AtRisk })
	n.Look()
	<-asked
	end()
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"GET /zqx7ping", "GET /zqx7fail", "GET /zqx7ping", "GET /zqx7fail"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// What can be configured to be told is what there is to tell.
func TestWordsOfTheConfiguration(t *testing.T) {
	want := []string{notify.KindDigest}
	for _, c := range status.Conditions {
		want = append(want, string(c))
	}
	got := slices.Clone(config.NotifyWords)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
