package pruning

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/seal"
)

// What pruning and publications tell each other: objects that are created and never replaced, in the text of seals.
const (
	prefix           = "cofre/prune/"
	announcedPrefix  = prefix + "announced/"
	publishingPrefix = "cofre/publishing/"
)

// note is an announcement: packs that are to be deleted.
type note struct {
	name  string
	at    time.Time // by the clock of the store
	packs []blob.ID
}

// readNotes reads every announcement. One that is damaged may name anything.
//
// Errors: cofre.ErrCorrupt; those of the store.
func readNotes(ctx context.Context, st cofre.Store) ([]note, error) {
	var notes []note
	for o, err := range st.List(ctx, announcedPrefix) {
		if err != nil {
			return nil, err
		}
		lines, err := readLines(ctx, st, o.Name)
		if errors.Is(err, cofre.ErrNotFound) {
			continue // what it named is gone
		}
		if errors.Is(err, cofre.ErrCorrupt) {
			// Nobody can read it, so that nothing is deleted by it: it says nothing, and is swept.
			notes = append(notes, note{name: o.Name, at: o.ModifiedAt})
			continue
		}
		if err != nil {
			return nil, err
		}
		n := note{name: o.Name, at: o.ModifiedAt}
		for _, line := range lines {
			n.packs = append(n.packs, blob.ID(line))
		}
		notes = append(notes, n)
	}
	return notes, nil
}

func readLines(ctx context.Context, st cofre.Store, name string) ([]string, error) {
	text, err := seal.ReadNote(ctx, st, name)
	if err != nil {
		return nil, err
	}
	s, err := seal.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", name, cofre.ErrCorrupt, err)
	}
	lines := make([]string, len(s.Records))
	for i, r := range s.Records {
		lines[i] = r.Name
	}
	return lines, nil
}

func writeLines(ctx context.Context, st cofre.Store, name string, lines []string) error {
	s := seal.Seal{At: time.Now()}
	for _, line := range lines {
		s.Records = append(s.Records, seal.Record{State: seal.Removed, Name: line})
	}
	text := s.Encode()
	return st.Create(ctx, name, bytes.NewReader(text), int64(len(text)))
}

// Rescue are the contents that a point needs and that are about to be pruned. A publication copies them, in the write that makes its
// point visible.
type Rescue struct {
	announced map[blob.ID]bool
	marked    map[content.ID]bool // that are marked as deleted; false: they are in a pack that is announced
}

// NewRescue reads what is announced.
//
// Errors: those of the store.
func NewRescue(ctx context.Context, st cofre.Store) (*Rescue, error) {
	notes, err := readNotes(ctx, st)
	if err != nil {
		return nil, fmt.Errorf("read what is announced to be pruned: %w", err)
	}
	r := &Rescue{announced: map[blob.ID]bool{}, marked: map[content.ID]bool{}}
	for _, n := range notes {
		for _, id := range n.packs {
			r.announced[id] = true
		}
	}
	return r, nil
}

// Look takes a content that the point needs, and that can be read.
func (r *Rescue) Look(i content.Info) {
	if i.Deleted || r.announced[i.PackBlobID] {
		r.marked[i.ContentID] = i.Deleted
	}
}

// Write copies what was taken into packs of w.
//
// Errors: those of the library.
func (r *Rescue) Write(ctx context.Context, w repo.DirectRepositoryWriter) error {
	for id, marked := range r.marked {
		copied := w.ContentManager().RewriteContent
		if marked {
			copied = w.ContentManager().UndeleteContent
		}
		if err := copied(ctx, id); err != nil {
			return fmt.Errorf("content %s: %w", id, err)
		}
	}
	return nil
}

// Intent says that something is being written that a point or the catalog will need, and what it is about to refer to. While it
// stands, no pack is deleted that no index knows: it may be one that was just written, and whose index is on its way.
type Intent struct {
	store cofre.Store
	name  string
}

// Intend says that something is about to be written, with the roots that it is about to refer to, if any. It must return before the
// indexes are read that this is proven by; End is to be called when it is visible, or is not to be any more.
//
// Errors: those of the store.
func Intend(ctx context.Context, st cofre.Store, roots ...cofre.ObjectID) (*Intent, error) {
	i := &Intent{st, publishingPrefix + time.Now().UTC().Format(seal.TimeLayout) + "-" + strings.ToLower(rand.Text()[:8])}
	lines := make([]string, len(roots))
	for n, root := range roots {
		lines[n] = string(root)
	}
	if err := writeLines(ctx, st, i.name, lines); err != nil {
		return nil, fmt.Errorf("say what is about to be written: %w", err)
	}
	return i, nil
}

// Stands reports whether the intent is still there. One that is very old is taken for that of a publication that was killed.
//
// Errors: those of the store.
func (i *Intent) Stands(ctx context.Context) (bool, error) {
	_, err := i.store.Stat(ctx, i.name)
	if errors.Is(err, cofre.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// End takes the intent back. Where nothing may be deleted it stays until somebody prunes who may.
func (i *Intent) End(ctx context.Context) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	_ = i.store.Delete(bounded, i.name)
}

// endTimeout bounds how long a store is asked to delete an intent.
const endTimeout = 10 * time.Second

// intents are what is about to be published, with the roots of each, and those that are so old that nobody can be at them.
func intents(ctx context.Context, st cofre.Store, before time.Time) (roots map[string][]string, stale []string, err error) {
	roots = map[string][]string{}
	for o, err := range st.List(ctx, publishingPrefix) {
		if err != nil {
			return nil, nil, err
		}
		if o.ModifiedAt.Before(before) {
			stale = append(stale, o.Name)
			continue
		}
		lines, err := readLines(ctx, st, o.Name)
		if errors.Is(err, cofre.ErrNotFound) {
			continue // published, or given up
		}
		if errors.Is(err, cofre.ErrCorrupt) {
			return nil, nil, cofre.WithHint(cofre.Fail(cofre.Say("prune.unread_intent", "{{.name}} cannot be read: nobody can say what is about to be published", "name", o.Name), cofre.ErrCorrupt),
				cofre.Say("prune.delete_intent", "if no backup is at work on any machine, delete it, and prune again: {{.url}}/{{.name}}", "url", st.URL(), "name", o.Name))
		}
		if err != nil {
			return nil, nil, err
		}
		roots[o.Name] = lines
	}
	return roots, stale, nil
}

// storeNow is the time of the store: that of an object which is created for it.
func storeNow(ctx context.Context, st cofre.Store) (time.Time, error) {
	name := prefix + "now-" + rand.Text()
	if err := st.Create(ctx, name, strings.NewReader(""), 0); err != nil && !errors.Is(err, cofre.ErrExists) {
		return time.Time{}, err
	}
	o, err := st.Stat(ctx, name)
	if err != nil {
		return time.Time{}, err
	}
	_ = st.Delete(ctx, name) // where it may not be deleted it stays, and means nothing
	return o.ModifiedAt, nil
}
