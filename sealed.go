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
	Lost     *Lost     `json:"lost,omitempty"` // what was given up
}

// EventType names the fact that a repository was sealed under its password.
func (Sealed) EventType() EventType { return "sealed" }

// Forgoer is a Voucher that can go on without indexes that it has lost for good. The order is Lost, Rebuild, Forgo.
type Forgoer interface {
	Voucher
	// Lost finds the sealed indexes that are gone or damaged in both copies, and what the packs themselves still say of what they named. It changes nothing.
	//
	// Errors: those of Repository.
	Lost(ctx context.Context) (*Lost, error)
	// Rebuild writes one index of what packs hold and no index names, by the lists that the packs have of themselves. Only packs that are as they were sealed count.
	//
	// Errors: ErrReadOnly; those of Repository.
	Rebuild(ctx context.Context, l *Lost) error
	// Forgo has the seals say that lost indexes are gone on purpose, and takes away what is left of them. One that was brought back meanwhile stays.
	//
	// Errors: ErrReadOnly; those of Repository.
	Forgo(ctx context.Context, l *Lost) error
}

// Lost is what a repository has lost with its indexes.
type Lost struct {
	Indexes []string  `json:"indexes"`            // by their names in the store
	Packs   []string  `json:"packs,omitempty"`    // that no index names all of, and whose own lists can be read
	Pieces  int       `json:"pieces,omitempty"`   // in them, that come back
	Gone    []string  `json:"gone,omitempty"`     // packs that were sealed, that no index names and that are not as they were written: what they held cannot be known
	Damage  []Finding `json:"damaged,omitempty"`  // what recovery points have lost
	Forgone bool      `json:"given_up,omitempty"` // the repository goes on without the indexes
}
