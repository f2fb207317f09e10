package installation

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/repository/kit"
)

// Initialized is what Init made.
type Initialized struct {
	Kits  []*kit.Kit // of each that was made, to be shown once
	There int        // how many were there, and are left as they are
	Of    int        // how many there are to be: the repository and its copies
}

// Init makes the configured repository, and those of its copies that do not exist. Kits are returned with an error, too: a kit is shown
// once, so also if only the key for WAL could not be stored.
//
// Errors: cofre.ErrConfig; cofre.ErrExists if there was nothing to be made; those of repository.Init.
func (in *Installation) Init(ctx context.Context) (_ Initialized, err error) {
	end := in.begin(ctx, cofre.RunInit, observe.About{})
	defer func() { end(err) }()
	made := Initialized{Of: len(in.cfg.Repositories())}
	var errs, there []error
	for i, r := range in.cfg.Repositories() {
		kit, err := in.initRepository(ctx, r, i > 0)
		switch {
		case kit == nil && errors.Is(err, cofre.ErrExists):
			there = append(there, err)
		case err != nil && i > 0:
			errs = append(errs, fmt.Errorf("copies[%d]: %w", i-1, err))
		default:
			errs = append(errs, err)
		}
		if kit != nil {
			made.Kits = append(made.Kits, kit)
		}
		if kit != nil && i == 0 {
			// What fails here the next backup makes good.
			errs = append(errs, in.beginJournal(ctx), in.recording.Wait(), in.vouch(ctx, kit))
		}
	}
	made.There = len(there)
	// A copy may be added to a repository that is in use.
	if len(made.Kits) == 0 {
		errs = append(errs, there...)
	}
	err = errors.Join(errs...)
	return made, err
}

// RestoreFormat puts the format back that the repository has lost, from the text of its recovery kit. It returns the names of what was written.
//
// Errors: cofre.ErrConfig, and those of repository.RestoreFormat.
func (in *Installation) RestoreFormat(ctx context.Context, text string) ([]string, error) {
	c, err := repositoryConfig(in.cfg, in.cfg.Repository)
	if err != nil {
		return nil, err
	}
	return repository.RestoreFormat(ctx, c, text)
}

// Kits returns the recovery kit of the repository and of each copy.
//
// Errors: cofre.ErrConfig, and those of repository.Kit.
func (in *Installation) Kits(ctx context.Context) ([]*kit.Kit, error) {
	var kits []*kit.Kit
	for i, r := range in.cfg.Repositories() {
		c, err := repositoryConfig(in.cfg, r)
		if err != nil {
			return nil, err
		}
		kit, err := repository.Kit(ctx, c)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			if err := in.vouch(ctx, kit); err != nil {
				return nil, err
			}
		}
		kits = append(kits, kit)
	}
	return kits, nil
}
