package repository

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/readback"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/repository/told"
)

const (
	verifyReaders = 2 // of contents
	// mostFindings bounds what one component reports: a pack that is lost may hold ten thousand files.
	mostFindings = 50
)

// Verify checks the repository and what the points refer to in it.
//
// At LevelStructure every file that was ever written and not removed is there with its length, and everything
// the points refer to is in one of them. At LevelContent every byte of every file that is due is read and compared with
// its seal as well. What others keep in the same store, such as WAL segments, is theirs to verify.
//
// Errors: those of the store; the error of ctx. Whatever is wrong with what is stored is a finding, with the name of the file.
func (r *Repository) Verify(ctx context.Context, points []cofre.RecoveryPoint, how cofre.Verification) iter.Seq2[cofre.Finding, error] {
	obs := how.Observer
	if obs == nil {
		obs = cofre.Discard
	}
	return func(yield func(cofre.Finding, error) bool) {
		v := &verification{repo: r, Verification: how, yield: yield}
		v.Observer = obs
		v.files = &readback.Check{Store: r.store, Naming: r.blobs.Naming, Ledger: r.ledger, Level: how.Level, Proven: how.Proven, Progress: v.progress}
		began := cofre.Event{At: time.Now(), Type: cofre.TypeTaskBegan, Unit: cofre.UnitBytes}.Doing(verifyTask())
		obs.Observe(began)
		err := v.run(ctx, points)
		if err != nil {
			err = fmt.Errorf("verify repository %s: %w", r.URL(), err)
		}
		obs.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeTaskEnded, Unit: cofre.UnitBytes, Done: v.done.Load(), Total: v.files.Total, Err: err}.Doing(verifyTask()))
		if err != nil && !v.enough {
			yield(cofre.Finding{}, err)
		}
	}
}

type verification struct {
	cofre.Verification
	repo   *Repository
	yield  func(cofre.Finding, error) bool
	enough bool // the caller wants no more
	files  *readback.Check
	known  knownDamage
	done   atomic.Int64
}

func (v *verification) run(ctx context.Context, points []cofre.RecoveryPoint) error {
	// The blobs are listed before the seals are read: an index that is listed was sealed before it was written.
	if err := v.files.List(ctx); err != nil {
		return err
	}
	var err error
	if v.known, err = v.repo.readDamage(ctx); err != nil {
		return err
	}
	v.files.Known = v.known.names(v.repo.blobs.Naming)
	ledger, err := v.files.Ask(ctx)
	if err != nil {
		return err
	}
	for _, name := range ledger.Half {
		v.Observer.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeNote}.Saying(cofre.Say("repository.half_sealed",
			"{{.name}} is not there; what it confirms is whole, and nothing is lost: a capture or a prune is writing it, or was killed before it did, or the storage has lost it; the next backup or prune writes it", "name", name)))
	}
	problems := ledger.Problems
	found, err := v.files.Sealed(ctx)
	if err != nil {
		return err
	}
	problems = append(problems, found...)
	found, single, err := v.files.Spares(ctx)
	if err != nil {
		return err
	}
	if len(single) > 0 {
		v.Observer.Observe(readback.Single(single))
	}
	problems = append(problems, found...)
	unsealed, found, err := v.checkUnsealed(ctx, ledger)
	if err != nil {
		return err
	}
	problems = append(problems, found...)
	if problems, err = v.files.StillThere(ctx, problems); err != nil {
		return err
	}
	d, err := v.examine(ctx, problems)
	if err != nil {
		return err
	}
	for _, p := range d.problems {
		if !v.report(cofre.Finding{Object: p.Name}.Saying(told.Problem(p.Name, p.What, slices.Contains(d.mendable, p.Name)))) {
			return nil
		}
	}
	if d.unread != nil {
		v.report(cofre.Finding{}.Saying(cofre.Say("repository.indexes_unread", "the indexes cannot be read: {{.cause}}", "cause", d.unread)))
		return nil
	}
	if err := v.checkPoints(ctx, points, d, unsealed); err != nil || v.enough {
		return err
	}
	return v.remember(ctx, points, d)
}

// damage is what a verification found so far, and what it learns from the walk of the points.
type damage struct {
	problems []seal.Problem // with files of the store
	unread   error          // the indexes, which then say nothing
	known    knownDamage
	found    *examined
	packs    map[blob.ID]int64
	suspects map[blob.ID]string
	record   *recordBuilder
	mendable []string // of the problems' files, that have a spare or are one
}

