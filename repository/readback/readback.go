// Package readback compares what a store holds with its seals: at a glance, by sizes, or by reading back what is due. It knows nothing of what is
// inside of the files.
package readback

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kopia/kopia/repo/blob"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/seal"
)

// readers is how many files are read at once.
const readers = 2

// Check compares the files of one store. Ask comes first.
type Check struct {
	Store  cofre.Store
	Naming blobs.Naming
	Ledger func(context.Context) (*seal.Ledger, error)
	Level  cofre.Level
	Proven cofre.Proven // nil remembers nothing
	// Known are files that are known to be damaged: they are always read.
	Known map[string]bool
	// Progress is told of each file that was read.
	Progress func(name string, size int64)

	mu      sync.Mutex
	objects map[string]cofre.StoredObject // Kopia's, and spares
	ledger  *seal.Ledger
	due     map[string]bool
	// unproven are packs that are as a seal says which anybody can have written.
	unproven map[blob.ID]bool
	Total    int64 // bytes that are due
}

// List lists what is Kopia's.
//
// Errors: of the store.
func (c *Check) List(ctx context.Context) error {
	c.objects = map[string]cofre.StoredObject{}
	for o, err := range c.Store.List(ctx, "") {
		if err != nil {
			return err
		}
		if _, ok := c.Naming.ID(o.Name); ok || o.Name == blobs.ShardsName || strings.HasPrefix(o.Name, blobs.SparePrefix) {
			c.objects[o.Name] = o
		}
	}
	return nil
}

// Ask reads the seals, and finds what is due of what was listed.
//
// Errors: of the store.
func (c *Check) Ask(ctx context.Context) (l *seal.Ledger, err error) {
	if l, err = c.Ledger(ctx); err != nil {
		return nil, err
	}
	c.ledger, c.due, c.unproven = l, map[string]bool{}, map[blob.ID]bool{}
	for name, o := range c.objects {
		e, is := c.evidence(name, o)
		if !is {
			continue
		}
		if due := c.Proven == nil || c.Proven.Due(e); due || c.Known[name] {
			c.due[name] = true
			c.Total += o.Size
		}
	}
	return l, nil
}

// evidence is a file that can be read back: one that has a seal, or a pack.
func (c *Check) evidence(name string, o cofre.StoredObject) (cofre.ReadBack, bool) {
	e := cofre.ReadBack{StoredObject: o, Part: cofre.Part{What: cofre.PartPoints}}
	sealed := name
	if spare, ok := strings.CutPrefix(name, blobs.SparePrefix); ok {
		sealed = c.Naming.Name(blob.ID(spare))
	}
	if rec, ok := c.ledger.Records[sealed]; ok {
		e.Hash = rec.Evidence()
		return e, true
	}
	id, _ := c.Naming.ID(name)
	return e, blobs.IsPack(id)
}

// Due reports whether a file is to be read.
func (c *Check) Due(name string) bool { return c.Level != cofre.LevelStructure && c.due[name] }

// Size is the length of a file that was listed.
func (c *Check) Size(name string) int64 { return c.objects[name].Size }

// Unsealed are the files that no seal names, in order.
func (c *Check) Unsealed() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(c.objects)), func(name string) bool {
		_, sealed := c.ledger.Records[name]
		return sealed || strings.HasPrefix(name, blobs.SparePrefix)
	})
}

// Note tells what became of a file that was read.
func (c *Check) Note(ctx context.Context, name string, whole bool) {
	o, listed := c.objects[name]
	if e, is := c.evidence(name, o); listed && is && c.Proven != nil {
		c.Proven.Note(ctx, e, whole)
	}
	c.Progress(name, o.Size)
}

// Drop tells that a file holds nothing that counts.
func (c *Check) Drop(name string) {
	if e, is := c.evidence(name, c.objects[name]); is && c.Proven != nil {
		c.Proven.Drop(e)
	}
}

// ReadAt is when each pack was last read back whole.
func (c *Check) ReadAt() map[blob.ID]time.Time {
	at := map[blob.ID]time.Time{}
	for name, o := range c.objects {
		if id, ok := c.Naming.ID(name); ok && blobs.IsPack(id) && c.Proven != nil {
			e, _ := c.evidence(name, o)
			at[id] = c.Proven.At(e)
		}
	}
	return at
}

