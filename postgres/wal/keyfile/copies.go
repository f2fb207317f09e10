package keyfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
)

// Lack is a copy of the key that is not as the other one.
type Lack struct {
	Object string // the copy
	Other  string // the one that is there
	Gone   bool   // it is missing; otherwise it differs
	First  bool   // it is not the second copy
}

// IsLoss reports whether something is damaged or lost. A repository of before has no second copy, which is no loss.
func (l Lack) IsLoss() bool { return l.First || !l.Gone }

// Lacking says what is missing or differs of the two copies of each half, without the password: which of two that differ is damaged it cannot know.
// A repository without a key lacks nothing.
//
// Errors: the store's.
func Lacking(ctx context.Context, st cofre.Store) ([]Lack, error) {
	var all []Lack
	for _, pair := range [][2]string{{Identity, SecondIdentity}, {Recipient, SecondRecipient}} {
		first, err := read(ctx, st, pair[0])
		if err != nil {
			return nil, err
		}
		second, err := read(ctx, st, pair[1])
		switch {
		case err != nil:
			return nil, err
		case bytes.Equal(first, second): // also if both are missing
		case first == nil:
			all = append(all, Lack{pair[0], pair[1], true, true})
		default:
			all = append(all, Lack{pair[1], pair[0], second == nil, false})
		}
	}
	return all, nil
}

// read is the bytes of an object; nil if it is not there.
func read(ctx context.Context, st cofre.Store, object string) ([]byte, error) {
	b, err := bounded.Read(ctx, st, object, Largest)
	switch {
	case errors.Is(err, cofre.ErrNotFound):
		return nil, nil
	case errors.Is(err, cofre.ErrCorrupt):
		return b, nil // too large to be one
	case err == nil && b == nil:
		b = []byte{}
	}
	return b, err
}

// Complete makes both copies of both halves those of an identity that the password has opened, and returns the names of what it has stored. What differs is
// kept beside, under its name and the beginning of its SHA-256. A recipient that is not the identity's stays where it is, as the first copy: whoever
// put it there is to be found out.
//
// Errors: the store's.
func Complete(ctx context.Context, st cofre.Store, of Opened) (stored []string, err error) {
	public := []byte(of.Recipient().String() + "\n")
	for _, want := range []struct {
		object string
		bytes  []byte
	}{{Identity, of.sealed}, {SecondIdentity, of.sealed}, {Recipient, public}, {SecondRecipient, public}} {
		there, err := read(ctx, st, want.object)
		if err == nil && want.object == Recipient && there != nil {
			if _, another := ParseRecipient(string(there)); another == nil {
				continue
			}
		}
		if err == nil && !bytes.Equal(there, want.bytes) {
			err = put(ctx, st, want.object, there, want.bytes)
			stored = append(stored, want.object)
		}
		if err != nil {
			return stored, fmt.Errorf("store %s again: %w", want.object, err)
		}
	}
	return stored, nil
}

func put(ctx context.Context, st cofre.Store, object string, was, is []byte) error {
	if was == nil {
		err := st.Create(ctx, object, bytes.NewReader(is), int64(len(is)))
		if errors.Is(err, cofre.ErrExists) {
			return nil // another was faster
		}
		return err
	}
	sum := sha256.Sum256(was)
	err := st.Create(ctx, fmt.Sprintf("%s.damaged-%x", object, sum[:8]), bytes.NewReader(was), int64(len(was)))
	if err != nil && !errors.Is(err, cofre.ErrExists) {
		return err
	}
	return st.Replace(ctx, object, bytes.NewReader(is), int64(len(is)))
}
