package restoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	stamps "github.com/trustlayer/cofre/internal/stamp"
)

// keptPrefix begins the names of what holds objects that a restore replaced or deleted.
const keptPrefix = "cofre-kept-"

// newMark names one restore. It is a legal name of a bucket everywhere.
func newMark(now time.Time) string { return strings.ReplaceAll(stamps.New(now), "_", "-") }

// keep puts what an object is now aside, whole, and reads it back, before it is replaced or deleted. What cannot be
// kept stays where it is.
func (t *Target) keep(ctx context.Context, o bucket.Object) error {
	if t.cfg.NoKeep {
		return nil
	}
	if k, ok := t.cfg.To.(bucket.Keeper); ok {
		err := k.Keep(ctx, o, keptPrefix+t.mark)
		if errors.Is(err, cofre.ErrNotFound) {
			return nil // deleted since it was listed
		}
		if err == nil {
			t.keptIn(cofre.Verbatim(k.KeptAt(keptPrefix + t.mark)))
		}
		return err
	}
	got, body, err := bucket.OpenAgain(ctx, t.cfg.To, bucket.Object{Bucket: o.Bucket, Name: o.Name, Size: -1})
	switch {
	case ctx.Err() != nil || errors.Is(err, cofre.ErrDenied) || errors.Is(err, cofre.ErrUnreachable):
		return err
	case err != nil:
		return nil // listed, and not served again and again: there is nothing to lose
	}
	if got.TagsUnread != "" {
		return errors.Join(fmt.Errorf("its tags would be lost: %s", got.TagsUnread), body.Close())
	}
	id, prefix, err := t.keepingBucket(ctx)
	if err != nil {
		return errors.Join(err, body.Close())
	}
	spooled, sum, err := t.spool(body)
	if err = errors.Join(err, body.Close()); err != nil {
		return err
	}
	defer spooled.Close() // an unlinked file
	copied := bucket.Located{Indexed: bucket.Indexed{Object: got, SHA256: sum.sha, MD5: sum.md5}}
	copied.Bucket, copied.Name, copied.Size = id, prefix+o.Bucket+"/"+o.Name, sum.size
	if _, err := t.cfg.To.Put(ctx, copied.Object, spooled); err != nil {
		return err
	}
	as, back, err := t.readSum(ctx, copied.Object)
	if err != nil {
		return err
	}
	if back != sum || !t.differingTags(copied.Object, as).IsZero() {
		return fmt.Errorf("%w: the kept copy is served otherwise", errReadBack)
	}
	t.keptIn(cofre.Say("bucket.kept_in", "bucket {{.bucket}}, below {{.prefix}}BUCKET/NAME", "bucket", id, "prefix", prefix))
	return nil
}

// keepingBucket says where replaced objects go, and makes it: a private bucket of its own, where no application looks
// and which can be dropped as a whole.
func (t *Target) keepingBucket(ctx context.Context) (id, prefix string, err error) {
	if t.cfg.KeepIn != "" {
		return t.cfg.KeepIn, keptPrefix + t.mark + "/", nil
	}
	id = keptPrefix + t.mark
	t.opening.Lock()
	defer t.opening.Unlock()
	if t.opened[id] {
		return id, "", nil
	}
	if err := t.cfg.To.Ensure(ctx, bucket.Bucket{ID: id}); err != nil {
		return "", "", fmt.Errorf("make bucket %s, to keep what is replaced: %w", id, err)
	}
	t.opened[id] = true
	return id, "", nil
}

func (t *Target) keptIn(where cofre.Message) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.keptAt = where
	t.counts.kept++
}

// spool copies r to an unlinked file, because stores may read what they write more than once.
func (t *Target) spool(r io.Reader) (*os.File, summed, error) {
	f, err := os.CreateTemp(t.cfg.TempDir, "cofre-kept-*")
	if err != nil {
		return nil, summed{}, fmt.Errorf("keep what is replaced: %w", err)
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, summed{}, errors.Join(fmt.Errorf("keep what is replaced: %w", err), f.Close())
	}
	h := bucket.NewSums()
	n, err := io.Copy(io.MultiWriter(f, h), r)
	if err != nil {
		return nil, summed{}, errors.Join(fmt.Errorf("keep what is replaced: %w", err), f.Close())
	}
	sha, md := h.Hex()
	return f, summed{n, sha, md}, nil
}

// Promise says that objects are brought into the buckets that are in use, and where those are kept that are replaced or deleted. Limits
// of a bucket that exists are lifted for the time of the restore, and given back by Publish or Discard.
func (t *Target) Promise() cofre.Promise {
	p := cofre.Promise{Staging: cofre.StagedAmong, Replaced: cofre.ReplacesNothing}
	switch k, own := t.cfg.To.(bucket.Keeper); {
	case !t.cfg.Replace && !t.cfg.DeleteExtra:
	case t.cfg.NoKeep:
		p.Replaced = cofre.ReplacedLost
	case own:
		p.Replaced, p.KeptAt = cofre.ReplacedKept, cofre.Verbatim(k.KeptAt(keptPrefix+t.mark))
	case t.cfg.KeepIn != "":
		p.Replaced, p.KeptAt = cofre.ReplacedKept, cofre.Say("restore.storage.kept_in", "in bucket {{.bucket}}, below {{.prefix}}/", "bucket", t.cfg.KeepIn, "prefix", keptPrefix+t.mark)
	default:
		p.Replaced, p.KeptAt = cofre.ReplacedKept, cofre.Say("restore.storage.kept_apart", "in the new private bucket {{.bucket}}", "bucket", keptPrefix+t.mark)
	}
	return p
}