// examine finds what the damaged files have taken with them. A pack that holds nothing which counts is no problem: what
// was in it has been stored afresh.
func (v *verification) examine(ctx context.Context, problems []seal.Problem) (*damage, error) {
	d := &damage{problems: problems, record: newRecord(v.repo)}
	if err := v.mend(ctx, d); err != nil {
		return nil, err
	}
	suspects := slices.DeleteFunc(slices.Clone(d.problems), func(p seal.Problem) bool { return slices.Contains(d.mendable, p.Name) })
	d.suspects = v.repo.damagedPacks(suspects)
	err := v.repo.refresh(ctx)
	if err != nil && !seal.IsOutside(err) && v.repo.passOver(ctx) {
		err = v.repo.refresh(ctx)
	}
	if err != nil {
		d.unread = err
		if seal.IsOutside(err) {
			return nil, err
		}
		return d, nil
	}
	if d.packs, err = v.repo.listPacks(ctx); err != nil {
		return nil, err
	}
	d.known = v.known
	if d.found, err = v.repo.examine(ctx, d.packs, d.suspects); err != nil {
		return nil, err
	}
	hidden := v.repo.Unread(ctx) != nil // what an index that cannot be read names may be in any pack
	if err := v.decrypt(ctx, d, hidden); err != nil {
		return nil, err
	}
	holds := map[blob.ID]bool{}
	for _, i := range append(d.found.bad, d.found.good...) {
		holds[i.PackBlobID] = true
	}
	d.problems = slices.DeleteFunc(d.problems, func(p seal.Problem) bool {
		id, ok := v.repo.blobs.Naming.ID(p.Name)
		over := ok && blobs.IsPack(id) && !hidden && !holds[id] && !slices.Contains(d.mendable, p.Name)
		if over {
			v.files.Drop(p.Name)
		}
		return over
	})
	return d, nil
}

// mend has what is kept twice read from the copy that is whole. A verification puts nothing right.
func (v *verification) mend(ctx context.Context, d *damage) error {
	if !slices.ContainsFunc(d.problems, func(p seal.Problem) bool { return v.repo.keptTwice(p.Name) }) {
		return nil
	}
	look := &Repository{config: v.repo.config, store: v.repo.store, blobs: v.repo.blobs}
	look.config.ReadOnly = true
	var err error
	if d.mendable, err = look.mend(ctx); err != nil {
		return err
	}
	d.record.rec.Files = d.mendable
	return nil
}

// remember writes down what was found, so that the next backup knows, and takes back what is right again.
func (v *verification) remember(ctx context.Context, points []cofre.RecoveryPoint, d *damage) error {
	for _, i := range d.found.bad {
		d.record.content(i.ContentID, i.PackBlobID, d.found.lost[i.ContentID])
	}
	for _, i := range d.found.good {
		d.record.pack(i.PackBlobID, d.suspects[i.PackBlobID])
	}
	rec := &d.record.rec
	v.supersede(d)
	if d.news() {
		all, err := v.repo.points(ctx)
		if err != nil {
			all = nil // a finding of its own by now
		}
		walked := map[cofre.PointID]bool{}
		for _, p := range points {
			walked[p.ID] = true
		}
		all = slices.DeleteFunc(all, func(p cofre.RecoveryPoint) bool { return walked[p.ID] })
		if err := v.repo.entriesOf(ctx, all, d.packs, d.record, d.found.lost); err != nil {
			return err
		}
	} else if len(rec.Settles) == 0 {
		return nil
	} else {
		*rec = damageRecord{Settles: rec.Settles, Settled: true}
	}
	if _, err := v.repo.remember(ctx, *rec); err != nil {
		return cofre.WithHint(fmt.Errorf("what was found could not be written down, so that the next backup will not know of it: %w", err),
			cofre.Say("repository.may_create", "verify with credentials that may create objects below {{.prefix}}", "prefix", damagePrefix))
	}
	return nil
}

// supersede finds the records that nobody has acted upon and that this verification has not confirmed: what they name
// was brought back.
func (v *verification) supersede(d *damage) {
	for _, name := range d.known.open() {
		rec := d.known[name]
		confirmed := len(rec.Files) > 0 && len(d.record.rec.Files) > 0 || slices.ContainsFunc(rec.Packs, func(p damagedPack) bool { return d.record.packs[p.Pack] }) ||
			slices.ContainsFunc(rec.Contents, func(c lostContent) bool { _, is := d.record.index[c.ID]; return is })
		structural := !slices.ContainsFunc(rec.Packs, func(p damagedPack) bool { return !strings.HasPrefix(p.What, "is missing") })
		if !confirmed && (v.Level == cofre.LevelContent || structural) {
			d.record.rec.Settles = append(d.record.rec.Settles, name)
		}
	}
}

// news reports whether something was found that no record knows.
func (d *damage) news() bool {
	packs, contents := map[blob.ID]bool{}, map[content.ID]bool{}
	for _, rec := range d.known {
		for _, p := range rec.Packs {
			packs[p.Pack] = packs[p.Pack] || !rec.Settled
		}
		for _, c := range rec.Contents {
			contents[c.ID] = true
		}
	}
	rec := d.record.rec
	if len(rec.Files) > 0 && !d.known.files() {
		return true
	}
	return slices.ContainsFunc(rec.Packs, func(p damagedPack) bool { return !packs[p.Pack] && d.suspects[p.Pack] != "" }) ||
		slices.ContainsFunc(rec.Contents, func(c lostContent) bool { return !contents[c.ID] })
}

