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

// hashes computes the two sums that are kept of each object: SHA-256 to prove it by, MD5 because that is what
// the etags of most services are.
type hashes struct{ sha, md5 hash.Hash }

func newHashes() hashes { return hashes{sha256.New(), md5.New()} }

func (h hashes) Write(p []byte) (int, error) {
	_, _ = h.sha.Write(p) // a hash never fails
	return h.md5.Write(p)
}

func (h hashes) sums() (sha, md string) {
	return hex.EncodeToString(h.sha.Sum(nil)), hex.EncodeToString(h.md5.Sum(nil))
}

func isNotFound(err error) bool { return errors.Is(err, cofre.ErrNotFound) }

func compareNames(a, b string) int { return strings.Compare(a, b) }
