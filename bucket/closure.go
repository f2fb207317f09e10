package bucket

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket/spill"
)

// Closure is the check that a captured database and a captured storage belong together: every object that the database
// names is in the captured storage, the same version or the same bytes, and every captured object is named. It is a
// cofre.PointCheck.
type Closure struct {
	// Rows yields the objects that a captured database names: see Rowed.
	Rows    func(ctx context.Context, database cofre.Component, t cofre.Tree) (iter.Seq2[Object, error], error)
	TempDir string // for inventories of more than some ten thousand objects; the system's if empty
}

var _ cofre.PointCheck = Closure{}

// maxFindings bounds what a check returns; beyond it objects are counted.
const maxFindings = 10000

// Name is closure.
func (Closure) Name() string { return "closure" }

// Applies reports whether p has a database and a storage whose objects a database names.
func (Closure) Applies(p cofre.RecoveryPoint) bool {
	_, _, ok := closureOf(p)
	return ok
}

func closureOf(p cofre.RecoveryPoint) (databases []cofre.Component, storage cofre.Component, ok bool) {
	for _, c := range p.Components {
		switch c.Kind {
		case cofre.KindDatabase:
			databases = append(databases, c)
		case cofre.KindStorage:
			var f Facts
			if json.Unmarshal(c.Facts, &f) == nil && f.Kept().Rows {
				storage, ok = c, true
			}
		}
	}
	return databases, storage, ok && len(databases) > 0
}

// Check names each object that is missing, different or an orphan. A database of another application, which
// names none, is no finding.
//
// Errors: those of open; cofre.ErrCorrupt and others of reading a component; of the files in TempDir; the error of ctx.
func (cl Closure) Check(ctx context.Context, p cofre.RecoveryPoint, open func(cofre.Component) (cofre.Tree, error)) ([]cofre.Finding, error) {
	databases, storage, ok := closureOf(p)
	if !ok {
		return nil, nil
	}
	var facts Facts
	if err := json.Unmarshal(storage.Facts, &facts); err != nil {
		return nil, fmt.Errorf("read the facts of %s: %w", storage.Name, err)
	}
	rows := spill.New(cl.TempDir)
	defer rows.Close()
	any := false
	for _, c := range databases {
		tree, err := open(c)
		if err != nil {
			return nil, err
		}
		found, err := cl.takeRows(ctx, c, tree, facts, rows)
		if err != nil {
			return nil, err
		}
		any = any || found
	}
	if !any {
		return nil, nil
	}
	tree, err := open(storage)
	if err != nil {
		return nil, err
	}
	return compareClosure(ctx, tree, rows)
}

// takeRows keeps the rows of the buckets that the storage component covers.
func (cl Closure) takeRows(ctx context.Context, c cofre.Component, t cofre.Tree, facts Facts, into *spill.File) (bool, error) {
	seq, err := cl.Rows(ctx, c, t)
	if isNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for o, err := range seq {
		if err != nil {
			return false, err
		}
		if !facts.Covers(o.Bucket) {
			continue
		}
		if err := into.Add(o.Bucket, o.Name, o.Size, o); err != nil {
			return false, err
		}
	}
	return true, ctx.Err()
}

func compareClosure(ctx context.Context, t cofre.Tree, rows *spill.File) ([]cofre.Finding, error) {
	s, err := ReadShards(ctx, t)
	if err != nil {
		return nil, err
	}
	var found []cofre.Finding
	over := 0
	report := func(o Object, what cofre.Message) {
		if len(found) >= maxFindings {
			over++
			return
		}
		found = append(found, cofre.Finding{Check: "closure", Kind: cofre.KindStorage, Object: o.Path()}.Saying(what))
	}
	for _, shard := range spill.Shards(s.Digits) {
		named, err := spill.Records[Object](rows, shard)
		if err != nil {
			return nil, err
		}
		held := map[string][]Indexed{}
		for x, err := range ReadShard(ctx, t, shard) {
			if err != nil {
				return nil, err
			}
			held[x.Path()] = append(held[x.Path()], x)
		}
		for _, o := range named {
			if what := lackingOf(o, held[o.Path()]); !what.IsZero() {
				report(o, what)
			}
			delete(held, o.Path())
		}
		for _, x := range orphans(held) {
			report(x.Object, cofre.Say("bucket.orphan", "captured, but the captured database has no row for it: it was created after the dump, or is an orphan in the storage"))
		}
	}
	if over > 0 {
		found = append(found, cofre.Finding{Check: "closure", Kind: cofre.KindStorage}.Saying(cofre.SayN("bucket.more", over, "and 1 more object", "and {{.n}} more objects")))
	}
	slices.SortStableFunc(found, func(a, b cofre.Finding) int { return compareNames(a.Object, b.Object) })
	return found, ctx.Err()
}

// lackingOf says what the captured storage lacks of an object that the database names, or nothing.
func lackingOf(row Object, held []Indexed) cofre.Message {
	why := cofre.Say("bucket.missing", "missing from the captured storage")
	for _, x := range held {
		switch {
		case x.Missing != "":
			why = cofre.Say("bucket.missing_because", "missing from the captured storage: {{.why}}", "why", x.Why())
		case x.Suspect != "":
			return cofre.Say("bucket.suspect", "captured, but not the bytes that its row promises: {{.why}}", "why", x.Why())
		case SameContent(x.Object, row), SameBytes(x, row):
			return cofre.Message{}
		default:
			why = cofre.Say("bucket.other_version", "different: the captured database names version {{.row}}, the captured storage has {{.held}}", "row", orNone(row.Version), "held", orNone(x.Version))
		}
	}
	return why
}

// SameBytes reports whether an object, though of another version, has the bytes that a row promises.
func SameBytes(x Indexed, row Object) bool {
	return IsMD5(row.ETag) && x.MD5 == row.ETag && x.Size == row.Size
}

func orphans(held map[string][]Indexed) []Indexed {
	var out []Indexed
	for _, xs := range held {
		for _, x := range xs {
			// A superseded content is kept on purpose, and a missing object is no object.
			if !x.Superseded && x.Missing == "" {
				out = append(out, x)
			}
		}
	}
	return out
}
