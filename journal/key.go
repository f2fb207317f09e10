package journal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
)

// The objects that hold the key of a journal. The secret half is encrypted under a key that the repository's password opens, and is kept
// twice, as whatever is small and cannot be made again; the public half is for everybody.
const (
	SecretObject  = "cofre/keys/journal.key"
	SecondObject  = "cofre/keys/journal.key.2"
	PublicObject  = Prefix + "key"
	secretPurpose = "cofre journal key"
	maxKey        = 4096
)

// Key signs checkpoints. It is a secret, and prints as its public half.
type Key struct {
	signer note.Signer
	public string
}

// Public is the public half, as notes have it: the name, a hash and the key, with + between them.
func (k *Key) Public() string { return k.public }

// String is the public half.
func (k *Key) String() string { return k.public }

// Format never prints the secret, under any verb.
func (k *Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, k.public) }

// Open returns the journal that this key signs.
func (k *Key) Open(s cofre.Store) *Journal {
	return Open(s, verifiers(k.public), k.signer)
}

// OpenPublic returns the journal in a store to be read, whose checkpoints are those that a key has signed, by its public half.
//
// Errors: cofre.ErrConfig if it is no key.
func OpenPublic(s cofre.Store, public string) (*Journal, error) {
	if _, err := note.NewVerifier(public); err != nil {
		return nil, cofre.WithHint(fmt.Errorf("key %q: %w: %w", short(public), err, cofre.ErrConfig), cofre.Say("journal.key_form", "give the whole key as the recovery kit has it: name, hash and key, with + between them"))
	}
	return Open(s, verifiers(public), nil), nil
}

func verifiers(public string) note.Verifiers {
	v, err := note.NewVerifier(public)
	if err != nil {
		return note.VerifierList()
	}
	return note.VerifierList(v)
}

func short(text string) string {
	if len(text) > 80 {
		return text[:80] + "…"
	}
	return text
}

// Name makes the name of a key of what a person knows it by and what is nobody else's. It has no blank and no +.
func Name(installation, unique string) string {
	clean := strings.Map(func(r rune) rune {
		if r <= ' ' || r == '+' || r > '~' {
			return '-'
		}
		return r
	}, installation)
	return clean + "/" + unique[:min(len(unique), 16)]
}

// CreateKey makes the key of a journal, or reads the one that it has, and reports whether it made it. Of several at once, all have one.
//
// Errors: those of LoadKey, but for cofre.ErrNotFound; those of the store.
func CreateKey(ctx context.Context, s cofre.Store, with Sealer, name string) (_ *Key, made bool, err error) {
	k, err := LoadKey(ctx, s, with)
	if !errors.Is(err, cofre.ErrNotFound) {
		return k, false, err
	}
	if _, err := s.Stat(ctx, PublicObject); err == nil {
		// Another machine has made it right now, or its secret half was removed: another key in its place would be another journal.
		if k, err := LoadKey(ctx, s, with); !errors.Is(err, cofre.ErrNotFound) {
			return k, false, err
		}
		return nil, false, cofre.WithHint(fmt.Errorf("%s is there, and %s is not: %w", PublicObject, SecretObject, cofre.ErrCorrupt), keyLost(s.URL()))
	}
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, false, fmt.Errorf("make the key of the journal: %w", err)
	}
	sealed, err := with.Seal(secretPurpose, []byte(secret+"\n"+public+"\n"))
	if err == nil {
		err = s.Create(ctx, SecretObject, bytes.NewReader(sealed), int64(len(sealed)))
	}
	if err != nil && !errors.Is(err, cofre.ErrExists) {
		return nil, false, fmt.Errorf("store the key of the journal: %w", err)
	}
	made = err == nil
	k, err = LoadKey(ctx, s, with)
	return k, made, err
}

// LoadKey reads the key of a journal. What of its objects a crash has left out is stored now.
//
// Errors: cofre.ErrNotFound if there is none; cofre.ErrCorrupt if it cannot be read, or its public half is another's; those of the store.
func LoadKey(ctx context.Context, s cofre.Store, with Sealer) (*Key, error) {
	sealed, k, err := readKey(ctx, s, with, SecretObject)
	if err != nil {
		_, second, secondErr := readKey(ctx, s, with, SecondObject)
		if secondErr != nil {
			if errors.Is(err, cofre.ErrNotFound) && !errors.Is(secondErr, cofre.ErrNotFound) {
				err = secondErr
			}
			return nil, fmt.Errorf("read the key of the journal: %w", err)
		}
		k = second
	} else if err := keepObject(ctx, s, SecondObject, sealed, false); err != nil {
		return nil, fmt.Errorf("store the key of the journal: %w", err)
	}
	if err := keepObject(ctx, s, PublicObject, []byte(k.public+"\n"), true); err != nil {
		return nil, fmt.Errorf("store the key of the journal: %w", err)
	}
	return k, nil
}

func readKey(ctx context.Context, s cofre.Store, with Sealer, name string) ([]byte, *Key, error) {
	sealed, err := bounded.Read(ctx, s, name, maxKey)
	if err != nil {
		return nil, nil, err
	}
	text, err := with.Unseal(secretPurpose, sealed)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	secret, public, _ := strings.Cut(string(text), "\n")
	public = strings.TrimSpace(public)
	signer, err := note.NewSigner(secret)
	if err == nil {
		_, err = note.NewVerifier(public)
	}
	if err != nil { // its text could repeat the secret
		return nil, nil, fmt.Errorf("%s is no key: %w", name, cofre.ErrCorrupt)
	}
	return sealed, &Key{signer, public}, nil
}

// keepObject stores what is missing. What is there, if it must be the same, is compared.
func keepObject(ctx context.Context, s cofre.Store, name string, text []byte, same bool) error {
	there, err := bounded.Read(ctx, s, name, maxKey)
	if errors.Is(err, cofre.ErrNotFound) {
		if err = s.Create(ctx, name, bytes.NewReader(text), int64(len(text))); errors.Is(err, cofre.ErrExists) {
			there, err = bounded.Read(ctx, s, name, maxKey)
		} else {
			return writable(err)
		}
	}
	if err == nil && same && !bytes.Equal(there, text) {
		err = cofre.WithHint(fmt.Errorf("%s is not the public half of %s: %w", name, SecretObject, cofre.ErrCorrupt), keyLost(s.URL()))
	}
	return err
}

// writable is nil where nothing may be written: whoever only reads needs no more than what is there.
func writable(err error) error {
	if errors.Is(err, cofre.ErrReadOnly) || errors.Is(err, cofre.ErrDenied) {
		return nil
	}
	return err
}

func keyLost(url string) cofre.Message {
	return cofre.Say("journal.key_lost", "bring {{.secret}} and {{.public}} of {{.url}} back as they were, from wherever they were copied to; if nobody has them, move them and the folder journal out of the repository, and the next backup begins a new journal", "secret", SecretObject, "public", PublicObject, "url", url)
}

// KeyChanged says that a key is not the one that was known.
func KeyChanged(known, there string) cofre.Message {
	return cofre.Say("journal.key_changed", "the key of the journal is another: this machine knows {{.known}}, and {{.there}} is there", "known", known, "there", there)
}

// PublicKey reads the public half that lies beside the journal. Nobody vouches for it.
//
// Errors: cofre.ErrNotFound if there is none; those of the store.
func PublicKey(ctx context.Context, s cofre.Store) (string, error) {
	text, err := bounded.Read(ctx, s, PublicObject, maxKey)
	if err != nil {
		return "", fmt.Errorf("read the key of the journal: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}
