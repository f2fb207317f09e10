package catalog_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
)

// points is a repository that holds nothing but its list.
type points []cofre.RecoveryPoint

func (ps points) Points(context.Context) iter.Seq2[cofre.RecoveryPoint, error] {
	return func(yield func(cofre.RecoveryPoint, error) bool) {
		for _, p := range ps {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func point(installation, id string, components ...cofre.Component) cofre.RecoveryPoint {
	at, err := time.Parse("20060102T150405Z", id[:16])
	if err != nil {
		panic(err)
	}
	return cofre.RecoveryPoint{ID: cofre.PointID(id), Installation: installation, StartedAt: at, Components: components}
}

func database(name string) cofre.Component {
	return cofre.Component{Kind: cofre.KindDatabase, Name: name, Content: cofre.Content{Root: cofre.ObjectID("root-" + name)}}
}

var files = cofre.Component{Kind: cofre.KindConfig, Name: "config"}

var history = points{
	point("tl", "20261122T020000Z-aaaa", database("app"), files),
	point("tl", "20261123T020000Z-bbbb", database("app")),
	point("tl", "20261123T020000Z-bbcc", files),
	point("other", "20261124T020000Z-cccc", database("app")),
	point("tl", "20261124T030000Z-dddd", database("app"), database("audit")),
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		ref  string
		want catalog.Want
		id   cofre.PointID
		err  error
		hint string
	}{
		{ref: "20261122T020000Z-aaaa", id: "20261122T020000Z-aaaa"},
		{ref: "20261122", id: "20261122T020000Z-aaaa"},
		{ref: "20261123T020000Z-b", err: cofre.ErrAmbiguous, hint: "20261123T020000Z-bbcc, 20261123T020000Z-bbbb"},
		{ref: "2026112", err: cofre.ErrAmbiguous},
		{ref: "2025", err: cofre.ErrNotFound, hint: "the newest points are 20261124T030000Z-dddd"},
		{ref: "", err: cofre.ErrNotFound},
		{ref: "latest", id: "20261124T030000Z-dddd"},
		{ref: "latest", want: catalog.Want{Installation: "other"}, id: "20261124T020000Z-cccc"},
		{ref: "latest", want: catalog.Want{Installation: "tl", Kind: cofre.KindConfig}, id: "20261123T020000Z-bbcc"},
		{ref: "latest", want: catalog.Want{Installation: "tl", Kind: cofre.KindCluster}, err: cofre.ErrNotFound},
		{ref: "20261123T020000Z-bbbb", want: catalog.Want{Kind: cofre.KindConfig}, err: cofre.ErrNotFound, hint: "the newest point with config is 20261123T020000Z-bbcc"},
		// An id is an id, whatever installation the command line is configured for.
		{ref: "20261124T02", want: catalog.Want{Installation: "tl"}, id: "20261124T020000Z-cccc"},
	} {
		t.Run(c.ref, func(t *testing.T) {
			cat, err := catalog.Read(t.Context(), history)
			if err != nil {
				t.Fatal(err)
			}
			p, err := cat.Find(c.ref, c.want)
			if !errors.Is(err, c.err) || p.ID != c.id {
				t.Errorf("found %q, %v; want %q, %v", p.ID, err, c.id, c.err)
			}
			if !strings.Contains(cofre.Hint(err), c.hint) {
				t.Errorf("hint %q lacks %q", cofre.Hint(err), c.hint)
			}
		})
	}
}

func TestComponentAsksForANameOnlyWhereSeveralFit(t *testing.T) {
	cat, err := catalog.Read(t.Context(), history)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := cat.Component("latest", catalog.Want{Kind: cofre.KindDatabase}); !errors.Is(err, cofre.ErrAmbiguous) {
		t.Errorf("two databases, no name: %v", err)
	}
	if _, c, err := cat.Component("latest", catalog.Want{Kind: cofre.KindDatabase, Name: "audit"}); err != nil || c.Name != "audit" {
		t.Errorf("by name: %q, %v", c.Name, err)
	}
	if _, c, err := cat.Component("20261122", catalog.Want{Kind: cofre.KindDatabase}); err != nil || c.Name != "app" {
		t.Errorf("the only one: %q, %v", c.Name, err)
	}
}

func TestNewestIsOfTheSameInstallation(t *testing.T) {
	cat, err := catalog.Read(t.Context(), history)
	if err != nil {
		t.Fatal(err)
	}
	p, _, ok := cat.Newest(cofre.SourceID{Installation: "tl", Kind: cofre.KindConfig, Name: "config"}, true)
	if !ok || p.ID != "20261123T020000Z-bbcc" {
		t.Errorf("newest is %q, %v", p.ID, ok)
	}
	if _, _, ok := cat.Newest(cofre.SourceID{Installation: "third", Kind: cofre.KindConfig, Name: "config"}, true); ok {
		t.Error("found a component of an installation that has none")
	}
}

func TestReadPassesOnWhatTheRepositorySays(t *testing.T) {
	_, err := catalog.Read(t.Context(), failing{})
	if !errors.Is(err, cofre.ErrUnreachable) {
		t.Error(err)
	}
}

type failing struct{}

func (failing) Points(context.Context) iter.Seq2[cofre.RecoveryPoint, error] {
	return func(yield func(cofre.RecoveryPoint, error) bool) {
		yield(cofre.RecoveryPoint{}, cofre.ErrUnreachable)
	}
}

// Of a kind, latest is the newest point that holds it whole, and what was passed over is known by name and cause.
func TestLatestIsWholeAndSaysWhatItPassedOver(t *testing.T) {
	storage := func(partial bool) cofre.Component {
		return cofre.Component{Kind: cofre.KindStorage, Name: "storage", Partial: partial}
	}
	database := cofre.Component{Kind: cofre.KindDatabase, Name: "app"}
	at := func(n int) time.Time { return time.Date(2026, 11, n, 2, 0, 0, 0, time.UTC) }
	down := cofre.Finding{Check: cofre.CheckSource, Kind: cofre.KindStorage, Object: "storage", What: "not captured: unreachable"}
	lost := cofre.Finding{Check: cofre.CheckCapture, Kind: cofre.KindStorage, Object: "a/b", What: "answers 502"}
	cat, err := catalog.Read(t.Context(), points{
		{ID: "1", Installation: "tl", StartedAt: at(1), Components: []cofre.Component{database, storage(false)}},
		{ID: "2", Installation: "tl", StartedAt: at(2), Components: []cofre.Component{database, storage(true)}, Findings: []cofre.Finding{lost}},
		{ID: "3", Installation: "tl", StartedAt: at(3), Components: []cofre.Component{database}, Findings: []cofre.Finding{down}},
		{ID: "4", Installation: "tl", StartedAt: at(4), Components: []cofre.Component{database}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := catalog.Want{Installation: "tl", Kind: cofre.KindStorage}
	p, err := cat.Find(catalog.Latest, want)
	if err != nil || p.ID != "1" {
		t.Fatalf("latest is %q, %v", p.ID, err)
	}
	over := cat.Newer(p, want)
	if len(over) != 2 || over[0].Point != "3" || over[0].Held || over[0].Why != "not captured: unreachable" ||
		over[1].Point != "2" || !over[1].Held || over[1].Why != "a/b: answers 502" {
		t.Errorf("passed over %+v", over)
	}
	if p, err := cat.Find(catalog.Latest, catalog.Want{Installation: "tl", Kind: cofre.KindDatabase}); err != nil || p.ID != "4" || len(cat.Newer(p, catalog.Want{Kind: cofre.KindDatabase})) != 0 {
		t.Errorf("latest with a database is %q, %v", p.ID, err)
	}
	if _, err := cat.Find("3", want); !errors.Is(err, cofre.ErrNotFound) || !strings.Contains(cofre.Hint(err), "storage was not captured: unreachable") {
		t.Errorf("a point without storage: %v, hint %q", err, cofre.Hint(err))
	}
	if l := cat.Lacking(); len(l) != 1 || l[0].Point != "3" {
		t.Errorf("lacking now %+v", l)
	}
	if p, _, ok := cat.Newest(cofre.SourceID{Installation: "tl", Kind: cofre.KindStorage, Name: "storage"}, true); !ok || p.ID != "2" {
		t.Errorf("newest, partial or not: %q", p.ID)
	}
	// Where none is whole, the newest is the best there is.
	cat, err = catalog.Read(t.Context(), points{{ID: "2", Installation: "tl", StartedAt: at(2), Components: []cofre.Component{storage(true)}}})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := cat.Find(catalog.Latest, want); err != nil || p.ID != "2" {
		t.Errorf("latest of partial ones is %q, %v", p.ID, err)
	}
}

// TestPointsOfOneSecondAreInOrder: their ids, which end in chance, say nothing of it.
func TestPointsOfOneSecondAreInOrder(t *testing.T) {
	second := time.Date(2026, 11, 24, 2, 0, 0, 0, time.UTC)
	of := func(id string, part time.Duration) cofre.RecoveryPoint {
		return cofre.RecoveryPoint{ID: cofre.PointID("20261124T020000Z-" + id), Installation: "tl", StartedAt: second.Add(part), Components: []cofre.Component{database("app")}}
	}
	first, next, last := of("zzzz", 100*time.Millisecond), of("mmmm", 200*time.Millisecond), of("aaaa", 300*time.Millisecond)
	for _, listed := range []points{{first, next, last}, {last, next, first}, {next, last, first}} {
		cat, err := catalog.Read(t.Context(), listed)
		if err != nil {
			t.Fatal(err)
		}
		var got []cofre.PointID
		for p := range cat.List(catalog.Want{}) {
			got = append(got, p.ID)
		}
		if want := []cofre.PointID{first.ID, next.ID, last.ID}; !slices.Equal(got, want) {
			t.Errorf("the order is %v, want %v", got, want)
		}
		if p, err := cat.Find(catalog.Latest, catalog.Want{}); err != nil || p.ID != last.ID {
			t.Errorf("latest is %s, %v, want %s", p.ID, err, last.ID)
		}
		if p, _, ok := cat.Newest(cofre.SourceID{Installation: "tl", Kind: cofre.KindDatabase, Name: "app"}, true); !ok || p.ID != last.ID {
			t.Errorf("the newest is %s, want %s", p.ID, last.ID)
		}
	}
}

// A point of a moment that is yet to come is not the newest, and what is the newest without it may be old: nobody chooses between them.
func TestLatestIsNotOfAMomentThatIsYetToCome(t *testing.T) {
	ahead := point("tl", "20261125T020000Z-zzzz", database("app"))
	ahead.StartedAt = time.Now().Add(48 * time.Hour)
	cat, err := catalog.Read(t.Context(), append(points{ahead}, history...))
	if err != nil {
		t.Fatal(err)
	}
	want := catalog.Want{Installation: "tl", Kind: cofre.KindDatabase}
	if _, err := cat.Find(catalog.Latest, want); !errors.Is(err, cofre.ErrAmbiguous) || !strings.Contains(cofre.Hint(err), "20261124T030000Z-dddd is the newest of those that are past") {
		t.Errorf("%v, hint %q", err, cofre.Hint(err))
	}
	if hint := cofre.Hint(func() error { _, err := cat.Find(catalog.Latest, want); return err }()); !strings.Contains(hint, "cofre journal acknowledge "+string(ahead.ID)) {
		t.Errorf("no way on: %q", hint)
	}
	// Whoever knows that its clock was wrong has it passed over, also when its moment has come.
	for _, later := range []time.Duration{48 * time.Hour, -time.Hour} {
		ahead.StartedAt = time.Now().Add(later)
		if cat, err = catalog.Read(t.Context(), append(points{ahead}, history...)); err != nil {
			t.Fatal(err)
		}
		cat.Believe(func(all []cofre.RecoveryPoint) catalog.Belief {
			return catalog.Belief{Points: append([]cofre.RecoveryPoint{all[len(all)-1]}, all[:len(all)-1]...)}
		})
		if p, err := cat.Find(catalog.Latest, want); err != nil || p.ID != "20261124T030000Z-dddd" || len(cat.Newer(p, want)) != 0 {
			t.Errorf("its time is not believed: %s, %v", p.ID, err)
		}
	}
	ahead.StartedAt = time.Now().Add(48 * time.Hour)
	if cat, err = catalog.Read(t.Context(), points{ahead}); err != nil {
		t.Fatal(err)
	}
	if p, err := cat.Find(catalog.Latest, want); err != nil || p.ID != ahead.ID {
		t.Errorf("the only one: %s, %v", p.ID, err)
	}
}

// TestWhatIsNotThereSaysWhatIs: an error of the catalog names the next step.
func TestWhatIsNotThereSaysWhatIs(t *testing.T) {
	cat, err := catalog.Read(t.Context(), history)
	if err != nil {
		t.Fatal(err)
	}
	empty, err := catalog.Read(t.Context(), points{})
	if err != nil {
		t.Fatal(err)
	}
	if got := cat.Installations(); !slices.Equal(got, []string{"other", "tl"}) || empty.Len() != 0 || cat.Len() != len(history) {
		t.Errorf("installations %v, want other and tl", got)
	}
	for _, c := range []struct {
		cat  *catalog.Catalog
		ref  string
		want catalog.Want
		hint string
	}{
		{empty, "20261122", catalog.Want{}, "the catalog is empty; make a point with: cofre backup"},
		{cat, "20270101", catalog.Want{}, "the newest points are 20261124T030000Z-dddd"},
		{cat, catalog.Latest, catalog.Want{Installation: "third"}, "the repository has points of other, tl: set name: other in cofre.yaml"},
		{cat, catalog.Latest, catalog.Want{Installation: "other", Kind: cofre.KindStorage}, "see what there is with: cofre list"},
	} {
		_, err := c.cat.Find(c.ref, c.want)
		if !errors.Is(err, cofre.ErrNotFound) || !strings.HasPrefix(cofre.Hint(err), c.hint) {
			t.Errorf("%s of %+v: %v, hint %q, want %q", c.ref, c.want, err, cofre.Hint(err), c.hint)
		}
	}
	p, err := cat.Find("20261122", catalog.Want{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []catalog.Want{{Kind: cofre.KindStorage}, {Kind: cofre.KindDatabase, Name: "audit"}} {
		if _, c, err := cat.Component(string(p.ID), want); !errors.Is(err, cofre.ErrNotFound) {
			t.Errorf("%+v: %+v, %v, want that it is not there", want, c, err)
		}
	}
}

// TestWhatALaterPointHoldsIsNotLacking: of each source the newest point counts.
func TestWhatALaterPointHoldsIsNotLacking(t *testing.T) {
	down := cofre.Finding{Check: cofre.CheckSource, Kind: cofre.KindDatabase, Object: "app", What: "not captured: unreachable"}
	without, with := history[0], history[1]
	without.Components, without.Findings = []cofre.Component{files}, []cofre.Finding{down}
	for name, c := range map[string]struct {
		points points
		want   int
	}{
		"captured since": {points{without, with}, 0},
		"not captured now": {points{with, func() cofre.RecoveryPoint {
			p := without
			p.ID, p.StartedAt = history[4].ID, history[4].StartedAt
			return p
		}()}, 1},
		"another's, captured": {points{without, history[3]}, 1},
	} {
		cat, err := catalog.Read(t.Context(), c.points)
		if err != nil {
			t.Fatal(err)
		}
		if got := cat.Lacking(); len(got) != c.want {
			t.Errorf("%s: lacking %+v, want %d", name, got, c.want)
		}
	}
}

// TestAPointThatIsGoneIsNotReplacedByAnOlderOne: latest is refused if somebody knows of a newer point that had what is wanted and is gone, and of nothing else.
func TestAPointThatIsGoneIsNotReplacedByAnOlderOne(t *testing.T) {
	at := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	of := func(id cofre.PointID, days int, kinds ...cofre.Kind) cofre.RecoveryPoint {
		p := cofre.RecoveryPoint{ID: id, Installation: "tl", StartedAt: at.AddDate(0, 0, days)}
		for _, k := range kinds {
			p.Components = append(p.Components, cofre.Component{Kind: k, Name: string(k)})
		}
		return p
	}
	old, middle, newest := of("old", 0, cofre.KindDatabase, cofre.KindConfig), of("middle", 1, cofre.KindConfig), of("newest", 2, cofre.KindDatabase)
	for name, c := range map[string]struct {
		there, gone []cofre.RecoveryPoint
		want        catalog.Want
		latest      cofre.PointID // "" if it is refused
	}{
		"an older one":          {points{old, newest}, points{middle}, catalog.Want{}, "newest"},
		"the newest":            {points{old, middle}, points{newest}, catalog.Want{}, ""},
		"of its kind":           {points{old, middle}, points{newest}, catalog.Want{Kind: cofre.KindDatabase}, ""},
		"of another kind":       {points{old, middle}, points{newest}, catalog.Want{Kind: cofre.KindConfig}, "middle"},
		"all of them":           {nil, points{newest}, catalog.Want{}, ""},
		"nobody's":              {points{old}, nil, catalog.Want{}, "old"},
		"of other installation": {points{old}, points{newest}, catalog.Want{Installation: "other"}, "-"},
	} {
		cat, err := catalog.Read(t.Context(), points(c.there))
		if err != nil {
			t.Fatal(err)
		}
		cat.Believe(func(there []cofre.RecoveryPoint) catalog.Belief {
			b := catalog.Belief{Points: append(slices.Clone(there), c.gone...), Gone: map[cofre.PointID]bool{}}
			slices.SortFunc(b.Points, func(a, b cofre.RecoveryPoint) int { return a.StartedAt.Compare(b.StartedAt) })
			for _, p := range c.gone {
				b.Gone[p.ID] = true
			}
			return b
		})
		p, err := cat.Find(catalog.Latest, c.want)
		switch {
		case c.latest == "-":
			if !errors.Is(err, cofre.ErrNotFound) {
				t.Errorf("%s: %s, %v", name, p.ID, err)
			}
		case c.latest == "":
			if !errors.Is(err, cofre.ErrFindings) || !strings.Contains(cofre.Hint(err), "cofre journal acknowledge newest") || !strings.Contains(cofre.Hint(err), "name a recovery point") {
				t.Errorf("%s: %s, %v: %s", name, p.ID, err, cofre.Hint(err))
			}
		case err != nil || p.ID != c.latest:
			t.Errorf("%s: %s, %v", name, p.ID, err)
		}
		if got := len(slices.Collect(cat.List(catalog.Want{}))); got != len(c.there) {
			t.Errorf("%s: %d are listed", name, got)
		}
		if err := cat.Missing(); errors.Is(err, cofre.ErrFindings) != (len(c.gone) > 0) {
			t.Errorf("%s: missing: %v", name, err)
		}
		for _, p := range c.there {
			if _, err := cat.Find(string(p.ID), catalog.Want{}); err != nil {
				t.Errorf("%s: a point that is named: %v", name, err)
			}
		}
	}
}
