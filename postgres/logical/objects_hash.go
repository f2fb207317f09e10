package logical

import (
	"fmt"
	"io"

	"github.com/zeebo/xxh3"

	"github.com/trustlayer/cofre/internal/rowhash"
)

// ObjectHash hashes the bytes of one large object.
type ObjectHash struct {
	io.Writer
	sum func() rowhash.Hash
}

// NewObjectHash begins one; without a key it is that of components of before.
func NewObjectHash(key *rowhash.Key) *ObjectHash {
	if key != nil {
		h := key.NewHasher()
		return &ObjectHash{h, h.Sum}
	}
	h := xxh3.New()
	return &ObjectHash{h, func() rowhash.Hash {
		s := h.Sum128()
		return rowhash.Hash{Hi: s.Hi, Lo: s.Lo}
	}}
}

// AddTo adds the object to the sum of all.
func (h *ObjectHash) AddTo(sum *Tally, oid uint32) {
	s := h.sum()
	fmt.Fprintf(sum, "%d %016x%016x\n", oid, s.Hi, s.Lo)
}
