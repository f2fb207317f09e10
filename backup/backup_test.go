package backup_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/backup"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// source captures one file that holds its text, and writes down what happened in log.
type source struct {
	kind    cofre.Kind
	name    string
	text    string
	fail    error
	partial bool
	saw     func(*cofre.Capture)
	log     *[]string
}

func (s *source) ID() cofre.SourceID {
	return cofre.SourceID{Installation: "tl", Kind: s.kind, Name: s.name}
}

func (s *source) Capture(ctx context.Context, c *cofre.Capture) (cofre.Captured, error) {
	if s.log != nil {
		*s.log = append(*s.log, "capture "+s.name)
	}
	if s.saw != nil {
		s.saw(c)
	}
	if _, err := c.Session.Put(ctx, cofre.Entry{Path: "file", Mode: 0o600, Size: int64(len(s.text))}, strings.NewReader(s.text)); err != nil {
		return cofre.Captured{}, err
	}
	return cofre.Captured{Partial: s.partial, Warnings: []string{"of " + s.name}}, s.fail
}

// preparing is a source that also prepares.
type preparing struct{ source }

func (s *preparing) Prepare(ctx context.Context, c *cofre.Capture) error {
	*s.log = append(*s.log, "prepare "+s.name)
	_, err := c.Session.Put(ctx, cofre.Entry{Path: "prepared", Mode: 0o600, Size: -1}, strings.NewReader("early"))
	return err
}

// check finds what it is given to find.
type check struct {
	found []cofre.Finding
	fail  error
	log   *[]string
}

func (c check) Name() string                       { return "closure" }
func (c check) Applies(p cofre.RecoveryPoint) bool { return len(p.Components) > 1 }
func (c check) Check(ctx context.Context, p cofre.RecoveryPoint, open func(cofre.Component) (cofre.Tree, error)) ([]cofre.Finding, error) {
	if c.log != nil {
		*c.log = append(*c.log, "check")
	}
	for _, comp := range p.Components {
		if _, err := open(comp); err != nil {
			return nil, err
		}
	}
	return c.found, c.fail
}

func request(sources ...cofre.Source) backup.Request {
	return backup.Request{Installation: "tl", Host: "db1", Version: "v1", Sources: sources}
}

func published(t *testing.T, repo cofre.Repository) []cofre.RecoveryPoint {
	t.Helper()
	var ps []cofre.RecoveryPoint
	for p, err := range repo.Points(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		ps = append(ps, p)
	}
	return ps
}

