package repositorytest_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

func TestMemory(t *testing.T) {
	repositorytest.Run(t, func(*testing.T) cofre.Repository { return repositorytest.NewMemory() })
}

func TestMemoryNamesWhatIsDamaged(t *testing.T) {
	m := repositorytest.NewMemory()
	s, err := m.Begin(t.Context(), cofre.SourceID{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := s.Put(t.Context(), cofre.Entry{Path: "dir/file", Mode: 0o600, Size: -1}, strings.NewReader("bytes"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := cofre.RecoveryPoint{ID: cofre.NewPointID(time.Now()), Components: []cofre.Component{{Kind: cofre.KindConfig, Content: c}}}
	count := func(level cofre.Level) (n int) {
		for f, err := range m.Verify(t.Context(), []cofre.RecoveryPoint{p}, cofre.Verification{Level: level}) {
			if err != nil || f.Object != "dir/file" {
				t.Errorf("found %+v, %v", f, err)
			}
			n++
		}
		return n
	}
	m.Damage(e.Object)
	if s, c := count(cofre.LevelStructure), count(cofre.LevelContent); s != 0 || c != 1 {
		t.Errorf("damage was found %d times by structure and %d times by content", s, c)
	}
	m.Lose(e.Object)
	if s, c := count(cofre.LevelStructure), count(cofre.LevelContent); s != 1 || c != 1 {
		t.Errorf("loss was found %d times by structure and %d times by content", s, c)
	}
}

func TestFaultyFailsWhenAsked(t *testing.T) {
	cut := errors.New("cut")
	r := repositorytest.Faulty(t, repositorytest.NewMemory(), repositorytest.Fault{Op: repositorytest.OpPut, Path: "b", After: 1, Err: cut})
	s, err := r.Begin(t.Context(), cofre.SourceID{})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{nil, cut, cofre.ErrExists} {
		if _, err := s.Put(t.Context(), cofre.Entry{Path: "b", Mode: 0o600, Size: -1}, strings.NewReader("b")); !errors.Is(err, want) {
			t.Errorf("put %d: %v, want %v", i, err, want)
		}
	}
}
