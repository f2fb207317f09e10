package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
)

// configName is the configuration file that is looked for in each of configDirs.
const configName = "cofre.yaml"

// configDirs are the folders where a configuration is looked for, the first that has one counts.
func configDirs() []string { return []string{".", "/etc/cofre"} }

// settings reads the configuration: the file that was named, the first that is found, or the guide's variables.
//
// Errors: cofre.ErrConfig, with everything that is wrong.
func (a *app) settings() (*config.Config, error) {
	path, err := a.configPath()
	if err != nil {
		return nil, err
	}
	if path == "" {
		return config.FromEnvironment(a.getenv)
	}
	cfg, err := config.Load(path, a.getenv)
	if errors.Is(err, cofre.ErrNotFound) {
		return nil, &usage{err}
	}
	return cfg, err
}

// configPath is the configuration file that counts, or "" where there is none.
func (a *app) configPath() (string, error) {
	if a.configFile != "" {
		return a.configFile, nil
	}
	for _, dir := range configDirs() {
		path := filepath.Join(dir, configName)
		switch _, err := os.Stat(path); {
		case err == nil:
			return path, nil
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("look for a configuration: %w: %w", cofre.ErrConfig, err)
		}
	}
	return "", nil
}

// reader is the power of a command that changes nothing in the repository.
type reader interface {
	Points(ctx context.Context) iter.Seq2[cofre.RecoveryPoint, error]
	Tree(ctx context.Context, root cofre.ObjectID) (cofre.Tree, error)
	Verify(ctx context.Context, points []cofre.RecoveryPoint, level cofre.Level, obs cofre.Observer) iter.Seq2[cofre.Finding, error]
	Stats(ctx context.Context) (cofre.RepositoryStats, error)
}

// reading runs a command that reads the repository, and to which it refuses every write.
func (a *app) reading(ctx context.Context, run func(context.Context, *config.Config, reader) error) error {
	return a.repository(ctx, toRead, func(ctx context.Context, cfg *config.Config, repo cofre.Repository) error { return run(ctx, cfg, repo) })
}

// writing runs a command that adds to the repository.
func (a *app) writing(ctx context.Context, run func(context.Context, *config.Config, cofre.Repository) error) error {
	return a.repository(ctx, toWrite, run)
}

// access is what a repository is opened for.
type access int

const (
	toRead access = iota
	toWrite
)

func (a *app) repository(ctx context.Context, purpose access, run func(context.Context, *config.Config, cofre.Repository) error) (err error) {
	cfg, err := a.settings()
	if err != nil {
		return err
	}
	repo, err := openRepository(ctx, cfg, purpose)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeBound)
		defer cancel()
		if cerr := repo.Close(ctx); cerr != nil && err == nil {
			err = fmt.Errorf("close the repository: %w", cerr)
		}
	}()
	return run(ctx, cfg, repo)
}
