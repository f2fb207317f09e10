// Package catalog finds recovery points: by id, by an unambiguous prefix of one, or by "latest".
//
// It keeps nothing of its own: a Catalog is read from the repository each time and can be read again on a
// machine that has never seen it. It is not where points are made visible; that is Repository.Publish.
package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
)

// Latest is the word for the newest recovery point: of a kind, the newest that holds it whole.
const Latest = "latest"

// candidates is how many ids a hint names: enough to choose from, few enough for a terminal.
const candidates = 8

// repository is what a catalog is rebuilt from.
type repository interface {
	Points(ctx context.Context) iter.Seq2[cofre.RecoveryPoint, error]
}

// Catalog is the list of recovery points as it was when it was read. The zero Catalog is empty.
type Catalog struct {
	points  []cofre.RecoveryPoint // oldest first
	ordered []cofre.RecoveryPoint // by the times that count, oldest first, with those that are gone
	gone    map[cofre.PointID]bool
	back    map[cofre.PointID]bool
	believe func([]cofre.RecoveryPoint) Belief
	lacks   error
	doubt   error
}

// Belief is what somebody knows of the points of a catalog that they do not say themselves.
type Belief struct {
	// Points are those of the catalog and those that are gone, oldest first, with the times that count.
	Points []cofre.RecoveryPoint
	// Gone are points that were published, did not expire, and are not in the catalog. Of their components only kinds are known.
	Gone map[cofre.PointID]bool
	// Back are points that have expired, and are in the catalog all the same: what they need may have been pruned.
	Back map[cofre.PointID]bool
	// Doubt is why there may be others that are gone; nil if that is known.
	Doubt error
}

// Lack says that points may be missing from the catalog, and why. Nobody can then say which one is the latest.
func (c *Catalog) Lack(why error) { c.lacks = why }

// Lacks is why points may be missing; nil if all that there are were read.
func (c *Catalog) Lacks() error { return c.lacks }

// Believe has latest go by what somebody knows of points: that a clock was wrong, or that newer ones are gone. believe is asked once, by whoever asks for latest, or what is missing.
func (c *Catalog) Believe(believe func([]cofre.RecoveryPoint) Belief) { c.believe = believe }

// byTime are the points with the times that count, oldest first.
func (c *Catalog) byTime() []cofre.RecoveryPoint {
	if c.believe != nil {
		b := c.believe(c.points)
		c.believe, c.ordered, c.gone, c.back, c.doubt = nil, b.Points, b.Gone, b.Back, b.Doubt
		c.points = slices.DeleteFunc(slices.Clone(b.Points), func(p cofre.RecoveryPoint) bool { return b.Gone[p.ID] })
	}
	return c.points
}

// Missing is Lacks, and why else points are missing, or may be, if somebody knows.
//
// Errors: cofre.ErrFindings with a point that is gone.
func (c *Catalog) Missing() error {
	c.byTime()
	if c.lacks != nil || c.doubt != nil {
		return cmp.Or(c.lacks, c.doubt)
	}
	return goneOf(slices.DeleteFunc(slices.Clone(c.ordered), func(p cofre.RecoveryPoint) bool { return !c.gone[p.ID] }))
}

// IsBack reports whether a point has expired, as somebody knows, and is in the catalog again.
func (c *Catalog) IsBack(p cofre.PointID) bool {
	c.byTime()
	return c.back[p]
}

// after is why p, or none if it is empty, may not be the newest that has what is wanted: a newer one that had it is gone.
func (c *Catalog) after(p cofre.PointID, want Want) error {
	var gone []cofre.RecoveryPoint
	for _, q := range slices.Backward(c.ordered) {
		if q.ID == p {
			break
		}
		whole := func(comp cofre.Component) bool { return comp.Kind == want.Kind && !comp.Partial }
		if c.gone[q.ID] && (Want{Installation: want.Installation}).matches(q) && (want.Kind == "" || slices.ContainsFunc(q.Components, whole)) {
			gone = append(gone, q)
		}
	}
	return goneOf(gone)
}

// goneOf names points that are gone; nil for none.
func goneOf(points []cofre.RecoveryPoint) error {
	var ids []cofre.PointID
	for _, p := range points {
		ids = append(ids, p.ID)
	}
	return Gone(ids...)
}

