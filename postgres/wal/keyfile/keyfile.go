// Package keyfile keeps the key for WAL in a repository: the identity, which is an age file under the repository's password, and the recipient, which is
// public. All WAL hangs on these few hundred bytes. So each is there twice, and is read from its second copy if the first is missing or damaged.
//
// It knows nothing of WAL.
package keyfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"filippo.io/age"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/internal/largepages"
	"github.com/trustlayer/cofre/internal/secret"
)

// The objects. The second copies are the same to the byte.
const (
	Identity        = "cofre/keys/wal.age"
	Recipient       = "cofre/keys/wal.pub"
	SecondIdentity  = "cofre/keys/wal.age.2"
	SecondRecipient = "cofre/keys/wal.pub.2"
)

// Largest is more than any of them ever has, in bytes.
const Largest = 1 << 16

// mostWork is the most that whoever wrote an identity may demand for it: each step more doubles the time and the memory.
const mostWork = 20

// Opened is the identity of a repository, as the password opened it.
type Opened struct {
	*age.X25519Identity
	sealed []byte // the bytes that it was opened from
}

// Open reads the identity. It takes a quarter of a second of CPU, on purpose: the key is derived from a password.
//
// Errors: cofre.ErrNotFound if there is none; cofre.ErrWrongKey; cofre.ErrCorrupt if neither copy can be read; the store's.
func Open(ctx context.Context, st cofre.Store, password secret.Value) (Opened, error) {
	first, err := open(ctx, st, Identity, password)
	if err == nil || outside(err) {
		return first, err
	}
	// A bit that changed where the password is tried looks like another password.
	second, secondErr := open(ctx, st, SecondIdentity, password)
	switch {
	case secondErr == nil || outside(secondErr):
		return second, secondErr
	case errors.Is(err, cofre.ErrNotFound) || errors.Is(secondErr, cofre.ErrWrongKey) && errors.Is(err, cofre.ErrCorrupt):
		err = secondErr
	}
	return Opened{}, err
}

// outside reports whether an error of reading says nothing of what is stored.
func outside(err error) bool {
	return !errors.Is(err, cofre.ErrNotFound) && !errors.Is(err, cofre.ErrCorrupt) && !errors.Is(err, cofre.ErrWrongKey)
}

func open(ctx context.Context, st cofre.Store, object string, password secret.Value) (Opened, error) {
	sealed, err := bounded.Read(ctx, st, object, Largest)
	if err != nil {
		return Opened{}, fmt.Errorf("read WAL key of %s: %w", st.URL(), err)
	}
	key, err := age.NewScryptIdentity(password.Reveal())
	if err != nil {
		return Opened{}, fmt.Errorf("unlock WAL key: %w", err)
	}
	key.SetMaxWorkFactor(mostWork)
	largepages.Ready(1 << workFactor * 1024) // scrypt with r = 8 takes 128 * r bytes for each of its 2^16 steps
	var text []byte
	r, err := age.Decrypt(bytes.NewReader(sealed), key)
	if err == nil {
		text, err = bounded.All(r, int64(len(sealed))) // less than was sealed
	}
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return Opened{}, fmt.Errorf("unlock WAL key of %s: %w", st.URL(), cofre.ErrWrongKey)
	}
	if err != nil {
		return Opened{}, fmt.Errorf("unlock WAL key of %s: %v: %w", st.URL(), err, cofre.ErrCorrupt)
	}
	id, err := Parse(string(text))
	return Opened{id, sealed}, err
}

// Parse finds the identity in the text of an identity file.
//
// Errors: cofre.ErrCorrupt, without what was read: it could repeat the key.
func Parse(text string) (*age.X25519Identity, error) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "AGE-SECRET-KEY-") {
			if id, err := age.ParseX25519Identity(line); err == nil {
				return id, nil
			}
			break
		}
	}
	return nil, fmt.Errorf("read WAL key: no age identity is in it: %w", cofre.ErrCorrupt)
}

// Make makes a key, or reads the one that is there.
//
// Errors: those of Open; the store's.
func Make(ctx context.Context, st cofre.Store, password secret.Value) (Opened, error) {
	if there, err := Open(ctx, st, password); !errors.Is(err, cofre.ErrNotFound) {
		return there, err // left without its recipient by a crash
	}
	id, err := age.GenerateX25519Identity()
	var lock *age.ScryptRecipient
	if err == nil {
		lock, err = age.NewScryptRecipient(password.Reveal())
	}
	if err != nil {
		return Opened{}, fmt.Errorf("make WAL key: %w", err)
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
		return Opened{}, fmt.Errorf("make WAL key: %w", err)
	}
	err = st.Create(ctx, Identity, bytes.NewReader(b.Bytes()), int64(b.Len()))
	if errors.Is(err, cofre.ErrExists) {
		return Open(ctx, st, password) // another was faster
	}
	if err != nil {
		return Opened{}, fmt.Errorf("store WAL key: %w", err)
	}
	return Opened{id, b.Bytes()}, nil
}

// LoadRecipient reads the recipient. It needs no password.
//
// Errors: cofre.ErrNotFound if there is none; cofre.ErrCorrupt if neither copy is one; the store's.
func LoadRecipient(ctx context.Context, st cofre.Store) (*age.X25519Recipient, error) {
	first, err := loadRecipient(ctx, st, Recipient)
	if err == nil || outside(err) {
		return first, err
	}
	second, secondErr := loadRecipient(ctx, st, SecondRecipient)
	if secondErr == nil || outside(secondErr) {
		return second, secondErr
	}
	return nil, err
}

func loadRecipient(ctx context.Context, st cofre.Store, object string) (*age.X25519Recipient, error) {
	b, err := bounded.Read(ctx, st, object, 4096)
	if err != nil {
		return nil, fmt.Errorf("read WAL recipient of %s: %w", st.URL(), err)
	}
	return ParseRecipient(string(b))
}

// ParseRecipient reads a recipient, age1…, with or without comments around it.
//
// Errors: cofre.ErrCorrupt, with what is not a recipient.
func ParseRecipient(text string) (*age.X25519Recipient, error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		r, err := age.ParseX25519Recipient(line)
		if err != nil {
			return nil, fmt.Errorf("read WAL recipient: %w: %w", cofre.ErrCorrupt, err)
		}
		return r, nil
	}
	return nil, fmt.Errorf("read WAL recipient: none is there: %w", cofre.ErrCorrupt)
}
