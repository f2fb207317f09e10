package installation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/repository/kit"
)

// reader is the power of what changes nothing in the repository.
type reader interface {
	Points(ctx context.Context) iter.Seq2[cofre.RecoveryPoint, error]
	Tree(ctx context.Context, root cofre.ObjectID) (cofre.Tree, error)
	Verify(ctx context.Context, points []cofre.RecoveryPoint, how cofre.Verification) iter.Seq2[cofre.Finding, error]
	Stats(ctx context.Context) (cofre.RepositoryStats, error)
}

// openOne opens the repository or a copy.
//
// Errors: cofre.ErrConfig, and those of repository.Open.
func openOne(ctx context.Context, cfg *config.Config, r config.Repository, purpose access) (cofre.Repository, error) {
	c, err := repositoryConfig(cfg, r)
	if err != nil {
		return nil, err
	}
	c.ReadOnly = purpose == toRead
	return repository.Open(ctx, c)
}

// initRepository makes a configured repository, or a copy, with a key for WAL.
//
// Errors: cofre.ErrConfig, and those of repository.Init; with the kit, if only the key could not be stored.
func (in *Installation) initRepository(ctx context.Context, r config.Repository, isCopy bool) (*kit.Kit, error) {
	c, err := repositoryConfig(in.cfg, r)
	if err != nil {
		return nil, err
	}
	kit, err := repository.Init(ctx, c)
	if errors.Is(err, cofre.ErrExists) {
		// An init that was killed behind the repository itself has left it without its key for WAL.
		made, keyErr := in.createWALKeys(ctx, r)
		if made {
			err = cofre.WithHint(err, cofre.Say("init.key_made", "it had no key for WAL, and has one now: use it as it is"))
		}
		return nil, errors.Join(err, keyErr)
	}
	if err != nil {
		return nil, err
	}
	cofre.Tell(in.observer, cofre.RepositoryMade{URL: r.URL, Copy: isCopy})
	_, err = in.createWALKeys(ctx, r)
	whole, _ := repository.Kit(ctx, c) // with the key for WAL
	return cmp.Or(whole, kit), err
}

// repositoryConfig reads the secrets of the repository and nothing else.
func repositoryConfig(cfg *config.Config, r config.Repository) (repository.Config, error) {
	state, err := cfg.StateFolder()
	if err != nil {
		return repository.Config{}, err
	}
	address, err := r.Address()
	if err != nil {
		return repository.Config{}, err
	}
	c := repository.Config{URL: address, StateDir: state, Compression: compression(r.Compression), PasswordSource: r.Password.String(), CopyOf: cfg.CopyOf(r)}
	secrets := append(r.Credentials.Into(&c.AccessKey, &c.SecretKey, &c.SessionToken), config.Reference{From: r.Password, To: &c.Password})
	return c, config.ReadSecrets("repository", secrets...)
}

// compression translates the configuration's word for s2 into the engine's.
func compression(word string) string {
	if word == "s2" {
		return repository.CompressionS2
	}
	return word
}

// damageOf asks the repository which points are known to have lost something.
func damageOf(ctx context.Context, repo reader) (map[cofre.PointID][]cofre.Finding, error) {
	m, ok := repo.(cofre.Mender)
	if !ok {
		return nil, nil
	}
	damaged, err := m.Damage(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask what is damaged: %w", err)
	}
	by := map[cofre.PointID][]cofre.Finding{}
	for _, d := range damaged {
		by[d.Point] = d.Findings
	}
	return by, nil
}
