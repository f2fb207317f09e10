// Package sealing has a repository sealed under its password, and says whether it is.
package sealing

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
)

// Seal proves what a repository holds, and seals it.
//
// Errors: cofre.ErrFindings with the result, if something is not what was encrypted: nothing is sealed then; those of the repository.
func Seal(ctx context.Context, repo any, obs cofre.Observer) (*cofre.Sealed, error) {
	return prove(ctx, repo, obs, nil)
}

// prove is Seal, and says what is given up with it.
func prove(ctx context.Context, repo any, obs cofre.Observer, lost *cofre.Lost) (*cofre.Sealed, error) {
	v, ok := repo.(cofre.Voucher)
	if !ok {
		return nil, fmt.Errorf("seal: a repository of this kind has no seals: %w", cofre.ErrConfig)
	}
	done, err := v.Vouch(ctx, obs)
	if errors.Is(err, cofre.ErrFindings) {
		for _, f := range done.Findings {
			cofre.Tell(obs, cofre.FindingMade{Finding: f})
		}
		err = cofre.WithHint(fmt.Errorf("nothing was sealed: %w: %w", cofre.ErrFindings, cofre.Fail(cofre.SayN("verify.findings", len(done.Findings), "1 finding", "{{.n}} findings"))),
			cofre.Say("seal.heal", "find out what points have lost with: cofre verify --level content; store it afresh with: cofre backup; then again: cofre seal"))
	}
	if err == nil && done != nil {
		done.Lost = lost
		cofre.Tell(obs, *done)
	}
	return done, err
}

// Detail adds to what is said of a repository that it is not sealed.
//
// Errors: cofre.ErrCorrupt if an index cannot be read, so that nobody knows what else it holds; those of the repository.
func Detail(ctx context.Context, repo any, detail cofre.Message) (cofre.Message, error) {
	if u, ok := repo.(interface{ Unread(context.Context) error }); ok {
		if err := u.Unread(ctx); err != nil {
			return detail, err
		}
	}
	open, err := Open(ctx, repo)
	if err != nil || !open {
		return detail, err
	}
	return cofre.List(detail, cofre.Say("doctor.not_sealed", "its seals could be written by whoever holds the storage; seal it under its password with: cofre seal")), nil
}

// Open reports whether whoever holds the storage can write the seals of a repository: one of before, which was not sealed under its password.
//
// Errors: those of the repository.
func Open(ctx context.Context, repo any) (bool, error) {
	v, ok := repo.(cofre.Voucher)
	if !ok {
		return false, nil
	}
	sealed, err := v.Vouched(ctx)
	return err == nil && !sealed, err
}
