package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

// Holds reports whether what an archive has under the name of a file is content, as its digest says, without the key; a history that was
// derived from the WAL is the server's if its forks are.
// Whether its bytes are still those that were stored only reading them tells: Restore does.
//
// Errors: cofre.ErrNotFound if it has nothing of that name; cofre.ErrCorrupt if cofre did not write it, or if it is damaged as
// far as its header or a verification says; the store's.
func Holds(ctx context.Context, a Archive, system cofre.SystemID, name pgdata.WALName, content []byte) (bool, error) {
	object := ObjectName(system, name)
	r, err := a.Find(ctx)
	if err != nil {
		return false, err
	}
	d, _, err := look(ctx, a.Store, object)
	return err == nil && (d == digestOf(r, object, content) || d != sealed.Digest{} && d == derivedOf(r, object, content)), err
}

// stillHas looks whether a store has the object of a digest and a size, as far as its header, its size and a verification say.
//
// Errors: those of look; cofre.ErrCorrupt if it is another, or of another size.
func stillHas(ctx context.Context, st cofre.Store, object string, want sealed.Digest, size int64) error {
	d, n, err := look(ctx, st, object)
	if err == nil && (d != want || n != size) {
		err = fmt.Errorf("%s is not as it was stored: %w", object, cofre.ErrCorrupt)
	}
	return err
}

// look returns the digest and the size of a stored object, without the key.
//
// Errors: cofre.ErrNotFound; cofre.ErrCorrupt if cofre did not write it, or if it is damaged as far as its header or a
// verification says; the store's.
func look(ctx context.Context, st cofre.Store, object string) (sealed.Digest, int64, error) {
	o, err := st.Stat(ctx, object)
	if err != nil {
		return sealed.Digest{}, 0, err
	}
	b, err := readBeginning(ctx, st, object)
	if err != nil {
		return sealed.Digest{}, 0, err
	}
	h, is, err := sealed.Judge(object, b)
	if err != nil {
		return sealed.Digest{}, 0, err
	}
	if is == sealed.HeadDamaged {
		return sealed.Digest{}, 0, fmt.Errorf("the header of %s is damaged: %w", object, cofre.ErrCorrupt)
	}
	switch n, err := readDamage(ctx, st, damageName(object, "found", sealed.Identify(b, o.Size))); {
	case err == nil:
		return sealed.Digest{}, 0, fmt.Errorf("%s %s: %w", object, n.What, cofre.ErrCorrupt)
	case !errors.Is(err, cofre.ErrNotFound):
		return sealed.Digest{}, 0, err
	}
	return h.Digest, o.Size, nil
}

// ArchiveHistory stores the history of a timeline in every archive, for a server that was promoted while it archived
// nothing: PostgreSQL hands over a history only then.
//
// Errors: those of Archiver.Archive.
func ArchiveHistory(ctx context.Context, archives []Archive, system cofre.SystemID, tli cofre.Timeline, content []byte) error {
	name := pgdata.HistoryOf(tli)
	err := CheckContent(system, name, content)
	if err == nil {
		_, err = store(ctx, archives, system, name, content, 1)
	}
	if err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	return nil
}

// Orphans are the timelines above 1 of which there are segments and no history. No server recovers along one: it asks for
// the history first. Of one that others descend from it may be all there ever was: they have histories of their own.
func (inv *Inventory) Orphans() []cofre.Timeline {
	having := map[cofre.Timeline]bool{}
	for s := range inv.Segments {
		having[s.Timeline] = true
	}
	return OrphansOf(having, inv.Histories)
}

// OrphansOf are the timelines of those that there are segments of that have no history.
func OrphansOf(having map[cofre.Timeline]bool, histories map[cofre.Timeline]pgdata.History) []cofre.Timeline {
	known := map[cofre.Timeline]bool{1: true}
	for tli, h := range histories {
		known[tli] = true
		for _, f := range h.Forks {
			known[f.Parent] = true
		}
	}
	var all []cofre.Timeline
	for tli := range having {
		if !known[tli] {
			all = append(all, tli)
		}
	}
	slices.Sort(all)
	return all
}

// ErrNoHistory says that a timeline's history is not archived, and what mends that.
//
// Errors: *cofre.GapError, with a hint.
func ErrNoHistory(tli cofre.Timeline) error {
	return cofre.WithHint(&cofre.GapError{Timeline: tli, From: pgdata.HistoryName(tli), To: pgdata.HistoryName(tli)},
		cofre.Say("wal.history", "cofre backup cluster archives it from the running server; or, as the server's user: cofre wal archive DIR/pg_wal/{{.name}}; if the server is gone, cofre wal mend derives it from the WAL", "name", pgdata.HistoryName(tli)))
}

// HasSegments reports whether a store holds anything of a timeline.
//
// Errors: the store's.
func HasSegments(ctx context.Context, st cofre.Store, system cofre.SystemID, tli cofre.Timeline) (bool, error) {
	for _, err := range st.List(ctx, TimelinePrefix(system, tli)) {
		return err == nil, err
	}
	return false, nil
}
