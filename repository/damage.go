package repository

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/kopia/kopia/repo/object"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/repository/told"
	"github.com/trustlayer/cofre/repository/trouble"
)

// What is found damaged is remembered in the repository, so that the next backup knows, on whatever machine: in a small
// encrypted object, created and never replaced. What became of a content since is not written into it but asked of
// the index: it is lost until a newer entry says that it was stored afresh. docs/formats/repository.md has the format.
const (
	damagePrefix  = "cofre/damage/"
	damageHead    = "cofre damage 1\n"
	damagePurpose = "cofre damage" // of the key that is derived for it
)

// damageRecord is one such object.
type damageRecord struct {
	At       time.Time      `json:"at"`
	Packs    []damagedPack  `json:"packs,omitempty"`    // that are not as they were written
	Contents []lostContent  `json:"contents,omitempty"` // that cannot be read
	Entries  []damagedEntry `json:"entries,omitempty"`  // of points, that need one of Contents
	Settled  bool           `json:"settled,omitempty"`  // the index knows: Contents are condemned, and Packs hold nothing that counts
	Settles  []string       `json:"settles,omitempty"`  // the records that this one takes the place of, by name
	// Files are damaged that have a second copy, or are one.
	Files []string `json:"files,omitempty"`
}

type damagedPack struct {
	Pack blob.ID `json:"pack"`
	What string  `json:"what"`
}

type lostContent struct {
	ID   content.ID `json:"id"`
	Pack blob.ID    `json:"pack,omitempty"` // where it was
	What string     `json:"what"`
}

// damagedEntry is a file or directory of a point, and which of the record's contents it needs.
type damagedEntry struct {
	Point    cofre.PointID `json:"point"`
	Kind     cofre.Kind    `json:"kind"`
	Name     string        `json:"name"` // of the component
	Path     string        `json:"path"`
	What     string        `json:"what"`
	Contents []int         `json:"contents,omitempty"`
}

// knownDamage is what all records together say.
type knownDamage map[string]damageRecord

// readDamage reads every record that no other has taken the place of. One that cannot be read is passed over: what it
// said is found again by the verification that wrote it.
func (r *Repository) readDamage(ctx context.Context) (knownDamage, error) {
	known := knownDamage{}
	for o, err := range r.store.List(ctx, damagePrefix) {
		if err != nil {
			return nil, fmt.Errorf("read what is known to be damaged: %w", err)
		}
		rec, err := r.readDamageRecord(ctx, o.Name)
		if err != nil && seal.IsOutside(err) {
			return nil, fmt.Errorf("read what is known to be damaged: %w", err)
		}
		if err == nil {
			known[o.Name] = rec
		}
	}
	for _, rec := range maps.Clone(known) {
		for _, name := range rec.Settles {
			delete(known, name)
		}
	}
	return known, nil
}

