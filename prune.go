package cofre

import (
	"context"
	"time"
)

// Pruned says what pruning freed, and what is not free yet and why. Sizes are those of the store.
type Pruned struct {
	DryRun bool `json:"dry_run"` // nothing was done: Freed and Announced are what would be
	// Freed was deleted: nothing has referred to it since it was announced.
	Freed Heap `json:"freed"`
	// Announced is what nothing refers to, now and when it was announced: it is deleted by the first run after Due.
	Announced Heap      `json:"announced"`
	Due       time.Time `json:"due,omitzero"` // of the last of them, by the clock of the store
	// Young is referred to by nothing, and so young that a capture may be about to refer to it.
	Young Heap `json:"young"`
	// Shared are bytes that nothing refers to, in files that hold something else; they are freed when it goes, or when so many of
	// them are that what is left is moved.
	Shared Heap `json:"shared"`
	// Again was announced and is referred to again: what of it counts is moved, and the rest goes with a later run.
	Again Heap `json:"again"`
	// Moved is what was written into other files, so that few large ones take the place of many, or of half empty ones.
	Moved Heap `json:"moved"`
	// Unreadable counts pieces that are referred to and could not be moved: they stay where they are.
	Unreadable int `json:"unreadable,omitempty"`
	// Indexes and Seals are how many files of each are read, or looked at, when the repository is opened and verified.
	Indexes Change `json:"indexes"`
	Seals   Change `json:"seals"`
}

// EventType names the fact that a repository was pruned.
func (Pruned) EventType() EventType { return "pruned" }

// Pruner is a Repository that gives bytes back.
type Pruner interface {
	// Prune deletes what no recovery point refers to, beside whoever writes. dryRun changes nothing and says what would be done.
	//
	// Errors: ErrReadOnly; ErrLocked if somebody else prunes; ErrCorrupt if something that names what a point needs cannot be read.
	Prune(ctx context.Context, dryRun bool) (*Pruned, error)
}

// Heap is a number of files, or of pieces of files, and their bytes.
type Heap struct {
	Count int   `json:"count"`
	Bytes int64 `json:"bytes"`
}

// Add counts one more.
func (h *Heap) Add(bytes int64) {
	h.Count++
	h.Bytes += bytes
}

// Change is a number before and after.
type Change struct {
	Before int `json:"before"`
	After  int `json:"after"`
}
