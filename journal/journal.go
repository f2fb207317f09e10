package journal

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/bits"
	"sort"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
)

const (
	// Prefix begins the name of every object of a journal.
	Prefix            = "journal/"
	entriesPrefix     = Prefix + "entry/"
	checkpointsPrefix = Prefix + "checkpoint/"
	digits            = 12 // make the order of names that of numbers
	// maxEntry is what the length of an entry in a bundle can say. It and maxCheckpoint bound what is read of objects that anybody
	// who may write to the store could have made.
	maxEntry      = 1<<16 - 1
	maxCheckpoint = 16 << 10
)

// Journal is that of one repository. It may be used by several goroutines, and several processes may append to it at once.
type Journal struct {
	store cofre.Store
	keys  note.Verifiers
	sign  note.Signer // nil if nothing is to be appended

	mu   sync.Mutex
	head *compact // of the entries that are known; nil before anybody looked
}

// Open returns the journal in a store. Keys are those that may sign checkpoints; sign may be nil for who only reads.
func Open(s cofre.Store, keys note.Verifiers, sign note.Signer) *Journal {
	return &Journal{store: s, keys: keys, sign: sign}
}

// Append writes an entry, and after it a checkpoint, and returns the number of the entry and the checkpoint. If it returns an error after
// the entry was written, the entry stays, and the checkpoint of the next one covers it.
//
// Errors: cofre.ErrCorrupt if what is there cannot be gone on from, or a checkpoint of another history is in the way; those of the store.
func (j *Journal) Append(ctx context.Context, e Entry) (int64, Checkpoint, error) {
	text, err := json.Marshal(e)
	if err == nil {
		text, err = signEntry(text, j.sign)
	}
	if err == nil && len(text) > maxEntry {
		err = fmt.Errorf("it has %d bytes, and at most %d are possible", len(text), maxEntry)
	}
	if err != nil {
		return 0, Checkpoint{}, fmt.Errorf("journal: write an entry: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.look(ctx, 0); err != nil {
		return 0, Checkpoint{}, fmt.Errorf("journal: %w", err)
	}
	number, err := j.put(ctx, text)
	if err != nil {
		return 0, Checkpoint{}, fmt.Errorf("journal: write an entry: %w", err)
	}
	c, err := j.checkpoint(ctx)
	if err != nil {
		return number, Checkpoint{}, fmt.Errorf("journal: sign entry %d: %w", number, err)
	}
	return number, c, nil
}

// put gives an entry the first free number. What others wrote meanwhile is taken into the head.
func (j *Journal) put(ctx context.Context, text []byte) (int64, error) {
	for {
		number := j.head.size
		err := j.store.Create(ctx, entryName(number), bytes.NewReader(text), int64(len(text)))
		if err != nil {
			there, readErr := j.read(ctx, entryName(number), maxEntry)
			if readErr != nil {
				return 0, err
			}
			if !bytes.Equal(there, text) {
				j.head.add(tlog.RecordHash(there)) // somebody else was faster
				continue
			}
			// Its answer was lost.
		}
		j.head.add(tlog.RecordHash(text))
		return number, nil
	}
}

// checkpoint signs the head.
func (j *Journal) checkpoint(ctx context.Context) (Checkpoint, error) {
	signed, err := j.head.sign(j.sign)
	if err != nil {
		return Checkpoint{}, err
	}
	c := Checkpoint{j.sign.Name(), j.head.size, j.head.root()}
	err = j.store.Create(ctx, checkpointName(c.Size), bytes.NewReader(signed), int64(len(signed)))
	if err == nil {
		return c, nil
	}
	there, readErr := j.read(ctx, checkpointName(c.Size), maxCheckpoint)
	switch {
	case readErr == nil && bytes.Equal(there, signed): // its answer was lost: the same key signs the same text the same way
		return c, nil
	case readErr == nil:
		return Checkpoint{}, cofre.Fail(cofre.Say("journal.forked", "{{.object}} is there already, and is of another history", "object", checkpointName(c.Size)), cofre.ErrCorrupt)
	}
	return Checkpoint{}, err
}

// look finds out what there is, if nobody has. hint is a number of entries that the journal is known to have had.
func (j *Journal) look(ctx context.Context, hint int64) error {
	if j.head != nil {
		return nil
	}
	size, err := j.Size(ctx, hint)
	if err != nil {
		return err
	}
	_, head, err := j.newest(ctx, size)
	if err != nil {
		return err
	}
	for n := head.size; n < size; n++ {
		text, err := j.read(ctx, entryName(n), maxEntry)
		if err != nil {
			return fmt.Errorf("%s: %w", entryName(n), missing(err))
		}
		head.add(tlog.RecordHash(text))
	}
	j.head = head
	return nil
}

// missing is the error of an object that cannot be missing.
func missing(err error) error {
	if errors.Is(err, cofre.ErrNotFound) {
		return fmt.Errorf("%w: %w", cofre.ErrCorrupt, err)
	}
	return err
}

// Size is how many entries there are. They are numbered without a hole, so it is found by asking for some of them. hint is a number of
// entries that the journal is known to have had; 0 is always right, and costs a few requests more.
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

// looked is how far back the newest checkpoint is looked for by its number: writers that died between an entry and its checkpoint leave a
// hole each. Behind as many, all entries are read.
const looked = 64

// newest returns the newest checkpoint of at most size entries that can be gone on from, or that of none.
func (j *Journal) newest(ctx context.Context, size int64) (Checkpoint, *compact, error) {
	for n := size; n > max(0, size-looked); n-- {
		c, r, err := j.open(ctx, n)
		if errors.Is(err, cofre.ErrNotFound) || errors.Is(err, cofre.ErrCorrupt) {
			continue // what is damaged is replaced by nobody: Verify names it
		}
		return c, r, err
	}
	return Checkpoint{}, &compact{}, nil
}

// open reads the checkpoint of a size.
func (j *Journal) open(ctx context.Context, size int64) (Checkpoint, *compact, error) {
	signed, err := j.read(ctx, checkpointName(size), maxCheckpoint)
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("%s: %w", checkpointName(size), err)
	}
	return openOf(size, signed, j.keys)
}

