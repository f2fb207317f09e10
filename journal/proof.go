package journal

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/trustlayer/cofre"
)

// Proof shows that the journal of a newer checkpoint begins with all that an older one covers (RFC 6962, 2.1.2).
type Proof struct {
	Old  Checkpoint     `json:"old"`
	New  Checkpoint     `json:"new"`
	Path tlog.TreeProof `json:"path"`
}

// Check says whether it does. It reads nothing else.
//
// Errors: cofre.ErrCorrupt.
func (p Proof) Check() error {
	if err := tlog.CheckTree(p.Path, p.New.Size, p.New.Root, p.Old.Size, p.Old.Root); err != nil {
		return fmt.Errorf("%s does not go on from %s: %w: %w", p.New, p.Old, cofre.ErrCorrupt, err)
	}
	return nil
}

// Inclusion shows that an entry is in what a checkpoint covers (RFC 6962, 2.1.1).
type Inclusion struct {
	Number int64            `json:"number"` // of the entry
	In     Checkpoint       `json:"in"`
	Path   tlog.RecordProof `json:"path"`
}

// Check says whether the entry with this text, as it is stored, is the one.
//
// Errors: cofre.ErrCorrupt.
func (i Inclusion) Check(text []byte) error {
	if err := tlog.CheckRecord(i.Path, i.In.Size, i.In.Root, i.Number, tlog.RecordHash(text)); err != nil {
		return fmt.Errorf("entry %d is not in %s: %w: %w", i.Number, i.In, cofre.ErrCorrupt, err)
	}
	return nil
}

// Prove makes the proof from one checkpoint to another of this journal, of a few dozen objects however long it is. What is stored is taken
// as it is: Check of the proof says whether it is right.
//
// Errors: cofre.ErrCorrupt if what is needed is not there; cofre.ErrConfig if the older one is not older; those of the store.
func (j *Journal) Prove(ctx context.Context, older, newer Checkpoint) (Proof, error) {
	p, err := j.prove(ctx, older, newer)
	if err != nil {
		return p, fmt.Errorf("journal: prove that %s goes on from %s: %w", newer, older, err)
	}
	return p, nil
}

func (j *Journal) prove(ctx context.Context, older, newer Checkpoint) (Proof, error) {
	p := Proof{Old: older, New: newer}
	if older.Size < 1 || older.Size > newer.Size {
		return p, fmt.Errorf("it has %d entries, and the older one %d: %w", newer.Size, older.Size, cofre.ErrConfig)
	}
	var err error
	p.Path, err = tlog.ProveTree(newer.Size, older.Size, j.nodes(ctx))
	return p, err
}

// ProveEntry makes the proof that an entry is in what a checkpoint covers.
//
// Errors: as of Prove; cofre.ErrConfig if it is newer than the checkpoint.
func (j *Journal) ProveEntry(ctx context.Context, number int64, in Checkpoint) (Inclusion, error) {
	i := Inclusion{Number: number, In: in}
	var err error
	if number < 0 || number >= in.Size {
		err = fmt.Errorf("the checkpoint has %d entries: %w", in.Size, cofre.ErrConfig)
	} else {
		i.Path, err = tlog.ProveRecord(in.Size, number, j.nodes(ctx))
	}
	if err != nil {
		return i, fmt.Errorf("journal: prove that entry %d is in %s: %w", number, in, err)
	}
	return i, nil
}

// nodes reads hashes of the tree by their place.
func (j *Journal) nodes(ctx context.Context) tlog.HashReader {
	read := map[int64]*compact{} // checkpoints by size; nil if there is none
	var node func(level int, n int64) (tlog.Hash, error)
	node = func(level int, n int64) (tlog.Hash, error) {
		end := (n + 1) << level
		r, ok := read[end]
		if !ok {
			text, err := j.read(ctx, checkpointName(end), maxCheckpoint)
			if err == nil {
				_, r, err = readCheckpoint(string(text))
			}
			if err != nil && !errors.Is(err, cofre.ErrNotFound) && !errors.Is(err, cofre.ErrCorrupt) {
				return tlog.Hash{}, err
			}
			read[end] = r
		}
		if r != nil && r.size == end {
			if h, ok := r.node(level); ok {
				return h, nil
			}
		}
		// The writer of that checkpoint died before it: its nodes are made of what is before it, and of the entry.
		if level == 0 {
			text, err := j.read(ctx, entryName(n), maxEntry)
			if err != nil {
				return tlog.Hash{}, fmt.Errorf("%s: %w", entryName(n), missing(err))
			}
			return tlog.RecordHash(text), nil
		}
		left, err := node(level-1, 2*n)
		if err != nil {
			return tlog.Hash{}, err
		}
		right, err := node(level-1, 2*n+1)
		return tlog.NodeHash(left, right), err
	}
	return tlog.HashReaderFunc(func(at []int64) ([]tlog.Hash, error) {
		all := make([]tlog.Hash, len(at))
		for i, index := range at {
			level, n := tlog.SplitStoredHashIndex(index)
			var err error
			if all[i], err = node(level, n); err != nil {
				return nil, err
			}
		}
		return all, nil
	})
}