// open are the names of the records that nobody has acted upon.
func (k knownDamage) open() []string {
	var names []string
	for name, rec := range k {
		if !rec.Settled {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// files reports whether an open record names files that may have a spare.
func (k knownDamage) files() bool {
	return slices.ContainsFunc(k.open(), func(name string) bool { return len(k[name].Files) > 0 })
}

// suspects are the packs of open records.
func (k knownDamage) suspects() map[blob.ID]string {
	packs := map[blob.ID]string{}
	for _, name := range k.open() {
		for _, p := range k[name].Packs {
			packs[p.Pack] = p.What
		}
	}
	return packs
}

// names are the files that open records name.
func (k knownDamage) names(naming blobs.Naming) map[string]bool {
	names := map[string]bool{}
	for id := range k.suspects() {
		names[naming.Name(id)] = true
	}
	for _, name := range k.open() {
		for _, file := range k[name].Files {
			names[file] = true
		}
	}
	return names
}

// lost are the contents that are still as a record found them, and why.
func (r *Repository) lost(ctx context.Context, known knownDamage) (map[content.ID]string, error) {
	lost := map[content.ID]string{}
	for _, rec := range known {
		for _, c := range rec.Contents {
			still, err := r.stillLost(ctx, c, rec.Settled)
			if err != nil {
				return nil, err
			}
			if still {
				lost[c.ID] = c.What
			}
		}
	}
	return lost, nil
}

func (r *Repository) stillLost(ctx context.Context, c lostContent, settled bool) (bool, error) {
	info, err := r.kopia.ContentInfo(ctx, c.ID)
	switch {
	case trouble.IsMissing(err):
		return true, nil
	case err != nil:
		return false, trouble.Of("look up content "+c.ID.String(), err)
	}
	return info.Deleted || !settled && info.PackBlobID == c.Pack, nil
}

// remember writes a record, created if absent.
func (r *Repository) remember(ctx context.Context, rec damageRecord) (string, error) {
	rec.At = time.Now().UTC()
	b, err := r.sealDamage(rec)
	if err != nil {
		return "", err
	}
	name := damagePrefix + rec.At.Format(seal.TimeLayout) + "-" + strings.ToLower(rand.Text()[:8])
	return name, r.notes.Create(ctx, name, bytes.NewReader(b), int64(len(b)))
}

func (r *Repository) readDamageRecord(ctx context.Context, name string) (damageRecord, error) {
	b, err := seal.ReadNote(ctx, r.store, name)
	if err != nil {
		return damageRecord{}, err
	}
	return r.openDamage(b)
}

var errDamageRecord = errors.New("not a record of damage")

// sealDamage encrypts a record: it names files of points.
func (r *Repository) sealDamage(rec damageRecord) ([]byte, error) {
	key, err := r.key(damagePurpose)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(rec)
	if err != nil {
		return nil, err
	}
	return seal.Encrypt(key, damageHead, text)
}

func (r *Repository) openDamage(b []byte) (damageRecord, error) {
	var rec damageRecord
	key, err := r.key(damagePurpose)
	if err != nil {
		return rec, err
	}
	text, err := seal.Decrypt(key, damageHead, b)
	if err == nil {
		err = json.Unmarshal(text, &rec)
	}
	if err != nil {
		return damageRecord{}, fmt.Errorf("%w: %w", errDamageRecord, err)
	}
	return rec, nil
}

// Damage says which points are known to have lost something that has not been stored afresh since, oldest first.
//
// Errors: those of the store, and as of Points.
func (r *Repository) Damage(ctx context.Context) ([]cofre.Damage, error) {
	known, err := r.readDamage(ctx)
	if err != nil || len(known) == 0 {
		return nil, err
	}
	points, err := r.points(ctx) // which reads the indexes anew
	if err != nil {
		return nil, err
	}
	there := map[componentID]bool{}
	for _, p := range points {
		for _, c := range p.Components {
			there[componentID{p.ID, c.Kind, c.Name}] = true
		}
	}
	lost, err := r.lost(ctx, known)
	if err != nil {
		return nil, err
	}
	return damageOf(known, lost, there), nil
}

// componentID names a component: what expired has lost nothing.
type componentID struct {
	point cofre.PointID
	kind  cofre.Kind
	name  string
}

func damageOf(known knownDamage, lost map[content.ID]string, there map[componentID]bool) []cofre.Damage {
	type place struct {
		componentID
		path string
	}
	said := map[place]bool{}
	by := map[cofre.PointID]*cofre.Damage{}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		rec := known[name]
		for _, e := range rec.Entries {
			at := place{componentID{e.Point, e.Kind, e.Name}, e.Path}
			if said[at] || !there[at.componentID] || !slices.ContainsFunc(e.Contents, func(i int) bool { _, is := lost[rec.Contents[i].ID]; return is }) {
				continue
			}
			said[at] = true
			if by[e.Point] == nil {
				by[e.Point] = &cofre.Damage{Point: e.Point}
			}
			by[e.Point].Findings = append(by[e.Point].Findings, cofre.Finding{
				Check: damageCheck, Kind: e.Kind, Name: e.Name, Object: e.Path,
			}.Saying(cofre.Say("repository.of_component", "{{.what}} of {{.source}}", "what", told.Of(e.What), "source", cofre.SourceID{Kind: e.Kind, Name: e.Name}.Label())))
		}
	}
	damages := make([]cofre.Damage, 0, len(by))
	for _, d := range by {
		damages = append(damages, *d)
	}
	slices.SortFunc(damages, func(a, b cofre.Damage) int { return cmp.Compare(a.Point, b.Point) })
	return damages
}

const damageCheck = "damage"

// Whole says whether everything that a component refers to is there, as far as is known: if nothing is known to be
// damaged it asks nothing. Its error says what is not.
//
// Errors: ErrCorrupt; those of the store.
func (r *Repository) Whole(ctx context.Context, c cofre.Component) error {
	known, err := r.readDamage(ctx)
	if err != nil || len(known) == 0 {
		return err
	}
	lost, err := r.lost(ctx, known)
	if err != nil || len(lost) == 0 {
		return err
	}
	packs, err := r.listPacks(ctx)
	if err != nil {
		return err
	}
	var problem error
	w := &walker{repo: r, packs: packs, lost: lost, report: func(_, what string, _ []content.ID) bool {
		problem = fmt.Errorf("%s: %w", what, cofre.ErrCorrupt)
		return false
	}}
	if err := w.component(ctx, c); err != nil {
		return err
	}
	return problem
}

// entriesOf finds what of points needs a content that is lost.
func (r *Repository) entriesOf(ctx context.Context, points []cofre.RecoveryPoint, packs map[blob.ID]int64, b *recordBuilder, lost map[content.ID]string) error {
	walked := map[cofre.ObjectID][]brokenEntry{}
	for _, p := range points {
		for _, c := range p.Components {
			entries, ok := walked[c.Root]
			if !ok {
				w := &walker{repo: r, packs: packs, lost: lost, report: func(path, what string, ids []content.ID) bool {
					entries = append(entries, brokenEntry{path, what, b.add(ctx, ids, what)})
					return true
				}}
				if err := w.component(ctx, c); err != nil {
					return err
				}
				walked[c.Root] = entries
			}
			for _, e := range entries {
				b.rec.Entries = append(b.rec.Entries, damagedEntry{Point: p.ID, Kind: c.Kind, Name: c.Name, Path: e.path, What: e.what, Contents: e.contents})
			}
		}
	}
	return nil
}

// notice keeps in mind an object that could not be read.
func (r *Repository) notice(ctx context.Context, id object.ID, err error) {
	if err == nil || ctx.Err() != nil || seal.IsOutside(err) {
		return
	}
	r.noticing.Lock()
	defer r.noticing.Unlock()
	if r.noticed == nil {
		r.noticed = map[object.ID]bool{}
	}
	r.noticed[id] = true
}

// rememberNoticed writes down what a command came upon, a restore as a rule: the next backup then heals it. It is best
// effort: the command has said what it could not read, and a verification finds it too.
func (r *Repository) rememberNoticed(ctx context.Context) {
	r.noticing.Lock()
	noticed := slices.Collect(maps.Keys(r.noticed))
	fixed := r.fixed
	r.noticing.Unlock()
	if len(noticed) == 0 && (len(fixed) == 0 || !r.config.ReadOnly) {
		return
	}
	known, err := r.readDamage(ctx)
	if err != nil {
		return
	}
	if known.files() {
		fixed = nil
	}
	for _, rec := range known {
		for _, c := range rec.Contents {
			noticed = slices.DeleteFunc(noticed, func(id object.ID) bool { cid, packed, ok := id.ContentID(); return ok && !packed && cid == c.ID })
		}
	}
	packs, err := r.listPacks(ctx)
	if err != nil {
		return
	}
	const what = "cannot be read"
	b := newRecord(r)
	if r.config.ReadOnly {
		b.rec.Files = fixed
	}
	lost := map[content.ID]string{}
	w := &walker{repo: r, packs: packs}
	for _, id := range noticed {
		for _, cid := range w.unreadable(ctx, id) {
			b.add(ctx, []content.ID{cid}, what)
			lost[cid] = what
		}
	}
	if len(lost) == 0 && len(b.rec.Files) == 0 {
		return
	}
	if points, err := r.points(ctx); err == nil && len(lost) > 0 {
		_ = r.entriesOf(ctx, points, packs, b, lost)
	}
	_, _ = r.remember(ctx, b.rec)
}

// recordBuilder collects a record.
type recordBuilder struct {
	repo  *Repository
	rec   damageRecord
	index map[content.ID]int
	packs map[blob.ID]bool
}

func newRecord(r *Repository) *recordBuilder {
	return &recordBuilder{repo: r, index: map[content.ID]int{}, packs: map[blob.ID]bool{}}
}

// pack takes a pack that is not as it was written.
func (b *recordBuilder) pack(id blob.ID, what string) {
	if id != "" && !b.packs[id] {
		b.packs[id] = true
		b.rec.Packs = append(b.rec.Packs, damagedPack{id, what})
	}
}

// content takes a content that is lost, and returns its number.
func (b *recordBuilder) content(id content.ID, pack blob.ID, what string) int {
	i, ok := b.index[id]
	if !ok {
		i = len(b.rec.Contents)
		b.index[id] = i
		b.rec.Contents = append(b.rec.Contents, lostContent{id, pack, what})
		b.pack(pack, what)
	}
	return i
}

func (b *recordBuilder) add(ctx context.Context, ids []content.ID, what string) []int {
	var numbers []int
	for _, id := range ids {
		info, _ := b.repo.kopia.ContentInfo(ctx, id) // one that the index does not know was in no pack
		numbers = append(numbers, b.content(id, info.PackBlobID, what))
	}
	return numbers
}
