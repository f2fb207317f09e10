// Package backup captures sources into components and publishes them together as one recovery point.
//
//	prepare   each source that is a Preparer, before anything is captured
//	capture   one source after another, in the order of cofre.Kinds: begin, capture, finish
//	check     the components against one another
//	publish   last; before it nothing is visible, whatever happens
//
// Each source is its own: one that cannot be captured is a finding of the point, by name, and the others are published.
// What ends the run is the repository, an interruption, or that no source at all could be captured.
//
// It is not a schedule and keeps no state: what it knows of the past is in the repository. Read Run first.
package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/observe"
)

// releaseBound is how long giving a session back may take after the backup was cancelled.
const releaseBound = 30 * time.Second

// repository is what a backup needs of one.
type repository interface {
	Begin(ctx context.Context, source cofre.SourceID) (cofre.Session, error)
	Tree(ctx context.Context, root cofre.ObjectID) (cofre.Tree, error)
	Points(ctx context.Context) iter.Seq2[cofre.RecoveryPoint, error]
	Publish(ctx context.Context, p cofre.RecoveryPoint) error
}

// Request says what to back up.
type Request struct {
	Installation string
	Sources      []cofre.Source
	Checks       []cofre.PointCheck // between components, before they are published
	Jobs         int                // things a source reads at once; below 1 means 1
	Observer     cofre.Observer     // nil observes nothing
	Host         string
	Version      string // of cofre
	// Named gives what is damaged the names that people know; nil leaves the paths of the repository.
	Named func(context.Context, cofre.Damage) cofre.Damage
	// WAL says what of archived WAL is there when the point is published; nil says nothing of it.
	WAL func(context.Context) []cofre.WALHead
}

// Run makes one recovery point of everything requested and returns it as it was published. After an error that
// is not ErrPartial nothing is visible and the point is nil.
//
// Errors: ErrPartial together with the point, if it was published but something that should be in it, a whole
// source even, is known to be missing; ErrConfig for a request that names no source or one twice; those of the
// sources, all of them, if none could be captured; those of the repository.
//
// If the repository is known to be damaged, what still exists at the sources is stored afresh, and the observer is
// told which older points are whole again and which have lost something for good. Damage that comes to light when the
// point is about to be published is healed by capturing once more.
func Run(ctx context.Context, repo repository, req Request) (*cofre.RecoveryPoint, error) {
	run := observe.Begin(req.Observer, cofre.RunBackup, observe.About{Of: cofre.SourceID{Installation: req.Installation}})
	req.Observer = run
	point, err := carryOut(ctx, repo, req)
	run.End(ctx, err)
	return point, err
}

func carryOut(ctx context.Context, repo repository, req Request) (*cofre.RecoveryPoint, error) {
	m := mending{repo: repo, obs: req.Observer, name: req.Named}
	for again := false; ; again = true {
		if err := m.begin(ctx); err != nil {
			return nil, err
		}
		p, err := once(ctx, repo, req)
		if p != nil {
			m.end(ctx)
			return p, err
		}
		if again || ctx.Err() != nil || !cofre.Retryable(err) || !errors.Is(err, cofre.ErrCorrupt) {
			return nil, err
		}
		m.warn(cofre.Say("backup.once_more", "everything is captured once more, because the repository has lost what it deduplicated against: {{.cause}}", "cause", err))
	}
}

// once makes one attempt.
func once(ctx context.Context, repo repository, req Request) (*cofre.RecoveryPoint, error) {
	r, err := begin(ctx, repo, req)
	if err != nil {
		return nil, err
	}
	defer r.release(ctx)
	// What Prepare left going ends with the run, before the sessions are given back.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, c := range r.captures {
		if err := r.prepare(ctx, c); err != nil {
			return nil, err
		}
	}
	for _, c := range r.captures {
		if err := r.capture(ctx, c); err != nil {
			return nil, err
		}
	}
	if len(r.point.Components) == 0 {
		return nil, errors.Join(r.lost...)
	}
	if err := r.check(ctx); err != nil {
		return nil, err
	}
	return r.publish(ctx)
}

// run is one backup under way.
type run struct {
	repo     repository
	req      Request
	point    cofre.RecoveryPoint
	captures []*capturing
	lost     []error // of the sources that could not be captured
	trees    map[cofre.ObjectID]cofre.Tree
}

