// Package edits_test edits repositories at random, as somebody does who holds the storage and knows every format, and not the password. Each edit is
// harmless, or named: everything that can be asked of the repository answers as before, or a verification, the list, the journal or the status says
// what is wrong; and nothing ever gives other bytes. The repository has objects of every kind that the program writes.
//
// In CI a few edits are tried. COFRE_SOAK is how many, COFRE_SEED the first of them: edit N is the same in every run over a repository that was made in the same way.
//
// Read forge_test.go for what is edited, and view_test.go for what is asked.
package edits_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation"
)

// mostMemory is what a process may have from the system, after edits that made objects of 20 GB.
const mostMemory = 2 << 30

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// TestEditsOfARepositoryAreHarmlessOrNamed is about what holds for any one edit of the storage.
func TestEditsOfARepositoryAreHarmlessOrNamed(t *testing.T) {
	s := stage(t)
	before := s.look(t, s.whole)
	if said := before.said(nothing); len(said) > 0 {
		t.Fatalf("before anything was edited: %q", said)
	}
	t.Logf("%d objects of %d kinds, %d components, %d files of WAL; status says %q", len(s.f.now.names), len(s.f.now.kinds()), len(before.trees), len(before.fetched), before.status)
	counts := map[string]int{}
	first := number(t, "COFRE_SEED", 0)
	for n := range number(t, "COFRE_SOAK", 4) {
		rng := rand.New(rand.NewPCG(uint64(first+n), 37))
		s.reset(t, rng.IntN(3) > 0)
		did := s.f.edit(t, s.repo(), rng)
		after := s.look(t, s.whole)
		changed, said := after.differs(before), after.said(before)
		how := "harmless"
		switch {
		case len(after.lies(before)) > 0:
			t.Errorf("edit %d: %s: other bytes came back: %q; it says %q", first+n, did, after.lies(before), said)
		case len(changed) > 0 && len(said) == 0:
			t.Errorf("edit %d: %s (known machine: %v): nothing says that %q", first+n, did, s.known, changed)
		case len(said) > 0:
			how = "named"
		}
		counts[how]++
		if rng.IntN(5) == 0 {
			s.backsUp(t, fmt.Sprintf("edit %d: %s", first+n, did))
			counts["backed up"]++
		}
		if os.Getenv("COFRE_SOAK") != "" {
			t.Logf("edit %d: %s: %s: %.200q", first+n, did, how, slices.Concat(said, []string{""})[0])
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%v, %d MiB from the system", counts, m.Sys>>20)
	if m.Sys > mostMemory {
		t.Errorf("%d bytes were taken from the system, want at most %d", m.Sys, mostMemory)
	}
}

// backsUp takes a backup after an edit: what it says is published restores.
func (s *scene) backsUp(t *testing.T, did string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "objects", "evidence", "new"), []byte(did), 0o600); err != nil {
		t.Fatal(err)
	}
	in := s.open(t)
	p, err := in.Backup(t.Context(), installation.BackupOptions{Kinds: []cofre.Kind{cofre.KindStorage, cofre.KindConfig}})
	_ = in.Close(t.Context())
	if p == nil || err != nil {
		return // it says so
	}
	after := s.look(t, []cofre.RecoveryPoint{*p})
	for _, c := range p.Components {
		if got := after.trees[p.ID+"/"+cofre.PointID(c.Label())]; got.err != "" {
			t.Errorf("%s: a backup that went well does not restore: %s: %s", did, c.Label(), got.err)
		}
	}
}

// differs is what is not as it was.
func (v *view) differs(before *view) (what []string) {
	if !slices.Equal(v.points, before.points) {
		what = append(what, fmt.Sprintf("the points are %v", v.points))
	}
	for _, name := range slices.Sorted(maps.Keys(before.trees)) {
		if v.trees[name] != before.trees[name] {
			what = append(what, fmt.Sprintf("%s gives %v", name, v.trees[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before.fetched)) {
		if v.fetched[name] != before.fetched[name] {
			what = append(what, fmt.Sprintf("%s is %v", name, v.fetched[name]))
		}
	}
	if v.wal != before.wal {
		what = append(what, "wal status is "+v.wal+", not "+before.wal)
	}
	return what
}

// lies are bytes that came back, and are not those that were captured.
func (v *view) lies(before *view) (what []string) {
	for name, got := range v.trees {
		if want, ok := before.trees[name]; ok && got.err == "" && got != want {
			what = append(what, string(name))
		}
	}
	for name, got := range v.fetched {
		if want := before.fetched[name]; got.err == "" && got != want {
			what = append(what, name)
		}
	}
	return what
}
