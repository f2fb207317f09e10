// Package trouble says what an error of Kopia means: its condition, and what a person can do.
package trouble

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/host"
)

// conditions that a store, or the end of a context, reports and that pass through Kopia unchanged.
var conditions = []error{
	cofre.ErrNoRepo, cofre.ErrReadOnly, cofre.ErrDiskFull, cofre.ErrUnreachable, cofre.ErrDenied, cofre.ErrCorrupt,
	cofre.ErrWrongKey, cofre.ErrExists, cofre.ErrNotFound, cofre.ErrConfig, cofre.ErrInterrupted, context.Canceled, context.DeadlineExceeded,
}

// Of gives an error of Kopia its address and, if it has none, its condition: what a store did not fail
// at is something in the repository that Kopia could not read.
func Of(verb string, err error) error {
	if err == nil {
		return nil
	}
	for _, c := range conditions {
		if errors.Is(err, c) {
			return fmt.Errorf("%s: %w", verb, ofStore(err, c))
		}
	}
	if errors.Is(err, repo.ErrInvalidPassword) {
		return fmt.Errorf("%s: %w", verb, cofre.ErrWrongKey)
	}
	if host.Failed(err) {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return cofre.WithHint(fmt.Errorf("%s: %w: %w", verb, cofre.ErrCorrupt, err), cofre.Say("repository.damaged", "find out what is damaged: cofre verify --level content"))
}

// ofStore returns the store's own part of an error that came through Kopia, which is the part with a hint. Kopia
// repeats it, and what Kopia was about to do with the blob helps nobody to free a disk.
func ofStore(err error, condition error) error {
	for at := err; ; {
		var parts []error
		switch e := at.(type) {
		case interface{ Unwrap() error }:
			parts = []error{e.Unwrap()}
		case interface{ Unwrap() []error }:
			parts = e.Unwrap()
		}
		i := slices.IndexFunc(parts, func(part error) bool { return cofre.Hint(part) != "" && errors.Is(part, condition) })
		switch {
		case i >= 0:
			at = parts[i]
		case cofre.Hint(at) == "":
			return err
		default:
			return at
		}
	}
}

// NotFound is Of for what a caller asked for by name.
func NotFound(what string, err error) error {
	if IsMissing(err) {
		return fmt.Errorf("%s: %w", what, cofre.ErrNotFound)
	}
	return Of(what, err)
}

// IsMissing reports whether an error says that a content or an object is not there.
func IsMissing(err error) bool {
	return errors.Is(err, content.ErrContentNotFound) || errors.Is(err, object.ErrObjectNotFound)
}
