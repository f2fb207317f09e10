package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/bits"
	"sort"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/trustlayer/cofre"
)

const (
	entriesPrefix     = "journal/entry/"
	checkpointsPrefix = "journal/checkpoint/"
	digits            = 12 // make the order of names that of numbers
	// maxEntry and maxCheckpoint bound what is read of objects that anybody who may write to the store could have made.
	maxEntry      = 1 << 20
	maxCheckpoint = 16 << 10
)

// Journal is that of one repository. It may be used by several goroutines, and several processes may append to it at once.
type Journal struct {
	store cofre.Store
	keys  note.Verifiers
	sign  note.Signer // nil if nothing is to be appended
}

// Open returns the journal in a store. Keys are those that may sign checkpoints; sign may be nil for who only reads.
func Open(s cofre.Store, keys note.Verifiers, sign note.Signer) *Journal {
	return &Journal{s, keys, sign}
}

// Append writes an entry, and after it a checkpoint, and returns the number of the entry and the checkpoint. If it returns an error after
// the entry was written, the entry stays, and the checkpoint of the next one covers it.
//
// hint is a number of entries that the journal is known to have had; 0 is always right, and costs a few requests more.
//
// Errors: cofre.ErrCorrupt if the newest checkpoint is not what its key signed, or what it covers is not there; those of the store.
func (j *Journal) Append(ctx context.Context, e Entry, hint int64) (int64, Checkpoint, error) {
	text, err := json.Marshal(e)
	if err != nil {
		return 0, Checkpoint{}, err
	}
	number, err := j.put(ctx, text, hint)
	if err != nil {
		return 0, Checkpoint{}, fmt.Errorf("journal: write an entry: %w", err)
	}
	c, err := j.checkpoint(ctx, number, text)
	if err != nil {
		return number, Checkpoint{}, fmt.Errorf("journal: sign entry %d: %w", number, err)
	}
	return number, c, nil
}

// put gives an entry the first free number.
func (j *Journal) put(ctx context.Context, text []byte, hint int64) (int64, error) {
	number, err := j.Size(ctx, hint)
	if err != nil {
		return 0, err
	}
	for {
		err := j.store.Create(ctx, entryName(number), bytes.NewReader(text), int64(len(text)))
		if err == nil {
			return number, nil
		}
		there, readErr := j.read(ctx, entryName(number), maxEntry)
		switch {
		case readErr == nil && bytes.Equal(there, text): // its answer was lost
			return number, nil
		case readErr == nil:
			number++ // somebody else was faster
		default:
			return 0, err
		}
	}
}

// Size is how many entries there are. They are numbered without a hole, so it is found by asking for some of them.
//
// Errors: those of the store.
func (j *Journal) Size(ctx context.Context, hint int64) (int64, error) {
	var failed error
	there := func(n int64) bool {
		_, err := j.store.Stat(ctx, entryName(n))
		if err != nil && !errors.Is(err, cofre.ErrNotFound) {
			failed = err
		}
		return err == nil && failed == nil
	}
	low := max(hint, 0)
	if low > 0 && !there(low-1) {
		low = 0 // the hint was of another journal, or of one that was cut
	}
	step := int64(1)
	for there(low + step - 1) {
		low += step
		step *= 2
	}
	// The first free one is among the step-1 that follow low.
	n := low + int64(sort.Search(int(step-1), func(i int) bool { return !there(low + int64(i)) }))
	return n, failed
}

// checkpoint signs the journal up to the entry of a number, whose text is at hand.
func (j *Journal) checkpoint(ctx context.Context, number int64, text []byte) (Checkpoint, error) {
	_, from, err := j.newest(ctx, number)
	if err != nil {
		return Checkpoint{}, err
	}
	for n := from.size; n < number; n++ {
		before, err := j.read(ctx, entryName(n), maxEntry)
		if err != nil {
			return Checkpoint{}, fmt.Errorf("entry %d: %w", n, err)
		}
		from.add(tlog.RecordHash(before))
	}
	from.add(tlog.RecordHash(text))
	signed, err := from.sign(j.sign)
	if err != nil {
		return Checkpoint{}, err
	}
	c := Checkpoint{j.sign.Name(), from.size, from.root()}
	err = j.store.Create(ctx, checkpointName(c.Size), bytes.NewReader(signed), int64(len(signed)))
	if err != nil && !errors.Is(err, cofre.ErrExists) {
		return Checkpoint{}, err
	}
	return c, nil
}

// looked is how far back the newest checkpoint is looked for by its number: writers that died between an entry and its checkpoint leave a
// hole each.
const looked = 64

// newest returns the newest checkpoint of at most size entries, or that of none if there is none among those that are looked for.
func (j *Journal) newest(ctx context.Context, size int64) (Checkpoint, *compact, error) {
	for n := size; n > max(0, size-looked); n-- {
		c, r, err := j.open(ctx, n)
		if errors.Is(err, cofre.ErrNotFound) {
			continue
		}
		return c, r, err
	}
	return Checkpoint{}, &compact{}, nil
}

// open reads the checkpoint of a size.
func (j *Journal) open(ctx context.Context, size int64) (Checkpoint, *compact, error) {
	signed, err := j.read(ctx, checkpointName(size), maxCheckpoint)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint %d: %w", size, err)
	}
	c, r, err := openCheckpoint(signed, j.keys)
	if err == nil && c.Size != size {
		err = fmt.Errorf("it is of %d entries: %w", c.Size, cofre.ErrCorrupt)
	}
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("checkpoint %d: %w", size, err)
	}
	return c, r, nil
}

// Newest returns the newest checkpoint, by the key's own signature. Its size is 0 if there is none.
//
// Errors: cofre.ErrCorrupt; those of the store.
func (j *Journal) Newest(ctx context.Context, hint int64) (Checkpoint, error) {
	size, err := j.Size(ctx, hint)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("journal: %w", err)
	}
	c, _, err := j.newest(ctx, size)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("journal: %w", err)
	}
	return c, nil
}

// Entries yields the entries from a number on, with their numbers.
//
// Errors: cofre.ErrCorrupt of an entry that cannot be read, after which the next ones follow; those of the store, which end it.
func (j *Journal) Entries(ctx context.Context, from int64) iter.Seq2[Numbered, error] {
	return func(yield func(Numbered, error) bool) {
		for n := from; ; n++ {
			text, err := j.read(ctx, entryName(n), maxEntry)
			if errors.Is(err, cofre.ErrNotFound) {
				return
			}
			var e Entry
			if err == nil {
				e, err = parse(text)
			}
			if err != nil {
				err = fmt.Errorf("journal: entry %d: %w", n, err)
			}
			if !yield(Numbered{n, e}, err) || err != nil && !errors.Is(err, cofre.ErrCorrupt) {
				return
			}
		}
	}
}

// Numbered is an entry and its number, the first being 0.
type Numbered struct {
	Number int64 `json:"number"`
	Entry
}

func (j *Journal) read(ctx context.Context, name string, limit int64) ([]byte, error) {
	r, err := j.store.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = r.Close() }() // it was read
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%s has more than %d bytes: %w", name, limit, cofre.ErrCorrupt)
	}
	return text, err
}

func entryName(n int64) string      { return fmt.Sprintf("%s%0*d", entriesPrefix, digits, n) }
func checkpointName(n int64) string { return fmt.Sprintf("%s%0*d", checkpointsPrefix, digits, n) }

func ones(n int64) int { return bits.OnesCount64(uint64(n)) }
