package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/keyfile"
)

// Keys reads the key for WAL of a repository and says what is wrong with it: all the WAL hangs on these two
// small objects. A repository without any has nothing to find. It takes as long as unlock, see wal.Unlock.
//
// Errors: the store's, if it cannot be asked.
func Keys(ctx context.Context, st cofre.Store, unlock func() (wal.Identity, error)) ([]cofre.Finding, error) {
	finding := func(object string, err error) cofre.Finding {
		return cofre.Finding{Check: string(cofre.LevelContent), Kind: cofre.KindCluster, Object: object}.Saying(cofre.Say("wal.key_object", "{{.object}}: {{.error}}", "object", object, "error", err))
	}
	var found []cofre.Finding
	id, identityErr := unlock()
	recipient, recipientErr := wal.LoadRecipient(ctx, st)
	if errors.Is(identityErr, cofre.ErrNotFound) && errors.Is(recipientErr, cofre.ErrNotFound) {
		return nil, nil
	}
	for _, read := range []struct {
		object string
		err    error
	}{{wal.IdentityObject, identityErr}, {wal.RecipientObject, recipientErr}} {
		switch err := read.err; {
		case err == nil:
		case ctx.Err() != nil, errors.Is(err, cofre.ErrUnreachable), errors.Is(err, cofre.ErrDenied), errors.Is(err, cofre.ErrConfig):
			return found, err
		default:
			found = append(found, finding(read.object, err))
		}
	}
	if len(found) == 0 && id.Recipient().String() != recipient.String() {
		found = append(found, finding(wal.RecipientObject, fmt.Errorf("is not the recipient of %s: %w", wal.IdentityObject, cofre.ErrCorrupt)))
	}
	return found, nil
}

// Copies says what of the key for WAL is missing or damaged, and is read from its other copy. It needs no password.
//
// Errors: the store's.
func Copies(ctx context.Context, st cofre.Store) (found []cofre.Finding, err error) {
	lacking, err := keyfile.Lacking(ctx, st)
	for _, l := range lacking {
		if !l.IsLoss() {
			continue
		}
		what := cofre.Say("wal.key_copy_differs", "it differs from {{.other}}: one of the two is damaged, and the other is read", "other", l.Other)
		if l.Gone {
			what = cofre.Say("wal.key_copy_gone", "it is missing; {{.other}} is read in its place", "other", l.Other)
		}
		found = append(found, cofre.Finding{Check: string(cofre.LevelContent), Kind: cofre.KindCluster, Object: l.Object}.Saying(what))
	}
	return found, err
}

// IsCopy reports whether a finding is one of Copies.
func IsCopy(f cofre.Finding) bool {
	return len(f.Messages) > 0 && (f.Messages[0].Code == "wal.key_copy_gone" || f.Messages[0].Code == "wal.key_copy_differs")
}

// KeepAgain is what to do about it.
func KeepAgain() cofre.Message {
	return cofre.Say("wal.keep_key_again", "cofre backup stores what is missing or damaged of the key again, from its other copy")
}
