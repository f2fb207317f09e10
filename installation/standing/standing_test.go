package standing_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/installation/standing"
)

// Another process may settle a run that was killed while this one looks: its mark is gone then, and the journal that was read before does not know of it yet.
func TestARunThatIsSettledMeanwhileIsSeen(t *testing.T) {
	cfg := &config.Config{Name: "tl", StateDir: t.TempDir()}
	cfg.Repository.URL = t.TempDir()
	cfg.Files = &config.Files{Paths: []string{"/etc/hosts"}}
	marks := runs.MarksOf(cfg.StateDir, cfg.Repository.URL)
	mark, err := marks.Begin(runs.Begun{Run: "r", Kind: cofre.RunBackup, Installation: "tl", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := mark.Leave(runs.Log{Run: "r", Code: cofre.CodeError, EndedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	s, err := standing.Of(t.Context(), cfg, 0, nil, func(context.Context) (*standing.Opened, error) {
		return &standing.Opened{Name: "tl"}, marks.Settle(func(runs.Unended) error { return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.LastFailure == nil || s.LastFailure.ID != "r" {
		t.Errorf("%+v", s.LastFailure)
	}
}

// A repository that shows no change is opened once in a while: whatever is added or taken away, but WAL, has it opened.
func TestWhatShowsNoChangeIsNotOpened(t *testing.T) {
	cfg := &config.Config{Name: "tl", StateDir: t.TempDir()}
	cfg.Repository.URL = t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		opened := 0
		var down error
		var seen standing.Memory
		look := func(when string, want int) {
			t.Helper()
			if _, err := standing.Of(t.Context(), cfg, 0, &seen, func(context.Context) (*standing.Opened, error) {
				opened++
				return &standing.Opened{Name: "tl"}, down
			}); err != nil {
				t.Fatal(err)
			}
			if opened != want {
				t.Errorf("%s: opened %d times", when, opened)
			}
			opened = 0
		}
		write := func(name, text string) {
			t.Helper()
			file := filepath.Join(cfg.Repository.URL, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		look("at first", 1)
		look("nothing happened", 0)
		write("wal/1/00000001/000000010000000000000001", "a segment")
		look("WAL", 0)
		write("x/n0/an-index.f", "a point")
		look("an index", 1)
		look("and nothing more", 0)
		if err := os.Remove(filepath.Join(cfg.Repository.URL, "x/n0/an-index.f")); err != nil {
			t.Fatal(err)
		}
		look("an index taken away", 1)
		time.Sleep(standing.Unseen - time.Second)
		look("within its time", 0)
		time.Sleep(time.Second)
		look("after its time", 1)
		down = cofre.ErrUnreachable
		time.Sleep(standing.Unseen)
		look("it cannot be read", 1)
		look("nor then", 1)
		down = nil
		look("it can", 1)
		look("as before", 0)
	})
}
