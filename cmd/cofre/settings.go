package main

import (
	"context"
	"iter"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
)

// open runs a command on the configured installation, whose events are shown, and gives it back in the end.
func (a *app) open(ctx context.Context, run func(context.Context, *installation.Installation) error) (err error) {
	cfg, err := a.Settings()
	if err != nil {
		return err
	}
	in, err := installation.Open(ctx, cfg, a.observer(ctx))
	if err != nil {
		return err
	}
	in.Version, in.HookOutput = edge.Version(), a.Err
	a.in = in
	defer func() {
		a.screen.end()
		if cerr := in.Close(ctx); cerr != nil && err == nil {
			err = cerr
		}
	}()
	return run(ctx, in)
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
	return a.open(ctx, func(ctx context.Context, in *installation.Installation) error {
		repo, err := in.Reading(ctx)
		if err != nil {
			return err
		}
		return run(ctx, in.Config(), repo)
	})
}

func (a *app) catalog(ctx context.Context, _ *config.Config, repo reader) (*catalog.Catalog, error) {
	return a.in.Catalog(ctx, repo)
}

func (a *app) progress(context.Context) (cofre.Observer, func()) {
	return a.in.Observer(), a.screen.end
}
