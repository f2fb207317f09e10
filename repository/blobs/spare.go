package blobs

import (
	"context"
	"maps"

	"github.com/kopia/kopia/repo/blob"
)

// What a repository cannot be read without, and what no source can give again, is kept twice: the format, the indexes,
// and the packs of directories, lists and manifests, some thousandths of all bytes. A spare holds the same bytes under
// another name. It is used if the seal says that the first is not as it was written and the spare is.
const SparePrefix = "cofre/spare/"

// SpareName is the name of the second copy of a blob.
func SpareName(id blob.ID) string { return SparePrefix + string(id) }

// HasSpare reports whether a blob is kept twice.
func HasSpare(id blob.ID) bool { return id != "" && id[0] != 'p' && !IsMarker(id) && id[0] != '_' }

// putSpare stores the second copy of a blob that has just been written.
func (b *Storage) putSpare(ctx context.Context, id blob.ID, data blob.Bytes) error {
	if !HasSpare(id) {
		return nil
	}
	in := data.Reader()
	defer in.Close()
	return b.Store.Replace(ctx, SpareName(id), in, int64(data.Length()))
}

// From is the name that a blob is read from: its own, or that of its spare if it is known to be damaged.
func (b *Storage) From(id blob.ID) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.spares[id]; ok {
		return SpareName(id)
	}
	return b.Naming.Name(id)
}

// UseSpare has a blob read from its spare from now on.
func (b *Storage) UseSpare(id blob.ID, size int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.spares == nil {
		b.spares = map[blob.ID]int64{}
	}
	b.spares[id] = size
}

// SpareSizes are the blobs that are read from their spares.
func (b *Storage) SpareSizes() map[blob.ID]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.spares)
}
