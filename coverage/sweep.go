package coverage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
)

const (
	// keptSummaries is how many summaries are left.
	keptSummaries = 8
	// sweepAfter is how long an object is left whose proofs are in another: somebody may be reading it.
	sweepAfter = time.Hour
)

// Sweep deletes the objects whose proofs are in another one, and all but the newest summaries. now is the time of the store; commit is asked before.
// Interrupted anywhere, what was proven stays so.
//
// Errors: of commit; those of the store.
func Sweep(ctx context.Context, st cofre.Store, key Sealer, now time.Time, commit func(context.Context, string) error) error {
	over, err := superseded(ctx, st, key, now)
	if err != nil {
		return err
	}
	var summaries []cofre.StoredObject
	for o, err := range st.List(ctx, summaryPrefix) {
		if err != nil {
			return fmt.Errorf("list what was verified: %w", err)
		}
		summaries = append(summaries, o)
	}
	// By the clock of the store: names are of hosts' clocks, one of which may have leapt.
	slices.SortStableFunc(summaries, func(a, b cofre.StoredObject) int { return b.ModifiedAt.Compare(a.ModifiedAt) })
	for _, o := range summaries[min(len(summaries), keptSummaries):] {
		over = append(over, o.Name)
	}
	if len(over) == 0 {
		return nil
	}
	if err := commit(ctx, fmt.Sprintf("delete %d records of what was read back", len(over))); err != nil {
		return err
	}
	for _, name := range over {
		if err := st.Delete(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// superseded are the objects that are in the newest one that has everything.
func superseded(ctx context.Context, st cofre.Store, key Sealer, now time.Time) ([]string, error) {
	var all []cofre.StoredObject
	for o, err := range st.List(ctx, readPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list what was read back: %w", err)
		}
		all = append(all, o)
	}
	for _, full := range slices.Backward(all) {
		text, ok, err := open(ctx, st, key, full.Name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", full.Name, err)
		}
		h, _, err := decode(text)
		if !ok || err != nil || !h.Full {
			continue
		}
		if now.Sub(full.ModifiedAt) < sweepAfter {
			return nil, nil
		}
		var over []string
		for _, o := range all {
			if o.Name != full.Name && (slices.Contains(h.Instead, o.Name) || olderThan(o, full)) {
				over = append(over, o.Name)
			}
		}
		return over, nil
	}
	return nil, nil
}
