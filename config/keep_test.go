package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
)

const keeping4 = `
name: x
repository: {url: /srv/x, password: env:P}
database: {url: postgres://a@b/c, keep: {last: 3}}
cluster: {url: postgres://a@b/c}
storage: {folder: {path: /srv/o}, keep: {everything: true}}
config: {paths: [/etc/x]}
`

// rules are those of each section that is there.
func rules(c *Config) map[cofre.Kind]Keep {
	m := map[cofre.Kind]Keep{}
	for _, k := range c.keeps() {
		m[k.kind] = *k.keep
	}
	return m
}

func load(t *testing.T, text string) *Config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cofre.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What a section says stands; what says nothing is kept as long as the guide kept it.
func TestKeepHasDefaults(t *testing.T) {
	c := load(t, keeping4)
	for kind, want := range map[cofre.Kind]Keep{
		cofre.KindDatabase: {Last: 3}, cofre.KindCluster: {Days: 7}, cofre.KindStorage: {Everything: true}, cofre.KindConfig: {Days: 90},
	} {
		if got := rules(c)[kind]; got != want {
			t.Errorf("%s: %+v; want %+v", kind, got, want)
		}
	}
}

func TestKeepingIsAnotherPolicy(t *testing.T) {
	c := load(t, keeping4)
	other, err := c.Keeping("keep.days=5", "database.keep.monthly=12")
	if err != nil {
		t.Fatal(err)
	}
	for kind, want := range map[cofre.Kind]Keep{
		cofre.KindDatabase: {Days: 5, Last: 3, Monthly: 12}, cofre.KindCluster: {Days: 5}, cofre.KindStorage: {Days: 5}, cofre.KindConfig: {Days: 5},
	} {
		if got := rules(other)[kind]; got != want {
			t.Errorf("%s: %+v; want %+v", kind, got, want)
		}
	}
	for _, x := range []struct {
		what []string
		want map[cofre.Kind]Keep
	}{
		{[]string{"keep.monthly=12"}, map[cofre.Kind]Keep{cofre.KindDatabase: {Last: 3, Monthly: 12}, cofre.KindStorage: {Monthly: 12}, cofre.KindConfig: {Monthly: 12}}},
		{[]string{"database.keep.everything=true"}, map[cofre.Kind]Keep{cofre.KindDatabase: {Everything: true}, cofre.KindCluster: {Days: 7}}},
		{[]string{"keep.everything=false"}, map[cofre.Kind]Keep{cofre.KindDatabase: {Last: 3}, cofre.KindStorage: {Days: 30}, cofre.KindConfig: {Days: 90}}},
		{[]string{"database.keep.last=0", "database.keep.days=2"}, map[cofre.Kind]Keep{cofre.KindDatabase: {Days: 2}}},
	} {
		other, err := c.Keeping(x.what...)
		if err != nil {
			t.Fatal(err)
		}
		for kind, want := range x.want {
			if got := rules(other)[kind]; got != want {
				t.Errorf("%v: %s: %+v; want %+v", x.what, kind, got, want)
			}
		}
	}
	if got := c.Database.Keep; got != (Keep{Last: 3}) {
		t.Errorf("the configuration itself was changed: %+v", got)
	}
	for _, wrong := range []string{"", "days=7", "keep.days", "keep.days=x", "keep.days=-1", "keep.century=1", "copies.keep.days=1", "keep.everything=maybe"} {
		if _, err := c.Keeping(wrong); !errors.Is(err, cofre.ErrConfig) || (wrong != "" && !strings.Contains(err.Error(), strings.SplitN(wrong, "=", 2)[0])) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	if _, err := c.Keeping("keep.everything=true", "keep.days=3"); !errors.Is(err, cofre.ErrConfig) {
		t.Errorf("everything, and three days: %v", err)
	}
}
