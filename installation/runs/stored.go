package runs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/journal"
)

const (
	// Prefix begins the name of every log.
	Prefix  = "runs/"
	purpose = "cofre run"
	maxLog  = 1 << 20
)

// Vault is a repository that seals what is not for everybody's eyes, and has room for plain objects beside its own.
type Vault interface {
	journal.Sealer
	Floor() cofre.Store
}

// Stored is a log in the repository, as its name says it: runs/RUN.KIND.CODE.
type Stored struct {
	Object  string        `json:"object"`
	Run     cofre.RunID   `json:"run"`
	Kind    cofre.RunKind `json:"kind"`
	Code    cofre.Code    `json:"code"`
	EndedAt time.Time     `json:"stored_at"` // by the clock of the store
}

// object is the name of a log.
func (l Log) object() string {
	return Prefix + string(l.Run) + "." + string(l.Kind) + "." + string(l.Code)
}

// Keep stores a log, encrypted, and returns the SHA-256 of the stored bytes in hexadecimal.
//
// Errors: those of the store; cofre.ErrExists if the run has a log.
func (l Log) Keep(ctx context.Context, v Vault) (digest string, err error) {
	text, err := json.Marshal(l)
	var sealed []byte
	if err == nil {
		sealed, err = v.Seal(purpose, text)
	}
	if err == nil {
		err = v.Floor().Create(ctx, l.object(), bytes.NewReader(sealed), int64(len(sealed)))
	}
	if err != nil {
		return "", fmt.Errorf("store the log of run %s: %w", l.Run, err)
	}
	sum := sha256.Sum256(sealed)
	return hex.EncodeToString(sum[:]), nil
}

// Read reads a log. digest is what the run's entry in the journal says of it, or "".
//
// Errors: cofre.ErrNotFound; cofre.ErrCorrupt if it is not what was stored; those of the store.
func (s Stored) Read(ctx context.Context, v Vault, digest string) (Log, error) {
	var l Log
	b, err := bounded.Read(ctx, v.Floor(), s.Object, maxLog)
	if sum := sha256.Sum256(b); err == nil && digest != "" && digest != hex.EncodeToString(sum[:]) {
		err = cofre.ErrCorrupt
	}
	if err == nil {
		b, err = v.Unseal(purpose, b)
	}
	if err == nil && json.Unmarshal(b, &l) != nil {
		err = cofre.ErrCorrupt
	}
	if err == nil && (l.Run != s.Run || l.Kind != s.Kind || l.Code != s.Code) {
		err = cofre.ErrCorrupt // of another run
	}
	if err != nil {
		return Log{}, fmt.Errorf("read the log of run %s: %w", s.Run, err)
	}
	return l, nil
}

// List lists the logs that are stored. It needs no password.
//
// Errors: those of the store.
func List(ctx context.Context, st cofre.Store) ([]Stored, error) {
	var all []Stored
	for o, err := range st.List(ctx, Prefix) {
		if errors.Is(err, cofre.ErrNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list the logs of runs: %w", err)
		}
		parts := strings.Split(strings.TrimPrefix(o.Name, Prefix), ".")
		if len(parts) == 3 {
			all = append(all, Stored{o.Name, cofre.RunID(parts[0]), cofre.RunKind(parts[1]), cofre.Code(parts[2]), o.ModifiedAt})
		}
	}
	return all, nil
}
