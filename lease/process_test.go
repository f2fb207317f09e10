package lease_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/lease"
	"github.com/trustlayer/cofre/store"
)

// TestTheLeaseOfAProcessThatWasKilled is free at once for whoever sees that it was: in the same folder, on the same machine, and in nobody else's name.
func TestTheLeaseOfAProcessThatWasKilled(t *testing.T) {
	other := exec.Command("sleep", "600")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	pid := other.Process.Pid
	name := nameOf(t, pid)
	parts := strings.Split(name, "/")
	held := func(process string, pid int) cofre.Store {
		t.Helper()
		st, err := store.Open(t.Context(), store.Config{URL: t.TempDir(), Create: true})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(lease.Record{Nonce: "n", Host: "h", PID: pid, Process: process, For: "prune", Term: 600})
		if err == nil {
			err = st.Create(t.Context(), "lease/prune/000000000001", bytes.NewReader(text), int64(len(text)))
		}
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	taken := func(process string, pid int) bool {
		t.Helper()
		_, err := lease.Acquire(t.Context(), held(process, pid), "prune", lease.Options{})
		if err != nil && (!errors.Is(err, cofre.ErrLocked) || !strings.Contains(cofre.Hint(err), "ps -p "+strconv.Itoa(pid))) {
			t.Fatal(err, cofre.Hint(err))
		}
		return err == nil
	}
	if taken(name, pid) {
		t.Error("the lease of a process that runs was taken")
	}
	if !taken(strings.Join([]string{parts[0], parts[1], parts[2], "1"}, "/"), pid) {
		t.Error("a process that got the number of another is taken for it")
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = other.Wait()
	if !taken(name, pid) {
		t.Error("the lease of a process that was killed is still held")
	}
	for what, process := range map[string]string{
		"of a version of before": "", "of another boot": "b/" + strings.Join(parts[1:], "/"), "of another namespace": strings.Join([]string{parts[0], "pid:[1]", parts[2], parts[3]}, "/"), "that is nonsense": "x",
	} {
		if taken(process, pid) {
			t.Errorf("the lease of a process %s was taken", what)
		}
	}
	if _, err := lease.Acquire(t.Context(), elsewhere{held(name, pid)}, "prune", lease.Options{}); !errors.Is(err, cofre.ErrLocked) {
		t.Errorf("on a server, where requests may be on their way: %v", err)
	}
}

// TestALeaseThatTheStoreDidNotHearOf was given back while the store was away: the process that did so need not wait for it, another must.
func TestALeaseThatTheStoreDidNotHearOf(t *testing.T) {
	st, err := store.Open(t.Context(), store.Config{URL: t.TempDir(), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	s := &away{Store: st}
	given, err := lease.Acquire(t.Context(), s, "agent", lease.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lease.Acquire(t.Context(), s, "agent", lease.Options{}); !errors.Is(err, cofre.ErrLocked) {
		t.Errorf("a lease that is held was taken: %v", err)
	}
	s.is = true
	if err := given.Release(t.Context()); err == nil {
		t.Error("a store that is away has heard")
	}
	s.is = false
	again, err := lease.Acquire(t.Context(), s, "agent", lease.Options{})
	if err != nil {
		t.Fatalf("the process waits for itself: %v", err)
	}
	if _, err := lease.Acquire(t.Context(), s, "agent", lease.Options{}); !errors.Is(err, cofre.ErrLocked) {
		t.Errorf("its next lease was taken, too: %v", err)
	}
	if err := given.Renew(t.Context()); !errors.Is(err, lease.ErrLost) {
		t.Errorf("one that was given back is renewed: %v", err)
	}
	if err := again.Commit(t.Context(), "x"); err != nil {
		t.Error(err)
	}
}

// away is a store that now and then creates nothing.
type away struct {
	cofre.Store
	is bool
}

func (s *away) Create(ctx context.Context, name string, r io.Reader, size int64) error {
	if s.is {
		return errors.New("away")
	}
	return s.Store.Create(ctx, name, r, size)
}

// elsewhere is a store that is no folder.
type elsewhere struct{ cofre.Store }

func (elsewhere) URL() string { return "s3://bucket" }

// nameOf is what a lease of a process says it is called.
func nameOf(t *testing.T, pid int) string {
	t.Helper()
	read := func(file string) string {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Skip(err)
		}
		return strings.TrimSpace(string(b))
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Skip(err)
	}
	stat := read("/proc/" + strconv.Itoa(pid) + "/stat")
	return read("/proc/sys/kernel/random/boot_id") + "/" + namespace + "/" + strconv.Itoa(pid) + "/" + strings.Fields(stat[strings.LastIndex(stat, ")")+2:])[19]
}
