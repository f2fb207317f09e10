package wal

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/internal/largepages"
	"github.com/trustlayer/cofre/internal/secret"
)

// The objects that hold a repository's key for WAL. The identity is an age file under the repository's password:
// age -d reads it. The recipient is public.
const (
	IdentityObject  = "cofre/keys/wal.age"
	RecipientObject = "cofre/keys/wal.pub"
)

// workFactor is how hard the password is to guess from the identity: scrypt of 2^16, as Kopia takes for the same
// password in the same repository, so that neither is the easier one. age's own 2^18 takes 256 MB of memory, most
// of what a whole restore may use; this takes 64 MB.
//
// Source: kopia, internal/crypto/pb_key_deriver_scrypt.go (scrypt-65536-8-1); filippo.io/age, scrypt.go.
const workFactor = 16

// Recipient is the public key that WAL is encrypted for; the zero Recipient is none.
type Recipient struct{ r *age.X25519Recipient }

// ParseRecipient reads a recipient, age1…, with or without comments around it.
//
// Errors: one that says what is not a recipient.
func ParseRecipient(text string) (Recipient, error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		r, err := age.ParseX25519Recipient(line)
		if err != nil {
			return Recipient{}, fmt.Errorf("read WAL recipient: %w: %w", cofre.ErrCorrupt, err)
		}
		return Recipient{r}, nil
	}
	return Recipient{}, fmt.Errorf("read WAL recipient: none is there: %w", cofre.ErrCorrupt)
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
	found, err := Unlock(ctx, st, password) // left without its recipient by a crash
	if errors.Is(err, cofre.ErrNotFound) {
		found, err = newIdentity(ctx, st, password)
	}
	if err != nil {
		return Recipient{}, err
	}
	text := found.Recipient().String() + "\n"
	err = st.Create(ctx, RecipientObject, strings.NewReader(text), int64(len(text)))
	if err != nil && !errors.Is(err, cofre.ErrExists) {
		return Recipient{}, fmt.Errorf("store WAL recipient: %w", err)
	}
	return found.Recipient(), nil
}

func newIdentity(ctx context.Context, st cofre.Store, password secret.Value) (Identity, error) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return Identity{}, fmt.Errorf("make WAL key: %w", err)
	}
	lock, err := age.NewScryptRecipient(password.Reveal())
	if err != nil {
		return Identity{}, fmt.Errorf("make WAL key: %w", err)
	}
	lock.SetWorkFactor(workFactor)
	var b bytes.Buffer
	w, err := age.Encrypt(&b, lock)
	if err == nil {
		_, err = fmt.Fprintf(w, "# the key that reads wal/ of this repository: age -d -i THIS_FILE SEGMENT | zstd -d\n# public key: %s\n%s\n", id.Recipient(), id)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return Identity{}, fmt.Errorf("make WAL key: %w", err)
	}
	err = st.Create(ctx, IdentityObject, bytes.NewReader(b.Bytes()), int64(b.Len()))
	if errors.Is(err, cofre.ErrExists) {
		return Unlock(ctx, st, password) // another was faster
	}
	if err != nil {
		return Identity{}, fmt.Errorf("store WAL key: %w", err)
	}
	return Identity{i: id}, nil
}

// LoadRecipient reads the public key that the WAL of a repository is encrypted for. It needs no password.
//
// Errors: cofre.ErrNotFound if the repository has no key for WAL; the store's.
func LoadRecipient(ctx context.Context, st cofre.Store) (Recipient, error) {
	b, err := bounded.Read(ctx, st, RecipientObject, 4096)
	if err != nil {
		return Recipient{}, fmt.Errorf("read WAL recipient of %s: %w", st.URL(), err)
	}
	return ParseRecipient(string(b))
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
	return cofre.Say("wal.key_lost", "put {{.identity}} and {{.recipient}} of {{.url}} back as they were, from wherever they were copied to: without them nobody reads the WAL there. "+
		"If nobody has them, move them and the folder wal out of the repository, and begin anew: cofre init, then cofre backup cluster", "identity", IdentityObject, "recipient", RecipientObject, "url", url)
}

// keep writes a file that saves work and is not needed: under a name of its own first, so that a process which
// reads at this moment sees all or nothing.
func keep(file, text string) {
	if os.MkdirAll(filepath.Dir(file), 0o700) != nil {
		return
	}
	temp := file + "." + rand.Text()
	if os.WriteFile(temp, []byte(text), 0o600) != nil || os.Rename(temp, file) != nil {
		_ = os.Remove(temp)
	}
}

// Unlock reads the identity. It takes a quarter of a second of CPU, on purpose: the key is derived from a password.
// Fetch does it once per recovery, see KeepIdentity.
//
// Errors: cofre.ErrWrongKey; cofre.ErrNotFound if the repository has no key for WAL; the store's.
func Unlock(ctx context.Context, st cofre.Store, password secret.Value) (Identity, error) {
	b, err := bounded.Read(ctx, st, IdentityObject, 1<<16)
	if err != nil {
		return Identity{}, fmt.Errorf("read WAL key of %s: %w", st.URL(), err)
	}
	key, err := age.NewScryptIdentity(password.Reveal())
	if err != nil {
		return Identity{}, fmt.Errorf("unlock WAL key: %w", err)
	}
	largepages.Ready(1 << workFactor * 1024) // scrypt with r = 8 takes 128 * r bytes for each of its 2^16 steps
	r, err := age.Decrypt(bytes.NewReader(b), key)
	if err != nil {
		if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
			return Identity{}, fmt.Errorf("unlock WAL key of %s: %w", st.URL(), cofre.ErrWrongKey)
		}
		return Identity{}, cofre.WithHint(fmt.Errorf("unlock WAL key of %s: %v: %w", st.URL(), err, cofre.ErrCorrupt), KeyLost(st.URL()))
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return Identity{}, cofre.WithHint(fmt.Errorf("unlock WAL key of %s: %v: %w", st.URL(), err, cofre.ErrCorrupt), KeyLost(st.URL()))
	}
	return parseIdentity(string(text))
}

func parseIdentity(text string) (Identity, error) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			id, err := age.ParseX25519Identity(line)
			if err != nil {
				break // its text could repeat the key
			}
			return Identity{i: id}, nil
		}
	}
	return Identity{}, fmt.Errorf("read WAL key: no age identity is in it: %w", cofre.ErrCorrupt)
}

// KeepIdentity returns what file holds, or, if it holds nothing that reads for want, what unlock returns, kept
// in file for the next call. restore_command runs a process for each segment, and none can wait that long for a
// password; the file is readable by its owner alone, who also owns the data directory that is being recovered,
// where everything the key protects is in clear. Whoever ends the recovery removes it with Forget.
//
// Errors: those of unlock. A file that cannot be written is none: the next call then unlocks again.
func KeepIdentity(file string, want Recipient, unlock func() (Identity, error)) (Identity, error) {
	if b, err := os.ReadFile(file); err == nil {
		if id, err := parseIdentity(string(b)); err == nil && (want.IsZero() || id.Recipient().String() == want.String()) {
			return id, nil
		}
	}
	id, err := unlock()
	if err != nil {
		return Identity{}, err
	}
	keep(file, id.i.String()+"\n")
	return id, nil
}
