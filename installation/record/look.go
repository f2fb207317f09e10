package record

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/journal"
)

// Looker compares the catalog of an installation with the journal. What the journal does not know it is told, by way of the observer.
type Looker struct {
	Installation string
	// Read reads the journal, as journaling.Known.Verify does.
	Read       func(ctx context.Context, key string, o journaling.Reading) (*journaling.Verified, error)
	Visit      func(journal.Numbered) // is given every entry that is read; nil looks at none
	Sealed     bool                   // also reads what is encrypted of the journal
	Repository any                    // that may have digests
	Observer   cofre.Observer
}

// digester is a repository that says with which bytes a point is stored.
type digester interface {
	Digests(context.Context) (map[cofre.PointID][]string, error)
}

// Look compares points with the journal, which had as many entries as first says before they were read. A repository without a journal differs in
// nothing. What is wrong with the journal itself is an error with what could be compared.
//
// Errors: as of journaling.Known.Verify; those of the repository.
func (o Looker) Look(ctx context.Context, points []cofre.RecoveryPoint, first int64) (*Difference, *journaling.Verified, error) {
	l := &Ledger{Installation: o.Installation}
	res, err := o.Read(ctx, "", journaling.Reading{Sealed: o.Sealed, Visit: func(e journal.Numbered) {
		l.Take(e)
		if o.Visit != nil {
			o.Visit(e)
		}
	}})
	if errors.Is(err, cofre.ErrNotFound) {
		return &Difference{}, nil, nil
	}
	if err != nil && !errors.Is(err, cofre.ErrFindings) {
		return &Difference{}, nil, err
	}
	d, unread := o.Compare(ctx, l, points, first)
	return d, res, cmp.Or(unread, err)
}

// Compare is Look with a journal that was read.
func (o Looker) Compare(ctx context.Context, l *Ledger, points []cofre.RecoveryPoint, first int64) (*Difference, error) {
	c := Catalog{Points: points, First: first, Now: time.Now()}
	if r, ok := o.Repository.(digester); ok {
		var err error
		if c.Digests, err = r.Digests(ctx); err != nil {
			return &Difference{}, err
		}
	}
	d := l.Compare(c)
	o.tell(d)
	return d, nil
}

// recent is how many entries are looked at for that of the newest point.
const recent = 64

// Newest has the journal say that the newest of some points is there, if none of its newest entries does: the run that published it was killed. That
// costs a few requests; the others are looked for by whoever reads the whole journal.
//
// Errors: those of entries.
func (o Looker) Newest(entries iter.Seq2[journal.Numbered, error], points iter.Seq[cofre.RecoveryPoint]) error {
	var p cofre.RecoveryPoint
	now, n := time.Now(), 0
	for x := range points {
		if x.Installation == o.Installation && now.Sub(x.PublishedAt).Abs() >= UnderWay && !x.PublishedAt.Before(p.PublishedAt) {
			p = x
		}
	}
	for e, err := range entries {
		if err != nil {
			return err
		}
		known := e.Body.Installation == o.Installation && e.Body.Point == p.ID && (e.Body.Event == journal.EventPublished || e.Body.Event == journal.EventFound)
		if n++; known || n > recent {
			return nil
		}
		if e.Body.At.Before(p.PublishedAt.Add(-cofre.ClockSkew)) {
			break
		}
	}
	if p.ID == "" {
		return nil
	}
	d := &Difference{Found: []cofre.RecoveryPoint{p}}
	o.tell(d)
	return nil
}

// tell has the journal say what it did not know, and warns of it.
func (o Looker) tell(d *Difference) {
	for _, m := range d.Messages() {
		o.warn(m)
	}
	d.Tell(o.Observer)
}

// Warn is Compare, and warns if the catalog and the journal differ.
func (o Looker) Warn(ctx context.Context, l *Ledger, points []cofre.RecoveryPoint, first int64) error {
	d, err := o.Compare(ctx, l, points, first)
	if n := len(d.Findings()); n > 0 {
		o.warn(cofre.SayN("expire.differs", n, "the journal and the catalog differ about 1 recovery point: see which with: cofre verify", "the journal and the catalog differ about {{.n}} recovery points: see which with: cofre verify"))
	}
	return err
}

func (o Looker) warn(m cofre.Message) {
	o.Observer.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeWarning}.Saying(m))
}

// NothingLost refuses to go on while the catalog lacks what the journal says was published, or the journal what this machine has seen of it: the
// bytes of what is gone may still be there.
//
// Errors: cofre.ErrFindings; as of Look.
func (o Looker) NothingLost(ctx context.Context, points []cofre.RecoveryPoint, first int64) error {
	d, res, err := o.Look(ctx, points, first)
	if len(d.Gone) > 0 {
		return nothing(cofre.Say("prune.nothing", "nothing is pruned"), d)
	}
	if !errors.Is(err, cofre.ErrFindings) {
		return err
	}
	if res != nil && !res.AsSeen {
		return cofre.WithHint(cofre.Fail(cofre.Say("prune.journal", "nothing is pruned, because the journal is not what this machine has seen of it"), err), cofre.HintOf(err))
	}
	return nil // what the journal has lost of itself names no bytes
}

