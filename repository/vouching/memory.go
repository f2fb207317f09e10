package vouching

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/repository/seal"
)

// Memory is where a machine keeps in mind which repositories were raised: whoever holds the storage can take away the seals that say so, and
// not this.
type Memory struct{ Dir string } // the state directory

func (m Memory) file(id []byte) string {
	return filepath.Join(m.Dir, "sealed", hex.EncodeToString(id))
}

// Raised reports whether a repository is known to be raised, by its unique id.
func (m Memory) Raised(id []byte) bool {
	_, err := os.Lstat(m.file(id))
	return err == nil
}

// Keep keeps in mind that it is.
//
// Errors: those of the file system.
func (m Memory) Keep(id []byte) error {
	if m.Raised(id) {
		return nil
	}
	return inside.WriteFile(m.file(id), 0o600, 0o700, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, time.Now().UTC().Format(time.RFC3339))
		return err
	})
}

// Ledger reads the seals of a repository, and remembers that it is raised.
//
// Errors: of the store; of the file system.
func (m Memory) Ledger(ctx context.Context, st cofre.Store, key seal.Key, id []byte) (*seal.Ledger, error) {
	known := m.Raised(id)
	l, err := seal.ReadLedger(ctx, st, key, known)
	if err != nil {
		return nil, err
	}
	if known && !l.Said {
		l.Problems = append(l.Problems, seal.Problem{Name: seal.Prefix + "…", What: "the seals are gone that say which others are believed; this machine has seen them"})
	}
	if l.Said && !known {
		_ = m.Keep(id) // it is read again from the seals
	}
	return l, nil
}

// Warning says that packs have no seal under the key.
func Warning(packs int) cofre.Event {
	text := cofre.SayN("repository.not_vouched", packs, "1 pack has a seal that anybody can have written, and was decrypted instead; seal all of them under the password with: cofre seal",
		"{{.n}} packs have seals that anybody can have written, and were decrypted instead; seal all of them under the password with: cofre seal")
	return cofre.Event{At: time.Now(), Type: cofre.TypeWarning}.Saying(text)
}
