package wal

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

func (a Archive) announce(ctx context.Context, system cofre.SystemID) {
	if a.Announce != nil {
		a.Announce(ctx, system)
	}
}

// OriginsOf reads who is believed of a system's WAL. With fresh set, what was read before does not count.
type OriginsOf func(ctx context.Context, system cofre.SystemID, fresh bool) (*origin.Set, error)

// believing is who is believed, read once for each system.
type believing struct {
	load OriginsOf
	mu   sync.Mutex
	met  error           // the first that was refused
	from map[string]bool // objects that were believed although nothing proves where they come from
	sets map[cofre.SystemID]*origin.Set
}

// Believing returns the identity that reads only what load says is to be believed.
func (i Identity) Believing(load OriginsOf) Identity {
	i.believes = &believing{load: load, from: map[string]bool{}, sets: map[cofre.SystemID]*origin.Set{}}
	return i
}

// Origins is who is believed of a system's WAL; nil if this identity reads everything.
//
// Errors: those of what Believing was given.
func (i Identity) Origins(ctx context.Context, system cofre.SystemID) (*origin.Set, error) {
	if i.believes == nil {
		return nil, nil
	}
	return i.believes.of(ctx, system, false)
}

func (b *believing) of(ctx context.Context, system cofre.SystemID, fresh bool) (*origin.Set, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.sets[system]; s != nil && !fresh {
		return s, nil
	}
	s, err := b.load(ctx, system, fresh)
	if err == nil {
		b.sets[system] = s
	}
	return s, err
}

// judge refuses an object that nobody has signed who is believed. A key may have been admitted since.
//
// Errors: *origin.Error; those of what Believing was given.
func (i Identity) judge(ctx context.Context, object string, p sealed.Proof) error {
	system, ok := SystemOf(object)
	if i.believes == nil || !ok {
		return nil
	}
	for _, fresh := range []bool{false, true} {
		set, err := i.believes.of(ctx, system, fresh)
		known := false
		if err == nil {
			known, err = set.Judge(ctx, object, p.Statement, p.Signature)
		}
		if err == nil && !known {
			i.believes.mu.Lock()
			i.believes.from[object] = true
			i.believes.mu.Unlock()
		}
		if fresh && origin.IsRefusal(err) {
			i.believes.mu.Lock()
			i.believes.met = cmp.Or(i.believes.met, err)
			i.believes.mu.Unlock()
		}
		if fresh || !origin.IsRefusal(err) {
			return err
		}
	}
	return nil
}

// Delivering returns the identity for bringing WAL to a recovery. Of a file that an admitted key has signed with the key of its body, it does not
// compute the digest anew; see decision 0045. Whoever reports that WAL is as it was archived, or signs what they have read, reads without it.
func (i Identity) Delivering() Identity {
	i.delivers = true
	return i
}

// signed reports whether somebody who is believed has signed an object. Whoever judges the object says why not.
func (i Identity) signed(ctx context.Context, object string, p sealed.Proof) bool {
	system, ok := SystemOf(object)
	if i.believes == nil || !ok {
		return false
	}
	set, err := i.believes.of(ctx, system, false)
	if err != nil {
		return false
	}
	known, err := set.Judge(ctx, object, p.Statement, p.Signature)
	return known && err == nil
}

// SystemOf is the cluster that an object is of; false if it is no WAL of a cluster.
func SystemOf(object string) (cofre.SystemID, bool) {
	var system cofre.SystemID
	text, _, _ := strings.Cut(strings.TrimPrefix(object, "wal/"), "/")
	err := system.UnmarshalText([]byte(text))
	return system, err == nil
}

// Unproven is how many objects this identity has read and believed although nothing proves where they come from.
func (i Identity) Unproven() int {
	if i.believes == nil {
		return 0
	}
	i.believes.mu.Lock()
	defer i.believes.mu.Unlock()
	return len(i.believes.from)
}

// WayOn adds to a refusal to recover what ends it, if WAL is there that is not believed: what is on the way is then not lost.
func (inv *Inventory) WayOn(id Identity, err error) error {
	refused := inv.Refusals
	if id.believes != nil {
		id.believes.mu.Lock()
		refused = append(slices.Clone(refused), id.believes.met)
		id.believes.mu.Unlock()
	}
	for _, u := range inv.Unread {
		refused = append(refused, u.Err)
	}
	way := origin.WayOn(refused...)
	if err == nil || way.IsZero() {
		return err
	}
	return cofre.WithHint(err, cofre.Series(way, cofre.HintOf(err)))
}