// NothingLostOfAny refuses to give anything up for good while the catalog lacks a point of any installation that the journal knows of, or the journal itself is not whole: what it
// has lost may be the entry of another. It refuses as well while there is none, and while nobody vouches for what was before this machine knew it: it may have been taken back, or
// begun anew in the place of one that was removed, and names nothing then of what was published before.
//
// Errors: cofre.ErrFindings; those of Read.
func (o Looker) NothingLostOfAny(ctx context.Context, points []cofre.RecoveryPoint, first int64) error {
	of := ledgers{}
	res, err := o.Read(ctx, "", journaling.Reading{Visit: of.take})
	done := cofre.Say("seal.nothing", "nothing is given up")
	if res == nil {
		return cofre.WithHint(cofre.Fail(done, err), cofre.HintOf(err))
	}
	all, another := &Difference{}, ""
	for _, name := range slices.Sorted(maps.Keys(of)) {
		d := of[name].Compare(Catalog{Points: points, First: first, Now: time.Now()})
		all.Back = append(all.Back, d.Back...)
		if name == o.Installation { // what can be acknowledged from here comes first
			all.Gone = slices.Concat(d.Gone, all.Gone)
			continue
		}
		if all.Gone = append(all.Gone, d.Gone...); len(d.Gone) > 0 {
			another = cmp.Or(another, name)
			o.warn(cofre.SayN("seal.gone_of_another", len(d.Gone), "1 recovery point of {{.name}} is gone; it is acknowledged with the configuration of {{.name}}", "{{.n}} recovery points of {{.name}} are gone; they are acknowledged with the configuration of {{.name}}", "name", name))
		}
	}
	for _, m := range all.Messages() {
		o.warn(m)
	}
	if len(all.Gone) == 0 && errors.Is(err, cofre.ErrFindings) {
		return cofre.WithHint(cofre.Fail(done, err), cofre.HintOf(err))
	}
	gone := nothing(done, all)
	if gone != nil && !of.at(o.Installation).Lost(all.Gone[0], points) {
		gone = cofre.WithHint(gone, ofAnother(another, all.Gone[0]))
	}
	return cmp.Or(gone, err, withPast(done, res))
}

// ofAnother is what to do about a point of another installation that is lost.
func ofAnother(name string, id cofre.PointID) cofre.Message {
	return cofre.Say("journal.of_another", "recovery point {{.point}} is of {{.name}}: bring the repository's files back from a copy; if it is lost for good, say so with the configuration of {{.name}}: cofre --config FILE journal acknowledge {{.point}} --why 'lost'", "point", id, "name", name)
}

// ledgers are those of all installations of a journal, by their names.
type ledgers map[string]*Ledger

func (l ledgers) take(e journal.Numbered) { l.at(e.Body.Installation).Take(e) }

func (l ledgers) at(name string) *Ledger {
	if l[name] == nil {
		l[name] = &Ledger{Installation: name}
	}
	return l[name]
}

// withPast refuses what done says while nobody vouches for what was before this machine knew the journal.
func withPast(done cofre.Message, res *journaling.Verified) error {
	if res.UnknownBefore.IsZero() {
		return nil
	}
	return cofre.WithHint(cofre.Fail(done, cofre.Fail(cofre.Say("seal.past_unknown", "this machine knows the journal since {{.at}}, and recovery points that were published before may be lost without being named", "at", res.UnknownBefore), cofre.ErrFindings)), cofre.Say("seal.past_hint", "{{.vouch}}; whatever was published before and cofre list does not show is then given up without a name: cofre seal --without-lost", "vouch", journaling.VouchHint(res.Newest)))
}

// NothingGone refuses to let anything expire while the catalog lacks what the journal says was published: what stays depends on which points there are, and the WAL that
// a base backup needs would go as well, though it may come back.
//
// Errors: cofre.ErrFindings.
func (l *Ledger) NothingGone(points []cofre.RecoveryPoint, first int64) error {
	return nothing(cofre.Say("expire.refused", "nothing expires"), l.Compare(Catalog{Points: points, First: first, Now: time.Now()}))
}

// nothing says what is not done because points are gone; nil if none is.
func nothing(done cofre.Message, d *Difference) error {
	gone := catalog.Gone(d.Gone...)
	if gone == nil {
		return nil
	}
	return cofre.WithHint(cofre.Fail(done, gone), cofre.HintOf(gone))
}

// Acknowledge has the journal say that a person knows that a point is lost, which it says was published and did not expire, and which is not among
// those that are there.
//
// Errors: cofre.ErrNotFound if there is no such point; as of Look.
func (o Looker) Acknowledge(ctx context.Context, points []cofre.RecoveryPoint, id cofre.PointID, by, why string) error {
	if why == "" {
		return cofre.Fail(cofre.Say("journal.lost_why", "acknowledge that a recovery point is lost: without a reason"), cofre.ErrConfig)
	}
	of := ledgers{}
	if _, err := o.Read(ctx, "", journaling.Reading{Visit: of.take}); err != nil && !errors.Is(err, cofre.ErrFindings) {
		return err
	}
	if !of.at(o.Installation).Lost(id, points) {
		for _, name := range slices.Sorted(maps.Keys(of)) {
			if of[name].Lost(id, points) {
				return cofre.WithHint(cofre.Fail(cofre.Say("journal.not_lost", "lost recovery point {{.point}}", "point", id), cofre.ErrNotFound), ofAnother(name, id))
			}
		}
		return cofre.WithHint(cofre.Fail(cofre.Say("journal.not_lost", "lost recovery point {{.point}}", "point", id), cofre.ErrNotFound), cofre.Say("journal.lost_hint", "see which are lost with: cofre verify"))
	}
	fact := cofre.LossAcknowledged{By: by, Why: why}
	o.Observer.Observe(cofre.Event{Type: fact.EventType(), Point: id, Fact: fact})
	return nil
}