// capturing is one source of a run. session is nil until it has begun, and after it was given up.
type capturing struct {
	source    cofre.Source
	given     cofre.Capture
	session   *session
	startedAt time.Time
	life      *life
	left      bool // a step of it never returned and may still use the session
}

func begin(ctx context.Context, repo repository, req Request) (*run, error) {
	sources, err := order(req.Sources)
	if err != nil {
		return nil, err
	}
	req.Jobs = max(req.Jobs, 1)
	past, err := catalog.Read(ctx, repo)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	r := &run{
		repo: repo,
		req:  req,
		point: cofre.RecoveryPoint{
			ID: cofre.NewPointID(now), Installation: req.Installation, Host: req.Host, StartedAt: now, Version: req.Version,
		},
		trees: map[cofre.ObjectID]cofre.Tree{},
	}
	for _, s := range sources {
		c := &capturing{source: s, life: &life{to: named(req.Observer, s.ID(), r.point.ID)}}
		c.given = cofre.Capture{Observer: c.life, Jobs: req.Jobs}
		if err := r.recall(ctx, past, c); err != nil {
			return nil, err
		}
		r.captures = append(r.captures, c)
	}
	return r, nil
}

// order puts sources into the order of cofre.Kinds and refuses what could not be told apart in the catalog.
func order(sources []cofre.Source) ([]cofre.Source, error) {
	if len(sources) == 0 {
		return nil, cofre.WithHint(cofre.Fail(cofre.Say("backup.nothing", "nothing to back up"), cofre.ErrConfig), cofre.Say("backup.no_source", "configure a source: database, cluster, storage or config"))
	}
	seen := map[cofre.SourceID]bool{}
	for _, s := range sources {
		if seen[s.ID()] {
			return nil, cofre.WithHint(cofre.Fail(cofre.Say("backup.twice", "source {{.source}} is configured twice", "source", s.ID().Label()), cofre.ErrConfig), cofre.Say("backup.other_name", "give one of them another name in the configuration"))
		}
		seen[s.ID()] = true
	}
	sorted := slices.Clone(sources)
	slices.SortStableFunc(sorted, func(a, b cofre.Source) int {
		return slices.Index(cofre.Kinds(), a.ID().Kind) - slices.Index(cofre.Kinds(), b.ID().Kind)
	})
	return sorted, nil
}

// recall gives a source its newest published component that is whole, as far as is known. One whose bytes the
// repository has lost is no obstacle to a new backup, and never built upon: what a source would not read again because
// it has not changed is read again then.
func (r *run) recall(ctx context.Context, past *catalog.Catalog, c *capturing) error {
	var newest cofre.PointID
	var why error
	n := 0
	defer func() {
		if n > 0 {
			r.warn(c, cofre.SayN("backup.not_whole", n, "the component of point {{.point}} is not whole, and is not built upon: {{.cause}}",
				"{{.n}} components of {{.name}} are not whole, the newest of point {{.point}}, and are not built upon: {{.cause}}; all of them: cofre verify", "point", newest, "cause", why, "name", name(c.source)))
		}
	}()
	for p, comp := range past.Captured(c.source.ID(), takesPartialBase(c.source)) {
		tree, err := r.whole(ctx, comp)
		switch {
		case errors.Is(err, cofre.ErrNotFound), errors.Is(err, cofre.ErrCorrupt):
			if n++; n == 1 {
				newest, why = p.ID, err
			}
			continue
		case err != nil:
			return fmt.Errorf("open the previous component of %s: %w", name(c.source), err)
		}
		c.given.Previous, c.given.PreviousTree = &comp, tree
		return nil
	}
	return nil
}

func takesPartialBase(s cofre.Source) bool {
	p, ok := s.(cofre.PartialBase)
	return ok && p.TakesPartialBase()
}

func (r *run) whole(ctx context.Context, comp cofre.Component) (cofre.Tree, error) {
	if m, ok := r.repo.(cofre.Mender); ok {
		if err := m.Whole(ctx, comp); err != nil {
			return nil, err
		}
	}
	return r.repo.Tree(ctx, comp.Root)
}

// open begins the session of a source. Its errors are the repository's.
func (r *run) open(ctx context.Context, c *capturing) error {
	if c.session != nil {
		return nil
	}
	c.startedAt = time.Now().UTC()
	s, err := r.repo.Begin(ctx, c.source.ID())
	if err != nil {
		return fmt.Errorf("back up %s: %w", name(c.source), err)
	}
	c.session = &session{Session: s}
	c.given.Session = c.session
	return nil
}

