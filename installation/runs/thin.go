package runs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/store"
)

// Kept is how long a log stays: a year can be compared with the one before. That a run was, and how it ended, the journal says for ever.
const Kept = 400 * 24 * time.Hour

// Thin removes the logs that are older than Kept, by the clock of the store. Nothing is removed if that clock and the one of this host are apart.
//
// Errors: those of the store, of each log that could not be removed.
func Thin(ctx context.Context, st cofre.Store) error {
	all, err := List(ctx, st)
	if err != nil {
		return err
	}
	now, err := store.Clock(ctx, st)
	if err != nil {
		return fmt.Errorf("remove old logs of runs: %w", err)
	}
	if time.Until(now).Abs() > cofre.ClockSkew {
		return nil
	}
	var errs []error
	for _, l := range all {
		if now.Sub(l.EndedAt) <= Kept {
			continue
		}
		if err := st.Delete(ctx, l.Object); err != nil && !errors.Is(err, cofre.ErrNotFound) {
			errs = append(errs, fmt.Errorf("remove the log of run %s: %w", l.Run, err))
		}
	}
	return errors.Join(errs...)
}