func TestPreparesFirstThenCapturesInTheOrderOfKinds(t *testing.T) {
	repo := repositorytest.NewMemory()
	var log []string
	var companions []cofre.Companion
	storage := &preparing{source{
		kind: cofre.KindStorage, name: "storage", text: "objects", log: &log,
		saw: func(c *cofre.Capture) { companions = slices.Clone(c.Companions) },
	}}
	req := request(&source{kind: cofre.KindConfig, name: "config", log: &log}, storage, &source{kind: cofre.KindDatabase, name: "app", text: "rows", log: &log})
	req.Checks = []cofre.PointCheck{check{log: &log}}
	p, err := backup.Run(t.Context(), repo, req)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"prepare storage", "capture app", "capture storage", "capture config", "check"}
	if !slices.Equal(log, want) {
		t.Errorf("order %q, want %q", log, want)
	}
	if len(companions) != 1 || companions[0].Component.Name != "app" || companions[0].Tree == nil {
		t.Errorf("storage was captured beside %+v", companions)
	}
	ps := published(t, repo)
	if len(ps) != 1 || ps[0].ID != p.ID || ps[0].Host != "db1" || len(ps[0].Components) != 3 {
		t.Fatalf("published %+v", ps)
	}
	tree, err := repo.Tree(t.Context(), ps[0].Components[1].Root)
	if err != nil {
		t.Fatal(err)
	}
	// What was prepared and what was captured are one component.
	for _, path := range []string{"prepared", "file"} {
		if _, err := tree.Stat(t.Context(), path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestGivesTheNewestComponentOfTheSameSource(t *testing.T) {
	repo := repositorytest.NewMemory()
	first, err := backup.Run(t.Context(), repo, request(&source{kind: cofre.KindDatabase, name: "app", text: "one"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Run(t.Context(), repo, request(&source{kind: cofre.KindDatabase, name: "other"})); err != nil {
		t.Fatal(err)
	}
	var given *cofre.Capture
	s := &source{kind: cofre.KindDatabase, name: "app", text: "two", saw: func(c *cofre.Capture) { given = c }}
	if _, err := backup.Run(t.Context(), repo, request(s)); err != nil {
		t.Fatal(err)
	}
	if given.Previous == nil || given.Previous.Root != first.Components[0].Root || given.PreviousTree == nil || given.Jobs != 1 {
		t.Errorf("given %+v", given)
	}
}

func TestAnErrorOfTheRepositoryPublishesNothing(t *testing.T) {
	boom := errors.New("boom")
	two := []cofre.Source{&source{kind: cofre.KindDatabase, name: "app", text: "rows"}, &source{kind: cofre.KindConfig, name: "config", text: "a=b"}}
	for name, c := range map[string]struct {
		faults []repositorytest.Fault
	}{
		"beginning the second":     {faults: []repositorytest.Fault{{Op: repositorytest.OpBegin, After: 1, Err: boom}}},
		"storing":                  {faults: []repositorytest.Fault{{Op: repositorytest.OpPut, After: 1, Err: boom}}},
		"finishing":                {faults: []repositorytest.Fault{{Op: repositorytest.OpFinish, After: 1, Err: boom}}},
		"publishing":               {faults: []repositorytest.Fault{{Op: repositorytest.OpPublish, Err: boom}}},
		"reading the catalog":      {faults: []repositorytest.Fault{{Op: repositorytest.OpPoints, Err: boom}}},
		"opening what was written": {faults: []repositorytest.Fault{{Op: repositorytest.OpTree, Err: boom}}},
	} {
		t.Run(name, func(t *testing.T) {
			memory := repositorytest.NewMemory()
			repo := repositorytest.Faulty(t, memory, c.faults...)
			req := request(two...)
			p, err := backup.Run(t.Context(), repo, req)
			if !errors.Is(err, boom) || p != nil {
				t.Errorf("returned %v, %v", p, err)
			}
			if ps := published(t, memory); len(ps) != 0 {
				t.Errorf("published %+v", ps)
			}
		})
	}
}

func TestCancellationPublishesNothing(t *testing.T) {
	repo := repositorytest.NewMemory()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	s := &source{kind: cofre.KindDatabase, name: "app", text: "rows"}
	req := request(s, &source{kind: cofre.KindConfig, name: "config"})
	req.Checks = []cofre.PointCheck{cancelling{check{}, func() { cancel(why) }}}
	if _, err := backup.Run(ctx, repo, req); !errors.Is(err, why) {
		t.Errorf("returned %v", err)
	}
	if ps := published(t, repo); len(ps) != 0 {
		t.Errorf("published %+v", ps)
	}
}

type cancelling struct {
	check
	cancel func()
}

func (c cancelling) Check(ctx context.Context, p cofre.RecoveryPoint, open func(cofre.Component) (cofre.Tree, error)) ([]cofre.Finding, error) {
	found, err := c.check.Check(ctx, p, open)
	c.cancel()
	return found, err
}

func TestWhatIsKnownToBeMissingIsPublishedAsPartial(t *testing.T) {
	finding := cofre.Finding{Check: "closure", Kind: cofre.KindStorage, Object: "avatars/1.png", What: "is in the database and not in the storage"}
	for name, c := range map[string]struct {
		found   []cofre.Finding
		partial bool
	}{"a finding": {found: []cofre.Finding{finding}}, "a component": {partial: true}} {
		t.Run(name, func(t *testing.T) {
			repo := repositorytest.NewMemory()
			req := request(&source{kind: cofre.KindDatabase, name: "app"}, &source{kind: cofre.KindStorage, name: "storage", partial: c.partial})
			req.Checks = []cofre.PointCheck{check{found: c.found}}
			p, err := backup.Run(t.Context(), repo, req)
			if !errors.Is(err, cofre.ErrPartial) || p == nil {
				t.Fatalf("returned %v, %v", p, err)
			}
			if !strings.Contains(cofre.Hint(err), string(p.ID)) {
				t.Errorf("hint %q does not lead to the point", cofre.Hint(err))
			}
			ps := published(t, repo)
			if len(ps) != 1 || len(ps[0].Findings) != len(c.found) {
				t.Errorf("published %+v", ps)
			}
		})
	}
}

func TestRefusesWhatCouldNotBeToldApart(t *testing.T) {
	repo := repositorytest.NewMemory()
	for _, sources := range [][]cofre.Source{nil, {&source{kind: cofre.KindConfig, name: "config"}, &source{kind: cofre.KindConfig, name: "config"}}} {
		if _, err := backup.Run(t.Context(), repo, request(sources...)); !errors.Is(err, cofre.ErrConfig) {
			t.Errorf("%d sources: %v", len(sources), err)
		}
	}
}

// A repository that lost the bytes of an old component must still take a new one.
func TestAPreviousComponentThatIsGoneIsNotBuiltUpon(t *testing.T) {
	memory := repositorytest.NewMemory()
	if _, err := backup.Run(t.Context(), memory, request(&source{kind: cofre.KindDatabase, name: "app", text: "one"})); err != nil {
		t.Fatal(err)
	}
	repo := repositorytest.Faulty(t, memory, repositorytest.Fault{Op: repositorytest.OpTree, Err: cofre.ErrNotFound})
	var given *cofre.Capture
	var warned []string
	req := request(&source{kind: cofre.KindDatabase, name: "app", text: "two", saw: func(c *cofre.Capture) { given = c }})
	req.Observer = cofre.ObserverFunc(func(e cofre.Event) {
		if e.Type == cofre.TypeWarning {
			warned = append(warned, e.Text)
		}
	})
	if _, err := backup.Run(t.Context(), repo, req); err != nil {
		t.Fatal(err)
	}
	if given.Previous != nil || len(warned) != 1 {
		t.Errorf("given %+v, warned %q", given.Previous, warned)
	}
}

// A repository that has lost many says so once.
func TestWhatIsNotWholeIsSaidOnce(t *testing.T) {
	memory := repositorytest.NewMemory()
	for i := range 5 {
		if _, err := backup.Run(t.Context(), memory, request(&source{kind: cofre.KindDatabase, name: "app", text: fmt.Sprint(i)})); err != nil {
			t.Fatal(err)
		}
	}
	newest := published(t, memory)
	slices.SortFunc(newest, func(a, b cofre.RecoveryPoint) int { return b.StartedAt.Compare(a.StartedAt) })
	var given *cofre.Capture
	var warned []string
	req := request(&source{kind: cofre.KindDatabase, name: "app", text: "new", saw: func(c *cofre.Capture) { given = c }})
	req.Observer = cofre.ObserverFunc(func(e cofre.Event) {
		if e.Type == cofre.TypeWarning {
			warned = append(warned, e.Text)
		}
	})
	if _, err := backup.Run(t.Context(), repositorytest.Faulty(t, memory, repositorytest.Fault{Op: repositorytest.OpTree, Err: cofre.ErrNotFound, Repeat: 2}), req); err != nil {
		t.Fatal(err)
	}
	want := "3 components of database app are not whole, the newest of point " + string(newest[0].ID)
	if given.Previous == nil || len(warned) != 1 || !strings.HasPrefix(warned[0], want) || !strings.HasSuffix(warned[0], "all of them: cofre verify") {
		t.Errorf("given %+v, warned %q", given.Previous, warned)
	}
}

func TestPlanTouchesNothingAndSaysTheOrder(t *testing.T) {
	repo := repositorytest.NewMemory()
	var log []string
	if _, err := backup.Run(t.Context(), repo, request(&source{kind: cofre.KindDatabase, name: "app", text: "rows"})); err != nil {
		t.Fatal(err)
	}
	plan, err := backup.Plan(t.Context(), repo, request(
		&preparing{source{kind: cofre.KindStorage, name: "storage", log: &log}}, &source{kind: cofre.KindDatabase, name: "app", log: &log}))
	if err != nil {
		t.Fatal(err)
	}
	var verbs []string
	for _, s := range plan.Steps {
		verbs = append(verbs, s.Verb+" "+s.Object)
	}
	want := []string{"prepare storage", "capture database app", "capture storage", "publish one recovery point"}
	if !slices.Equal(verbs, want) || len(log) != 0 || plan.Bytes != 4 {
		t.Errorf("plan %q of %d bytes, and it did %q", verbs, plan.Bytes, log)
	}
	if ps := published(t, repo); len(ps) != 1 {
		t.Errorf("published %d points", len(ps))
	}
}

// failing is a source that fails at one of its steps.
type failing struct {
	source
	step string
}

func (f *failing) ID() cofre.SourceID { return f.source.ID() }

func (f *failing) Prepare(context.Context, *cofre.Capture) error {
	if f.step == "prepare" {
		return errors.New("boom of prepare")
	}
	return nil
}

func (f *failing) Capture(ctx context.Context, c *cofre.Capture) (cofre.Captured, error) {
	switch f.step {
	case "before":
		return cofre.Captured{}, errors.New("boom of before")
	case "reading":
		_, err := c.Session.Put(ctx, cofre.Entry{Path: "file", Mode: 0o600, Size: -1}, iotest.ErrReader(errors.New("boom of reading")))
		return cofre.Captured{}, err
	case "short":
		_, err := c.Session.Put(ctx, cofre.Entry{Path: "file", Mode: 0o600, Size: 9}, strings.NewReader("boom"))
		return cofre.Captured{}, err
	case "panic":
		panic("boom of panic")
	}
	captured, err := f.source.Capture(ctx, c)
	if f.step == "after" {
		err = errors.New("boom of after")
	}
	return captured, err
}

// Each source fails in turn, at each step; what could be captured is published and what could not is in it by name.
func TestEachSourceIsItsOwn(t *testing.T) {
	kinds := []cofre.Kind{cofre.KindDatabase, cofre.KindCluster, cofre.KindStorage, cofre.KindConfig}
	for _, down := range kinds {
		for _, step := range []string{"before", "reading", "short", "panic", "after"} {
			t.Run(string(down)+" "+step, func(t *testing.T) {
				repo := repositorytest.NewMemory()
				var sources []cofre.Source
				for _, k := range kinds {
					s := source{kind: k, name: string(k), text: "of " + string(k)}
					if k == down {
						sources = append(sources, &failing{s, step})
					} else {
						sources = append(sources, &s)
					}
				}
				p, err := backup.Run(t.Context(), repo, request(sources...))
				if p == nil || !errors.Is(err, cofre.ErrPartial) || !strings.Contains(err.Error(), string(down)+" not captured: ") || strings.Contains(err.Error(), "\n") {
					t.Fatalf("returned %v, %v", p, err)
				}
				ps := published(t, repo)
				if len(ps) != 1 || len(ps[0].Components) != 3 {
					t.Fatalf("published %+v", ps)
				}
				if _, there := ps[0].Component(down, ""); there {
					t.Errorf("%s is in the point", down)
				}
				missing := ps[0].Missing()
				if len(missing) != 1 || missing[0].Kind != down || missing[0].Object != string(down) || !strings.HasPrefix(missing[0].What, "not captured: ") {
					t.Errorf("missing %+v", missing)
				}
			})
		}
	}
}

// What is said of one that fails is true of the others: there are some, and they are captured.
func TestTheOthersAreOnlySpokenOfIfThereAreOthers(t *testing.T) {
	for _, c := range []struct {
		name string
		down []cofre.Kind
		of   []cofre.Kind
		want int
	}{
		{"the only one", []cofre.Kind{cofre.KindConfig}, []cofre.Kind{cofre.KindConfig}, 0},
		{"the first", []cofre.Kind{cofre.KindDatabase}, []cofre.Kind{cofre.KindDatabase, cofre.KindConfig}, 1},
		{"the last", []cofre.Kind{cofre.KindConfig}, []cofre.Kind{cofre.KindDatabase, cofre.KindConfig}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var sources []cofre.Source
			for _, k := range c.of {
				s := &source{kind: k, name: string(k), text: "of"}
				if slices.Contains(c.down, k) {
					s.fail = errors.New("boom")
				}
				sources = append(sources, s)
			}
			said := 0
			req := request(sources...)
			req.Observer = cofre.ObserverFunc(func(e cofre.Event) {
				if strings.Contains(e.Text, "the other sources are captured without it") {
					said++
				}
			})
			if _, err := backup.Run(t.Context(), repositorytest.NewMemory(), req); err == nil || said != c.want {
				t.Errorf("said %d times: %v", said, err)
			}
		})
	}
}

// What could not be prepared is captured when its turn comes, in a session of its own.
func TestASourceThatCannotPrepareIsCapturedAllTheSame(t *testing.T) {
	repo := repositorytest.NewMemory()
	var warned []string
	req := request(&source{kind: cofre.KindDatabase, name: "app"}, &failing{source{kind: cofre.KindStorage, name: "storage", text: "objects"}, "prepare"})
	req.Observer = cofre.ObserverFunc(func(e cofre.Event) {
		if e.Type == cofre.TypeWarning {
			warned = append(warned, e.Text)
		}
	})
	p, err := backup.Run(t.Context(), repo, req)
	if err != nil || len(p.Components) != 2 {
		t.Fatalf("returned %+v, %v", p, err)
	}
	if len(warned) != 1 || !strings.Contains(warned[0], "boom of prepare") {
		t.Errorf("warned %q", warned)
	}
}

func TestWhereNothingCouldBeCapturedThereIsNoPoint(t *testing.T) {
	repo := repositorytest.NewMemory()
	down := &source{kind: cofre.KindDatabase, name: "app", fail: fmt.Errorf("connect: %w", cofre.ErrUnreachable)}
	p, err := backup.Run(t.Context(), repo, request(down, &failing{source{kind: cofre.KindStorage, name: "storage"}, "before"}))
	if p != nil || errors.Is(err, cofre.ErrPartial) || !errors.Is(err, cofre.ErrUnreachable) {
		t.Fatalf("returned %v, %v", p, err)
	}
	for _, want := range []string{"back up database app: connect", "back up storage: boom of before"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
	if ps := published(t, repo); len(ps) != 0 {
		t.Errorf("published %+v", ps)
	}
}

func TestACheckThatCannotBeCarriedOutIsAFinding(t *testing.T) {
	repo := repositorytest.NewMemory()
	req := request(&source{kind: cofre.KindDatabase, name: "app"}, &source{kind: cofre.KindStorage, name: "storage"})
	req.Checks = []cofre.PointCheck{check{fail: errors.New("boom")}}
	p, err := backup.Run(t.Context(), repo, req)
	if !errors.Is(err, cofre.ErrPartial) || p == nil || len(p.Findings) != 1 || p.Findings[0].What != "not carried out: boom" {
		t.Errorf("returned %+v, %v", p, err)
	}
}

// A component that lacks something is no base for a source that would take it for whole.
func TestAPartialComponentIsABaseOnlyForWhatLooksAgain(t *testing.T) {
	for _, takes := range []bool{false, true} {
		repo := repositorytest.NewMemory()
		whole, err := backup.Run(t.Context(), repo, request(&source{kind: cofre.KindCluster, name: "c", text: "whole"}))
		if err != nil {
			t.Fatal(err)
		}
		partial, err := backup.Run(t.Context(), repo, request(&source{kind: cofre.KindCluster, name: "c", text: "partial", partial: true}))
		if !errors.Is(err, cofre.ErrPartial) {
			t.Fatal(err)
		}
		want := whole.Components[0].Root
		var given *cofre.Capture
		var s cofre.Source = &source{kind: cofre.KindCluster, name: "c", saw: func(c *cofre.Capture) { given = c }}
		if takes {
			s, want = looking{s}, partial.Components[0].Root
		}
		if _, err := backup.Run(t.Context(), repo, request(s)); err != nil {
			t.Fatal(err)
		}
		if given.Previous == nil || given.Previous.Root != want {
			t.Errorf("takes a partial base: %v; given %+v", takes, given.Previous)
		}
	}
}

type looking struct{ cofre.Source }

func (looking) TakesPartialBase() bool { return true }

func TestASourceIsOpenedWhenItIsNeededAndTriedAgain(t *testing.T) {
	repo := repositorytest.NewMemory()
	id := cofre.SourceID{Installation: "tl", Kind: cofre.KindStorage, Name: "storage"}
	tries := 0
	storage := backup.Opening(id, func(context.Context) (cofre.Source, error) {
		if tries++; tries == 1 {
			return nil, cofre.ErrUnreachable
		}
		return &source{kind: cofre.KindStorage, name: "storage", text: "objects"}, nil
	})
	p, err := backup.Run(t.Context(), repo, request(storage, &source{kind: cofre.KindDatabase, name: "app"}))
	if err != nil || len(p.Components) != 2 || tries != 2 {
		t.Fatalf("returned %+v, %v after %d tries", p, err, tries)
	}
}

// TestACancelledCheckIsNoFinding: a check that ends because the run does says nothing of what was captured.
func TestACancelledCheckIsNoFinding(t *testing.T) {
	repo := repositorytest.NewMemory()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("interrupted")
	var warned []string
	req := request(&source{kind: cofre.KindDatabase, name: "app"}, &source{kind: cofre.KindStorage, name: "storage"})
	req.Checks = []cofre.PointCheck{cancelling{check{fail: context.Canceled}, func() { cancel(why) }}}
	req.Observer = cofre.ObserverFunc(func(e cofre.Event) { warned = append(warned, e.Text) })
	p, err := backup.Run(ctx, repo, req)
	if p != nil || !errors.Is(err, why) || !strings.Contains(err.Error(), "check closure: ") || errors.Is(err, cofre.ErrPartial) {
		t.Errorf("returned %+v, %v, want that it was interrupted in the check", p, err)
	}
	if all := strings.Join(warned, "\n"); strings.Contains(all, "not carried out") {
		t.Errorf("told %s", all)
	}
	if ps := published(t, repo); len(ps) != 0 {
		t.Errorf("published %+v", ps)
	}
}

// TestWhatASourceTellsIsOfItAndItsPoint: who follows several runs can tell whose an event is.
func TestWhatASourceTellsIsOfItAndItsPoint(t *testing.T) {
	repo := repositorytest.NewMemory()
	s := &source{kind: cofre.KindDatabase, name: "app"}
	s.saw = func(c *cofre.Capture) {
		c.Observer.Observe(cofre.Event{Type: cofre.TypeWarning, Text: "said by the source"})
	}
	var told []cofre.Event
	req := request(s)
	req.Observer = cofre.ObserverFunc(func(e cofre.Event) {
		if e.Text == "said by the source" {
			told = append(told, e)
		}
	})
	p, err := backup.Run(t.Context(), repo, req)
	if err != nil {
		t.Fatal(err)
	}
	if len(told) != 1 || told[0].Point != p.ID || told[0].Source != s.ID() || told[0].At.IsZero() {
		t.Errorf("told %+v, want it of %v in %s", told, s.ID(), p.ID)
	}
}

// TestASourceIsOpenedOnce: and if it is another than the one it is opened as, it is not captured.
func TestASourceIsOpenedOnce(t *testing.T) {
	id := cofre.SourceID{Installation: "tl", Kind: cofre.KindStorage, Name: "storage"}
	opened := 0
	storage := backup.Opening(id, func(context.Context) (cofre.Source, error) {
		opened++
		return &source{kind: cofre.KindStorage, name: "storage", text: "objects"}, nil
	})
	if c, ok := storage.(cofre.Checker); !ok {
		t.Error("it has no doctor")
	} else if _, err := c.Doctor(t.Context()); err != nil {
		t.Error(err)
	}
	if p, err := backup.Run(t.Context(), repositorytest.NewMemory(), request(storage)); err != nil || len(p.Components) != 1 || opened != 1 {
		t.Errorf("returned %+v, %v, opened %d times", p, err, opened)
	}
	other := backup.Opening(id, func(context.Context) (cofre.Source, error) {
		return &source{kind: cofre.KindStorage, name: "another"}, nil
	})
	if p, err := backup.Run(t.Context(), repositorytest.NewMemory(), request(other)); p != nil || err == nil || !strings.Contains(err.Error(), "opened source") {
		t.Errorf("another source: %+v, %v", p, err)
	}
	if c, ok := other.(cofre.Checker); ok {
		if _, err := c.Doctor(t.Context()); err == nil {
			t.Error("the doctor of another source found nothing")
		}
	}
}
