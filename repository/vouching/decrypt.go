package vouching

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/content"
	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/seal"
)

// readers is how many packs are in memory at once.
const readers = 2

// Decrypted is what was found in a pack.
type Decrypted struct {
	Pack     blob.ID
	Size     int64
	Hash     seal.Hash // of the bytes that were decrypted
	Contents int       // that the indexes name in it and that are theirs
	Bad      []content.Info
	Err      error // why it could not be read at all
}

// Decrypt decrypts every content that the indexes name in some packs, and calls do with each pack, one at a time. The encryption names the
// content and proves that it is the one, so that bytes which somebody without the password has put there, or has moved, are none.
//
// Errors: of do; of the store; that of ctx.
func Decrypt(ctx context.Context, kopia repo.DirectRepositoryWriter, storage *blobs.Storage, packs map[blob.ID]bool, do func(Decrypted) error) error {
	in, err := contentsOf(ctx, kopia, packs)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for _, id := range slices.Sorted(maps.Keys(packs)) {
		if groupCtx.Err() != nil {
			break
		}
		group.Go(func() error {
			found, err := decrypt(groupCtx, kopia, storage, id, in[id])
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			return do(found)
		})
	}
	return cmp.Or(group.Wait(), ctx.Err())
}

// contentsOf are the contents that count in some packs.
func contentsOf(ctx context.Context, kopia repo.DirectRepository, packs map[blob.ID]bool) (map[blob.ID][]content.Info, error) {
	in := map[blob.ID][]content.Info{}
	if len(packs) == 0 {
		return in, nil
	}
	err := kopia.ContentReader().IterateContents(ctx, content.IterateOptions{}, func(i content.Info) error {
		if packs[i.PackBlobID] {
			in[i.PackBlobID] = append(in[i.PackBlobID], i)
		}
		return ctx.Err()
	})
	return in, err
}

func decrypt(ctx context.Context, kopia repo.DirectRepositoryWriter, storage *blobs.Storage, id blob.ID, in []content.Info) (Decrypted, error) {
	d := Decrypted{Pack: id}
	data, release, err := storage.Hold(ctx, storage.From(id), id)
	switch {
	case err == nil:
	case seal.IsOutside(err) || ctx.Err() != nil:
		return d, cmp.Or(ctx.Err(), err)
	default:
		d.Err, d.Bad = err, in
		return d, nil
	}
	defer release()
	d.Size, d.Hash = int64(len(data)), blake3.Sum256(data)
	for _, i := range in {
		_, err := kopia.ContentManager().GetContent(ctx, i.ContentID)
		if err != nil && (ctx.Err() != nil || seal.IsOutside(err)) {
			return d, cmp.Or(ctx.Err(), err)
		}
		if err != nil {
			d.Bad = append(d.Bad, i)
			continue
		}
		d.Contents++
	}
	return d, nil
}
