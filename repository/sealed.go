package repository

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"

	"github.com/trustlayer/cofre"
)

// sealedHead begins what Seal returns.
const sealedHead = "cofre sealed 1\n"

// Seal encrypts text under a key that is derived for a purpose, and that the repository's password opens, also after it was changed.
//
// Errors: that the key cannot be derived.
func (r *Repository) Seal(purpose string, text []byte) ([]byte, error) {
	aead, err := r.cipher(purpose)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return aead.Seal(append([]byte(sealedHead), nonce...), nonce, text, []byte(sealedHead)), nil
}

// Unseal reads what Seal has encrypted for the same purpose in this repository.
//
// Errors: cofre.ErrCorrupt if it is anything else.
func (r *Repository) Unseal(purpose string, sealed []byte) ([]byte, error) {
	aead, err := r.cipher(purpose)
	if err != nil {
		return nil, err
	}
	rest, ok := bytes.CutPrefix(sealed, []byte(sealedHead))
	if !ok || len(rest) < aead.NonceSize() {
		return nil, fmt.Errorf("unseal: it was not sealed: %w", cofre.ErrCorrupt)
	}
	text, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], []byte(sealedHead))
	if err != nil {
		return nil, fmt.Errorf("unseal: %v: %w", err, cofre.ErrCorrupt)
	}
	return text, nil
}

// cipher is that of a key which Kopia derives from the master key for a purpose.
func (r *Repository) cipher(purpose string) (cipher.AEAD, error) {
	key, err := r.kopia.DeriveKey(purpose, 32)
	if err != nil {
		return nil, r.explain("derive the key for "+purpose, err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// Floor is the store that the repository rests on, to be written to also where the rest was opened to read: what lies there beside the
// blobs is nobody's in this package.
func (r *Repository) Floor() cofre.Store { return r.notes }

// UniqueID is what no other repository has.
func (r *Repository) UniqueID() string { return fmt.Sprintf("%x", r.kopia.UniqueID()) }
