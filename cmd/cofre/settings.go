package main

import (
	"context"
	"fmt"
	"iter"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
)

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

// catalog reads the catalog. If nobody chose the installation's name, as on a machine that is not the one that backed up,
// and the repository has one installation only, that one is meant, and the call goes on with its name.
//
// Errors: those of catalog.Read.
func (a *app) catalog(ctx context.Context, cfg *config.Config, repo reader) (*catalog.Catalog, error) {
	cat, err := catalog.Read(ctx, repo)
	if err != nil {
		return nil, err
	}
	there := cat.Installations()
	if cfg.NameGuessed && len(there) == 1 && there[0] != cfg.Name {
		if !a.Quiet {
			fmt.Fprintf(a.Err, "installation %s: the only one in the repository (the configuration has no name)\n", there[0])
		}
		cfg.Name = there[0]
	}
	return cat, nil
}

// access is what a repository is opened for.
type access int

const (
	toRead access = iota
	toWrite
)

func (a *app) repository(ctx context.Context, purpose access, run func(context.Context, *config.Config, cofre.Repository) error) (err error) {
	cfg, err := a.Settings()
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
