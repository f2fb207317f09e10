package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
)

// Who reads the log of a command expects nothing but its lines: the waiting for a service and the last error are lines, too.
func TestWhatIsSaidIsInTheLogOfACommandThatWritesOne(t *testing.T) {
	var out, said bytes.Buffer
	a := &App{Stdio: Stdio{Out: &out, Err: &said}, Getenv: func(string) string { return "" }}
	failed := cofre.WithHint(cofre.Fail(cofre.Say("edge.test", "it did not end"), cofre.ErrLocked), cofre.Say("edge.test_hint", "wait\nfor it"))
	root := a.Root(&cobra.Command{Use: "serve", RunE: func(*cobra.Command, []string) error {
		a.LogTo(slog.New(slog.NewJSONHandler(&said, nil)))
		a.waits(cofre.Say("edge.test_waiting", "the storage is slow"))
		return failed
	}})
	if code := a.Run(context.Background(), root, nil); code == 0 {
		t.Error("it ended well")
	}
	for line := range strings.Lines(said.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("%q", line)
		}
	}
	for _, want := range []string{"the storage is slow", "it did not end", "wait"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("no word of %q: %s", want, &said)
		}
	}
}
