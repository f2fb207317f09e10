// Package journaling writes the journal of an installation, from the facts that its use cases tell, and remembers on this machine what it has
// seen of it. A journal that is damaged stops nobody: what is wrong is said, and the run goes on.
//
// It decides nothing about backups, and reads no sentence. Read Book first, then recording.go, which makes entries of facts.
package journaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// Vault is a repository that seals what is not for everybody's eyes, and has room for plain objects beside its own.
type Vault interface {
	journal.Sealer
	Floor() cofre.Store
	UniqueID() string
	URL() string
}

// Options say who opens a book, and what for.
type Options struct {
	StateDir     string
	Installation string
	Make         bool // the journal, if there is none
	New          bool // the repository was made just now, and had none before
}

// Book is the journal of a repository as one machine writes it.
type Book struct {
	vault  Vault
	file   string // of the memory
	memory journal.Memory
	log    *journal.Journal
	made   bool

	mu     sync.Mutex
	newest journal.Checkpoint
	found  cofre.Message
}

// Open opens the journal of a repository, and holds it against what this machine has seen of it: Found says what does not fit. A repository of
// before has none: it is made if that is wanted.
//
// Errors: cofre.ErrNotFound if there is none; cofre.ErrCorrupt if its key is damaged, or not the one that this machine knows, or what is there
// cannot be gone on from; those of the store.
func Open(ctx context.Context, v Vault, o Options) (*Book, error) {
	b := &Book{vault: v, file: journal.MemoryFile(o.StateDir, v.URL())}
	var err error
	if b.memory, err = journal.Recall(b.file); err != nil {
		return nil, err
	}
	key, err := b.key(ctx, o)
	if err != nil {
		return nil, err
	}
	if b.memory.Key != "" && b.memory.Key != key.Public() {
		return nil, journal.Forget(cofre.Fail(journal.KeyChanged(b.memory.Key, key.Public()), cofre.ErrCorrupt), b.file)
	}
	b.log = key.Open(v.Floor())
	b.newest, b.found, err = b.log.Compare(ctx, b.memory.Seen())
	if err != nil {
		return nil, err
	}
	if !b.made || !o.New { // one that is made later may follow one that somebody has removed
		b.memory.Begin()
	}
	b.memory.Repository, b.memory.Key = v.URL(), key.Public()
	if !b.found.IsZero() {
		return b, nil // nothing is written that would be in the way of what may be brought back
	}
	// Now, and not when something is published, which is to cost two objects. Without bundles, reading takes longer.
	if err := b.log.Bundle(ctx); err != nil && !refused(err) {
		return nil, err
	}
	return b, nil
}

func refused(err error) bool {
	return errors.Is(err, cofre.ErrReadOnly) || errors.Is(err, cofre.ErrDenied)
}

// key reads the key, or makes it where nobody has seen one.
func (b *Book) key(ctx context.Context, o Options) (*journal.Key, error) {
	s := b.vault.Floor()
	key, err := journal.LoadKey(ctx, s, b.vault)
	if !errors.Is(err, cofre.ErrNotFound) || !o.Make {
		return key, err
	}
	if b.memory.Key != "" {
		return nil, journal.Forget(cofre.Fail(cofre.Say("journal.key_gone", "the key of the journal, which this machine has seen, was removed"), cofre.ErrCorrupt), b.file)
	}
	key, b.made, err = journal.CreateKey(ctx, s, b.vault, journal.Name(o.Installation, b.vault.UniqueID()))
	return key, err
}

// Made reports whether opening has made the journal.
func (b *Book) Made() bool { return b.made }

// Recent yields the newest entries, the newest first.
func (b *Book) Recent(ctx context.Context) iter.Seq2[journal.Numbered, error] {
	return b.log.Recent(ctx)
}

// Key is the public half of the key.
func (b *Book) Key() string { return b.memory.Key }

// Checkpoint is the newest one.
func (b *Book) Checkpoint() journal.Checkpoint {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest
}

// Found is nil, or an error that says what of the journal is not as this machine has seen it.
func (b *Book) Found() error {
	if b.found.IsZero() {
		return nil
	}
	err := cofre.Fail(cofre.Say("journal.not_as_seen", "the journal is not what this machine has seen: {{.found}}", "found", b.found), cofre.ErrCorrupt)
	if object, cut := journal.CutAt(b.found); cut {
		return cofre.WithHint(err, cutWayOn(object))
	}
	return journal.Forget(err, b.file)
}

// takes reports whether an event may be written. A journal that was cut back, or is another, takes none: what is lost of it could then not be brought back any more. That
// a person gives up an object which a checkpoint says was there is the way on.
func (b *Book) takes(event journal.Event) bool {
	_, cut := journal.CutAt(b.found)
	return b.found.IsZero() || cut && event == journal.EventDamage
}

// write appends an entry, with what is sealed of it, nil being nothing.
//
// Errors: that of Found if the journal takes none; those of the store.
func (b *Book) write(ctx context.Context, body journal.Body, facts, sealed any, about ...journal.Subject) error {
	if !b.takes(body.Event) {
		return b.Found()
	}
	var err error
	if facts != nil {
		if body.Facts, err = json.Marshal(facts); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	if sealed != nil {
		if body.Sealed, err = b.log.Seal(ctx, b.vault, sealed); err != nil {
			return err
		}
	}
	_, c, err := b.log.Append(ctx, journal.New(body, about...))
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest = c
	return nil
}

// remember keeps the newest checkpoint in mind. What does not go on from what was seen is not remembered in its place.
func (b *Book) remember() error {
	c := b.Checkpoint()
	if !b.found.IsZero() || c.Size == 0 {
		return nil
	}
	b.memory.Checkpoint = c.String()
	return b.memory.Keep(b.file)
}

// recent is how far back the last entry of the same machine is looked for.
const recent = 32

// changed reports whether the configuration is another than the one that the newest entry of the same installation and machine was written
// with; or, if there is none among the newest entries, of the same installation.
func (b *Book) changed(ctx context.Context, body journal.Body) (bool, error) {
	known, n := false, 0
	for e, err := range b.log.Recent(ctx) {
		if errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrNotFound) {
			continue
		}
		if err != nil {
			return false, err
		}
		if n++; n > recent {
			break
		}
		if e.Body.Installation != body.Installation || e.Body.Configuration == "" {
			continue
		}
		if e.Body.Host == body.Host {
			return e.Body.Configuration != body.Configuration, nil
		}
		known = known || e.Body.Configuration == body.Configuration
	}
	return !known, nil
}