// openOf reads the checkpoint of a size from its text.
func openOf(size int64, signed []byte, keys note.Verifiers) (Checkpoint, *compact, error) {
	c, r, err := openCheckpoint(signed, keys)
	if err == nil && c.Size != size {
		err = fmt.Errorf("it is of %d entries: %w", c.Size, cofre.ErrCorrupt)
	}
	if err != nil {
		return Checkpoint{}, nil, fmt.Errorf("%s: %w", checkpointName(size), err)
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

// Compare holds the journal against a checkpoint that somebody kept, the zero one being of nobody, with a handful of requests, and returns
// the newest one. What it finds is the zero message if the journal goes on from what was kept. Verify says the rest.
//
// Errors: cofre.ErrCorrupt if what is there cannot be gone on from; those of the store.
func (j *Journal) Compare(ctx context.Context, kept Checkpoint) (newest Checkpoint, found cofre.Message, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.look(ctx, kept.Size); err != nil {
		return newest, found, fmt.Errorf("journal: %w", err)
	}
	head := Checkpoint{Size: j.head.size, Root: j.head.root()}
	if newest, _, err = j.newest(ctx, head.Size); err != nil {
		return newest, found, fmt.Errorf("journal: %w", err)
	}
	switch _, err := j.store.Stat(ctx, checkpointName(head.Size+1)); {
	case err == nil:
		// Unless somebody has just appended.
		if _, err := j.store.Stat(ctx, entryName(head.Size)); errors.Is(err, cofre.ErrNotFound) {
			return newest, cofre.Say("journal.cut_at", "{{.object}} was removed: a checkpoint says that it was there", "object", entryName(head.Size)), nil
		}
	case !errors.Is(err, cofre.ErrNotFound):
		return newest, found, fmt.Errorf("journal: %w", err)
	}
	switch {
	case kept.Size == 0:
	case newest.Origin != "" && newest.Origin != kept.Origin:
		found = another(newest.Origin)
	case kept.Size > head.Size:
		found = takenBack(head.Size)
	default:
		p, proveErr := j.prove(ctx, kept, head)
		if proveErr != nil && !errors.Is(proveErr, cofre.ErrCorrupt) {
			return newest, found, fmt.Errorf("journal: %w", proveErr)
		}
		if proveErr != nil || p.Check() != nil {
			found = rewritten()
		}
	}
	return newest, found, nil
}

// CutAt is the entry of which Compare has found that a checkpoint says that it was there; ok is false of anything else that it finds.
func CutAt(found cofre.Message) (object string, ok bool) {
	object, _ = found.Args["object"].(string)
	return object, found.Code == "journal.cut_at"
}

// Entries yields the entries from a number on, with their numbers, as they are there: Verify says whether they are what was signed.
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

// Recent yields the newest entries, the newest first. Append, or Compare, has looked before.
//
// Errors: as of Entries.
func (j *Journal) Recent(ctx context.Context) iter.Seq2[Numbered, error] {
	return func(yield func(Numbered, error) bool) {
		j.mu.Lock()
		size := int64(0)
		if j.head != nil {
			size = j.head.size
		}
		j.mu.Unlock()
		for n := size - 1; n >= 0; n-- {
			text, err := j.read(ctx, entryName(n), maxEntry)
			var e Entry
			if err == nil {
				e, err = parse(text)
			}
			if !yield(Numbered{n, e}, err) {
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
	return bounded.Read(ctx, j.store, name, limit)
}

func entryName(n int64) string      { return fmt.Sprintf("%s%0*d", entriesPrefix, digits, n) }
func checkpointName(n int64) string { return fmt.Sprintf("%s%0*d", checkpointsPrefix, digits, n) }

func ones(n int64) int { return bits.OnesCount64(uint64(n)) }
