package installation

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/installation/walmend"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Mend stores in each repository what it has lost of WAL and another has: what is missing, and what is known to be damaged; and the history of a
// timeline that none of them has, as it is derived from the WAL. No server is asked. What is taken from a repository is proven to be what was archived, and what is stored is never put in the place of
// a good object. It returns what became of each file; segments that are not whole yet are left to those that stream them.
//
// Errors: cofre.ErrPartial with what was done, if something could not be stored and nobody has acknowledged that; those of the
// repository; those of a copy, once the others are mended.
func (w WAL) Mend(ctx context.Context) ([]walmend.File, error) {
	archives := walstore.Archives(ctx, w.in.cfg)
	m := walmend.Mender{All: archives, Unlock: sources.Unlocking(ctx, w.in.cfg, archives)}
	done := []walmend.File{}
	err := w.each(ctx, func(held []walstore.Holding, backups []recovery.BaseBackup) error {
		var errs []error
		for i, h := range held {
			if h.Err != nil {
				errs = append(errs, fmt.Errorf("copies[%d]: %w", i-1, h.Err))
			}
		}
		wanted, err := m.Damaged(ctx, held[0].Inventory.SystemID)
		// Those that are derived go first: of a history that is known to be damaged, too, nobody else has anything.
		mended, mendErr := m.Mend(ctx, slices.Concat(m.Histories(ctx, asked(held)), wanted, missingIn(held, backups, w)))
		done = append(done, mended...)
		return errors.Join(append(errs, err, mendErr)...)
	})
	if err != nil {
		return done, err
	}
	if n := slices.IndexFunc(done, func(f walmend.File) bool { return f.From == "" && !f.Acknowledged }); n >= 0 {
		f := done[n]
		if name, err := pgdata.ParseWALName(f.Name); err == nil && name.Kind == pgdata.WALHistory {
			return done, cofre.WithHint(cofre.Fail(f.Message(), cofre.ErrPartial), cofre.Say("wal.mend_history",
				"cofre backup cluster archives it if the server still runs; otherwise what was written on timeline {{.timeline}} is given up, and cofre restore cluster --timeline N --to DIR leads to the end of another: cofre wal status names them", "timeline", name.Timeline))
		}
		return done, cofre.WithHint(cofre.Fail(f.Message(), cofre.ErrPartial), cofre.Say("wal.mend_otherwise",
			"cofre backup cluster stores it afresh if the server still has it, and is a base backup that does not need it; if it says that nobody has it: cofre wal acknowledge {{.segment}} {{.segment}} --why 'lost in the repository'", "segment", f.Name))
	}
	return done, nil
}

// missingIn lists what each repository does not hold, another has, and a promised moment needs.
func missingIn(held []walstore.Holding, backups []recovery.BaseBackup, w WAL) (wanted []walmend.Lost) {
	together := wal.Together(slices.DeleteFunc(asked(held), func(inv *wal.Inventory) bool { return inv == nil })...)
	add := func(in int, n pgdata.WALName) {
		wanted = append(wanted, walmend.Lost{In: in, Damage: wal.Damage{System: together.SystemID, Name: n}, Missing: true})
	}
	for i, h := range held {
		if h.Err != nil {
			continue
		}
		for tli := range together.Histories {
			if _, ok := h.Inventory.Histories[tli]; !ok {
				add(i, pgdata.HistoryOf(tli))
			}
		}
		for _, s := range wal.MissingOf(h.Inventory, together, backups, w.promisedSince()) {
			add(i, s.File(h.Inventory.SegmentSize))
		}
	}
	return wanted
}
