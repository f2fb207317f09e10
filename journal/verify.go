package journal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
)

// Check is the name of the findings of Verify.
const Check = "journal"

// VerifyOptions say what a journal is held against. The zero value holds it against what it says of itself.
type VerifyOptions struct {
	Since []Checkpoint // that somebody kept elsewhere
	// Full reads every object. Without it, entries that are in a bundle, and that nobody has touched since it was made, as far as the store
	// says, are read from there, and their checkpoints are not looked at.
	Full bool
	// Sealed also reads the encrypted objects that entries name, with Full all of them: it says which are not what was named.
	Sealed bool
	// Visit is given every entry that somebody with the key has written, in order. Nil looks at none.
	Visit func(Numbered)
}

// Verified is what Verify found.
type Verified struct {
	Entries  int64           `json:"entries"`
	Newest   Checkpoint      `json:"newest"`   // whose signature and root are right
	Unsigned int64           `json:"unsigned"` // entries that no checkpoint covers yet: a writer ended between the two
	Objects  int64           `json:"objects"`  // that were read
	Findings []cofre.Finding `json:"findings"`
}

// Verify reads the whole journal, and compares it with its checkpoints, and with those that somebody kept elsewhere. What was dropped,
// changed, put in another order, cut off at the end, forked or taken back is named. It needs no password. What nobody kept a checkpoint of
// can be rewritten whole by whoever has the signing key: that is what Since is for.
//
// Errors: those of the store.
func (j *Journal) Verify(ctx context.Context, o VerifyOptions) (*Verified, error) {
	v := &verifier{j: j, o: o, kept: map[int64][]Checkpoint{}, sealed: map[string]cofre.StoredObject{}, res: &Verified{Findings: []cofre.Finding{}}}
	for _, c := range o.Since {
		v.kept[c.Size] = append(v.kept[c.Size], c)
	}
	err := v.list(ctx)
	if err == nil {
		err = v.walk(ctx)
	}
	if err == nil {
		err = v.readSealed(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("verify the journal: %w", err)
	}
	return v.res, nil
}

type verifier struct {
	j      *Journal
	o      VerifyOptions
	kept   map[int64][]Checkpoint        // by size
	sealed map[string]cofre.StoredObject // what is there of sealed objects, by digest
	unread []string                      // digests of those that are to be read

	// What is there, by number.
	entries, checkpoints, bundles map[int64]cofre.StoredObject

	tree   *compact // of what was read; nil behind a hole
	end    int64    // how far the walk has come
	signed int64    // how far a checkpoint goes that was right
	res    *Verified
}

// list finds what is there. A name that is none of ours is a finding.
func (v *verifier) list(ctx context.Context) error {
	v.entries, v.checkpoints, v.bundles = map[int64]cofre.StoredObject{}, map[int64]cofre.StoredObject{}, map[int64]cofre.StoredObject{}
	bundles := map[string]cofre.StoredObject{}
	for o, err := range v.j.store.List(ctx, Prefix) {
		if err != nil {
			return err
		}
		switch {
		case o.Name == PublicObject:
		case strings.HasPrefix(o.Name, sealedPrefix):
			v.sealed[strings.TrimPrefix(o.Name, sealedPrefix)] = o
		case strings.HasPrefix(o.Name, bundlesPrefix):
			bundles[o.Name] = o
		case numbered(v.entries, entriesPrefix, o), numbered(v.checkpoints, checkpointsPrefix, o):
		default:
			v.find(o.Name, cofre.Say("journal.foreign", "it is not of a journal"))
		}
	}
	for n := int64(0); len(bundles) > 0 && n < (int64(len(v.entries))+width)/width+int64(len(bundles)); n++ {
		if o, ok := bundles[bundleName(n)]; ok {
			v.bundles[n] = o
			delete(bundles, o.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(bundles)) {
		v.find(name, cofre.Say("journal.foreign", "it is not of a journal"))
	}
	return nil
}

// numbered takes an object whose name is a prefix and a number.
func numbered(into map[int64]cofre.StoredObject, prefix string, o cofre.StoredObject) bool {
	n, err := strconv.ParseInt(strings.TrimPrefix(o.Name, prefix), 10, 64)
	if !strings.HasPrefix(o.Name, prefix) || err != nil || len(o.Name) != len(prefix)+digits || n < 0 {
		return false
	}
	into[n] = o
	return true
}

func (v *verifier) find(object string, what cofre.Message) {
	v.res.Findings = append(v.res.Findings, cofre.Finding{Check: Check, Object: object}.Saying(what))
}

// walk reads the entries in order, as many at a time as a bundle has.
func (v *verifier) walk(ctx context.Context) error {
	v.tree = &compact{}
	places := v.places()
	last := int64(-1)
	for n := range v.entries {
		last = max(last, n)
	}
	for len(places) > 0 {
		block := places[0] / width
		n := 1
		for n < len(places) && places[n]/width == block {
			n++
		}
		whole, err := v.fromBundle(ctx, block)
		if err == nil && !whole {
			err = v.oneByOne(ctx, block, places[:n], last)
		}
		if err != nil {
			return err
		}
		places = places[n:]
	}
	v.res.Entries = int64(len(v.entries))
	v.res.Unsigned = max(0, v.end-v.signed)
	// Whoever makes a journal signs its first entry before anything else is written.
	if v.signed == 0 && v.res.Entries > 1 {
		v.find(checkpointsPrefix, cofre.Say("journal.unsigned_whole", "none of its checkpoints is there, though there are {{.entries}} entries: they were removed, and perhaps entries behind these too", "entries", v.res.Entries))
	}
	for _, size := range slices.Sorted(maps.Keys(v.kept)) {
		for _, c := range v.kept[size] {
			if size > v.end {
				v.find(c.String(), takenBack(v.res.Entries))
			}
		}
	}
	return nil
}

// places are the numbers of entries of which anything is there: the entry, or the checkpoint behind it.
func (v *verifier) places() []int64 {
	there := map[int64]bool{}
	for n := range v.entries {
		there[n] = true
	}
	for n := range v.checkpoints {
		if n == 0 {
			v.find(checkpointName(0), cofre.Say("journal.foreign", "it is not of a journal"))
			continue
		}
		there[n-1] = true
	}
	return slices.Sorted(maps.Keys(there))
}

// fromBundle reads the entries of a bundle if they are all there and nobody has touched one since. It reports whether they are what was
// signed behind the last of them; if not, they are looked at one by one.
func (v *verifier) fromBundle(ctx context.Context, block int64) (bool, error) {
	if v.o.Full || v.tree == nil || v.end != block*width || !v.untouched(block) {
		return false, nil
	}
	texts, err := v.j.readBundle(ctx, block)
	if errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c, _, err := v.j.open(ctx, v.end+width)
	v.res.Objects += 2
	if errors.Is(err, cofre.ErrCorrupt) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	tree := v.tree.clone()
	roots := map[int64]tlog.Hash{}
	said := understood(texts)
	for i, e := range said {
		n := v.end + int64(i)
		if int64(len(e.text)) != v.entries[n].Size || !v.vouchedFor(n, e) {
			return false, nil
		}
		tree.add(e.leaf)
		if len(v.kept[tree.size]) > 0 {
			roots[tree.size] = tree.root()
		}
	}
	if tree.root() != c.Root {
		return false, nil
	}
	v.res.Newest, v.signed = c, c.Size
	for i, e := range said {
		v.content(v.end+int64(i), e, v.bundles[block].ModifiedAt)
	}
	for size, root := range roots {
		v.compare(size, &root)
	}
	v.tree, v.end = tree, tree.size
	return true, nil
}

// vouchedFor reports whether an entry of a bundle may count before the checkpoint behind it was read: what keeps nothing from going, and has one, may. What
// has none, and what could let something go, needs the signature of who wrote it.
func (v *verifier) vouchedFor(n int64, e *said) bool {
	if _, signed := v.checkpoints[n+1]; signed && e.err == nil && slices.Contains(harmless, e.entry.Body.Event) {
		return true
	}
	return v.j.wrote(e.text)
}

// said is the text of an entry, with what it says.
type said struct {
	text  []byte
	leaf  tlog.Hash
	entry Entry
	err   error // it cannot be read
}

func understand(text []byte) *said {
	e := &said{text: text, leaf: tlog.RecordHash(text)}
	e.entry, e.err = parse(text)
	return e
}

// understood reads the texts of a bundle, on as many processors as there are: of what a journal of years costs it is most.
func understood(texts [][]byte) []*said {
	all := make([]*said, len(texts))
	var readers sync.WaitGroup
	step := runtime.GOMAXPROCS(0)
	for first := range step {
		readers.Go(func() {
			for i := first; i < len(texts); i += step {
				all[i] = understand(texts[i])
			}
		})
	}
	readers.Wait()
	return all
}

// harmless are the events that let nothing go, whoever wrote them, and prove nothing.
var harmless = []Event{EventPublished, EventFound, EventFailed, EventPruned, EventRestored, EventHeld, EventConfigured, EventExported, EventGap}

// untouched reports whether a bundle is there, with all its entries and the checkpoint behind them, and each is older than it. Clocks of
// stores tick slowly: what has the bundle's own time may have been touched.
func (v *verifier) untouched(block int64) bool {
	b, ok := v.bundles[block]
	if _, signed := v.checkpoints[(block+1)*width]; !ok || !signed {
		return false
	}
	for n := block * width; n < (block+1)*width; n++ {
		e, ok := v.entries[n]
		c, signed := v.checkpoints[n+1]
		if !ok || !e.ModifiedAt.Before(b.ModifiedAt) || signed && !c.ModifiedAt.Before(b.ModifiedAt) {
			return false
		}
	}
	return true
}

// oneByOne reads entries and the checkpoints behind them. Objects are read ahead, several at once.
func (v *verifier) oneByOne(ctx context.Context, block int64, places []int64, last int64) error {
	read, err := v.readAhead(ctx, places)
	if err != nil {
		return err
	}
	var texts [][]byte
	for _, n := range places {
		if n > v.end {
			v.hole(v.end, n-1, last)
		}
		found := len(v.res.Findings)
		e := v.entry(n, last, read[entryName(n)])
		v.end = n + 1
		signed, ok := read[checkpointName(n+1)]
		known := ok && v.checkpoint(n+1, signed, e)
		v.compare(n+1, nil)
		if e == nil {
			continue
		}
		texts = append(texts, e.text)
		switch {
		case known || v.j.wrote(e.text):
			v.content(n, e, time.Time{})
		case !slices.ContainsFunc(v.res.Findings[found:], func(f cofre.Finding) bool { return f.Object == entryName(n) }):
			v.find(entryName(n), cofre.Say("journal.forged", "nobody who has the key has written it: somebody has put it there, or a version without signatures was killed behind it; what it says does not count"))
		}
	}
	if b, ok := v.bundles[block]; ok && int64(len(texts)) == width {
		return v.bundle(ctx, b, block, texts)
	}
	return nil
}

// object is what was read of one.
type object struct {
	text []byte
	err  error // cofre.ErrCorrupt or cofre.ErrNotFound
}

func (v *verifier) readAhead(ctx context.Context, places []int64) (map[string]object, error) {
	var names []string
	for _, n := range places {
		if _, ok := v.entries[n]; ok {
			names = append(names, entryName(n))
		}
		if _, ok := v.checkpoints[n+1]; ok {
			names = append(names, checkpointName(n+1))
		}
	}
	objects := make([]object, len(names))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i, name := range names {
		group.Go(func() error {
			o := &objects[i]
			if o.text, o.err = v.j.read(ctx, name, maxEntry); o.err != nil && !errors.Is(o.err, cofre.ErrCorrupt) && !errors.Is(o.err, cofre.ErrNotFound) {
				return o.err
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	v.res.Objects += int64(len(names))
	read := make(map[string]object, len(names))
	for i, name := range names {
		read[name] = objects[i]
	}
	return read, nil
}

// hole names entries of which nothing is there. What follows is not compared before a checkpoint says what it was.
func (v *verifier) hole(from, to, last int64) {
	object := entryName(from)
	if to > from {
		object += " … " + entryName(to)
	}
	v.find(object, removed(to, last))
	v.tree = nil
	for _, size := range slices.Sorted(maps.Keys(v.kept)) {
		if size > from && size <= to {
			v.compare(size, nil)
		}
	}
}

func removed(n, last int64) cofre.Message {
	if n > last {
		return cofre.Say("journal.cut", "it was removed from the end: a checkpoint says that it was there")
	}
	return cofre.Say("journal.missing", "it was removed: there are later ones")
}

// entry looks at one entry, and returns it if its text could be read.
func (v *verifier) entry(n, last int64, o object) *said {
	if _, there := v.entries[n]; !there {
		v.find(entryName(n), removed(n, last))
		v.tree = nil
		return nil
	}
	if o.err != nil {
		v.find(entryName(n), cofre.Say("journal.unreadable", "it cannot be read: {{.err}}", "err", o.err))
		v.tree = nil
		return nil
	}
	e := understand(o.text)
	if v.tree != nil {
		v.tree.add(e.leaf)
	}
	return e
}

// content looks at what an entry says that counts. bundled is when the bundle was stored that it was read from; zero if it was read by itself.
func (v *verifier) content(n int64, of *said, bundled time.Time) {
	if of.err != nil {
		v.find(entryName(n), cofre.Say("journal.unreadable", "it cannot be read: {{.err}}", "err", of.err))
		return
	}
	e := of.entry
	if d := e.Body.Sealed; d != "" {
		o, there := v.sealed[d]
		switch {
		case !there:
			v.find(entryName(n), cofre.Say("journal.sealed_missing", "the encrypted object that it names was removed"))
		case v.o.Sealed && !o.ModifiedAt.Before(bundled): // what is older than the bundle nobody has touched since
			v.unread = append(v.unread, d)
		}
	}
	if v.o.Visit != nil {
		v.o.Visit(Numbered{n, e})
	}
}

// checkpoint compares a signed checkpoint with what was read up to it. If they differ, the last entry before it is named: the checkpoint
// before it was right. The walk then goes on from what was signed, so that each change is named once. It reports whether the checkpoint says that the
// entry before it is e: whoever signs one has written that entry, and has signed what others had written before.
func (v *verifier) checkpoint(size int64, o object, e *said) bool {
	c, r, err := Checkpoint{}, (*compact)(nil), o.err
	if err == nil {
		c, r, err = openOf(size, o.text, v.j.keys)
	}
	if err != nil {
		v.find(checkpointName(size), cofre.Say("journal.checkpoint_unsigned", "no admitted key has signed it: {{.err}}", "err", err))
		return false
	}
	if v.tree != nil && v.tree.root() != c.Root {
		v.find(entryName(size-1), cofre.Say("journal.changed", "it is not what was signed, or one of those before it that have no checkpoint of their own"))
	}
	v.tree = r
	v.res.Newest, v.signed = c, size
	leaf, ok := r.node(0)
	return ok && e != nil && leaf == e.leaf
}

// bundle compares a bundle with the entries that it is of.
func (v *verifier) bundle(ctx context.Context, b cofre.StoredObject, block int64, texts [][]byte) error {
	there, err := v.j.readBundle(ctx, block)
	v.res.Objects++
	if err != nil && !errors.Is(err, cofre.ErrCorrupt) && !errors.Is(err, cofre.ErrNotFound) {
		return err
	}
	if err != nil || !slices.EqualFunc(there, texts, bytes.Equal) {
		v.find(b.Name, cofre.Say("journal.bundle_differs", "it does not hold the entries that are there"))
	}
	return nil
}

// compare holds what was read against what somebody kept. root is nil for that of the tree.
func (v *verifier) compare(size int64, root *tlog.Hash) {
	for _, c := range v.kept[size] {
		switch {
		case v.res.Newest.Origin != "" && v.res.Newest.Origin != c.Origin:
			v.find(c.String(), another(v.res.Newest.Origin))
		case root == nil && (v.tree == nil || v.tree.root() != c.Root), root != nil && *root != c.Root:
			v.find(c.String(), rewritten())
		}
	}
}

// LostEntry is the number of the entry that a finding is of, the last of several, if what the entry said is lost.
func LostEntry(f cofre.Finding) (number int64, lost bool) {
	_, name, _ := strings.Cut(f.Object[max(0, strings.LastIndex(f.Object, " ")):], entriesPrefix)
	number, err := strconv.ParseInt(name, 10, 64)
	return number, err == nil && !slices.ContainsFunc(f.Messages, func(m cofre.Message) bool { return m.Code == "journal.sealed_missing" })
}

func another(origin string) cofre.Message {
	return cofre.Say("journal.another", "it is of another journal: this one is of {{.origin}}", "origin", origin)
}

func rewritten() cofre.Message {
	return cofre.Say("journal.rewritten", "the journal was rewritten: what it begins with is not what was signed here")
}

func takenBack(entries int64) cofre.Message {
	return cofre.SayN("journal.taken_back", int(entries), "the journal was taken back: it has 1 entry, and had more when this was signed", "the journal was taken back: it has {{.n}} entries, and had more when this was signed")
}

// readSealed reads the encrypted objects that nobody vouches for otherwise.
func (v *verifier) readSealed(ctx context.Context) error {
	wrong := make([]bool, len(v.unread))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i, d := range v.unread {
		group.Go(func() error {
			text, err := v.j.read(ctx, sealedPrefix+d, maxSealed)
			if err != nil && !errors.Is(err, cofre.ErrCorrupt) && !errors.Is(err, cofre.ErrNotFound) {
				return err
			}
			sum := sha256.Sum256(text)
			wrong[i] = err != nil || hex.EncodeToString(sum[:]) != d
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	v.res.Objects += int64(len(v.unread))
	for i, d := range v.unread {
		if wrong[i] {
			v.find(sealedPrefix+d, cofre.Say("journal.sealed_changed", "it is not what the entry names"))
		}
	}
	return nil
}