func (v *verification) report(f cofre.Finding) bool {
	if v.enough {
		return false
	}
	f.Check = string(v.Level)
	v.enough = !v.yield(f, nil)
	return !v.enough
}

func (v *verification) progress(item string, size int64) {
	v.Observer.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeTaskProgress, Item: item, Unit: cofre.UnitBytes, Done: v.done.Add(size), Total: v.files.Total}.Doing(verifyTask()))
}

// checkUnsealed looks at what no seal names: what a capture wrote that was killed, or is at work, and what was
// named by a seal that is lost. It returns the packs among it, which are a problem only if a point needs them.
func (v *verification) checkUnsealed(ctx context.Context, l *seal.Ledger) (map[blob.ID]bool, []seal.Problem, error) {
	packs := map[blob.ID]bool{}
	var found []seal.Problem
	markers := false
	names := v.files.Unsealed()
	for _, name := range names {
		id, _ := v.repo.blobs.Naming.ID(name)
		switch {
		case blobs.IsMarker(id):
			markers = true
		case blobs.IsPack(id):
			packs[id] = true
			if !v.files.Due(name) {
				continue
			}
			err := v.repo.decodePack(ctx, id, v.files.Size(name))
			if err != nil && seal.IsOutside(err) {
				return nil, nil, err
			}
			if err != nil && !errors.Is(err, blob.ErrBlobNotFound) {
				found = append(found, seal.Problem{Name: name, What: fmt.Sprintf("is damaged: %v", err)})
			}
			v.files.Note(ctx, name, err == nil)
		case l.Removed[name]: // whoever removed it was killed before it was gone
		default:
			found = append(found, seal.Problem{Name: name, What: "has no seal, so that nothing says whether it is as it was written"})
		}
	}
	if markers && v.Level != cofre.LevelStructure {
		p, err := v.checkMarkers(ctx, names)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, p...)
	}
	return packs, found, nil
}

// decodePack reads a pack by the index that is in it, down to the last content.
func (r *Repository) decodePack(ctx context.Context, id blob.ID, length int64) error {
	if length > blobs.LargestPack {
		return fmt.Errorf("it has %d bytes, more than a pack can have: %w", length, cofre.ErrCorrupt)
	}
	// The index goes into a writer that is never flushed: so its contents are found, and nothing is written.
	_, w, err := r.kopia.NewDirectWriter(ctx, repo.WriteSessionOptions{Purpose: "verify"})
	if err != nil {
		return err
	}
	defer w.Close(context.WithoutCancel(ctx))
	contents, err := w.ContentManager().RecoverIndexFromPackBlob(ctx, id, length, true)
	if err != nil {
		return err
	}
	for _, c := range contents {
		if c.PackBlobID != id || c.Deleted {
			continue
		}
		if _, err := w.ContentManager().GetContent(ctx, c.ContentID); err != nil {
			return err
		}
	}
	return nil
}

// checkMarkers decrypts the markers of sessions that are at work or were killed.
func (v *verification) checkMarkers(ctx context.Context, names []string) ([]seal.Problem, error) {
	_, err := v.repo.kopia.ContentReader().ListActiveSessions(ctx)
	if err == nil {
		return nil, nil
	}
	if seal.IsOutside(err) {
		return nil, err
	}
	for _, name := range names {
		id, _ := v.repo.blobs.Naming.ID(name)
		if blobs.IsMarker(id) && strings.Contains(err.Error(), string(id)) {
			return []seal.Problem{{Name: name, What: fmt.Sprintf("is damaged: %v", err)}}, nil
		}
	}
	return []seal.Problem{{Name: "s…", What: fmt.Sprintf("a session marker is damaged: %v", err)}}, nil
}

