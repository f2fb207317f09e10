package edge

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	cfg, err := a.settings()
	if err == nil {
		a.configured(cfg.Language)
	}
	return cfg, err
}

func (a *App) settings() (*config.Config, error) {
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
	if err == nil && a.ConfigFile == "" && filepath.Dir(path) == "." {
		err = cfg.Mistrusted(a.Getenv)
	}
	return cfg, err
}

// ConfigPath is the configuration file that counts, or "" if there is none.
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
