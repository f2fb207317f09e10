package restoring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/spill"
)

// Held is a storage component of another point.
type Held struct {
	Point cofre.PointID
	// Open returns its tree. It is called only if the restore lacks something.
	Open func(ctx context.Context) (cofre.Tree, error)
}

// chosen is what is to be restored: a content, or the reason why there is none.
type chosen struct {
	x    bucket.Indexed
	lack cofre.Message
}

// selectObjects keeps what is to be restored by its new place.
func (t *Target) selectObjects(ctx context.Context) error {
	if t.cfg.ForDatabase != nil {
		return t.selectForDatabase(ctx)
	}
	return t.eachShard(ctx, t.tree, true, func(shard string, held map[string][]bucket.Indexed) error {
		for path, xs := range held {
			c, ok := counting(xs)
			switch {
			case !ok:
			case !c.lack.IsZero():
				t.lacks(path, c.lack)
			default:
				if err := t.want(0, shard, c.x); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// counting picks the content that counted when the component was captured. It is not ok if the object was gone by then.
func counting(xs []bucket.Indexed) (chosen, bool) {
	if i := slices.IndexFunc(xs, func(x bucket.Indexed) bool { return x.File != "" && !x.Superseded }); i >= 0 {
		return chosen{x: xs[i]}, true
	}
	if slices.ContainsFunc(xs, func(x bucket.Indexed) bool { return x.Superseded }) {
		return chosen{}, false
	}
	return chosen{lack: xs[0].Why()}, true
}

// eachShard hands the index of each shard of a component, as far as it is wanted, to f, by path. The index of an own component that is lost is named.
func (t *Target) eachShard(ctx context.Context, tree cofre.Tree, own bool, f func(shard string, held map[string][]bucket.Indexed) error) error {
	shards, s, err := t.shardsOf(ctx, tree)
	if err != nil {
		return err
	}
	for _, shard := range shards {
		held := map[string][]bucket.Indexed{}
		for x, err := range bucket.ReadShard(ctx, tree, shard) {
			if err != nil && t.passes(own, shard, s, err) {
				break
			}
			if err != nil {
				return err
			}
			if t.wants(x.Object) {
				held[x.Path()] = append(held[x.Path()], x)
			}
		}
		if err := f(shard, held); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// want keeps one content, of the tree of that number, to be restored. Not for several goroutines.
func (t *Target) want(tree int, shard string, x bucket.Indexed) error {
	l := bucket.Locate(shard, x)
	l.Tree = tree
	l.Object = t.place(l.Object)
	if l.Size > t.largest.Size {
		t.largest = l.Object
	}
	if x.Suspect != "" {
		t.leave(object(x.Path()), cofre.Say("bucket.promised_bytes", "the bytes that its row promises"), cofre.Say("bucket.captured_suspect", "what was captured: {{.why}}", "why", x.Why()))
	}
	t.counts.wanted++
	t.total += l.Size
	return t.wanted.Add(l.Bucket, l.Name, l.Size, l)
}

func (t *Target) lacks(path string, why cofre.Message) {
	t.mu.Lock()
	t.counts.missing++
	t.mu.Unlock()
	t.leave(object(path), asCaptured(), cofre.Say("bucket.not_in_point", "missing from the recovery point: {{.why}}", "why", why))
}

// pending is an object that a database names in a version that no component met so far holds.
type pending struct {
	Row bucket.Object
	// Like are contents of its name and size, each once: its bytes may be those of one.
	Like []bucket.Located
}

// selectForDatabase finds the version of each object that the database names: in the component, in those of the other
// points, and at last with the service itself, which may serve what no point holds.
func (t *Target) selectForDatabase(ctx context.Context) error {
	open := spill.New(t.cfg.TempDir)
	defer func() { _ = open.Close() }() // an unlinked file: nothing is lost with it
	for o, err := range t.cfg.ForDatabase.Rows(ctx) {
		if err != nil {
			return fmt.Errorf("read which objects the database names: %w", err)
		}
		// Of buckets that are backed up elsewhere, or not at all, this component promises nothing.
		if t.wants(o) && t.facts.Covers(o.Bucket) {
			if err := open.Add(o.Bucket, o.Name, o.Size, pending{Row: o}); err != nil {
				return err
			}
		}
	}
	for i := 0; open.Rows > 0 && i <= len(t.cfg.Others); i++ {
		if i > 0 {
			tree, err := t.cfg.Others[i-1].Open(ctx)
			if err != nil {
				return fmt.Errorf("look for versions in point %s: %w", t.cfg.Others[i-1].Point, err)
			}
			t.trees = append(t.trees, tree)
		}
		rest, err := t.match(ctx, i, open)
		_ = open.Close()
		if open = rest; err != nil {
			return err
		}
	}
	return t.askService(ctx, open)
}

// match chooses what the tree of that number holds, and returns what is still open.
func (t *Target) match(ctx context.Context, tree int, open *spill.File) (*spill.File, error) {
	rest := spill.New(t.cfg.TempDir)
	return rest, t.eachShard(ctx, t.trees[tree], false, func(shard string, held map[string][]bucket.Indexed) error {
		rows, err := spill.Records[pending](open, shard)
		if err != nil {
			return err
		}
		for _, p := range rows {
			xs := held[p.Row.Path()]
			i := slices.IndexFunc(xs, func(x bucket.Indexed) bool {
				return x.File != "" && x.Suspect == "" && (bucket.SameContent(x.Object, p.Row) || bucket.SameBytes(x, p.Row))
			})
			if i >= 0 {
				err = t.want(tree, shard, ofRow(p.Row, xs[i]))
			} else {
				p.add(tree, shard, xs)
				err = rest.Add(p.Row.Bucket, p.Row.Name, p.Row.Size, p)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// ofRow is a content under the row that names it.
func ofRow(row bucket.Object, x bucket.Indexed) bucket.Indexed {
	size := x.Size
	x.Object = bucket.Enrich(row, x.Object)
	x.Size = size
	return x
}

func (p *pending) add(tree int, shard string, xs []bucket.Indexed) {
	for _, x := range xs {
		if x.File == "" || x.Suspect != "" || x.Size != p.Row.Size ||
			slices.ContainsFunc(p.Like, func(l bucket.Located) bool { return l.SHA256 == x.SHA256 }) {
			continue
		}
		l := bucket.Locate(shard, x)
		l.Tree = tree
		p.Like = append(p.Like, l)
	}
}

// askService settles what no component holds by its version: an object that the service delivers is read, and is a
// content that was captured, or it is what its row says, which no point holds. What is not delivered is missing.
func (t *Target) askService(ctx context.Context, open *spill.File) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(t.cfg.Jobs)
	for _, shard := range spill.Shards(spill.MaxDigits) {
		rows, err := spill.Records[pending](open, shard)
		if err != nil {
			return errors.Join(err, g.Wait())
		}
		for _, p := range rows {
			g.Go(func() error { return t.ask(gctx, p) })
		}
	}
	return g.Wait()
}

func (t *Target) ask(ctx context.Context, p pending) error {
	var now bucket.Object
	var sum summed
	var err error
	if len(p.Like) > 0 {
		now, sum, err = t.readSum(ctx, p.Row)
	} else if now, err = t.look(ctx, p.Row); err == nil {
		sum.size = now.Size
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, cofre.ErrDenied), errors.Is(err, cofre.ErrUnreachable):
		return fmt.Errorf("look at %s: %w", p.Row.Path(), err)
	case err != nil:
		t.lacks(p.Row.Path(), cofre.Say("bucket.version_gone", "no point holds version {{.version}}, and the storage does not deliver it", "version", cmp.Or(p.Row.Version, "-")))
		return nil
	}
	if i := slices.IndexFunc(p.Like, func(l bucket.Located) bool { return l.SHA256 == sum.sha }); i >= 0 {
		l := p.Like[i]
		t.mu.Lock()
		defer t.mu.Unlock()
		return t.want(l.Tree, l.Shard, ofRow(p.Row, l.Indexed))
	}
	if (p.Row.Size < 0 || sum.size == p.Row.Size) && (p.Row.ETag == "" || now.ETag == p.Row.ETag || sum.md5 == p.Row.ETag) {
		t.count(&t.counts.served)
		return nil
	}
	t.lacks(p.Row.Path(), cofre.Say("bucket.version_other", "no point holds version {{.version}}, and the storage delivers something else", "version", cmp.Or(p.Row.Version, "-")))
	return nil
}
