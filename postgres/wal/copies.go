package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

// Archive is one repository as WAL sees it. Each has a key of its own, and its objects are encrypted for that alone:
// every copy can be read when it is all that is left, and none says anything about another.
type Archive struct {
	Store     cofre.Store
	Recipient Recipient // the zero Recipient is asked of the store
	// Unusable is why a repository that is configured cannot be written to. It fails what it is needed for, and the
	// others get their object.
	Unusable error
	// Confirm, if set, is asked about the recipient that the store names, before anything is encrypted for it.
	Confirm func(context.Context, Recipient) error
	// Known, if set, is the recipient that this host knows already: it serves a key that may put, and not read.
	Known func() Recipient

	// Signer signs what is stored; nil leaves it of unknown origin.
	Signer *origin.Key
	// Announce, if set, is called with the system of what was stored, for the store to know of Signer.
	Announce func(context.Context, cofre.SystemID)

	found *atomic.Pointer[Recipient] // remembers what Find found
}

// Remembering caches each archive's recipient, so that it is looked up once.
func Remembering(archives []Archive) []Archive {
	all := slices.Clone(archives)
	for i := range all {
		all[i].found = &atomic.Pointer[Recipient]{}
	}
	return all
}

// URL is where it is.
func (a Archive) URL() string {
	if a.Store == nil {
		return ""
	}
	return a.Store.URL()
}

// Find returns the recipient that its WAL is encrypted for.
//
// Errors: cofre.ErrNoRepo if it holds no key for WAL; those of Confirm; the store's.
func (a Archive) Find(ctx context.Context) (Recipient, error) {
	if a.Unusable != nil || !a.Recipient.IsZero() {
		return a.Recipient, a.Unusable
	}
	if a.found != nil {
		if r := a.found.Load(); r != nil {
			return *r, nil
		}
	}
	r, err := LoadRecipient(ctx, a.Store)
	if errors.Is(err, cofre.ErrDenied) && a.Known != nil {
		if known := a.Known(); !known.IsZero() {
			r, err = known, nil
		} else {
			err = cofre.WithHint(err, cofre.Say("wal.may_not_read", "a key that may only put needs the recipient in the configuration: wal_recipient: age1…, as cofre init has said it and cofre/keys/wal.pub of the repository does; or let it read that object"))
		}
	}
	if err == nil && a.Confirm != nil {
		err = a.Confirm(ctx, r)
	}
	if err == nil && a.found != nil {
		a.found.Store(&r)
	}
	if errors.Is(err, cofre.ErrNotFound) {
		err = cofre.WithHint(fmt.Errorf("%w: %w", err, cofre.ErrNoRepo), cofre.Say("wal.init_copy", "make it with cofre init, or correct its url in the configuration"))
	}
	return r, err
}

// put stores an object of the given content in every archive, side by side: one that is down keeps none of the
// others waiting, and what they have is accepted when it is put again. It is compressed once, while the recipients
// are asked for, and encrypted for each.
func put(ctx context.Context, archives []Archive, object string, content []byte, jobs int) (stored int, err error) {
	packed := sync.OnceValue(func() [][]byte { return sealed.Compress(content, jobs) })
	var compressing sync.WaitGroup
	compressing.Go(func() { packed() })
	defer compressing.Wait() // content is the caller's
	stored, errs := inEach(archives, func(_ int, a Archive) (bool, error) {
		r, err := a.Find(ctx)
		if err != nil {
			return false, err
		}
		d := digestOf(r, object, content)
		made, err := a.seal(r, object, d, nil, packed())
		if err != nil {
			return false, err
		}
		done, err := create(ctx, a.Store, deposit{object: object, bytes: made, digest: d, derived: derivedOf(r, object, content)})
		return done.isNew, err
	})
	return stored, errors.Join(errs...)
}

// inEach does something with every archive, side by side, and returns in how many it was new, and what failed in each.
func inEach(archives []Archive, do func(int, Archive) (isNew bool, err error)) (stored int, errs []error) {
	errs = make([]error, len(archives))
	var created atomic.Int64
	var wg sync.WaitGroup
	one := func(i int, a Archive) {
		isNew, err := do(i, a)
		if isNew {
			created.Add(1)
		}
		errs[i] = err
	}
	for i, a := range archives[1:] {
		wg.Go(func() { one(i+1, a) })
	}
	one(0, archives[0])
	wg.Wait()
	return int(created.Load()), errs
}

