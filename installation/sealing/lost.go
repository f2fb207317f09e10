package sealing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
)

// Losing is how a repository goes on without what it has lost. All must be set.
type Losing struct {
	Observer cofre.Observer
	// Confirm is shown what is lost before anything is changed. Its error ends it, as it is.
	Confirm func(*cofre.Lost) error
	// Points reads the catalog anew. It refuses while the journal of any installation knows of a recovery point that is gone and not acknowledged.
	Points func(context.Context) ([]cofre.RecoveryPoint, error)
	// Written waits until the journal has what was told.
	Written func() error
}

// verifier is a repository that says what of points is not there.
type verifier = interface {
	cofre.Forgoer
	cofre.Repository
}

// WithoutLost has a repository go on without sealed indexes that are lost in both copies: all else that refuses by them is refused for good. In the order of its steps:
//
//	rebuild   an index of what only the packs themselves still list
//	look      that no recovery point is gone of which nobody has said that it is known, and what is lost of those that are there
//	prove     and seal what has no seal, as Seal does
//	say       in the journal what is given up
//	forgo     the indexes, in the seals
//
// A crash between any two leaves a repository that refuses as before, and the next call goes on.
//
// Errors: those of the functions of l; cofre.ErrFindings with what was found, if what is left is not what was encrypted; cofre.ErrPartial with what was done, if points have
// lost something with the indexes; those of the repository.
func WithoutLost(ctx context.Context, repo any, l Losing) (*cofre.Sealed, error) {
	f, ok := repo.(verifier)
	if !ok {
		return nil, fmt.Errorf("seal: a repository of this kind has no seals: %w", cofre.ErrConfig)
	}
	lost, err := f.Lost(ctx)
	if err != nil {
		return nil, err
	}
	if len(lost.Indexes) == 0 {
		note(l.Observer, cofre.Say("seal.nothing_lost", "no sealed index is lost"))
		return Seal(ctx, repo, l.Observer)
	}
	if err := l.Confirm(lost); err != nil {
		return nil, err
	}
	if err := f.Rebuild(ctx, lost); err != nil {
		return nil, err
	}
	if n := lost.Pieces; n > 0 {
		note(l.Observer, cofre.SayN("seal.rebuilt", n, "1 piece that no index named is named again, by its own pack", "{{.n}} pieces that no index named are named again, by their own packs"))
	}
	points, err := l.Points(ctx)
	if err != nil {
		return nil, err
	}
	if lost.Damage, err = damage(ctx, f, points, lost.Indexes); err != nil {
		return nil, err
	}
	done, err := prove(ctx, repo, l.Observer, lost)
	if err == nil {
		err = l.Written()
	}
	if err == nil {
		err = f.Forgo(ctx, lost)
	}
	if err != nil {
		return done, err
	}
	if n := len(lost.Damage); n > 0 {
		return done, cofre.WithHint(cofre.Fail(cofre.SayN("seal.damaged", n, "recovery points have lost something: 1 finding", "recovery points have lost something: {{.n}} findings"), cofre.ErrPartial),
			cofre.Say("seal.store_afresh", "store afresh what still exists at its source: cofre backup"))
	}
	return done, nil
}

// damage is what points have lost, after all that could be named again was. That the indexes are missing is known.
func damage(ctx context.Context, f verifier, points []cofre.RecoveryPoint, indexes []string) (found []cofre.Finding, err error) {
	for x, err := range f.Verify(ctx, points, cofre.Verification{Level: cofre.LevelStructure, Observer: cofre.Discard}) {
		if err != nil && !errors.Is(err, cofre.ErrFindings) {
			return nil, err
		}
		if x.Kind != "" && !slices.Contains(indexes, x.Object) {
			found = append(found, x)
		}
	}
	return found, ctx.Err()
}

func note(obs cofre.Observer, m cofre.Message) {
	obs.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeNote}.Saying(m))
}
