package walstore

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/zeebo/blake3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres/wal"
)

// The key that WAL is encrypted for is public, and lies in the repository: whoever may write there could put their own in its place, and
// would be the only one to read what is archived from then on. So a host compares it with the one that it knows: of the configuration, or
// of its first use, which is remembered in the folder of state.

// ArchiveOf is a repository as WAL sees it, whose recipient is compared with the one that this host knows.
func ArchiveOf(ctx context.Context, cfg *config.Config, r config.Repository) wal.Archive {
	st, err := Open(ctx, r)
	known := func() wal.Recipient {
		known, _, _ := Pinned(cfg, r) // what is wrong with it, Confirm says
		return known
	}
	return wal.Archive{Store: st, Unusable: err, Known: known, Confirm: func(ctx context.Context, found wal.Recipient) error { return confirm(ctx, cfg, r, st, found) }}
}

// pinFile is where a host remembers the recipient of a repository; "" if it has no folder for it.
func pinFile(cfg *config.Config, r config.Repository) string {
	state, err := cfg.StateFolder()
	if err != nil {
		return ""
	}
	return filepath.Join(state, "wal-recipients", fileOf(r.URL))
}

// fileOf is what is remembered of a repository called: its address may be long, and may have a name in it.
func fileOf(url string) string {
	sum := blake3.Sum256([]byte(url))
	return fmt.Sprintf("%x", sum[:8])
}

// Pin remembers the recipient of a repository that this process has just made a key for, whatever was remembered of its address.
//
// Errors: those of the file system.
func Pin(cfg *config.Config, r config.Repository, recipient wal.Recipient) error {
	file := pinFile(cfg, r)
	if file == "" {
		return nil
	}
	return inside.WriteFile(file, 0o644, 0o755, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "# the key that WAL is encrypted for, in %s\n%s\n", r.URL, recipient)
		return err
	})
}

// Pinned is the recipient that this host knows of a repository, and where it has it from; zero if it knows none yet.
func Pinned(cfg *config.Config, r config.Repository) (known wal.Recipient, from string, err error) {
	if r.WALRecipient != "" {
		known, err = wal.ParseRecipient(r.WALRecipient)
		return known, "wal_recipient", err
	}
	file := pinFile(cfg, r)
	if file == "" {
		return known, "", nil
	}
	b, err := inside.ReadFile(file)
	if err != nil {
		return known, file, nil // there is none, or this user may not read it: what is not remembered refuses nothing
	}
	known, err = wal.ParseRecipient(string(b))
	return known, file, err
}

// confirm compares the recipient that a repository names with the one that this host knows, and remembers it at first use. One that was
// remembered gives way to another only if the password of the repository opens the key that it belongs to.
//
// Errors: cofre.ErrWrongKey, with what to do.
func confirm(ctx context.Context, cfg *config.Config, r config.Repository, st cofre.Store, found wal.Recipient) error {
	known, from, err := Pinned(cfg, r)
	switch {
	case err != nil:
		return fmt.Errorf("compare the recipient of WAL in %s with %s: %w", r.URL, from, err)
	case known.String() == found.String():
		return nil
	case known.IsZero():
		_ = Pin(cfg, r, found) // the next call does, if this one may not
		return nil
	}
	if r.WALRecipient == "" && belongs(ctx, r, st, found) {
		return Pin(cfg, r, found)
	}
	err = cofre.Fail(cofre.Say("wal.another_recipient", "WAL would be encrypted for {{.found}}, which {{.object}} of {{.url}} says now; this host knows {{.known}}",
		"found", found.String(), "object", wal.RecipientObject, "url", r.URL, "known", known.String()), cofre.ErrWrongKey)
	if r.WALRecipient != "" {
		return cofre.WithHint(err, cofre.Say("wal.recipient_of_configuration", "whoever put it there would read all WAL from now on, and you none: put the file back as it was; or, if the repository was made anew, write its recipient into the configuration: wal_recipient: {{.found}}", "found", found.String()))
	}
	return cofre.WithHint(err, cofre.Say("wal.recipient_of_host", "whoever put it there would read all WAL from now on, and you none: put the file back as it was; or, if the repository was made anew: {{.command}}", "command", "rm "+shell.Quote(from)))
}

// belongs reports whether the password of a repository opens the identity of a recipient. A host that archives may have no password.
func belongs(ctx context.Context, r config.Repository, st cofre.Store, found wal.Recipient) bool {
	if r.Password.IsZero() || strings.TrimSpace(r.Password.String()) == "" {
		return false
	}
	id, err := unlocking(ctx, r, st)()
	return err == nil && id.Recipient().String() == found.String()
}
