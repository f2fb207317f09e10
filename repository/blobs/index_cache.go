package blobs

import (
	"bytes"
	"os"
	"path/filepath"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/zeebo/blake3"

	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/repository/seal"
)

// IndexCache keeps the index blobs of a repository on S3 on this machine, as they are, encrypted: without it
// every command would fetch all of them again. It is a cache in the strict sense: what is missing, damaged or
// not writable costs a request. Kopia's own caches are not used: without a limit on data they fill the disk,
// and with a limit of nothing they crash (v0.22.3, internal/cache, a nil PersistentCache).
type IndexCache struct{ Dir string }

// cacheFor is how long an index is kept that nobody asks for: it has been compacted into another one.
const cacheFor = 30 * 24 * time.Hour

func (c *IndexCache) path(id blob.ID) string { return filepath.Join(c.Dir, string(id)) }

// get returns a cached blob, or ok=false.
func (c *IndexCache) get(id blob.ID) ([]byte, bool) {
	if c == nil {
		return nil, false
	}
	b, err := os.ReadFile(c.path(id))
	if err != nil || len(b) < len(seal.Hash{}) {
		return nil, false
	}
	data, end := b[:len(b)-len(seal.Hash{})], b[len(b)-len(seal.Hash{}):]
	if sum := blake3.Sum256(data); !bytes.Equal(sum[:], end) {
		return nil, false
	}
	if info, err := os.Stat(c.path(id)); err == nil && time.Since(info.ModTime()) > cacheFor/4 {
		_ = os.Chtimes(c.path(id), time.Now(), time.Now())
	}
	return data, true
}

func (c *IndexCache) put(id blob.ID, data []byte) {
	if c == nil {
		return
	}
	sum := blake3.Sum256(data)
	_ = inside.WriteCache(c.path(id), append(data[:len(data):len(data)], sum[:]...))
}

// Drop forgets a blob that was damaged when it was read.
func (c *IndexCache) Drop(id blob.ID) {
	if c != nil {
		_ = os.Remove(c.path(id))
	}
}

// Sweep removes what nobody has asked for in a long time.
func (c *IndexCache) Sweep() {
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > cacheFor {
			_ = os.Remove(filepath.Join(c.Dir, e.Name()))
		}
	}
}
