package walorigin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// LeaveKeys puts the keys that read WAL where the server's restore_command keeps them while it recovers, readable by the server's user
// alone. It would find them by itself with the password; which may be in a variable that the server does not have, or in a file
// that its user cannot read. Whom the repository believes lies beside it.
// A repository that cannot be opened is left to restore_command, which may do without it.
func LeaveKeys(ctx context.Context, cfg *config.Config, dir string) error {
	spool := filepath.Join(dir, datadir.SpoolDir)
	own := datadir.OwnAs(dir)
	for i, repo := range cfg.Repositories() {
		file := fetch.IdentityFile(spool)
		if i > 0 {
			file = fetch.CopyIdentityFile(spool, i)
		}
		beside := ""
		st, err := walstore.Open(ctx, repo)
		var recipient wal.Recipient
		if err == nil {
			recipient, err = wal.LoadRecipient(ctx, st)
		}
		if err == nil || errors.Is(err, cofre.ErrCorrupt) {
			_, err = wal.KeepIdentity(file, recipient, walstore.Unlock(ctx, cfg, repo, st))
			if err == nil {
				beside, err = walstore.LeaveOrigins(ctx, cfg, repo, st, file, dir)
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			continue
		}
		for _, path := range []string{spool, file, beside} {
			if err := own(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("leave the key that reads the archived WAL to the server: %w", err)
			}
		}
	}
	return nil
}
