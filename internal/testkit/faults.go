package testkit

import (
	"errors"
	"sync"
	"testing"
)

// ErrInjected is what a call fails with that a test has chosen.
var ErrInjected = errors.New("a fault of the test")

// Faults chooses one call that fails. What stands between the code under test and what it calls asks Check before each.
type Faults struct {
	mu    sync.Mutex
	calls int
	at    int
	what  string
	kinds map[string]int
}

// Check is ErrInjected for the call that is to fail, and nil for all others.
func (f *Faults) Check(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.calls++; f.calls != f.at {
		return nil
	}
	f.what = what
	return ErrInjected
}

// CheckSome is Check for the first n calls of a kind; those that follow never fail.
func (f *Faults) CheckSome(n int, kind, what string) error {
	f.mu.Lock()
	if f.kinds == nil {
		f.kinds = map[string]int{}
	}
	f.kinds[kind]++
	enough := f.kinds[kind] > n
	f.mu.Unlock()
	if enough {
		return nil
	}
	return f.Check(what)
}

// Failed is the call that failed, as Check was told it; empty if none has.
func (f *Faults) Failed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.what
}

// EachFails does something again and again, and has one call more fail each time, from the first on, until it has made all its calls
// without a fault, or the test has failed. The test fails if there was none.
func EachFails(t *testing.T, do func(f *Faults)) {
	t.Helper()
	for at := 1; ; at++ {
		f := &Faults{at: at}
		do(f)
		if f.Failed() != "" && !t.Failed() {
			continue
		}
		if at == 1 && f.Failed() == "" {
			t.Fatal("nothing was called")
		}
		return
	}
}
