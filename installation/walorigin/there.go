package walorigin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// there is what a repository holds of a system's WAL.
type there struct {
	files        []file // by name
	size         int64  // of a segment
	starts       map[pgdata.Segment]bool
	acknowledged []wal.Acknowledgement
}

// file is one object of it.
type file struct {
	name pgdata.WALName // of parts, that of their segment
	as   string         // as a record names it
	by   string         // the admitted key that has signed it; "" if none has
	sum  string         // of what is signed
}

// isWhole reports whether it is a whole segment: the beginning of one is listed by its own name, or whoever has signed that could sign the rest later.
func (f file) isWhole() bool { return f.name.Kind == pgdata.WALSegment && f.as == f.name.String() }

// mostFiles is how many names a record lists. Whoever may write to the repository can plant more; the lowest timelines are the ones that somebody wrote on.
const mostFiles = 4096

// older says what of the files that are counted is older than a record that is made now: by timeline the last segment, and other files by name.
//
// A segment counts only if WAL leads to it, from the first of its timeline or from where a base backup starts: whoever may write to the repository can plant
// a name far ahead, and everything below it would be as good as there.
func (t there) older(counts func(file) bool) (before map[string]string, files []string) {
	before = map[string]string{}
	led := pgdata.Segment{} // the segment up to which WAL leads, on its timeline
	reached := func(s pgdata.Segment) bool {
		return s.Timeline != led.Timeline || s.Number <= led.Number+1 || t.starts[s]
	}
	for _, f := range t.files {
		s, err := f.name.Whole().Segment(t.size)
		if f.name.Kind == pgdata.WALHistory || err != nil {
			if counts(f) {
				files = append(files, f.as)
			}
			continue
		}
		if !reached(s) {
			continue
		}
		if f.isWhole() {
			led = s
		}
		if !counts(f) {
			continue
		}
		if tli := f.as[:8]; f.isWhole() {
			before[tli] = f.as
		} else if f.as[:24] > before[tli] {
			files = append(files, f.as)
		}
	}
	slices.Sort(files)
	return before, files[:min(len(files), mostFiles)]
}

// sums says of each file that is counted what was signed of it.
func (t there) sums(counts func(file) bool) map[string]string {
	all := map[string]string{}
	for _, f := range t.files {
		if counts(f) {
			all[f.as] = f.sum
		}
	}
	return all
}

// newest is the last segment of the highest timeline, or a beginning of it.
func (t there) newest() (newest file, ok bool) {
	for _, f := range t.files {
		if f.name.Kind != pgdata.WALHistory {
			newest, ok = f, true
		}
	}
	return newest, ok
}

// ready refuses to require signatures of a system whose newest WAL has none.
func (t there) ready(of Keys) error {
	newest, ok := t.newest()
	if !ok || newest.by != "" {
		return nil
	}
	err := fmt.Errorf("%s holds %s of system %s last, which no admitted key has signed: %w", of.URL, newest.as, of.System, cofre.ErrRefused)
	if w, ok := Waits([]Keys{of}); ok {
		return cofre.WithHint(err, cofre.Say("origin.admit_first", "admit the key of the host first, if its fingerprint is the one that the host says: cofre wal admit {{.fingerprint}}", "fingerprint", w.Fingerprint))
	}
	return cofre.WithHint(err, cofre.Say("origin.upgrade_first", "have every host that archives sign: install this version there, and wait for its next segment"))
}

// headersAtOnce is how many headers are read at once: it is the time of an answer that counts.
const headersAtOnce = 16

// read lists what there is, and who has signed it.
//
// Errors: the store's.
func (k Keys) read(ctx context.Context, backups []recovery.BaseBackup) (there, error) {
	t := there{size: 16 << 20, starts: map[pgdata.Segment]bool{}}
	inv, err := wal.ReadInventory(ctx, k.store, k.System, 0, func() (wal.Identity, error) { return k.id, nil })
	if err != nil && !errors.Is(err, cofre.ErrCorrupt) {
		return t, err
	}
	if inv != nil {
		t.acknowledged = inv.Acknowledged
		if inv.SegmentSize != 0 {
			t.size = inv.SegmentSize
		}
	}
	for _, b := range backups {
		if b.SystemID == k.System {
			t.starts[pgdata.SegmentAt(b.Timeline, b.Start, t.size)] = true
		}
	}
	return t, k.list(ctx, &t)
}

// list lists the files until nothing has come while it did.
func (k Keys) list(ctx context.Context, t *there) error {
	for range mostLists {
		before := len(t.files)
		if err := k.add(ctx, t); err != nil || len(t.files) == before {
			return err
		}
	}
	return nil
}

// mostLists is how often a repository is listed: until nothing has come while headers were read. What comes later counts as signed after the record.
const mostLists = 4

// add lists once more, and adds what is new, with who has signed it.
func (k Keys) add(ctx context.Context, t *there) error {
	known := map[string]bool{}
	for _, f := range t.files {
		known[f.as] = true
	}
	var objects []string
	var files []file
	for o, err := range k.store.List(ctx, wal.Prefix(k.System)) {
		if err != nil {
			return fmt.Errorf("list WAL of %s: %w", k.URL, err)
		}
		rest, err := wal.NameOf(k.System, o.Name)
		if err != nil {
			continue // nobody reads it there
		}
		of := rest
		if wal.IsPart(rest) {
			of, _, _ = strings.Cut(rest, ".parts/")
		}
		name, err := pgdata.ParseWALName(of)
		if as := origin.FileOf(o.Name); err == nil && !known[as] {
			files, objects = append(files, file{name: name, as: as}), append(objects, o.Name)
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(headersAtOnce)
	for i, object := range objects {
		group.Go(func() (err error) {
			if err = groupCtx.Err(); err == nil {
				var said wal.Said
				said, err = wal.ReadSaid(groupCtx, k.store, k.set, object)
				files[i].by, files[i].sum = said.Key, said.Sum
			}
			return err
		})
	}
	err := group.Wait()
	t.files = append(t.files, files...)
	slices.SortFunc(t.files, func(a, b file) int { return strings.Compare(a.as, b.as) })
	return err
}
