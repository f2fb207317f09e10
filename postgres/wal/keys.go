package wal

import (
	"context"
	"errors"
	"fmt"
	"os"

	"filippo.io/age"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/postgres/wal/keyfile"
)

// The objects that hold a repository's key for WAL; see package keyfile.
const (
	IdentityObject  = keyfile.Identity
	RecipientObject = keyfile.Recipient
)

// Recipient is the public key that WAL is encrypted for; the zero Recipient is none.
type Recipient struct{ r *age.X25519Recipient }

// ParseRecipient reads a recipient, age1…, with or without comments around it.
//
// Errors: one that says what is not a recipient.
func ParseRecipient(text string) (Recipient, error) {
	r, err := keyfile.ParseRecipient(text)
	return Recipient{r}, err
}

// String writes the recipient as age does: age1….
func (r Recipient) String() string {
	if r.r == nil {
		return ""
	}
	return r.r.String()
}

// IsZero reports whether there is no recipient.
func (r Recipient) IsZero() bool { return r.r == nil }

// Identity reads WAL that was encrypted for its recipient. It is a secret, and prints as one.
type Identity struct {
	i        *age.X25519Identity
	believes *believing // nil reads everything; see Believing
	delivers bool       // see Delivering
}

// String never prints the identity.
func (Identity) String() string { return "[redacted]" }

// Format never prints the identity, under any verb.
func (Identity) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[redacted]") }

// Recipient is the public key that this identity reads for.
func (i Identity) Recipient() Recipient { return Recipient{i.i.Recipient()} }

// CreateKeys makes the key for WAL of a repository, or reads the one that it has.
//
// The identity is stored first and the recipient after it: with a crash in between nobody can encrypt for a key
// that nobody has, and the next call completes the pair.
//
// Errors: cofre.ErrWrongKey if the repository has a key under another password; the store's.
func CreateKeys(ctx context.Context, st cofre.Store, password secret.Value) (Recipient, error) {
	r, err := LoadRecipient(ctx, st)
	if !errors.Is(err, cofre.ErrNotFound) {
		return r, err
	}
	made, err := keyfile.Make(ctx, st, password)
	if err == nil {
		_, err = keyfile.Complete(ctx, st, made)
	}
	if err != nil {
		return Recipient{}, err
	}
	return Recipient{made.Recipient()}, nil
}

// LoadRecipient reads the public key that the WAL of a repository is encrypted for. It needs no password.
//
// Errors: cofre.ErrNotFound if the repository has no key for WAL; the store's.
func LoadRecipient(ctx context.Context, st cofre.Store) (Recipient, error) {
	r, err := keyfile.LoadRecipient(ctx, st)
	return Recipient{r}, err
}

// Readable proves that what is archived in a repository can be read: its key opens, and it is the one that WAL is encrypted for.
// Whoever archives has the recipient alone, and goes on for years for a key that nobody has any more. It takes as long as unlock.
//
// Errors: cofre.ErrCorrupt, or cofre.ErrNotFound if there is no key, with what is left to do; those of unlock; the store's.
func Readable(ctx context.Context, st cofre.Store, unlock func() (Identity, error)) error {
	id, err := unlock()
	if err == nil {
		var recipient Recipient
		recipient, err = LoadRecipient(ctx, st)
		if err == nil && id.Recipient().String() != recipient.String() {
			err = fmt.Errorf("%s of %s is not the recipient of %s: %w", RecipientObject, st.URL(), IdentityObject, cofre.ErrCorrupt)
		}
	}
	if errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrNotFound) {
		err = cofre.WithHint(err, KeyLost(st.URL()))
	}
	return err
}

// KeyLost is what to do about a key for WAL that is damaged or gone.
func KeyLost(url string) cofre.Message {
	return cofre.Say("wal.key_lost", "move what is damaged of {{.identity}} away, and bring it back from the printed recovery kit: cofre kit --restore FILE; or put {{.identity}} and {{.recipient}} of {{.url}} back as they were, from wherever they were copied to: without them nobody reads the WAL there. "+
		"If nobody has them, move them and the folder wal out of the repository, and begin anew: cofre init, then cofre backup cluster", "identity", IdentityObject, "recipient", RecipientObject, "url", url)
}

// Unlock reads the identity. It takes a quarter of a second of CPU, on purpose: the key is derived from a password.
// Fetch does it once per recovery, see KeepIdentity.
//
// Errors: cofre.ErrWrongKey; cofre.ErrNotFound if the repository has no key for WAL; the store's.
func Unlock(ctx context.Context, st cofre.Store, password secret.Value) (Identity, error) {
	id, err := keyfile.Open(ctx, st, password)
	if errors.Is(err, cofre.ErrCorrupt) {
		err = cofre.WithHint(err, KeyLost(st.URL()))
	}
	return Identity{i: id.X25519Identity}, err
}

// KeepIdentity returns what file holds, or, if it holds nothing that reads for want, what unlock returns, kept
// in file for the next call. restore_command runs a process for each segment, and none can wait that long for a
// password; the file is readable by its owner alone, who also owns the data directory that is being recovered,
// where everything the key protects is in clear. Whoever ends the recovery removes it with Forget.
//
// Errors: those of unlock. A file that cannot be written is none: the next call then unlocks again.
func KeepIdentity(file string, want Recipient, unlock func() (Identity, error)) (Identity, error) {
	if b, err := os.ReadFile(file); err == nil {
		if id, err := keyfile.Parse(string(b)); err == nil && (want.IsZero() || id.Recipient().String() == want.String()) {
			return Identity{i: id}, nil
		}
	}
	id, err := unlock()
	if err != nil {
		return Identity{}, err
	}
	_ = inside.WriteCache(file, []byte(id.i.String()+"\n")) // it saves work
	return id, nil
}