// checkPoints walks what the points refer to.
func (v *verification) checkPoints(ctx context.Context, points []cofre.RecoveryPoint, d *damage, unsealed map[blob.ID]bool) error {
	needed := map[blob.ID]bool{} // unsealed packs that something refers to
	walked := map[cofre.ObjectID]walkedTree{}
	read := v.files.ReadAt()
	lost, err := v.unseen(ctx, d.found.lost)
	if err != nil {
		return err
	}
	for _, p := range points {
		for _, c := range p.Components {
			// A tree that several points share is walked once and reported for each.
			tree, ok := walked[c.Root]
			if !ok {
				w := &walker{repo: v.repo, packs: d.packs, lost: lost, seen: func(i content.Info) {
					if unsealed[i.PackBlobID] {
						needed[i.PackBlobID] = true
					}
					tree.took(read[i.PackBlobID])
				}}
				var err error
				if tree.broken, err = v.walk(ctx, w, c, d.record); err != nil {
					return err
				}
				walked[c.Root] = tree
			}
			if v.Proven != nil {
				v.Proven.Component(tree.proof(p, c))
			}
			if !v.reportEntries(p, c, tree.broken, d.record) {
				return nil
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(needed)) {
		name := v.repo.blobs.Naming.Name(id)
		if !v.report(cofre.Finding{Object: name}.Saying(cofre.Say("repository.unsealed", "{{.name}}: points need it, and it has no seal, so that nothing says whether all of it is as it was written", "name", name))) {
			return nil
		}
	}
	return nil
}

// unseen is what was found lost, and at LevelStructure also what another verification has found by reading it: a pack that is there in
// its length says nothing against that. What was missing is looked for at every level, and may have been brought back.
func (v *verification) unseen(ctx context.Context, found map[content.ID]string) (map[content.ID]string, error) {
	if v.Level != cofre.LevelStructure || len(v.known) == 0 {
		return found, nil
	}
	read := knownDamage{}
	for name, rec := range v.known {
		missing := map[blob.ID]bool{}
		for _, p := range rec.Packs {
			missing[p.Pack] = strings.HasPrefix(p.What, "is missing")
		}
		rec.Contents = slices.DeleteFunc(slices.Clone(rec.Contents), func(c lostContent) bool { return missing[c.Pack] })
		read[name] = rec
	}
	lost, err := v.repo.lost(ctx, read)
	if err != nil {
		return nil, err
	}
	maps.Copy(lost, found)
	return lost, nil
}

// brokenEntry is a file or directory of a component that is not whole, with the numbers of the contents to blame.
type brokenEntry struct {
	path, what string
	contents   []int
}

// walkedTree is what the walk of a component has found.
type walkedTree struct {
	broken []brokenEntry
	read   time.Time // the oldest reading back of a pack that it needs
	unread bool      // one of them never was
}

func (t *walkedTree) took(at time.Time) {
	if t.unread = t.unread || at.IsZero(); t.read.IsZero() || at.Before(t.read) {
		t.read = at
	}
}

func (t *walkedTree) proof(p cofre.RecoveryPoint, c cofre.Component) cofre.ComponentProof {
	proof := cofre.ComponentProof{Point: p.ID, Source: cofre.SourceID{Installation: p.Installation, Kind: c.Kind, Name: c.Name}, Root: c.Root, Damaged: len(t.broken) > 0}
	if proof.Damaged {
		return proof
	}
	if proof.Structure = time.Now().UTC(); !t.unread {
		proof.Content = t.read
	}
	return proof
}

func (v *verification) walk(ctx context.Context, w *walker, c cofre.Component, b *recordBuilder) ([]brokenEntry, error) {
	var found []brokenEntry
	w.report = func(path, what string, contents []content.ID) bool {
		found = append(found, brokenEntry{path, what, b.add(ctx, contents, what)})
		return true
	}
	return found, w.component(ctx, c)
}

// reportEntries reports what of a component is not whole, the first of it by name, and keeps all of it for the record.
func (v *verification) reportEntries(p cofre.RecoveryPoint, c cofre.Component, found []brokenEntry, b *recordBuilder) bool {
	for i, e := range found {
		b.rec.Entries = append(b.rec.Entries, damagedEntry{Point: p.ID, Kind: c.Kind, Name: c.Name, Path: e.path, What: e.what, Contents: e.contents})
		switch {
		case i < mostFindings:
			if !v.report(cofre.Finding{Kind: c.Kind, Name: c.Name, Object: e.path}.Saying(
				cofre.Say("repository.of_point", "{{.what}} of {{.source}} of point {{.point}}", "what", told.Of(e.what), "source", c.Label(), "point", p.ID))) {
				return false
			}
		case i == len(found)-1:
			return v.report(cofre.Finding{Kind: c.Kind, Name: c.Name}.Saying(cofre.SayN("repository.more_of_point", len(found)-mostFindings,
				"1 more entry is missing or damaged of {{.source}} of point {{.point}}", "{{.n}} more entries are missing or damaged of {{.source}} of point {{.point}}", "source", c.Label(), "point", p.ID)))
		}
	}
	return true
}

// damagedPacks returns, of the problems, those of packs.
func (r *Repository) damagedPacks(problems []seal.Problem) map[blob.ID]string {
	packs := map[blob.ID]string{}
	for _, p := range problems {
		if id, ok := r.blobs.Naming.ID(p.Name); ok && blobs.IsPack(id) {
			packs[id] = p.What
		}
	}
	return packs
}

func verifyTask() cofre.Message { return cofre.Say("repository.task_verify", "verify repository") }
