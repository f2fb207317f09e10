package blobs

import (
	"context"
	"fmt"

	"github.com/kopia/kopia/repo/blob"

	"github.com/trustlayer/cofre/internal/bounded"
)

// LargestPack is more than a pack ever has: the library ends one at 20 MB, with the content that exceeds them.
const LargestPack = 64 << 20

// LargestFormat is more than a file of the format ever has.
const LargestFormat = 1 << 20

// LargestBlob is more than any file of the library ever has that is read whole: packs, and indexes, which it cuts.
const LargestBlob = 128 << 20

// Hold reads the file of a blob whole, and has the blob read from memory until release is called: what is decrypted is then what was hashed,
// whatever the store says the next time.
//
// Errors: cofre.ErrCorrupt if it is larger than a pack can be; the store's.
func (b *Storage) Hold(ctx context.Context, name string, id blob.ID) (data []byte, release func(), err error) {
	data, err = bounded.Read(ctx, b.Store, name, LargestPack)
	if err != nil {
		return nil, nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.held == nil {
		b.held = map[blob.ID][]byte{}
	}
	b.held[id] = data
	return data, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.held, id)
	}, nil
}

// fromHeld reads a blob that is held.
func (b *Storage) fromHeld(id blob.ID, offset, length int64, output blob.OutputBuffer) (done bool, err error) {
	b.mu.Lock()
	data, ok := b.held[id]
	b.mu.Unlock()
	if !ok {
		return false, nil
	}
	if length < 0 {
		length = int64(len(data)) - offset
	}
	if offset < 0 || length < 0 || offset+length > int64(len(data)) {
		return true, fmt.Errorf("blob %s: %w", id, blob.ErrInvalidRange)
	}
	_, err = output.Write(data[offset : offset+length])
	return true, err
}
