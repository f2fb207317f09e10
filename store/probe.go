package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
)

// probeName is the object that a probe writes. If it may not be deleted it stays, once, and means nothing.
const (
	probeName  = "cofre/probe"
	probeBytes = "cofre probe\n"
)

// Probe writes a small object, reads it back and deletes it. Credentials that may not delete are no error: the object
// then stays, and the next probe replaces it.
//
// Errors: those of the store: ErrDenied, ErrReadOnly, ErrDiskFull …; ErrCorrupt if something else is read.
func Probe(ctx context.Context, s cofre.Store) error {
	if err := s.Replace(ctx, probeName, strings.NewReader(probeBytes), int64(len(probeBytes))); err != nil {
		return fmt.Errorf("try to write: %w", err)
	}
	err := readProbe(ctx, s)
	if deleteErr := s.Delete(ctx, probeName); deleteErr != nil && !errors.Is(deleteErr, cofre.ErrDenied) && !errors.Is(deleteErr, cofre.ErrNotFound) {
		err = errors.Join(err, fmt.Errorf("try to delete: %w", deleteErr))
	}
	return err
}

func readProbe(ctx context.Context, s cofre.Store) error {
	r, err := s.Open(ctx, probeName, 0, -1)
	if errors.Is(err, cofre.ErrNotFound) {
		return nil // another probe has deleted it
	}
	if err != nil {
		return fmt.Errorf("try to read what was written: %w", err)
	}
	defer r.Close() // only read
	got, err := bounded.All(r, int64(len(probeBytes)))
	if err == nil && !bytes.Equal(got, []byte(probeBytes)) {
		err = fmt.Errorf("%q came back: %w", got, cofre.ErrCorrupt)
	}
	if err != nil {
		return fmt.Errorf("try to read what was written: %w", err)
	}
	return nil
}

// Clock returns what time it is by the store, which for a folder is the clock of the file system. It writes as Probe does.
//
// Errors: of the store.
func Clock(ctx context.Context, s cofre.Store) (time.Time, error) {
	if err := s.Replace(ctx, probeName, strings.NewReader(probeBytes), int64(len(probeBytes))); err != nil {
		return time.Time{}, fmt.Errorf("ask the store for its time: %w", err)
	}
	o, err := s.Stat(ctx, probeName)
	if err != nil {
		return time.Time{}, fmt.Errorf("ask the store for its time: %w", err)
	}
	return o.ModifiedAt, nil
}
