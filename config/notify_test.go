package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/config"
)

// A list, and a text in it, are short for the mappings that have more to say.
func TestWhoIsToldIsWrittenShort(t *testing.T) {
	load := func(notify string) (*config.Config, error) {
		path := filepath.Join(t.TempDir(), "cofre.yaml")
		if err := os.WriteFile(path, []byte("name: t\nrepository: {url: /b, password: env:PW}\nnotify: "+notify+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return config.Load(path, environment(map[string]string{"SLACK": "slack://hook:a-b-c@webhook"}))
	}
	for _, text := range []string{"[env:SLACK]", `{to: ["env:SLACK"]}`, "{to: [{url: env:SLACK}]}", "[{url: env:SLACK}]"} {
		c, err := load(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if v, err := c.Notify.To[0].URL.Read(); err != nil || v.Reveal() != "slack://hook:a-b-c@webhook" {
			t.Errorf("%s: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"{to: [{language: en}]}":                      "notify.to[0].url: is missing",
		"[{url: env:SLACK, only: [failed]}]":          "notify.to[0].only[0]: is not a word",
		`{to: ["env:SLACK"], repeat: 1m}`:             "notify.repeat: is shorter",
		"{heartbeat: {every: 5m}}":                    "notify.heartbeat.url: is missing",
		"{heartbeat: {url: 'https://hc.io/hunter2'}}": "is a secret written in clear",
		"[{url: 'discord://hunter2@1'}]":              "notify[0].url: is a secret written in clear",
	} {
		_, err := load(text)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
