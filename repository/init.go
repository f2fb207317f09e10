package repository

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/format"
	"github.com/kopia/kopia/repo/maintenance"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/kit"
	"github.com/trustlayer/cofre/repository/opening"
	"github.com/trustlayer/cofre/repository/pruning"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/repository/trouble"
	"github.com/trustlayer/cofre/store"
)

// What a repository is made with. Hash and cipher can never change afterwards.
const (
	hashAlgorithm       = "BLAKE3-256-128"
	encryptionAlgorithm = "AES256-GCM-HMAC-SHA256"
)

// abandonedInit is how old an unfinished init must be before another one starts over.
const abandonedInit = time.Minute

// Init makes a repository at c.URL. Of several at once, one wins.
//
// Errors: ErrExists if there is one already; ErrConfig; those of the store.
func Init(ctx context.Context, c Config) (*kit.Kit, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("init repository: %w", err)
	}
	// Before anything is made: a repository is not to be left without the kit that this returns.
	if err := opening.MakeStateDir(c.StateDir); err != nil {
		return nil, fmt.Errorf("init repository: %w", err)
	}
	s, err := store.Open(ctx, c.store(true))
	if err != nil {
		return nil, fmt.Errorf("init repository: %w", err)
	}
	b := blobs.New(s)
	if err := initialize(ctx, c, b); err != nil {
		return nil, fmt.Errorf("init repository %s: %w", s.URL(), err)
	}
	r, err := Open(ctx, c)
	if err != nil {
		return nil, err
	}
	err = errors.Join(r.born(ctx, b.Seals), r.Close(ctx))
	if err != nil {
		return nil, fmt.Errorf("init repository %s: %w", s.URL(), err)
	}
	return newKit(ctx, c, b)
}

func newKit(ctx context.Context, c Config, b *blobs.Storage) (*kit.Kit, error) {
	f, err := kit.ReadFormat(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("recovery kit of %s: %w", b.Store.URL(), err)
	}
	return kit.New(b.Store.URL(), c.PasswordSource, c.CopyOf, f), nil
}

// RestoreFormat puts the format back that is missing or another, from the text of a recovery kit, after an index was read with it. It returns the names of
// what it has written.
//
// Errors: cofre.ErrExists if nothing was missing; ErrCorrupt if the kit is not that of this repository, or was mistyped; ErrWrongKey; those of the store.
func RestoreFormat(ctx context.Context, c Config, text string) ([]string, error) {
	f, err := kit.ParseFormat(text)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, c.store(false))
	if err != nil {
		return nil, fmt.Errorf("restore the format: %w", noRepo(err, c.URL))
	}
	b := blobs.New(s)
	tried := f.Over(s, b)
	look := c
	look.ReadOnly = true
	r, err := openOn(ctx, look, tried, tried)
	if err != nil {
		return nil, fmt.Errorf("with the format of the kit: %w", err)
	}
	of := kit.OfThis(ctx, b, func(ctx context.Context, id blob.ID) error {
		_, err := pruning.Index(ctx, r.kopia, id)
		return err
	})
	if err := errors.Join(of, r.refresh(ctx), r.Close(ctx)); err != nil {
		return nil, trouble.Of("with the format of the kit", err)
	}
	return f.Restore(ctx, b)
}

// Kit returns the recovery kit of a repository that exists, without opening it: no password is needed to say where it is.
//
// Errors: ErrNoRepo, ErrConfig; those of the store.
func Kit(ctx context.Context, c Config) (*kit.Kit, error) {
	s, err := store.Open(ctx, c.store(false))
	if err != nil {
		return nil, fmt.Errorf("recovery kit: %w", noRepo(err, c.URL))
	}
	b := blobs.New(s)
	if err := kit.FindLost(ctx, b); err != nil {
		return nil, fmt.Errorf("recovery kit of %s: %w", s.URL(), err)
	}
	r := &Repository{config: c, store: s, blobs: b}
	if _, err := opening.UniqueID(ctx, r.blobs, r.config.URL); err != nil && !errors.Is(err, cofre.ErrCorrupt) { // then there is a second copy
		return nil, fmt.Errorf("recovery kit of %s: %w", s.URL(), err)
	}
	return newKit(ctx, c, b)
}

func initialize(ctx context.Context, c Config, b *blobs.Storage) error {
	if _, err := b.GetMetadata(ctx, format.KopiaRepositoryBlobID); err == nil {
		return cofre.WithHint(fmt.Errorf("a repository is there: %w", cofre.ErrExists), cofre.Say("repository.exists", "use it as it is (cofre kit prints its recovery kit), or choose another address"))
	} else if !errors.Is(err, blob.ErrBlobNotFound) {
		return err
	}
	if _, err := b.Store.Stat(ctx, blobs.SpareName(format.KopiaRepositoryBlobID)); err == nil {
		return cofre.WithHint(fmt.Errorf("a repository is there, whose %s is missing: %w", b.Naming.Name(format.KopiaRepositoryBlobID), cofre.ErrExists),
			cofre.Say("repository.second_copy", "put it back from its second copy: cofre verify --level content, then cofre backup"))
	} else if !errors.Is(err, cofre.ErrNotFound) {
		return err
	}
	if remains, err := kit.Remains(ctx, b); err != nil {
		return err
	} else if remains != "" {
		return kit.Lost(b.Naming.Name(format.KopiaRepositoryBlobID), remains)
	}
	// The format comes last: without it there is no repository, and an init that was cut short starts over.
	if m, err := b.GetMetadata(ctx, format.KopiaBlobCfgBlobID); err == nil && time.Since(m.Timestamp) > abandonedInit {
		if err := b.Store.Delete(ctx, b.Naming.Name(format.KopiaBlobCfgBlobID)); err != nil {
			return err
		}
	}
	if store.IsFolder(c.URL) {
		if err := b.PutShards(ctx); err != nil {
			return err
		}
	}
	b.Creating = true
	err := repo.Initialize(ctx, b, &repo.NewRepositoryOptions{
		BlockFormat:  format.ContentFormat{Hash: hashAlgorithm, Encryption: encryptionAlgorithm, EnablePasswordChange: true},
		ObjectFormat: format.ObjectFormat{Splitter: streamSplitter},
	}, c.Password.Reveal())
	if errors.Is(err, blob.ErrBlobAlreadyExists) {
		return fmt.Errorf("another init was faster: %w", cofre.ErrExists)
	}
	return err
}

// born seals what the repository was made of: under its key, and so that no other seal is ever believed.
func (r *Repository) born(ctx context.Context, seals *seal.Sealer) error {
	seals.Key, seals.Raised, r.blobs.Seals.Raised = r.blobs.Seals.Key, true, true
	if err := seals.Flush(ctx); err != nil {
		return err
	}
	return errors.Join(r.memory().Keep(r.kopia.UniqueID()), r.disownMaintenance(ctx))
}

// disownMaintenance gives Kopia's maintenance an owner that no Kopia is and turns its cycles off: its garbage
// collection beside a capture breaks the capture, and nothing here runs it.
func (r *Repository) disownMaintenance(ctx context.Context) error {
	p := maintenance.DefaultParams()
	p.Owner = "nobody@cofre"
	p.QuickCycle.Enabled, p.FullCycle.Enabled = false, false
	err := repo.WriteSession(ctx, r.kopia, repo.WriteSessionOptions{Purpose: "init"}, func(ctx context.Context, w repo.RepositoryWriter) error {
		return maintenance.SetParams(ctx, w, &p)
	})
	return trouble.Of("turn maintenance off", err)
}
