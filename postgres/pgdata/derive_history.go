package pgdata

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/trustlayer/cofre"
)

// derivedReason stands in a history in the place of what the server wrote of each fork: a reader of the file sees that no server wrote it.
const derivedReason = "derived from the WAL"

// Derived is the history as DeriveHistory makes it: the forks are the same, and the reasons say that it was derived. Two
// histories are of the same timeline if these are equal.
func (h History) Derived() History {
	h.Forks = slices.Clone(h.Forks)
	for i := range h.Forks {
		h.Forks[i].Reason = derivedReason
	}
	return h
}

// DeriveHistory makes the history of a timeline out of the first segment that was written on it: the record that ends a recovery
// names the timeline that was left, and lies where it was left. History returns what is known of that one.
//
// Errors: cofre.ErrNotFound if there is no such record in the segment, if another record of the new timeline may lie before it, or if
// nothing is known of the timeline that was left; cofre.ErrCorrupt if the record contradicts what is known.
//
// Source: PostgreSQL, src/backend/access/transam/xlog.c, StartupXLOG, PerformRecoveryXLogAction, CreateEndOfRecoveryRecord and
// CreateCheckPoint; src/include/catalog/pg_control.h, CheckPoint; src/include/access/xlog_internal.h, xl_end_of_recovery.
func DeriveHistory(first Segment, content []byte, history func(cofre.Timeline) (History, bool)) (History, error) {
	tli := first.Timeline
	fail := func(cause error, format string, args ...any) (History, error) {
		return History{}, fmt.Errorf("derive the history of timeline %d: "+format+": %w", append(append([]any{tli}, args...), cause)...)
	}
	fork, before, ok := findFork(tli, content)
	switch {
	case !ok:
		return fail(cofre.ErrNotFound, "the record that began it is not in %s", first.Name(int64(len(content))))
	case before.Manager == rmXLOG && (before.Info&0xF0 == infoFullPageWrites || before.Info&0xF0 == infoOverwriteContrecord):
		return fail(cofre.ErrNotFound, "the record at %s may be of timeline %d or of this one", before.Start, fork.Parent)
	}
	parent, ok := history(fork.Parent)
	if !ok {
		return fail(cofre.ErrNotFound, "nor is that of timeline %d known, which it left at %s", fork.Parent, fork.At)
	}
	h := History{Timeline: tli, Forks: append(slices.Clone(parent.Forks), fork)}.Derived()
	if _, err := ParseHistory(tli, h.Encode()); err != nil {
		return fail(err, "it would leave timeline %d at %s", fork.Parent, fork.At)
	}
	return h, nil
}

// findFork finds the record with which a recovery ended and began a timeline, and the record before it.
func findFork(tli cofre.Timeline, content []byte) (fork Fork, before Record, found bool) {
	w := NewWalker(int64(len(content)))
	for page := range slices.Chunk(content, WALPageSize) {
		w.Page(page, func(r Record) bool {
			if this, parent, ok := r.timelines(); ok && this == tli && parent != tli {
				fork, found = Fork{Parent: parent, At: endBefore(r.Start, int64(len(content)))}, true
				return false
			}
			before = Record{Start: r.Start, Manager: r.Manager, Info: r.Info}
			return true
		})
		if found {
			break
		}
	}
	return fork, before, found
}

// timelines are those that the end of a recovery, or a shutdown checkpoint, says that it is on, and that were before it.
func (r Record) timelines() (this, before cofre.Timeline, ok bool) {
	if r.Manager != rmXLOG || r.Info&0xF0 != infoEndOfRecovery && r.Info&0xF0 != infoCheckpointShutdown {
		return 0, 0, false
	}
	// Both begin with eight bytes of something else, and the two timelines.
	data, ok := r.mainData()
	if !ok || len(data) < 16 {
		return 0, 0, false
	}
	return cofre.Timeline(binary.LittleEndian.Uint32(data[8:])), cofre.Timeline(binary.LittleEndian.Uint32(data[12:])), true
}

// endBefore is where the record before one ended that starts at a position: at the beginning of the page, if only its header is between.
func endBefore(start cofre.LSN, size int64) cofre.LSN {
	header := cofre.LSN(walHeaderSize)
	if page := start - start%WALPageSize; page%cofre.LSN(size) == 0 {
		header = walLongHeaderSize
	}
	if start%WALPageSize == header {
		return start - header
	}
	return start
}