// Merge adds to inv what a copy holds of the same system: what can be recovered from all of them together.
func (inv *Inventory) Merge(of *Inventory) {
	inv.Notes = append(inv.Notes, of.Notes...)
	inv.Acknowledged = append(inv.Acknowledged, of.Acknowledged...)
	inv.Unread = append(inv.Unread, of.Unread...)
	for s := range of.Segments {
		// What one of them has is taken from the first that has it and can give it.
		b, broken := of.Breaks[s]
		switch {
		case inv.Segments[s] && inv.Breaks[s].Unreadable && !b.Unreadable:
			delete(inv.Breaks, s)
		case inv.Segments[s]:
			broken = false
		}
		if broken {
			inv.Breaks[s] = b
		}
		inv.Segments[s] = true
		delete(inv.Unfinished, s)
	}
	for s, n := range of.Unfinished {
		if !inv.Segments[s] {
			inv.Unfinished[s] = max(n, inv.Unfinished[s])
		}
	}
	for tli, h := range of.Histories {
		if _, ok := inv.Histories[tli]; !ok {
			inv.Histories[tli] = h
		}
	}
}

// Holding is what one repository holds of a system's WAL, next to what the others hold.
type Holding struct {
	URL      string    `json:"url"`
	Segments int       `json:"segments"`
	NewestAt time.Time `json:"newest_at,omitzero"`
	Missing  []Span    `json:"missing,omitempty"` // that another repository has
	Damaged  []string  `json:"damaged,omitempty"` // segments that cannot be read here
	Error    string    `json:"error,omitempty"`
	Err      error     `json:"-"` // why it could not be asked
}

// Span is segments of one timeline that follow one another.
type Span struct {
	Timeline cofre.Timeline `json:"timeline"`
	From     string         `json:"from"`
	To       string         `json:"to"`
	Segments int            `json:"segments"`
}

// Unreadable lists the segments that are there and are known to be damaged, oldest first. Those that a person has acknowledged are left out, and those that nobody has signed who is
// believed: Origin names them.
func (inv *Inventory) Unreadable() []string {
	var names []string
	for s, b := range inv.Breaks {
		if b.Unreadable && !b.Refused && inv.Segments[s] && !inv.acknowledged(s) {
			names = append(names, s.Name(inv.SegmentSize))
		}
	}
	slices.Sort(names)
	return names
}

// Together is what several repositories hold of the same system, if each gives what it has. It is nil of none.
func Together(all ...*Inventory) *Inventory {
	var one *Inventory
	for _, of := range all {
		if one == nil {
			one = newInventory(of.SystemID, of.SegmentSize)
		}
		one.Merge(of)
	}
	return one
}

// Missing lists, oldest first, the whole segments that another repository has and can give, as all of them together have them, and
// inv does not hold.
func Missing(inv, together *Inventory) []pgdata.Segment {
	var missing []pgdata.Segment
	for s := range together.Segments {
		if !inv.Segments[s] && !together.Breaks[s].Unreadable {
			missing = append(missing, s)
		}
	}
	slices.SortFunc(missing, func(a, b pgdata.Segment) int {
		return cmp.Or(cmp.Compare(a.Timeline, b.Timeline), cmp.Compare(a.Number, b.Number))
	})
	return missing
}

// MissingOf is Missing without what recovery from the base backups no longer needs for moments since the given one, and
// without what a person has acknowledged.
func MissingOf(inv, together *Inventory, backups []recovery.BaseBackup, since time.Time) []pgdata.Segment {
	expired := map[pgdata.Segment]bool{}
	for _, s := range recovery.Expired(backups, &together.WAL, since) {
		expired[s] = true
	}
	return slices.DeleteFunc(Missing(inv, together), func(s pgdata.Segment) bool { return expired[s] || together.acknowledged(s) })
}

// Trails reports whether inv holds nothing newer of a timeline than a span of it.
func (inv *Inventory) Trails(of Span) bool {
	for s := range inv.Segments {
		if s.Timeline == of.Timeline && s.Name(inv.SegmentSize) > of.To {
			return false
		}
	}
	return true
}

// Spans puts segments together that follow one another. They are given in order.
func Spans(segments []pgdata.Segment, size int64) []Span {
	var all []Span
	var last pgdata.Segment
	for i, s := range segments {
		name := s.Name(size)
		if i > 0 && s == last.Next() {
			all[len(all)-1].To = name
			all[len(all)-1].Segments++
		} else {
			all = append(all, Span{Timeline: s.Timeline, From: name, To: name, Segments: 1})
		}
		last = s
	}
	return all
}
