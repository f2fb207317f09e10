package repository_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/coverage"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/store/storetest"
)

// readBack verifies what is due at the level content, by a clock, and returns what was found and what was established.
func readBack(t *testing.T, r *repository.Repository, now time.Time, again bool) ([]cofre.Finding, *coverage.Established) {
	t.Helper()
	l, err := coverage.Open(t.Context(), r.Floor(), r, coverage.Options{Window: coverage.UsualWindow, Again: again, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	var found []cofre.Finding
	all := points(t, r)
	for f, err := range r.Verify(t.Context(), all, cofre.Verification{Level: cofre.LevelContent, Proven: l}) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, f)
	}
	e, err := l.Finish(t.Context(), all)
	if err != nil || e.Unsaved != nil {
		t.Fatal(err, e)
	}
	return found, e
}

// noisy is a repository in memory with two points, and the name of a pack of files.
func noisy(t *testing.T) (*storetest.Memory, *repository.Repository, string) {
	t.Helper()
	st, r := onMemory(t)
	noise := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(noise)
	for range 2 {
		publish(t, r, capture(t, r, map[string][]byte{"a/noise": noise, "a/small": []byte("small")}))
		noise = bytes.Clone(noise[:2<<20])
		noise[0]++
	}
	for name, o := range st.State() {
		if strings.HasPrefix(name, "p") && len(o.Bytes) > 1<<20 {
			return st, r, name
		}
	}
	t.Fatal("no pack is large")
	return nil, nil, ""
}

// rot changes a byte of an object, and the store does not know of it.
func rot(st *storetest.Memory, name string) {
	all := st.State()
	o := all[name]
	o.Bytes = bytes.Clone(o.Bytes)
	o.Bytes[len(o.Bytes)/2] ^= 1
	all[name] = o
	st.Restore(all)
}

func TestDamageBetweenTwoVerifications(t *testing.T) {
	st, r, pack := noisy(t)
	now := time.Now()
	found, e := readBack(t, r, now, false)
	_, all := e.Proven(now)
	if len(found) > 0 || e.Read != all || e.Share(now) != 1 {
		t.Fatalf("the first has read %d of %d, and found %v", e.Read, all, found)
	}
	for _, c := range e.Components {
		if level, at := c.Deepest(); level != cofre.LevelContent || now.Sub(at) > 2*time.Minute {
			t.Errorf("%s: proven at %q, %v", c.Point, level, at)
		}
	}
	if found, e := readBack(t, r, now, false); len(found) > 0 || e.Read*50 > all || e.Share(now) != 1 {
		t.Errorf("the second has read %d of %d, and found %v", e.Read, all, found)
	}

	before := st.State()
	rot(st, pack)
	// It was read back, and nothing says that it is another: what is said is when it was read.
	if found, _ := readBack(t, r, now, false); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	rotten := st.State()
	for name, way := range map[string]func() []cofre.Finding{
		"the window passes": func() []cofre.Finding {
			found, _ := readBack(t, r, now.Add(coverage.UsualWindow+time.Hour), false)
			return found
		},
		"all of it is read": func() []cofre.Finding { found, _ := readBack(t, r, now, true); return found },
		"the store says that it was written again": func() []cofre.Finding {
			all := st.State()
			o := all[pack]
			o.At = o.At.Add(time.Second)
			all[pack] = o
			st.Restore(all)
			found, _ := readBack(t, r, now, false)
			return found
		},
	} {
		st.Restore(rotten)
		found := way()
		if !slices.ContainsFunc(found, func(f cofre.Finding) bool { return f.Object == pack }) || !slices.ContainsFunc(found, func(f cofre.Finding) bool { return f.Object == "a/noise" }) {
			t.Errorf("%s: found %v, want the pack and the file in it", name, found)
		}
	}
	// What is known to be damaged is read each time, also if what was proven of it before is brought back.
	found, e = readBack(t, r, now, false)
	if len(found) == 0 || e.Share(now) == 1 {
		t.Errorf("damage that is known was passed over: %v is covered", e.Share(now))
	}
	damaged := 0
	for _, c := range e.Components {
		if level, _ := c.Deepest(); level == "" {
			damaged++
		}
	}
	if damaged == 0 {
		t.Error("no component is said to be damaged")
	}
	state := st.State()
	for name := range state {
		if strings.HasPrefix(name, "cofre/proven/") {
			delete(state, name)
		}
	}
	for name, o := range before {
		if strings.HasPrefix(name, "cofre/proven/") {
			state[name] = o
		}
	}
	st.Restore(state)
	if found, _ := readBack(t, r, now, false); len(found) == 0 {
		t.Error("an older record of what was read back hides damage that is known")
	}
}

// TestAComponentIsProvenByWhatItNeeds: the level of a component is that of the file of the store that was read back longest ago.
func TestAComponentIsProvenByWhatItNeeds(t *testing.T) {
	_, r, _ := noisy(t)
	now := time.Now()
	readBack(t, r, now, false)
	publish(t, r, capture(t, r, map[string][]byte{"new": bytes.Repeat([]byte("something else "), 1000)}))
	l, err := coverage.Open(t.Context(), r.Floor(), r, coverage.Options{Window: coverage.UsualWindow})
	if err != nil {
		t.Fatal(err)
	}
	all := points(t, r)
	for f, err := range r.Verify(t.Context(), all, cofre.Verification{Level: cofre.LevelStructure, Proven: l}) {
		t.Fatal(f, err)
	}
	e, err := l.Finish(t.Context(), all)
	if err != nil || e.Share(now) == 1 || e.Read != 0 {
		t.Fatalf("%v covered, %d read, %v", e.Share(now), e.Read, err)
	}
	var levels []cofre.Level
	for _, c := range e.Components {
		level, _ := c.Deepest()
		levels = append(levels, level)
	}
	if want := []cofre.Level{cofre.LevelContent, cofre.LevelContent, cofre.LevelStructure}; !slices.Equal(levels, want) {
		t.Errorf("levels %v, want %v", levels, want)
	}
}
