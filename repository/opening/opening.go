// Package opening is what opening a repository takes before the library can do it: the part of the format that is not encrypted, a state directory that can be
// written, and the file that the library wants to read.
package opening

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/format"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/repository/blobs"
)

// MakeStateDir makes the state directory, and proves that it can be written.
//
// Errors: those of the file system.
func MakeStateDir(dir string) error {
	hint := cofre.Say("repository.state_dir", "give cofre a directory that it may write to: state_dir")
	if err := inside.MkdirAll(dir, 0o700); err != nil {
		return cofre.WithHint(fmt.Errorf("make state directory: %w", err), hint)
	}
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return cofre.WithHint(fmt.Errorf("write to state directory: %w", err), hint)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// UniqueID reads the only part of the format that is not encrypted, in hexadecimal digits. url is how a person knows the repository.
//
// Errors: cofre.ErrNoRepo; cofre.ErrCorrupt if it is not as it was written, or is missing and its second copy is not; those of the store.
func UniqueID(ctx context.Context, b *blobs.Storage, url string) (string, error) {
	name := b.From(format.KopiaRepositoryBlobID)
	text, err := bounded.Read(ctx, b.Store, name, blobs.LargestFormat)
	if errors.Is(err, cofre.ErrNotFound) {
		copied, copiedErr := b.AsCopied(ctx)
		if copiedErr != nil {
			return "", copiedErr
		}
		if copied {
			return UniqueID(ctx, b, url)
		}
		if _, spareErr := b.Store.Stat(ctx, blobs.SpareName(format.KopiaRepositoryBlobID)); spareErr == nil {
			return "", fmt.Errorf("%s is missing: %w", b.Naming.Name(format.KopiaRepositoryBlobID), cofre.ErrCorrupt)
		}
		return "", cofre.WithHint(fmt.Errorf("%w", cofre.ErrNoRepo), cofre.Say("repository.make", "make one with cofre init, or correct repository.url ({{.url}})", "url", url))
	}
	if err != nil {
		return "", err
	}
	f, err := format.ParseKopiaRepositoryJSON(text)
	if err != nil {
		return "", cofre.WithHint(fmt.Errorf("read its format: %s: %w: %w", name, cofre.ErrCorrupt, err), cofre.Say("repository.damaged", "find out what is damaged: cofre verify --level content"))
	}
	return hex.EncodeToString(f.UniqueID), nil
}

// WriteConnection writes the file that the library is opened with, into the state directory, and returns its name. It holds no address and no secret.
//
// Errors: those of the file system.
func WriteConnection(dir string, info blob.ConnectionInfo, client repo.ClientOptions) (string, error) {
	text, err := json.Marshal(repo.LocalConfig{
		Storage: &info, Caching: &content.CachingOptions{}, // none: see blobs.IndexCache
		ClientOptions: client,
	})
	if err != nil {
		return "", err
	}
	f, err := os.CreateTemp(dir, "connection-*.json")
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	return f.Name(), errors.Join(err, f.Close())
}
