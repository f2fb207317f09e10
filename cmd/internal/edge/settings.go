package edge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
)

// ConfigName is the configuration file that is looked for in each of configDirs.
const ConfigName = "cofre.yaml"

// configDirs are the folders where a configuration is looked for, the first that has one counts.
func configDirs() []string { return []string{".", "/etc/cofre"} }

// Settings reads the configuration: the file that was named, the first that is found, or the guide's variables.
//
// Errors: cofre.ErrConfig, with everything that is wrong.
func (a *App) Settings() (*config.Config, error) {
	path, err := a.ConfigPath()
	if err != nil {
		return nil, err
	}
	if path == "" {
		return config.FromEnvironment(a.Getenv)
	}
	cfg, err := config.Load(path, a.Getenv)
	if errors.Is(err, cofre.ErrNotFound) {
		return nil, Usage(err)
	}
	return cfg, err
}

// ConfigPath is the configuration file that counts, or "" where there is none.
func (a *App) ConfigPath() (string, error) {
	if a.ConfigFile != "" {
		return a.ConfigFile, nil
	}
	for _, dir := range configDirs() {
		path := filepath.Join(dir, ConfigName)
		switch _, err := os.Stat(path); {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("look for a configuration: %w: %w", cofre.ErrConfig, err)
		}
	}
	return "", nil
}

// StateDir is where caches and connection files of this machine are. Everything in it may be deleted at any time. Without
// HOME, as in a container, it is /var/cache/cofre for root and a folder of the user's own among the temporary ones
// otherwise.
//
// Errors: ErrConfig if somebody else has made that folder.
func StateDir(cfg *config.Config) (string, error) {
	if cfg.StateDir != "" {
		return cfg.StateDir, nil
	}
	cache, err := os.UserCacheDir()
	if err == nil {
		return filepath.Join(cache, "cofre"), nil
	}
	if os.Geteuid() == 0 {
		return "/var/cache/cofre", nil
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("cofre-%d", os.Geteuid()))
	return dir, ownFolder(dir)
}

// ownFolder makes a folder where everybody may write, and refuses one that is another user's: what is read from it is
// believed.
func ownFolder(dir string) error {
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
	return cofre.WithHint(fmt.Errorf("folder %s, for caches, is not this user's alone: %w", dir, cofre.ErrConfig), "set state_dir in the configuration, or HOME")
}
