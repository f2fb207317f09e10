package testkit

import (
	"bytes"
	"sync"
	"testing"
	"time"
)

// Hang is how long a test waits at least for what should come, before it says that it does not: a machine under load is
// slow by a factor, and how fast it is decides no test.
const Hang = 3 * time.Minute

// Await polls until something holds, and fails the test if it does not within a bound, which is Hang at least. The bound
// ends a test that hangs; it decides nothing.
func Await(t testing.TB, what string, within time.Duration, holds func() bool) {
	t.Helper()
	AwaitEvery(t, 50*time.Millisecond, what, within, holds)
}

// AwaitEvery is Await with its own interval, for checks that are expensive or urgent.
func AwaitEvery(t testing.TB, every time.Duration, what string, within time.Duration, holds func() bool) {
	t.Helper()
	within = max(within, Hang)
	deadline := time.Now().Add(within)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s", what, within)
		}
		<-tick.C
	}
}

// Output is what a program says, written by it and read meanwhile.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}
