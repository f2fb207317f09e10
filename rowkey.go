package cofre

import (
	"errors"
	"fmt"
	"io"
)

// RowKey is the secret under which rows are summed: one of each repository, the same from its first day to its last. It is opened by
// the password and never written down, so that nobody without it can make rows whose sum is that of others.
type RowKey struct{ secret [32]byte }

// NewRowKey makes a key of a secret of 32 bytes.
//
// Errors: one if it has another size.
func NewRowKey(secret []byte) (k RowKey, err error) {
	if len(secret) != len(k.secret) {
		return k, errors.New("a key of rows has 32 bytes")
	}
	copy(k.secret[:], secret)
	return k, nil
}

// Secret is what the key was made of.
func (k RowKey) Secret() []byte { return k.secret[:] }

// Format keeps the secret out of whatever is printed.
func (k RowKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[redacted]") }
