package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/wal"
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
