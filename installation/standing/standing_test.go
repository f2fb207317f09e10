package standing_test

import (
	"context"
	"testing"
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
	s, err := standing.Of(t.Context(), cfg, 0, func(context.Context) (*standing.Opened, error) {
		return &standing.Opened{Name: "tl"}, marks.Settle(func(runs.Unended) error { return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.LastFailure == nil || s.LastFailure.ID != "r" {
		t.Errorf("%+v", s.LastFailure)
	}
}
