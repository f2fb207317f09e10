package custody_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/custody"
)

// TestASecretThatEverybodyReads: it is named with what closes it, and only if the folders above it let others pass.
func TestASecretThatEverybodyReads(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(filepath.Dir(dir), 0o755))
	must(os.WriteFile(path("password"), []byte("x\n"), 0o644))
	must(os.WriteFile(path("key"), []byte("x\n"), 0o640))
	must(os.WriteFile(path("cofre.yaml"), []byte("name: tl\nrepository: {url: repo, password: file:password}\ndatabase: {url: \"postgres://u@h/d\", password: file:key}\nstate_dir: state\n"), 0o600))
	cfg, err := config.Load(path("cofre.yaml"), os.Getenv)
	must(err)
	found := custody.Look(cfg)
	if len(found) != 1 || found[0].OK || !strings.Contains(found[0].Detail, path("password")) || !strings.HasPrefix(found[0].Hint, "chmod o= "+path("password")) {
		t.Errorf("%+v", found)
	}
	must(os.Chmod(dir, 0o750))
	if found = custody.Look(cfg); len(found) != 1 || !found[0].OK {
		t.Errorf("in a folder that is closed: %+v", found)
	}
	must(os.Chmod(dir, 0o755))
	must(os.Chmod(path("password"), 0o640))
	if found = custody.Look(cfg); len(found) != 1 || !found[0].OK {
		t.Errorf("closed: %+v", found)
	}
}

// TestWhatOthersMayChange: what is believed, or run, is nobody else's.
func TestWhatOthersMayChange(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives files away")
	}
	const other = 65534
	for _, gives := range []string{"", "conf/cofre.yaml", "conf", "state", "bin/stop", "bin"} {
		t.Run(gives, func(t *testing.T) {
			dir := t.TempDir()
			path := func(name string) string { return filepath.Join(dir, name) }
			must := func(err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
			}
			for _, folder := range []string{"conf", "state", "bin"} {
				must(os.Mkdir(path(folder), 0o755))
			}
			must(os.WriteFile(path("bin/stop"), []byte("#!/bin/sh\n"), 0o755))
			must(os.WriteFile(path("conf/cofre.yaml"), []byte("name: tl\nrepository: {url: repo, password: env:P}\nstate_dir: ../state\nhooks: {before_restore: ["+path("bin/stop")+" now]}\n"), 0o600))
			if gives != "" {
				must(os.Chown(path(gives), other, other))
			}
			cfg, err := config.Load(path("conf/cofre.yaml"), os.Getenv)
			must(err)
			found := custody.Look(cfg)
			if gives == "" {
				if len(found) != 1 || !found[0].OK {
					t.Errorf("nothing is anybody else's: %+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].OK || !strings.Contains(found[0].Detail, path(gives)+" ") || !strings.Contains(found[0].Hint, path(gives)) {
				t.Errorf("%+v", found)
			}
		})
	}
}