// proven judges a segment by its header, and counts one that is believed although nothing proves its origin.
//
// Errors: the store's.
func (inv *Inventory) proven(ctx context.Context, s pgdata.Segment, h sealed.Header) (bool, error) {
	if inv.Origins == nil {
		return true, nil
	}
	known, err := inv.Origins.Judge(ctx, ObjectName(inv.SystemID, s.File(inv.SegmentSize)), h.Proof.Statement, h.Proof.Signature)
	if origin.IsRefusal(err) {
		inv.Refused(s, cofre.OneLine(err))
		inv.Refusals = append(inv.Refusals, err)
		return false, nil
	}
	if err == nil && !known {
		inv.Unproven++
	}
	return err == nil, err
}

// Secret is what only the password opens, for package origin: what it derives from it says nothing of the identity.
func (i Identity) Secret() string { return i.i.String() }

// Own is the key with which whoever has the password signs what they store in this repository.
func (i Identity) Own() *origin.Key { return origin.Own(i.Secret()) }

// Said is what the header of a stored object says; what it does not say is empty.
type Said struct {
	Key    string // the ID of the key that has signed it, if that is believed
	Digest string // of the content
	Sum    string // of what is signed; see origin.Sum
}

// ReadSaid reads it. An object that is gone, or has no header that can be read, says nothing.
//
// Errors: the store's.
func ReadSaid(ctx context.Context, st cofre.Store, origins *origin.Set, object string) (s Said, err error) {
	h, err := readHeader(ctx, st, object)
	if errors.Is(err, cofre.ErrNotFound) || errors.Is(err, cofre.ErrCorrupt) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.Digest, s.Sum = h.Digest.String(), origin.Sum(object, h.Proof.Statement)
	if origins != nil {
		known, err := origins.Judge(ctx, object, h.Proof.Statement, h.Proof.Signature)
		if err != nil && !origin.IsRefusal(err) {
			return s, err
		}
		if known && err == nil {
			s.Key = h.Proof.Signature[0]
		}
	}
	return s, nil
}

// Owned has what is stored in an archive signed by whoever has its password, which unlock reads. Without it nothing is signed.
func (a Archive) Owned(unlock func() (Identity, error)) Archive {
	if id, err := unlock(); err == nil {
		a.Signer = id.Own()
	}
	return a
}

// Origin is what is known of where WAL comes from.
type Origin struct {
	Required bool           `json:"required"`                   // nothing is believed but what an admitted key has signed
	Unknown  int            `json:"unknown_segments,omitempty"` // segments that are believed although nothing proves where they come from
	Waiting  []origin.Known `json:"keys_waiting,omitempty"`     // keys that nobody has admitted
	Asked    bool           `json:"-"`                          // there are such keys, as far as names say: nobody has read Waiting
	Gone     []string       `json:"gone,omitempty"`             // records that this host has seen, and that are not there any more
	Refused  []string       `json:"refused,omitempty"`          // segments that are not believed
	Refusals []error        `json:"-"`                          // of Refused
}

func (inv *Inventory) origin() Origin {
	if inv.Origins == nil {
		return Origin{Required: slices.Contains(inv.records, origin.RequiredName), Asked: slices.ContainsFunc(inv.records, func(name string) bool {
			id, ok := strings.CutSuffix(name, ".request")
			return ok && !slices.Contains(inv.records, id+".admitted") && !slices.Contains(inv.records, id+".revoked")
		})}
	}
	o := Origin{Required: inv.Origins.Required, Unknown: inv.Unproven, Waiting: inv.Origins.Waiting(), Gone: inv.Origins.Gone, Refusals: inv.Refusals}
	if len(inv.TakenAway) > 0 {
		o.Gone = append(slices.Clone(o.Gone), slices.Sorted(maps.Keys(inv.TakenAway))...)
	}
	for _, err := range inv.Refusals {
		o.Refused = append(o.Refused, cofre.OneLine(err))
	}
	return o
}

// BelieveAs has ReadChain believe those that the identity of unlock does. If there is none that can be read it believes everything: nobody reads
// anything then, which is said elsewhere.
//
// Errors: those of unlock and of Identity.Origins.
func (inv *Inventory) BelieveAs(ctx context.Context, unlock func() (Identity, error)) error {
	id, err := unlock()
	if errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrNotFound) {
		return nil
	}
	if err == nil {
		inv.Origins, err = id.Origins(ctx, inv.SystemID)
	}
	if err == nil && inv.Origins != nil {
		for object, why := range inv.Origins.Unread {
			_ = inv.pass(object, why)
		}
	}
	return err
}

