package wal_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// TestWhoeverFillsTheSpoolIsCalledIfItNeedsIt: a process for each segment would cost more than the segment does; and without one, each
// segment waits for the repository.
func TestWhoeverFillsTheSpoolIsCalledIfItNeedsIt(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	archiveAll(t, st, id, dir, segments[0])
	first, err := pgdata.ParseSegment(segments[0], 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	after := func(n int) (names []string) {
		for s := first.Next(); len(names) < n; s = s.Next() {
			names = append(names, s.Name(1<<20))
		}
		return names
	}
	elsewhere := pgdata.Segment{Timeline: first.Timeline + 1, Number: first.Number + 1}
	for name, c := range map[string]struct {
		spooled []string
		locked  bool
		absent  bool
		called  bool
	}{
		"no spool yet":                 {absent: true, called: true},
		"an empty one":                 {called: true},
		"less than half":               {spooled: after(3), called: true},
		"half":                         {spooled: after(4)},
		"full":                         {spooled: after(8)},
		"what was delivered is no use": {spooled: append(after(3), segments[0]), called: true},
		"another timeline is no use":   {spooled: append(after(3), elsewhere.Name(1<<20)), called: true},
		"a part is no use":             {spooled: append(after(3), after(4)[3]+".part", "00000001.history"), called: true},
		"another is at it":             {locked: true},
		"another was at it":            {spooled: []string{"lock"}, called: true},
	} {
		spool := t.TempDir()
		in := filepath.Join(spool, "fetched", system.String())
		if !c.absent {
			err = os.MkdirAll(in, 0o700)
		}
		for _, s := range c.spooled {
			err = errors.Join(err, os.WriteFile(filepath.Join(in, s), nil, 0o600))
		}
		if c.locked {
			lock, openErr := os.Create(filepath.Join(in, "lock"))
			if err = errors.Join(err, openErr); err == nil {
				defer lock.Close()
				err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		var called []string
		f := &fetch.Fetcher{Store: st, Identity: id, System: system, Spool: spool, Prefetch: 8, Background: func(segment string) error {
			called = append(called, segment)
			return nil
		}}
		if answer, err := f.Fetch(t.Context(), segments[0], filepath.Join(t.TempDir(), "RECOVERYXLOG")); answer != fetch.Delivered {
			// A file of the spool that is none is passed over, and the repository asked.
			t.Errorf("%s: %s, %v", name, answer, err)
		}
		if want := map[bool][]string{true: {segments[0]}}[c.called]; !slices.Equal(called, want) {
			t.Errorf("%s: called for %v, want %v", name, called, want)
		}
	}
}
