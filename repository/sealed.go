package repository

import (
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/repository/trouble"
)

// sealedHead begins what Seal returns.
const sealedHead = "cofre sealed 1\n"

// Seal encrypts text under a key that is derived for a purpose, and that the repository's password opens, also after it was changed.
//
// Errors: that the key cannot be derived.
func (r *Repository) Seal(purpose string, text []byte) ([]byte, error) {
	key, err := r.key(purpose)
	if err != nil {
		return nil, err
	}
	return seal.Encrypt(key, sealedHead, text)
}

// Unseal reads what Seal has encrypted for the same purpose in this repository.
//
// Errors: cofre.ErrCorrupt if it is anything else.
func (r *Repository) Unseal(purpose string, sealed []byte) ([]byte, error) {
	key, err := r.key(purpose)
	if err != nil {
		return nil, err
	}
	text, err := seal.Decrypt(key, sealedHead, sealed)
	if err != nil {
		return nil, fmt.Errorf("unseal: %v: %w", err, cofre.ErrCorrupt)
	}
	return text, nil
}

// key is one that Kopia derives from the master key for a purpose.
func (r *Repository) key(purpose string) ([]byte, error) {
	key, err := r.kopia.DeriveKey(purpose, 32)
	return key, trouble.Of("derive the key for "+purpose, err)
}

// RowKey is the key under which rows are summed in this repository.
//
// Errors: that it cannot be derived.
func (r *Repository) RowKey() (cofre.RowKey, error) {
	secret, err := r.key("cofre rows 1")
	if err != nil {
		return cofre.RowKey{}, err
	}
	return cofre.NewRowKey(secret)
}

func (s *session) RowKey() (cofre.RowKey, error) { return s.repo.RowKey() }

func (t *tree) RowKey() (cofre.RowKey, error) { return t.repo.RowKey() }

// Floor is the store that the repository rests on, to be written to also where the rest was opened to read: what lies there beside the
// blobs is nobody's in this package.
func (r *Repository) Floor() cofre.Store { return r.notes }

// UniqueID is what no other repository has.
func (r *Repository) UniqueID() string { return fmt.Sprintf("%x", r.kopia.UniqueID()) }
