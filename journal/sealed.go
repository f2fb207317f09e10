package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
)

const (
	sealedPrefix  = Prefix + "sealed/"
	sealedPurpose = "cofre journal"
	maxSealed     = 1 << 20
)

// Sealer encrypts under a key that the repository's password opens, and reads what it has encrypted. A purpose is a key of its own.
type Sealer interface {
	Seal(purpose string, text []byte) ([]byte, error)
	// Unseal fails with cofre.ErrCorrupt if this key has not sealed it for this purpose.
	Unseal(purpose string, sealed []byte) ([]byte, error)
}

// Seal stores what is not for everybody's eyes, as JSON, and returns the name by which an entry names it: the SHA-256 of the stored bytes.
//
// Errors: those of the store.
func (j *Journal) Seal(ctx context.Context, with Sealer, what any) (string, error) {
	text, err := json.Marshal(what)
	if err != nil {
		return "", fmt.Errorf("journal: seal: %w", err)
	}
	b, err := with.Seal(sealedPurpose, text)
	if err == nil && len(b) > maxSealed {
		err = fmt.Errorf("it has %d bytes, and at most %d are possible", len(b), maxSealed)
	}
	if err != nil {
		return "", fmt.Errorf("journal: seal: %w", err)
	}
	sum := sha256.Sum256(b)
	name := hex.EncodeToString(sum[:])
	err = j.store.Create(ctx, sealedPrefix+name, bytes.NewReader(b), int64(len(b)))
	if err != nil && !errors.Is(err, cofre.ErrExists) {
		return "", fmt.Errorf("journal: seal: %w", err)
	}
	return name, nil
}

// Unseal reads what an entry names.
//
// Errors: cofre.ErrCorrupt if it is not what was named; cofre.ErrNotFound; those of the store.
func (j *Journal) Unseal(ctx context.Context, with Sealer, name string, into any) error {
	b, err := j.read(ctx, sealedPrefix+name, maxSealed)
	if sum := sha256.Sum256(b); err == nil && hex.EncodeToString(sum[:]) != name {
		err = cofre.ErrCorrupt
	}
	if err == nil {
		b, err = with.Unseal(sealedPurpose, b)
	}
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		return fmt.Errorf("journal: read %s: %w", sealedPrefix+name, err)
	}
	return nil
}
