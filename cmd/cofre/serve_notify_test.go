package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trustlayer/cofre/internal/testkit"
)

// hook is a webhook that keeps what it is given.
type hook struct {
	URL string

	mu  sync.Mutex
	got []told
}

type told struct {
	Title, Text string
	Conditions  []struct {
		Kind, Run, State string
		What             struct{ Args struct{ At time.Time } }
	}
	at time.Time
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var d told
		body, _ := io.ReadAll(r.Body)
		_ = json.Unmarshal(body, &d)
		d.at = time.Now()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, d)
	}))
	t.Cleanup(server.Close)
	h.URL = server.URL
	return h
}

func (h *hook) all() []told {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]told{}, h.got...)
}

// A backup that is killed with its agent, or fails, reaches a mailbox and a webhook once, and its all-clear too; a service that hangs delays nothing.
func TestServeTells(t *testing.T) {
	i := newInstallation(t)
	box, web := testkit.SMTP(t), newHook(t)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // or nobody notices that the other side has gone
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	if err := os.Mkdir(filepath.Join(i.dir, "files"), 0o755); err != nil {
		t.Fatal(err)
	}
	i.write(t, "hold", "")
	i.write(t, "web.url", web.URL+"/hunter2")
	i.write(t, "hanging.url", hanging.URL)
	conf := fmt.Sprintf(`name: tl
language: pt-BR
repository: {url: repo, password: file:password}
config: {paths: [files], cofre: false, schedule: "@yearly"}
serve: {expire: never, prune: never, verify: never}
hooks: {before_backup: ["while test -e hold; do sleep 0.05; done; test ! -e broken"]}
notify: {to: ["smtp://%s/?from=cofre@example.com&to=ops@example.com", "file:web.url", "file:hanging.url"], digest: never}
state_dir: state
`, box.Address)
	i.write(t, "cofre.yaml", conf)
	// failures are how often the webhook was told of a failure that it is there, and that it is over; what else is wrong is told beside it, in the same
	// message or in another. mails are how many letters name a failure.
	failures := func(state string) (n int) {
		for _, d := range web.all() {
			for _, c := range d.Conditions {
				if c.Kind == "failure" && c.State == state {
					n++
				}
			}
		}
		return n
	}
	mails := func() (n int) {
		for _, l := range box.Letters() {
			if text := strings.ReplaceAll(l, "=\n", ""); strings.Contains(text, "foi morto") || strings.Contains(text, "backup storage falhou") {
				n++
			}
		}
		return n
	}
	has := func(there, over int) func() bool {
		return func() bool { return failures("new") == there && failures("over") == over && mails() == there+over }
	}
	first := i.serve(t)
	first.until(t, func() bool { return strings.Contains(first.log(), "hook_began") })
	if err := syscall.Kill(first.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = first.wait()
	second := i.serve(t)
	second.until(t, has(1, 0))
	// Stopped, and begun again: nothing is told again.
	i.stop(t, second)
	if err := os.Remove(filepath.Join(i.dir, "hold")); err != nil {
		t.Fatal(err)
	}
	third := i.serve(t)
	third.until(t, has(1, 1))
	if !strings.Contains(third.log(), "msg=published") {
		t.Errorf("it was told to be over before anything was captured:\n%s\n%s", second.log(), third.log())
	}
	i.stop(t, third)
	if got := web.all(); !slices.ContainsFunc(got, func(d told) bool { return strings.Contains(d.Text, "foi morto") }) {
		t.Errorf("%+v", got)
	}
	for _, s := range []*serving{first, second, third} {
		if strings.Contains(s.log(), "hunter2") {
			t.Errorf("the log has an address:\n%s", s.log())
		}
	}
	// Another source, whose backup fails; how soon that is told is measured, and decides nothing.
	i.write(t, "broken", "")
	i.write(t, "cofre.yaml", conf+"storage: {folder: {path: buckets}, schedule: '@yearly'}\n")
	if err := os.MkdirAll(filepath.Join(i.dir, "buckets", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	fourth := i.serve(t, "--for", "15s")
	fourth.until(t, has(2, 1))
	for _, d := range web.all() {
		for _, c := range d.Conditions {
			if c.Kind == "failure" && c.State == "new" {
				t.Logf("told %s after the run had ended", d.at.Sub(c.What.Args.At).Round(10*time.Millisecond))
			}
		}
	}
	if err := fourth.wait(); err != nil {
		t.Errorf("%v\n%s", err, fourth.log())
	}
}
