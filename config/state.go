package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/trustlayer/cofre"
)

// StateFolder is where caches and connection files of this machine are, and what it has seen of the journal. Without
// HOME, as in a container, it is /var/cache/cofre for root and a folder of the user's own among the temporary ones
// otherwise.
//
// Errors: cofre.ErrConfig if somebody else has made that folder.
func (c *Config) StateFolder() (string, error) {
	if c.StateDir != "" {
		return c.StateDir, nil
	}
	cache, err := os.UserCacheDir()
	if err == nil {
		return filepath.Join(cache, "cofre"), nil
	}
	if os.Geteuid() == 0 {
		return "/var/cache/cofre", nil
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("cofre-%d", os.Geteuid()))
	return dir, c.ownFolder(dir)
}

// ownFolder makes a folder where everybody may write, and refuses one that is another user's: what is read from it is
// believed.
func (c *Config) ownFolder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err == nil || !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if ok && info.IsDir() && int(st.Uid) == os.Geteuid() && info.Mode().Perm()&0o022 == 0 {
		return nil
	}
	return cofre.WithHint(
		cofre.Fail(cofre.Say("config.shared_folder", "folder {{.folder}}, for caches, is not this user's alone", "folder", dir), cofre.ErrConfig),
		c.Hint(cofre.Say("config.state_dir", "set state_dir in the configuration, or HOME"), cofre.Say("config.home", "set HOME")))
}
