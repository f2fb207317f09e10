package coverage

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
)

const (
	// saveEvery is how much of what was read back a verification that is killed has read for nothing.
	saveEvery = 30 * time.Second
	// manyObjects is how many objects are worth writing what they say as one.
	manyObjects = 16
)

// UsualWindow is the window of a program whose configuration says nothing of it.
const UsualWindow = 30 * 24 * time.Hour

// Options say what is due.
type Options struct {
	Window time.Duration // within which everything is to be read back
	Again  bool          // everything is due
	// Now is the clock; nil is that of the machine.
	Now func() time.Time
}

// Ledger is what was proven before, and what a verification proves. It is a cofre.Proven, for one verification.
type Ledger struct {
	store    cofre.Store
	key      Sealer
	options  Options
	schedule schedule

	mu         sync.Mutex
	loaded     *loaded
	live       map[fingerprint]object // that were asked for
	pending    map[fingerprint]proof  // not stored yet
	saved      time.Time
	components []cofre.ComponentProof
	read       int64 // bytes, by this verification
	digests    []string
	unsaved    error

	saving sync.Mutex
}

var _ cofre.Proven = (*Ledger)(nil)

// object is one that is there.
type object struct {
	part cofre.Part
	size int64
}

// Open reads what was proven before.
//
// Errors: those of the store.
func Open(ctx context.Context, st cofre.Store, key Sealer, o Options) (*Ledger, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	now := o.Now()
	was, err := load(ctx, st, key, now)
	if err != nil {
		return nil, err
	}
	l := &Ledger{
		store: st, key: key, options: o, loaded: was, live: map[fingerprint]object{}, pending: map[fingerprint]proof{}, saved: now,
		schedule: schedule{now: now, window: o.Window},
	}
	if !was.newest.IsZero() {
		l.schedule.every = max(0, now.Sub(was.newest))
	}
	return l, nil
}

// Due reports whether an object is to be read back now.
func (l *Ledger) Due(o cofre.ReadBack) bool {
	f := fingerprintOf(o)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[f] = object{o.Part, o.Size}
	return l.options.Again || l.schedule.due(l.at(f), cmp.Or(o.With, o.Name))
}

// At is when an object was last read back whole, to the minute; zero if it was not.
func (l *Ledger) At(o cofre.ReadBack) time.Time {
	f := fingerprintOf(o)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at(f)
}

func (l *Ledger) at(f fingerprint) time.Time {
	if p, ok := l.loaded.proofs[f]; ok && p.whole {
		return p.at()
	}
	return time.Time{}
}

// Note keeps in mind what became of an object that was read back, and stores it after a while. Of two answers of one verification the worse holds.
func (l *Ledger) Note(ctx context.Context, o cofre.ReadBack, whole bool) {
	f := fingerprintOf(o)
	now := l.options.Now()
	l.mu.Lock()
	l.live[f] = object{o.Part, o.Size}
	l.read += o.Size
	if was, noted := l.pending[f]; !noted || was.whole {
		p := proof{minuteOf(now), whole}
		l.loaded.proofs[f], l.pending[f] = p, p
	}
	save := now.Sub(l.saved).Abs() >= saveEvery
	if save {
		l.saved = now
	}
	l.mu.Unlock()
	if save {
		l.save(ctx)
	}
}

// Drop takes an object out of what coverage is a share of.
func (l *Ledger) Drop(o cofre.ReadBack) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, fingerprintOf(o))
}

// Component keeps in mind what is proven of a component.
func (l *Ledger) Component(c cofre.ComponentProof) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.components = append(l.components, c)
}

// save stores what is pending. What cannot be stored is read again by the next verification.
func (l *Ledger) save(ctx context.Context) {
	l.saving.Lock()
	defer l.saving.Unlock()
	l.mu.Lock()
	some := l.pending
	l.pending = map[fingerprint]proof{}
	l.mu.Unlock()
	if len(some) == 0 {
		return
	}
	l.write(ctx, head{At: l.options.Now().UTC()}, some)
}

func (l *Ledger) write(ctx context.Context, h head, proofs map[fingerprint]proof) {
	text, err := encode(h, proofs)
	if err == nil {
		err = l.put(ctx, readPrefix, text)
	}
	if err != nil {
		l.unsaved = errors.Join(l.unsaved, err)
	}
}

// put stores an object.
func (l *Ledger) put(ctx context.Context, under string, text []byte) error {
	_, digest, err := create(ctx, l.store, l.key, under, l.options.Now(), text)
	if err == nil {
		l.digests = append(l.digests, digest)
	}
	return err
}