// Remember holds Origins against base backups and other witnesses, also for a machine that has not seen the record: whoever may write to the repository could
// have taken it away. BelieveAs comes first.
func (inv *Inventory) Remember(backups []recovery.BaseBackup, others ...origin.Witness) {
	if inv.Origins != nil {
		inv.TakenAway = inv.Origins.Missing(slices.Concat(Witnesses(backups, inv.SystemID), others))
	}
}

// Witnesses are the base backups of a system that say what its archive believed when they were taken.
func Witnesses(backups []recovery.BaseBackup, system cofre.SystemID) (all []origin.Witness) {
	if point, signed := recovery.SignedFor(backups, system); signed {
		all = append(all, origin.Witness{System: system, Said: cofre.Say("wal.requirement_gone", "signatures of WAL were required when base backup {{.point}} was taken, and the repository does not say so any more", "point", point)})
	}
	for id, point := range recovery.RevokedFor(backups, system) {
		all = append(all, origin.Witness{System: system, Key: id, Said: cofre.Say("wal.revocation_gone", "a key that signs WAL had been revoked when base backup {{.point}} was taken, and the repository does not say so any more", "point", point)})
	}
	return all
}

// Recall holds the acknowledgements against those that the journal says were made: what was removed explains no gap any more, and is named. One that is there and
// that nobody believes is named as that.
func (inv *Inventory) Recall(journaled []Acknowledgement) {
	for _, a := range journaled {
		same := func(b Acknowledgement) bool { return a.From == b.From && a.To == b.To }
		object := gapName(inv.SystemID, a.From, a.To)
		if !slices.ContainsFunc(inv.Acknowledged, same) && !slices.ContainsFunc(inv.Forgotten, same) && !slices.ContainsFunc(inv.Unread, func(u Unread) bool { return u.Object == object }) {
			inv.Forgotten = append(inv.Forgotten, a)
		}
	}
}

// Object is where the acknowledgement lies of a gap in WAL of a system.
func (a Acknowledgement) Object(system cofre.SystemID) string { return gapName(system, a.From, a.To) }

// GoneMessage is what is said of an acknowledgement that is not there any more.
func (a Acknowledgement) GoneMessage(system cofre.SystemID) cofre.Message {
	return cofre.Say("wal.acknowledgement_gone", "the journal says that the gap {{.from}} to {{.to}} of system {{.system}} was acknowledged, and the acknowledgement is not there any more: somebody who can write to the repository took it away", "from", a.From, "to", a.To, "system", system)
}

// AgainMessage is what to do about what GoneMessage says.
func AgainMessage(gone cofre.Message) cofre.Message {
	return cofre.Say("wal.acknowledge_again", "cofre journal names the entry, and cofre journal show NO who acknowledged it and why; then say it again: cofre wal acknowledge {{.from}} {{.to}} --system {{.system}} --why …", "from", gone.Args["from"], "to", gone.Args["to"], "system", gone.Args["system"])
}

// judgeBeginnings leaves out the beginnings of segments that are not believed: parts, and the last of a timeline that ended.
//
// Errors: the store's.
func (inv *Inventory) judgeBeginnings(ctx context.Context, st cofre.Store) error {
	if inv.Origins == nil || !inv.Origins.Required {
		return nil
	}
	for s := range inv.Unfinished {
		for _, object := range inv.objects[s] {
			if !strings.Contains(object, partsDir) && !strings.HasSuffix(object, ".partial") {
				continue
			}
			h, err := readHeader(ctx, st, object)
			if err != nil && !errors.Is(err, cofre.ErrNotFound) && !errors.Is(err, cofre.ErrCorrupt) {
				return err
			}
			if err != nil {
				continue // gone by now, or whoever reads it says so
			}
			_, err = inv.Origins.Judge(ctx, object, h.Proof.Statement, h.Proof.Signature)
			if err != nil && !origin.IsRefusal(err) {
				return err
			}
			if err != nil {
				inv.Refusals = append(inv.Refusals, err)
				delete(inv.Unfinished, s)
			}
		}
	}
	return nil
}

// unheard are the timelines without a history: one that is there and not believed is none of these.
func (inv *Inventory) unheard() []cofre.Timeline {
	return slices.DeleteFunc(inv.Orphans(), func(tli cofre.Timeline) bool {
		object := ObjectName(inv.SystemID, pgdata.HistoryOf(tli))
		return slices.ContainsFunc(inv.Unread, func(u Unread) bool { return u.Object == object && origin.IsRefusal(u.Err) })
	})
}
