package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
)

// TestHooksOfAnother: what another user has put into the current folder is not run.
func TestHooksOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("gives files away")
	}
	const plain = "name: test\nrepository: {url: /srv/r, password: env:P}\n"
	const hooks = plain + "hooks: {before_backup: [\"touch /tmp/x\"]}\n"
	for _, c := range []struct {
		name, text string
		uid        int
		mode       os.FileMode
		sudo, want string
	}{
		{"root's", hooks, 0, 0o644, "", ""},
		{"root's, for a group", hooks, 0, 0o664, "", ""},
		{"another's", hooks, 65534, 0o600, "", "belongs to user 65534"},
		{"of whoever called sudo", hooks, 65534, 0o600, "65534", ""},
		{"of another than called sudo", hooks, 65534, 0o600, "1000", "belongs to user 65534"},
		{"anybody's", hooks, 0, 0o666, "", "anybody may write"},
		{"another's without hooks", plain, 65534, 0o666, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "cofre.yaml")
			if err := errors.Join(os.WriteFile(path, []byte(c.text), 0o600), os.Chmod(path, c.mode), os.Chown(path, c.uid, 0)); err != nil {
				t.Fatal(err)
			}
			getenv := func(name string) string { return map[string]string{"SUDO_UID": c.sudo}[name] }
			cfg, err := config.Load(path, getenv)
			if err != nil {
				t.Fatal(err)
			}
			err = cfg.Mistrusted(getenv)
			if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, cofre.ErrRefused) || !strings.Contains(err.Error(), c.want) || !strings.Contains(cofre.Hint(err), path)) {
				t.Errorf("%v (%s), want %q", err, cofre.Hint(err), c.want)
			}
		})
	}
}
