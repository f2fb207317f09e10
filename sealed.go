package cofre

import "context"

// Voucher is a Repository that can tell what somebody with its password has written from what others have put into its store.
type Voucher interface {
	// Vouch proves by decryption everything that has no seal under the repository's key, seals it, and has no other seal believed from now on.
	//
	// Errors: ErrFindings with what was found, if some of it is not what the key has encrypted: nothing is sealed then; ErrReadOnly; those of
	// Repository.
	Vouch(ctx context.Context, obs Observer) (*Sealed, error)
	// Vouched reports whether only seals under the key are believed.
	//
	// Errors: those of Repository.
	Vouched(ctx context.Context) (bool, error)
}

// Sealed is what was proven, and sealed.
type Sealed struct {
	Before   bool      `json:"sealed_before"` // only seals under the key were believed already
	Packs    int       `json:"packs"`         // that were decrypted
	Contents int       `json:"contents"`      // in them, piece by piece
	Bytes    int64     `json:"bytes"`         // of the packs, as they are stored
	Others   int       `json:"others"`        // other files: the format and the indexes
	Replaced int       `json:"replaced"`      // seals without the key, which are gone
	Missing  []string  `json:"missing,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
}

// EventType names the fact that a repository was sealed under its password.
func (Sealed) EventType() EventType { return "sealed" }