// Sealed compares every file that has a seal.
//
// Errors: of the store.
func (c *Check) Sealed(ctx context.Context) ([]seal.Problem, error) {
	var mu sync.Mutex
	var found []seal.Problem
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for _, name := range slices.Sorted(maps.Keys(c.ledger.Records)) {
		if groupCtx.Err() != nil {
			break
		}
		rec := c.ledger.Records[name]
		group.Go(func() error {
			what, err := c.record(groupCtx, rec)
			if err != nil {
				return err
			}
			if what != "" {
				mu.Lock()
				found = append(found, seal.Problem{Name: rec.Name, What: what})
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b seal.Problem) int { return strings.Compare(a.Name, b.Name) })
	return found, ctx.Err()
}

// Spares compares the second copies that there are, and names those that are missing: the next backup makes them.
//
// Errors: of the store.
func (c *Check) Spares(ctx context.Context) (found []seal.Problem, missing []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(c.ledger.Records)) {
		rec := c.ledger.Records[name]
		id, ok := c.Naming.ID(name)
		if rec.Name = blobs.SpareName(id); !ok || !blobs.HasSpare(id) {
			continue
		}
		if _, ok := c.objects[rec.Name]; !ok {
			if _, first := c.objects[name]; first {
				missing = append(missing, rec.Name)
			}
			continue
		}
		what, err := c.record(ctx, rec)
		if err != nil {
			return nil, nil, err
		}
		if what != "" {
			found = append(found, seal.Problem{Name: rec.Name, What: what})
		}
	}
	return found, missing, nil
}

// record compares one file. One that is not due must have its length.
func (c *Check) record(ctx context.Context, rec seal.Record) (string, error) {
	o, listed := c.objects[rec.Name]
	if !listed {
		// It may have been written, sealed and not listed yet.
		var err error
		o, err = c.Store.Stat(ctx, rec.Name)
		if errors.Is(err, cofre.ErrNotFound) {
			if rec.State == seal.Announced {
				return "", nil // the capture that announced it was killed before it wrote it
			}
			return "is missing", nil
		}
		if err != nil {
			return seal.Unreadable(err)
		}
	}
	if o.Size != rec.Size {
		return fmt.Sprintf("has %d bytes and %d were written", o.Size, rec.Size), nil
	}
	if c.Level == cofre.LevelStructure || listed && !c.due[rec.Name] {
		return "", nil
	}
	what, err := seal.Check(ctx, c.Store, rec)
	if id, ok := c.Naming.ID(rec.Name); ok && err == nil && what == "" && !rec.Keyed && blobs.IsPack(id) {
		c.mu.Lock()
		c.unproven[id] = true
		c.mu.Unlock()
		return "", nil
	}
	if err == nil {
		c.Note(ctx, rec.Name, what == "")
	}
	return what, err
}

// Unproven are the packs that were read, and are as a seal says which anybody can have written: what is in them is to be decrypted.
func (c *Check) Unproven() map[blob.ID]bool { return c.unproven }

// StillThere leaves out what was removed on purpose since the seals were read.
//
// Errors: of the store.
func (c *Check) StillThere(ctx context.Context, problems []seal.Problem) ([]seal.Problem, error) {
	if !slices.ContainsFunc(problems, func(p seal.Problem) bool { return p.What == "is missing" }) {
		return problems, nil
	}
	l, err := c.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(problems, func(p seal.Problem) bool {
		id, _ := c.Naming.ID(p.Name)
		if spare, ok := strings.CutPrefix(p.Name, blobs.SparePrefix); ok {
			id = blob.ID(spare)
		}
		return l.Removed[p.Name] || id != "" && l.Removed[c.Naming.Name(id)]
	}), nil
}

// Single says which second copies are not there.
func Single(missing []string) cofre.Event {
	return cofre.Event{At: time.Now(), Type: cofre.TypeNote}.Saying(cofre.SayN("repository.single", len(missing),
		"{{.name}} is not there, the second copy of a file whose first is: nothing is lost; a capture was killed before it wrote it, or the storage has lost it; the next backup writes it",
		"{{.n}} second copies of files whose first is there are not, {{.name}} and others: nothing is lost; captures were killed before they wrote them, or the storage has lost them; the next backup writes them", "name", missing[0]))
}