// prepare lets a source work ahead. One that cannot is captured all the same, in a session of its own: what stood in
// the way may be gone by then, and if not, the capture says so.
func (r *run) prepare(ctx context.Context, c *capturing) error {
	p, ok := c.source.(cofre.Preparer)
	if !ok {
		return nil
	}
	if err := r.open(ctx, c); err != nil {
		return err
	}
	err := r.step(ctx, c, cofre.Say("backup.do_prepare", "prepare"), func() error { return p.Prepare(ctx, &c.given) })
	if err == nil {
		return nil
	}
	err = fmt.Errorf("prepare %s: %w", name(c.source), err)
	if ctx.Err() != nil || c.session.failed() != nil {
		return err
	}
	r.warn(c, cofre.Say("backup.prepared_later", "{{.cause}}; it is tried again when its turn comes", "cause", err))
	r.giveUp(ctx, c)
	return nil
}

// capture makes a component of a source, or a finding if it cannot be captured.
//
// Errors: those of the repository; that of the context.
func (r *run) capture(ctx context.Context, c *capturing) error {
	if err := r.open(ctx, c); err != nil {
		return err
	}
	for _, comp := range r.point.Components {
		c.given.Companions = append(c.given.Companions, cofre.Companion{Component: comp, Tree: r.trees[comp.Root]})
	}
	var captured cofre.Captured
	err := r.step(ctx, c, cofre.Say("backup.do_capture", "capture"), func() (err error) {
		captured, err = c.source.Capture(ctx, &c.given)
		return err
	})
	if err != nil {
		err = fmt.Errorf("back up %s: %w", name(c.source), err)
		if ctx.Err() != nil || c.session.failed() != nil {
			return err
		}
		r.lose(ctx, c, err)
		return nil
	}
	content, err := c.given.Session.Finish(ctx)
	if err != nil {
		return fmt.Errorf("back up %s: %w", name(c.source), err)
	}
	tree, err := r.repo.Tree(ctx, content.Root)
	if err != nil {
		return fmt.Errorf("read back %s: %w", name(c.source), err)
	}
	r.trees[content.Root] = tree
	component := cofre.Component{
		Kind: c.source.ID().Kind, Name: c.source.ID().Name,
		StartedAt: c.startedAt, EndedAt: time.Now().UTC(),
		Content: content, Facts: captured.Facts, Warnings: captured.Warnings, Partial: captured.Partial, Messages: captured.Messages,
	}
	r.point.Components = append(r.point.Components, component)
	cofre.Tell(c.given.Observer, cofre.ComponentCaptured{Component: component})
	for _, f := range captured.Findings {
		f.Kind = c.source.ID().Kind
		f.Check = cmp.Or(f.Check, cofre.CheckCapture)
		r.find(c.given.Observer, f)
	}
	return nil
}

// find adds findings to the point, and tells of them.
func (r *run) find(to cofre.Observer, found ...cofre.Finding) {
	for _, f := range found {
		r.point.Findings = append(r.point.Findings, f)
		cofre.Tell(to, cofre.FindingMade{Finding: f})
	}
}

// lose goes on without a source, and keeps its name and the reason in the point.
func (r *run) lose(ctx context.Context, c *capturing, err error) {
	id := c.source.ID()
	r.lost = append(r.lost, err)
	cause := err
	if inner := errors.Unwrap(err); inner != nil {
		cause = inner // the finding names the source itself
	}
	what := cofre.Say("backup.not_captured", "not captured: {{.cause}}", "cause", cause)
	if hint := cofre.HintOf(err); !hint.IsZero() {
		what = cofre.Say("backup.not_captured_hint", "not captured: {{.cause}} ({{.hint}})", "cause", cause, "hint", hint)
	}
	r.find(c.given.Observer, cofre.Finding{Check: cofre.CheckSource, Kind: id.Kind, Object: id.Name}.Saying(what))
	if len(r.point.Components) > 0 || c != r.captures[len(r.captures)-1] { // otherwise the run ends with err
		r.warn(c, cofre.Say("backup.without", "{{.cause}}; the other sources are captured without it", "cause", err))
	}
	r.giveUp(ctx, c)
}

