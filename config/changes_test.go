package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/config"
)

func TestChangesAreNamed(t *testing.T) {
	text, err := os.ReadFile("testdata/full.good.yml")
	if err != nil {
		t.Fatal(err)
	}
	load := func(text string) *config.Config {
		t.Helper()
		path := filepath.Join(t.TempDir(), "cofre.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, os.Getenv)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	// Relative paths are beside the file, which is another each time.
	before := strings.NewReplacer("url: backups", "url: /backups", "file:repository.password", "env:PW", "ca: ca.pem", "ca: /ca.pem", ".env,", "/.env,", "state_dir: state", "state_dir: /state", "file:slack.url", "env:SLACK").Replace(string(text))
	for _, c := range []struct {
		from, to string
		want     []string
	}{
		{"", "", nil},
		{`schedule: "0 2 * * *"`, `schedule: "0 3 * * *"`, []string{"database.schedule"}},
		{"window: 2h", "window: 3h", []string{"database.window"}},
		{"weekly: 4", "weekly: 5", []string{"database.keep.weekly", "storage.keep.weekly"}}, // one anchor
		{"env:OTHER", "env:ANOTHER", []string{"copies"}},
		{"docker compose stop frontend", "true", []string{"hooks.before_restore"}},
		{"verify: never", "verify: '@daily'", []string{"serve.verify"}},
		{"env:PW", "env:PW2", []string{"repository.password", "copies"}}, // which a copy takes from it
		{"env:SLACK", "env:SLACK2", []string{"notify.to"}},
		{"objectives: {rpo: 1h, rto: 4h}\n", "", []string{"objectives.rpo", "objectives.rto"}},
	} {
		after := strings.Replace(before, c.from, c.to, 1)
		if got := config.Changes(load(before), load(after)); !slices.Equal(got, c.want) {
			t.Errorf("%q to %q changed %v, want %v", c.from, c.to, got, c.want)
		}
	}
	without := strings.Replace(before, "config: {paths", "x: {paths", 1)
	lines := slices.DeleteFunc(strings.Split(without, "\n"), func(l string) bool { return strings.HasPrefix(l, "x: ") })
	if got := config.Changes(load(before), load(strings.Join(lines, "\n"))); !slices.Equal(got, []string{"config"}) {
		t.Errorf("a section that is gone changed %v", got)
	}
}
