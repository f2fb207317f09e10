package keyfile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/postgres/wal/keyfile"
)

// copies is a store that has the two copies of both halves of a key, each of them the same.
type copies struct {
	cofre.Store

	first, second string
}

func (s copies) URL() string { return "memory" }

func (s copies) Open(_ context.Context, name string, _, _ int64) (io.ReadCloser, error) {
	text := s.first
	if name == keyfile.SecondIdentity || name == keyfile.SecondRecipient {
		text = s.second
	}
	if text == "" {
		return nil, fmt.Errorf("%s: %w", name, cofre.ErrNotFound)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

// FuzzKeyFiles: whatever lies in the place of a key for WAL opens nothing without the password, and is named.
func FuzzKeyFiles(f *testing.F) {
	const identity = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33"
	f.Add(identity, "")
	f.Add("age1rdsre2nmpfcp2lgsmy906ze3kfxe4h9xn2aafxapcp7u4m9fhveskn0vce\n", "age1rdsre2nmpfcp2lgsmy906ze3kfxe4h9xn2aafxapcp7u4m9fhveskn0vce")
	f.Add("age-encryption.org/v1\n-> scrypt AAAAAAAAAAAAAAAAAAAAAA 63\n\n--- ", "x")
	f.Add("age-encryption.org/v1\n-> X25519 TEiF0ypqr+bpvcqXNyCVJpL7OuwPdVwPL7KQEbFDOCc\n\n---", "")
	f.Fuzz(func(t *testing.T, first, second string) {
		st := copies{first: first, second: second}
		if _, err := keyfile.Open(t.Context(), st, secret.New("password")); err == nil {
			t.Errorf("%q and %q open a key", first, second)
		}
		if lack, err := keyfile.Lacking(t.Context(), st); (err != nil || (len(lack) == 0) != (first == second)) && !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("of %q and %q is lacking: %v, %v", first, second, lack, err)
		}
		if r, err := keyfile.LoadRecipient(t.Context(), st); err == nil {
			if again, err := keyfile.ParseRecipient(r.String()); err != nil || again.String() != r.String() {
				t.Errorf("%s came back as %s, %v", r, again, err)
			}
		}
		_, _ = keyfile.Parse(first)
	})
}
