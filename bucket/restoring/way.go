package restoring

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/spill"
)

// obstacle is something that stands where an object or a folder belongs, and is neither: a folder in place of an
// object, a file or a symbolic link in place of a folder. Nothing can be restored past it as it was captured.
type obstacle struct {
	bucket, at string
	what       cofre.Message
}

func (o obstacle) path() string { return strings.TrimSuffix(o.bucket+"/"+o.at, "/") }

// said says what is wrong with what is behind it.
func (o obstacle) said() cofre.Message {
	return cofre.Say("bucket.in_its_place", "{{.what}} is in its place, {{.path}}", "what", o.what, "path", o.path())
}

// is reports whether two are the same.
func (o obstacle) is(other obstacle) bool { return o.bucket == other.bucket && o.at == other.at }

// inTheWay returns what stands in the way of an object or a folder. If an object and a "folder" of its name were both
// captured there is room for both in the store.
func (t *Target) inTheWay(id, name string, folder bool) (obstacle, bool) {
	s, ok := t.cfg.To.(bucket.Foldered)
	if !ok {
		return obstacle{}, false
	}
	at, what := s.InTheWay(id, name, folder)
	both := !folder && (what.Code == bucket.AFolder().Code || what.Code == bucket.AFile().Code) && t.twofold[id+"/"+at]
	if what.IsZero() || both {
		return obstacle{}, false
	}
	return obstacle{id, at, what}, true
}

// findTwofold gathers the captured objects that have a name which others use as a folder.
func (t *Target) findTwofold(folders map[uint64]bool) error {
	t.twofold = map[string]bool{}
	if len(folders) == 0 {
		return nil
	}
	for _, shard := range spill.Shards(spill.MaxDigits) {
		rows, err := spill.Records[bucket.Located](t.wanted, shard)
		if err != nil {
			return err
		}
		for _, l := range rows {
			if folders[maphash.String(nameSeed, l.Path())] {
				t.twofold[l.Path()] = true
			}
		}
	}
	return nil
}

// block remembers what is to be moved aside.
func (t *Target) block(o obstacle) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !slices.ContainsFunc(t.ways, o.is) {
		t.ways = append(t.ways, o)
	}
}

// deleteStray moves aside what is listed in a bucket and is no object.
func (t *Target) deleteStray(ctx context.Context, o obstacle) error {
	to, err := t.cfg.To.(bucket.Foldered).MoveAside(ctx, o.bucket, o.at, keptPrefix+t.mark)
	if errors.Is(err, cofre.ErrNotFound) {
		return nil // behind something that was moved already
	}
	if err != nil {
		return fmt.Errorf("delete %s: %w", o.path(), err)
	}
	t.count(&t.counts.deleted)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keeping(cofre.ThingFile, o.path(), to, cofre.Say("bucket.kept_stray", "{{.path}}, {{.what}}, as {{.to}}", "path", o.path(), "what", o.what, "to", to))
	return nil
}

// clearTheWay moves aside what stands in the way, and makes the buckets and folders that it kept from being made. What
// cannot be moved stays, and so does what is behind it.
func (t *Target) clearTheWay(ctx context.Context) error {
	s, ok := t.cfg.To.(bucket.Foldered)
	if !ok || len(t.ways) == 0 {
		return nil
	}
	for _, o := range t.ways {
		if err := ctx.Err(); err != nil {
			return err
		}
		to, err := s.MoveAside(ctx, o.bucket, o.at, keptPrefix+t.mark)
		switch {
		case errors.Is(err, cofre.ErrNotFound): // gone since
		case err != nil && endsRestore(err):
			return fmt.Errorf("move %s out of the way: %w", o.path(), err)
		case err != nil:
			t.leave(cofre.Verbatim(o.path()), cofre.Say("bucket.out_of_the_way", "out of the way"), cofre.SayError(err))
		default:
			t.keeping(cofre.ThingFile, o.path(), to, cofre.Say("bucket.kept_way", "{{.what}} that was in the way, {{.path}}, as {{.to}}", "what", o.what, "path", o.path(), "to", to))
		}
	}
	if err := t.makeFolders(ctx); err != nil {
		return err
	}
	return t.makeBuckets(ctx)
}