// Gone is the error about points that are gone; nil for none.
func Gone(ids ...cofre.PointID) error {
	if len(ids) == 0 {
		return nil
	}
	return cofre.WithHint(
		cofre.Fail(cofre.SayN("catalog.gone", len(ids), "recovery point {{.point}} was published, did not expire, and is not in the catalog", "{{.n}} recovery points, {{.point}} first, were published, did not expire, and are not in the catalog", "point", ids[0]), cofre.ErrFindings),
		cofre.Say("catalog.gone_hint", "bring the repository's files back from a copy, or older versions in the bucket; if the point is lost for good, say so: cofre journal acknowledge {{.point}} --why 'lost'", "point", ids[0]))
}

// unknown refuses to say which point is the latest. A point that is named is found all the same.
func unknown(why error) error {
	hint := cofre.Say("catalog.name_a_point", "name a recovery point of cofre list")
	if way := cofre.HintOf(why); !way.IsZero() {
		hint = cofre.Say("catalog.or_name_a_point", "{{.way}}; or name a recovery point of cofre list", "way", way)
	}
	return cofre.WithHint(cofre.Fail(cofre.Say("catalog.latest_unknown", "nobody can say which recovery point is the latest"), why), hint)
}

// Read rebuilds the catalog from a repository.
//
// Errors: those of Repository.Points, as they come.
func Read(ctx context.Context, r repository) (*Catalog, error) {
	var c Catalog
	for p, err := range r.Points(ctx) {
		if err != nil {
			return nil, fmt.Errorf("read the catalog: %w", err)
		}
		c.points = append(c.points, p)
	}
	// Ids begin with the second in which the backup began; the clock that made StartedAt made them too.
	slices.SortStableFunc(c.points, func(a, b cofre.RecoveryPoint) int {
		if d := a.StartedAt.Compare(b.StartedAt); d != 0 {
			return d
		}
		return strings.Compare(string(a.ID), string(b.ID))
	})
	return &c, nil
}

// Want narrows a search. Empty fields ask for nothing.
type Want struct {
	Installation string // for "latest": only points of this installation
	Kind         cofre.Kind
	Name         string // of the component
	There        bool   // for "latest": the newest that is there will do, though newer ones are gone or may be
}

func (w Want) matches(p cofre.RecoveryPoint) bool {
	if w.Installation != "" && p.Installation != w.Installation {
		return false
	}
	if w.Kind == "" {
		return true
	}
	_, ok := p.Component(w.Kind, w.Name)
	return ok
}

// Len returns how many recovery points there are.
func (c *Catalog) Len() int { return len(c.points) }

// List yields the recovery points that want asks for, oldest first.
func (c *Catalog) List(want Want) iter.Seq[cofre.RecoveryPoint] {
	return func(yield func(cofre.RecoveryPoint) bool) {
		for _, p := range c.points {
			if want.matches(p) && !yield(p) {
				return
			}
		}
	}
}

// Installations lists whose recovery points these are, by name.
func (c *Catalog) Installations() []string {
	var names []string
	for _, p := range c.points {
		if !slices.Contains(names, p.Installation) {
			names = append(names, p.Installation)
		}
	}
	slices.Sort(names)
	return names
}

