package bucket

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"strings"

	"github.com/trustlayer/cofre"
)

// Sums computes the two sums that are kept of each object: SHA-256 to prove it by, MD5 because that is what
// the etags of most services are.
type Sums struct{ sha, md5 hash.Hash }

// NewSums begins both.
func NewSums() Sums { return Sums{sha256.New(), md5.New()} }

func (h Sums) Write(p []byte) (int, error) {
	_, _ = h.sha.Write(p) // a hash never fails
	return h.md5.Write(p)
}

// Hex returns both in hexadecimal digits.
func (h Sums) Hex() (sha, md string) {
	return hex.EncodeToString(h.sha.Sum(nil)), hex.EncodeToString(h.md5.Sum(nil))
}

func isNotFound(err error) bool { return errors.Is(err, cofre.ErrNotFound) }

func compareNames(a, b string) int { return strings.Compare(a, b) }