func (r *run) warn(c *capturing, m cofre.Message) {
	c.given.Observer.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeWarning}.Saying(m))
}

func (r *run) check(ctx context.Context) error {
	for _, check := range r.req.Checks {
		if !check.Applies(r.point) {
			continue
		}
		found, err := check.Check(ctx, r.point, func(c cofre.Component) (cofre.Tree, error) {
			if t, ok := r.trees[c.Root]; ok {
				return t, nil
			}
			return r.repo.Tree(ctx, c.Root)
		})
		if ctx.Err() != nil {
			return fmt.Errorf("check %s: %w", check.Name(), context.Cause(ctx))
		}
		if err != nil {
			// What was captured is none the worse for it, and verify carries the check out again.
			found = append(found, cofre.Finding{Check: check.Name()}.Saying(cofre.Say("check.not_carried_out", "not carried out: {{.cause}}", "cause", err)))
		}
		r.find(r.req.Observer, found...)
	}
	return nil
}

// publish makes the point visible. A crash before it leaves content that nothing refers to, which the next
// capture of the same bytes finds again and pruning otherwise takes away.
func (r *run) publish(ctx context.Context) (*cofre.RecoveryPoint, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if r.req.WAL != nil {
		r.point.WAL = r.req.WAL(ctx)
	}
	r.point.PublishedAt = time.Now().UTC()
	if err := r.repo.Publish(ctx, r.point); err != nil {
		return nil, fmt.Errorf("publish recovery point %s: %w", r.point.ID, err)
	}
	r.req.Observer.Observe(cofre.Event{At: time.Now(), Type: cofre.TypePublished, Point: r.point.ID, Fact: cofre.PointPublished{Point: r.point}})
	return &r.point, Partial(r.point)
}

// Partial says whether a point is known to lack something.
//
// Errors: ErrPartial, which says in one line what it lacks, with the command that shows it.
func Partial(p cofre.RecoveryPoint) error {
	var lacking cofre.Message
	add := func(m cofre.Message) { lacking = cofre.List(lacking, m) }
	for _, f := range p.Missing() {
		add(cofre.Say("backup.lacks", "{{.source}} {{.what}}", "source", cofre.SourceID{Kind: f.Kind, Name: f.Object}.Label(), "what", f.Messages.Of(f.What)))
	}
	for _, c := range p.Components {
		if c.Partial {
			add(cofre.Say("backup.component_partial", "{{.source}} is not whole", "source", cofre.SourceID{Kind: c.Kind, Name: c.Name}.Label()))
		}
	}
	if n := len(p.Findings) - len(p.Missing()); n > 0 {
		add(cofre.SayN("backup.findings", n, "1 finding", "{{.n}} findings"))
	}
	if lacking.IsZero() {
		return nil
	}
	return cofre.WithHint(cofre.Fail(cofre.Say("point.id", "recovery point {{.point}}", "point", p.ID), cofre.ErrPartial, cofre.Fail(lacking)),
		cofre.Say("backup.see_missing", "see what is missing with: cofre show {{.point}}", "point", p.ID))
}

// release gives every session back. What they did not finish is given up; sessions already finished do not mind.
func (r *run) release(ctx context.Context) {
	for _, c := range r.captures {
		r.giveUp(ctx, c)
	}
}

// giveUp closes the session of a source. Its errors have nobody who could act on them: the capture's own error, or its
// publication, has been said.
func (r *run) giveUp(ctx context.Context, c *capturing) {
	if c.session == nil || c.left {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseBound)
	defer cancel()
	if err := c.session.Close(ctx); err != nil {
		r.warn(c, cofre.Say("backup.session", "close the session of {{.source}}: {{.cause}}", "source", name(c.source), "cause", err))
	}
	c.session, c.given.Session = nil, nil
}

// named fills in what a source need not say about its own events.
func named(o cofre.Observer, id cofre.SourceID, point cofre.PointID) cofre.Observer {
	return cofre.ObserverFunc(func(e cofre.Event) {
		if e.At.IsZero() {
			e.At = time.Now()
		}
		if e.Source == (cofre.SourceID{}) {
			e.Source = id
		}
		if e.Point == "" {
			e.Point = point
		}
		o.Observe(e)
	})
}

// name is a source as a person calls it.
func name(s cofre.Source) string { return s.ID().Label() }