// Find returns the recovery point that ref names: an id, an unambiguous prefix of one, or "latest", which is
// the newest point that has what want asks for, whole; if none is whole, the newest. Newer says what latest passed
// over, and is to be told. An id finds its point whatever installation it is of.
//
// Errors: ErrNotFound; of latest, what Missing says, if one that is gone would be it, or may be; ErrAmbiguous if a prefix fits several points, or if the newest point is of a moment that is yet to come, and others are not. Both carry the candidates as a hint.
func (c *Catalog) Find(ref string, want Want) (cofre.RecoveryPoint, error) {
	if ref == Latest {
		c.byTime()
		if why := cmp.Or(c.lacks, c.doubt); why != nil && !want.There {
			return cofre.RecoveryPoint{}, unknown(why)
		}
		p, err := c.latest(want)
		if want.There {
			return p, err
		}
		if gone := c.after(p.ID, want); gone != nil && (err == nil || errors.Is(err, cofre.ErrNotFound)) {
			return cofre.RecoveryPoint{}, unknown(gone)
		}
		return p, err
	}
	var found []cofre.RecoveryPoint
	for _, p := range c.points {
		if string(p.ID) == ref {
			found = []cofre.RecoveryPoint{p}
			break
		}
		if ref != "" && strings.HasPrefix(string(p.ID), ref) {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return cofre.RecoveryPoint{}, cofre.WithHint(aPoint(ref, cofre.ErrNotFound), newest(c.points))
	case 1:
		if w := (Want{Kind: want.Kind, Name: want.Name}); !w.matches(found[0]) {
			return cofre.RecoveryPoint{}, cofre.WithHint(
				want.in(found[0].ID, cofre.ErrNotFound),
				cofre.Say("catalog.it_has", "it has {{.components}}; {{.elsewhere}}", "components", components(found[0], want), "elsewhere", c.whereElse(want)))
		}
		return found[0], nil
	}
	return cofre.RecoveryPoint{}, cofre.WithHint(
		aPoint(ref, cofre.ErrAmbiguous, cofre.Fail(cofre.SayN("catalog.begin_so", len(found), "1 point begins like this", "{{.n}} points begin like this"))), cofre.Say("catalog.type_more", "type more of one of {{.ids}}", "ids", ids(found)))
}

// Component finds the recovery point as Find does, and the component of it that want asks for.
//
// Errors: those of Find; ErrAmbiguous if the point has several components of the kind and want names none.
func (c *Catalog) Component(ref string, want Want) (cofre.RecoveryPoint, cofre.Component, error) {
	p, err := c.Find(ref, want)
	if err != nil {
		return cofre.RecoveryPoint{}, cofre.Component{}, err
	}
	var names []string
	for _, comp := range p.Components {
		if comp.Kind == want.Kind && (want.Name == "" || comp.Name == want.Name) {
			names = append(names, comp.Name)
		}
	}
	if len(names) > 1 {
		return cofre.RecoveryPoint{}, cofre.Component{}, cofre.WithHint(
			want.in(p.ID, cofre.ErrAmbiguous), cofre.Say("catalog.name_one", "name one of {{.names}}", "names", strings.Join(names, ", ")))
	}
	comp, ok := p.Component(want.Kind, want.Name)
	if !ok {
		return cofre.RecoveryPoint{}, cofre.Component{}, want.in(p.ID, cofre.ErrNotFound)
	}
	return p, comp, nil
}

// Captured yields the components of a source, the newest first, with the points they are in. Partial
// components count only if partial is true.
func (c *Catalog) Captured(source cofre.SourceID, partial bool) iter.Seq2[cofre.RecoveryPoint, cofre.Component] {
	return func(yield func(cofre.RecoveryPoint, cofre.Component) bool) {
		for _, p := range slices.Backward(c.points) {
			if p.Installation != source.Installation {
				continue
			}
			if comp, ok := p.Component(source.Kind, source.Name); ok && (partial || !comp.Partial) && !yield(p, comp) {
				return
			}
		}
	}
}

// Newest returns the newest component of a source and the point it is in; ok is false if there is none. Partial
// components count only if partial is true.
func (c *Catalog) Newest(source cofre.SourceID, partial bool) (point cofre.RecoveryPoint, component cofre.Component, ok bool) {
	for p, comp := range c.Captured(source, partial) {
		return p, comp, true
	}
	return cofre.RecoveryPoint{}, cofre.Component{}, false
}

// Incomplete is a recovery point that was to hold something and does not hold it whole.
type Incomplete struct {
	Point cofre.PointID `json:"point"`
	Kind  cofre.Kind    `json:"kind"`
	Name  string        `json:"name"`
	Why   string        `json:"why"`
	Held  bool          `json:"held"` // in part; false if nothing of it is there

	Messages cofre.Messages `json:"messages,omitempty"`
}

// Newer returns the points of the same installation that are newer than p and were to hold what want asks for, and
// do not hold it whole, newest first: what latest passed over.
func (c *Catalog) Newer(p cofre.RecoveryPoint, want Want) []Incomplete {
	var found []Incomplete
	for _, q := range slices.Backward(c.byTime()) {
		if q.ID == p.ID {
			break
		}
		if q.Installation == p.Installation {
			found = append(found, Lacking(q, want)...)
		}
	}
	return found
}

// Lacking returns what p was to hold of what want asks for, and does not hold whole: by name, with the reason.
func Lacking(p cofre.RecoveryPoint, want Want) []Incomplete {
	var found []Incomplete
	asked := func(kind cofre.Kind, name string) bool {
		return (want.Kind == "" || kind == want.Kind) && (want.Name == "" || name == want.Name)
	}
	for _, f := range p.Missing() {
		if asked(f.Kind, f.Object) {
			found = append(found, Incomplete{Point: p.ID, Kind: f.Kind, Name: f.Object, Why: f.What, Messages: f.Messages})
		}
	}
	for _, comp := range p.Components {
		if comp.Partial && asked(comp.Kind, comp.Name) {
			why := first(p, comp.Kind)
			found = append(found, Incomplete{Point: p.ID, Kind: comp.Kind, Name: comp.Name, Why: why.Text, Held: true, Messages: cofre.Messages{why}})
		}
	}
	return found
}

// Lacking returns of each source whose newest point does not hold it whole what that point lacks, oldest point first.
func (c *Catalog) Lacking() []Incomplete {
	var found []Incomplete
	seen := map[cofre.SourceID]bool{}
	for _, p := range slices.Backward(c.points) {
		for _, i := range Lacking(p, Want{}) {
			if id := (cofre.SourceID{Installation: p.Installation, Kind: i.Kind, Name: i.Name}); !seen[id] {
				seen[id] = true
				found = append(found, i)
			}
		}
		for _, comp := range p.Components {
			seen[cofre.SourceID{Installation: p.Installation, Kind: comp.Kind, Name: comp.Name}] = true
		}
	}
	slices.Reverse(found)
	return found
}

// first names what a component lacks, or the first of it.
func first(p cofre.RecoveryPoint, kind cofre.Kind) cofre.Message {
	var named []cofre.Finding
	for _, f := range p.Findings {
		if f.Kind == kind && f.Check != cofre.CheckSource {
			named = append(named, f)
		}
	}
	if len(named) == 0 {
		return cofre.Say("catalog.in_part", "captured in part")
	}
	what := named[0].Messages.Of(named[0].What)
	if len(named) == 1 {
		return cofre.Say("catalog.lacks", "{{.object}}: {{.what}}", "object", named[0].Object, "what", what)
	}
	return cofre.SayN("catalog.lacks_more", len(named)-1, "{{.object}}: {{.what}}, and 1 more finding", "{{.object}}: {{.what}}, and {{.n}} more findings", "object", named[0].Object, "what", what)
}

// latest is the newest by the clocks of those that made the points. If that is yet to come, a clock is wrong, there or here, and which is the newest nobody can say.
func (c *Catalog) latest(want Want) (cofre.RecoveryPoint, error) {
	now := time.Now().Add(cofre.ClockSkew)
	p, err := c.latestUntil(want, time.Time{})
	if err != nil || !p.StartedAt.After(now) {
		return p, err
	}
	other, err := c.latestUntil(want, now)
	if err != nil {
		return p, nil // it is the only one
	}
	return cofre.RecoveryPoint{}, cofre.WithHint(
		cofre.Fail(cofre.Say("catalog.latest", "latest recovery point"), cofre.ErrAmbiguous,
			cofre.Fail(cofre.Say("catalog.ahead", "{{.point}} is of {{.at}}, which is yet to come: a clock is wrong, here or where it was made", "point", p.ID, "at", p.StartedAt))),
		cofre.Say("catalog.ahead_hint", "compare date -u here and there, and name the point: {{.other}} is the newest of those that are past, {{.point}} the newest by its own clock; if that clock was ahead, say so once: cofre journal acknowledge {{.point}} --why 'its clock was ahead'", "other", other.ID, "point", p.ID))
}

// latestUntil is the newest point until a moment; of all, if it is zero. It prefers one that holds what is wanted whole: what a newer one lacks is said
// by Newer, and its id can be given.
func (c *Catalog) latestUntil(want Want, until time.Time) (cofre.RecoveryPoint, error) {
	var newest *cofre.RecoveryPoint
	for _, p := range slices.Backward(c.byTime()) {
		if !want.matches(p) || !until.IsZero() && p.StartedAt.After(until) {
			continue
		}
		if want.Kind == "" || len(Lacking(p, want)) == 0 {
			return p, nil
		}
		if newest == nil {
			newest = &p
		}
	}
	if newest != nil {
		return *newest, nil
	}
	if len(c.points) == 0 {
		return cofre.RecoveryPoint{}, cofre.WithHint(cofre.Fail(cofre.Say("catalog.latest", "latest recovery point"), cofre.ErrNotFound, cofre.Fail(cofre.Say("catalog.empty", "the catalog is empty"))), cofre.Say("catalog.make_one", "make one with: cofre backup"))
	}
	which := cofre.Say("catalog.latest_with", "latest recovery point with {{.what}}", "what", want.what())
	if want.Installation != "" {
		which = cofre.Say("catalog.latest_of", "latest recovery point of installation {{.installation}} with {{.what}}", "installation", want.Installation, "what", want.what())
	}
	return cofre.RecoveryPoint{}, cofre.WithHint(cofre.Fail(which, cofre.ErrNotFound), c.others(want))
}

// others says which installations there are if the one wanted has no point, and otherwise how to see its points.
func (c *Catalog) others(want Want) cofre.Message {
	there := c.Installations()
	if want.Installation == "" || slices.Contains(there, want.Installation) {
		return cofre.Say("catalog.see", "see what there is with: cofre list")
	}
	return cofre.Say("catalog.other_installations", "the repository has points of {{.names}}: set name: {{.name}} in cofre.yaml, or see them with: cofre list --all", "names", strings.Join(there, ", "), "name", there[0])
}

func (c *Catalog) whereElse(want Want) cofre.Message {
	if p, err := c.latestUntil(want, time.Time{}); err == nil {
		return cofre.Say("catalog.newest_with", "the newest point with {{.what}} is {{.point}}", "what", want.what(), "point", p.ID)
	}
	return cofre.Say("catalog.none_has", "no recovery point has {{.what}}", "what", want.what())
}

func (w Want) what() cofre.Message {
	switch {
	case w.Kind == "":
		return cofre.Say("catalog.anything", "anything")
	case w.Name == "":
		return cofre.Verbatim(string(w.Kind))
	}
	return cofre.Verbatim(cofre.SourceID{Kind: w.Kind, Name: w.Name}.Label())
}

func (w Want) in(point cofre.PointID, because error) error {
	return cofre.Fail(cofre.Say("catalog.in_point", "{{.what}} in recovery point {{.point}}", "what", w.what(), "point", point), because)
}

func aPoint(ref string, because ...error) error {
	return cofre.Fail(cofre.Say("catalog.point", "recovery point \"{{.point}}\"", "point", ref), because...)
}

// components are those of p and, if that is known, why what is wanted is not one of them.
func components(p cofre.RecoveryPoint, want Want) cofre.Message {
	var all cofre.Message
	for _, c := range p.Components {
		all = cofre.List(all, cofre.Verbatim(c.Label()))
	}
	if all.IsZero() {
		all = cofre.Say("catalog.nothing", "nothing")
	}
	for _, f := range p.Missing() {
		if f.Kind == want.Kind && (want.Name == "" || f.Object == want.Name) {
			return cofre.Say("catalog.absent", "{{.components}}, and {{.name}} was {{.what}}", "components", all, "name", f.Object, "what", f.Messages.Of(f.What))
		}
	}
	for _, e := range p.Expired {
		if e.Kind == want.Kind && (want.Name == "" || e.Name == want.Name) {
			return cofre.Say("catalog.expired", "{{.components}}, and {{.source}} expired at {{.at}}", "components", all, "source", cofre.SourceID{Kind: e.Kind, Name: e.Name}.Label(), "at", e.ExpiredAt.UTC().Format(time.RFC3339))
		}
	}
	return all
}

func newest(points []cofre.RecoveryPoint) cofre.Message {
	if len(points) == 0 {
		return cofre.Say("catalog.make_first", "the catalog is empty; make a point with: cofre backup")
	}
	return cofre.Say("catalog.newest", "the newest points are {{.ids}}", "ids", ids(points))
}

// ids names points, newest first.
func ids(points []cofre.RecoveryPoint) string {
	var names []string
	for _, p := range slices.Backward(points) {
		if len(names) == candidates {
			names = append(names, fmt.Sprintf("… (%d)", len(points)))
			break
		}
		names = append(names, string(p.ID))
	}
	return strings.Join(names, ", ")
}
