package sealed

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/zeebo/blake3"
)

// A digest says which file an object was made of, and nothing of whether the object is still as it was made. The host that
// archives cannot read it back: it has the recipient alone. So the header carries sums of the object itself, which anybody
// can compare: of the header before them, and of everything behind it.

// sumType is the type of the stanza that carries the two sums, the last of the header.
const sumType = "cofre-sum"

// noSum stands in the header until there is something to sum up.
var noSum = base64.RawStdEncoding.EncodeToString(make([]byte, 32))

var (
	sumLine = []byte("\n-> " + sumType + " ")
	macLine = []byte("\n--- ")
)

// addSums writes the sums into an object that was encrypted with room for them, and the header's MAC anew, which covers them.
//
// Source: age-encryption.org/v1, Header MAC.
func addSums(object, fileKey []byte) error {
	at := bytes.Index(object, sumLine)
	if at < 0 {
		return errors.New("no room for the sums in its header")
	}
	mac := bytes.Index(object[at:], macLine)
	if mac < 0 {
		return errors.New("no MAC in its header")
	}
	mac += at
	body := mac + len(macLine) + len(noSum) + 1
	if len(object) < body || object[body-1] != '\n' {
		return errors.New("its header has no end")
	}
	head, rest := blake3.Sum256(object[:at+1]), blake3.Sum256(object[body:])
	write := func(to int, sum []byte) int { return to + copy(object[to:], base64.RawStdEncoding.EncodeToString(sum)) }
	end := write(at+len(sumLine), head[:])
	write(end+1, rest[:])
	key, err := hkdf.Key(sha256.New, fileKey, nil, "header", sha256.Size)
	if err != nil {
		return err
	}
	h := hmac.New(sha256.New, key)
	h.Write(object[:mac+len(macLine)-1]) // to the three hyphens, without the space behind them
	write(mac+len(macLine), h.Sum(nil))
	return nil
}

// State is what the bytes of a stored object prove of it.
type State int

// What the bytes prove.
const (
	Unproven    State = iota // it was stored before there were sums, or by another program
	Whole                    // it is as it was made
	BodyDamaged              // its header is as it was made, and what is behind it is not
	HeadDamaged              // nothing that its header says is to be believed
)

// Judge says what the bytes of a stored object prove, and what its header says. It needs no key. Of the beginning alone it
// finds out whether the header is damaged.
//
// Errors: ErrNoDigest of an object that another program may have made: it may well be readable.
func Judge(object string, b []byte) (Header, State, error) {
	h, err := ParseHeader(object, b)
	at := bytes.Index(b[:min(len(b), HeaderSize)], sumLine)
	if at < 0 {
		if err != nil && !errors.Is(err, ErrNoDigest) {
			return h, HeadDamaged, nil
		}
		return h, Unproven, err
	}
	line, _, _ := bytes.Cut(b[at+len(sumLine):], []byte("\n"))
	head, rest, _ := strings.Cut(string(line), " ")
	mac := bytes.Index(b[at:], macLine)
	behind := at + mac + len(macLine) + len(noSum) + 1
	switch {
	case err != nil, head != sumOf(b[:at+1]):
		return h, HeadDamaged, nil
	case mac < 0, len(b) < behind, rest != sumOf(b[behind:]):
		return h, BodyDamaged, nil
	}
	return h, Whole, nil
}

func sumOf(b []byte) string {
	sum := blake3.Sum256(b)
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

// IdentOf tells one making of an object from another, without reading all of it: no two begin alike, since each is
// encrypted with a key of its own.
func IdentOf(b []byte) string { return Identify(b, int64(len(b))) }

// Identify is IdentOf for an object of which only the beginning was read, HeaderSize bytes at least, and its size.
func Identify(beginning []byte, size int64) string {
	sum := blake3.Sum256(fmt.Appendf(slices.Clone(beginning[:min(len(beginning), HeaderSize)]), "\n%d", size))
	return fmt.Sprintf("%x", sum[:8])
}
