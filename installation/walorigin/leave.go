package walorigin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// LeaveKeys puts the keys that read WAL where the server's restore_command keeps them while it recovers, readable by the server's user
// alone. It would find them by itself with the password; which may be in a variable that the server does not have, or in a file
// that its user cannot read. Whom the repository believes lies beside it.
// A repository that cannot be opened is left to restore_command, which may do without it.
//
// Errors: those of the file system, also if something else than a directory is where the keys are to be.
func LeaveKeys(ctx context.Context, cfg *config.Config, dir string) (err error) {
	data, err := inside.Open(dir)
	if err != nil {
		return err
	}
	defer data.Close() // only searched
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("leave the key that reads the archived WAL to the server: %w", err)
		}
	}()
	if err := data.Mkdir(datadir.SpoolDir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	spool, err := data.Sub(datadir.SpoolDir)
	if err != nil {
		return err
	}
	defer spool.Close() // only searched
	own := datadir.OwnAs(dir)
	if err := ownIn(spool, ".", own); err != nil {
		return err
	}
	for i, repo := range cfg.Repositories() {
		file := fetch.IdentityFile("")
		if i > 0 {
			file = fetch.CopyIdentityFile("", i)
		}
		beside, err := leaveKey(ctx, cfg, repo, spool.At(file), dir)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			continue
		}
		for _, name := range []string{file, filepath.Base(beside)} {
			if err := ownIn(spool, name, own); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// leaveKey leaves the key of one repository in a file, and whom that believes beside it.
func leaveKey(ctx context.Context, cfg *config.Config, repo config.Repository, file, dir string) (beside string, err error) {
	st, err := walstore.Open(ctx, repo)
	var recipient wal.Recipient
	if err == nil {
		recipient, err = wal.LoadRecipient(ctx, st)
	}
	if err == nil || errors.Is(err, cofre.ErrCorrupt) {
		if _, err = wal.KeepIdentity(file, recipient, walstore.Unlock(ctx, cfg, repo, st)); err == nil {
			return walstore.LeaveOrigins(ctx, cfg, repo, st, file, dir)
		}
	}
	return "", err
}

// ownIn gives what has a name in a directory to the owner of the cluster.
func ownIn(d *inside.Dir, name string, own func(*os.File) error) error {
	f, err := d.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(own(f), f.Close())
}

// ForgetSpool removes what fetching left in a data directory whose server does not run any more. A process that fetches
// ahead may not have noticed that, and adds files while they are removed; without the key it begins nothing new.
//
// Errors: those of the file system.
func ForgetSpool(ctx context.Context, dir string) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := forgetIn(dir)
		switch {
		case err == nil || errors.Is(err, fs.ErrNotExist):
			return nil
		case !errors.Is(err, syscall.ENOTEMPTY) || time.Now().After(deadline) || ctx.Err() != nil:
			return fmt.Errorf("remove the key that the recovery has used, and what it has fetched: %w", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// forgetIn removes it once. What is there may be a link, which is removed as one.
func forgetIn(dir string) error {
	data, err := inside.Open(dir)
	if err != nil {
		return err
	}
	defer data.Close() // only searched
	spool, err := data.Sub(datadir.SpoolDir)
	if errors.Is(err, syscall.ENOTDIR) {
		return data.Remove(datadir.SpoolDir)
	}
	if err != nil {
		return err
	}
	if err := errors.Join(fetch.Forget(spool.At(".")), spool.Close()); err != nil {
		return err
	}
	return data.Rmdir(datadir.SpoolDir)
}