// Established is what a verification has established.
type Established struct {
	cofre.Coverage
	Read int64 // bytes that it has read back
	// Objects are the SHA-256 of the objects that say so.
	Objects []string
	// Unsaved is why some of it could not be stored: the next verification reads it again. Nil if all of it was.
	Unsaved error
}

// Save stores what is left of what was read back. It is for a verification that did not come to its end.
//
// Errors: those of the store.
func (l *Ledger) Save(ctx context.Context) error {
	l.save(ctx)
	return l.unsaved
}

// Finish stores what is left, and what all of it says together: everything that is there must have been asked for. points are all that there
// are; components of them that were not looked at keep what was known of them. It is to be called once, when nobody uses the ledger any more.
//
// Errors: those of the store from reading.
func (l *Ledger) Finish(ctx context.Context, points []cofre.RecoveryPoint) (*Established, error) {
	l.save(ctx)
	e := &Established{Coverage: l.coverage(), Read: l.read}
	var err error
	if e.Components, err = l.complete(ctx, points, e.At); err != nil {
		return nil, err
	}
	if err := l.compact(ctx); err != nil {
		return nil, err
	}
	text, err := pack(e.Coverage)
	if err == nil {
		err = l.put(ctx, summaryPrefix, text)
	}
	e.Objects, e.Unsaved = l.digests, errors.Join(l.unsaved, err)
	return e, nil
}

// complete returns what is known of every component of points, in their order.
func (l *Ledger) complete(ctx context.Context, points []cofre.RecoveryPoint, now time.Time) ([]cofre.ComponentProof, error) {
	type id struct {
		point cofre.PointID
		root  cofre.ObjectID
	}
	known := map[id]cofre.ComponentProof{}
	for _, c := range l.components {
		known[id{c.Point, c.Root}] = c
	}
	count := 0
	for _, p := range points {
		count += len(p.Components)
	}
	if count > len(l.components) {
		before, _, err := Read(ctx, l.store, l.key, now)
		if err != nil {
			return nil, err
		}
		for _, c := range before.Components {
			if _, ok := known[id{c.Point, c.Root}]; !ok {
				known[id{c.Point, c.Root}] = c
			}
		}
	}
	all := make([]cofre.ComponentProof, 0, count)
	for _, p := range points {
		for _, c := range p.Components {
			proof, ok := known[id{p.ID, c.Root}]
			if !ok {
				proof = cofre.ComponentProof{Point: p.ID, Root: c.Root}
			}
			proof.Source = cofre.SourceID{Installation: p.Installation, Kind: c.Kind, Name: c.Name}
			all = append(all, proof)
		}
	}
	return all, nil
}

// coverage adds up what is there.
func (l *Ledger) coverage() cofre.Coverage {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := cofre.Coverage{At: l.options.Now().UTC(), Window: l.options.Window, Parts: []cofre.CoveredPart{}}
	parts := map[cofre.Part]*cofre.CoveredPart{}
	hours := map[cofre.Part]map[time.Time]int64{}
	for f, o := range l.live {
		p := parts[o.part]
		if p == nil {
			p = &cofre.CoveredPart{Part: o.part}
			parts[o.part], hours[o.part] = p, map[time.Time]int64{}
		}
		p.Objects++
		p.Bytes += o.size
		switch read, known := l.loaded.proofs[f]; {
		case known && read.whole:
			hours[o.part][read.at().Truncate(time.Hour)] += o.size
		case known:
			p.Damaged++
		}
	}
	for part, p := range parts {
		p.Read = []cofre.ReadAt{}
		for _, hour := range slices.SortedFunc(maps.Keys(hours[part]), time.Time.Compare) {
			p.Read = append(p.Read, cofre.ReadAt{Hour: hour, Bytes: hours[part][hour]})
		}
		c.Parts = append(c.Parts, *p)
	}
	slices.SortFunc(c.Parts, func(a, b cofre.CoveredPart) int {
		return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Repository, b.Repository))
	})
	return c
}

// compact writes what many objects say as one. What others have stored meanwhile is read before; what is not there any more, and was proven
// long ago, is left out.
func (l *Ledger) compact(ctx context.Context) error {
	if l.loaded.objects < manyObjects && l.loaded.apart <= 2*len(l.live)+manyObjects {
		return nil
	}
	now := l.options.Now()
	all, err := load(ctx, l.store, l.key, now)
	if err != nil {
		return err
	}
	maps.DeleteFunc(all.proofs, func(f fingerprint, p proof) bool {
		_, there := l.live[f]
		return !there && now.Sub(p.at()) > l.options.Window
	})
	l.write(ctx, head{At: now.UTC(), Full: true, Instead: all.names}, all.proofs)
	return nil
}
