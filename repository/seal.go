package repository

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zeebo/blake3"
)

// A seal is a small object that says which blobs were written, with the size and the hash of each. Kopia
// authenticates what is inside its blobs; a seal covers the whole of them: preamble, padding, postamble. It
// guards against decay, not against a forger: what a forger could change, the encryption refuses.
//
// The text, one line a record, is documented in docs/formats/repository.md.
type seal struct {
	At      time.Time
	Records []record
}

// record is one line of a seal.
type record struct {
	State recordState
	Size  int64
	Hash  hash
	Name  string // in the store
}

type hash [32]byte

type recordState byte

const (
	stored    recordState = '=' // the blob was written
	announced recordState = '~' // the blob is about to be written; the second seal of the pair says that it was
	removed   recordState = '-' // the blob was taken away on purpose
)

const (
	sealsPrefix = "cofre/seals/"
	sealHead    = "cofre seals 1"
	// Seals come in pairs: the first is written before the index that makes its packs visible, the second after
	// it. So no index is ever visible whose packs have no seal, and a seal that is lost leaves a half pair.
	firstOfPair  = "-a"
	secondOfPair = "-b"
	sealTime     = "20060102T150405.000000000Z"
)

// sealNames makes the names of a pair, which sort by time.
func sealNames(at time.Time) (first, second string) {
	pair := sealsPrefix + at.UTC().Format(sealTime) + "-" + strings.ToLower(rand.Text()[:8])
	return pair + firstOfPair, pair + secondOfPair
}

// encode writes a seal as text that ends with the hash of itself.
func (s seal) encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nat %s\n", sealHead, s.At.UTC().Format(time.RFC3339Nano))
	for _, r := range s.Records {
		fmt.Fprintf(&b, "%c %d %x %s\n", r.State, r.Size, r.Hash, r.Name)
	}
	sum := blake3.Sum256(b.Bytes())
	fmt.Fprintf(&b, "end %x\n", sum)
	return b.Bytes()
}

var errSeal = errors.New("not the text of a seal")

// parseSeal reads what encode wrote. Anything else, down to one changed bit, is an error.
func parseSeal(text []byte) (seal, error) {
	const endLength = len("end ") + 2*len(hash{}) + 1
	if len(text) < endLength {
		return seal{}, fmt.Errorf("parse seal: %d bytes: %w", len(text), errSeal)
	}
	body, end := text[:len(text)-endLength], text[len(text)-endLength:]
	sum := blake3.Sum256(body)
	if string(end) != fmt.Sprintf("end %x\n", sum) {
		return seal{}, fmt.Errorf("parse seal: it does not match its own hash: %w", errSeal)
	}
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	if len(lines) < 2 || lines[0] != sealHead || !strings.HasPrefix(lines[1], "at ") {
		return seal{}, fmt.Errorf("parse seal: no head: %w", errSeal)
	}
	at, err := time.Parse(time.RFC3339Nano, lines[1][len("at "):])
	if err != nil {
		return seal{}, fmt.Errorf("parse seal: %v: %w", err, errSeal)
	}
	s := seal{At: at}
	for _, line := range lines[2:] {
		r, err := parseRecord(line)
		if err != nil {
			return seal{}, err
		}
		s.Records = append(s.Records, r)
	}
	return s, nil
}

func parseRecord(line string) (record, error) {
	fields := strings.SplitN(line, " ", 4)
	if len(fields) != 4 || len(fields[0]) != 1 || len(fields[2]) != 2*len(hash{}) || fields[3] == "" {
		return record{}, fmt.Errorf("parse seal: line %q: %w", line, errSeal)
	}
	r := record{State: recordState(fields[0][0]), Name: fields[3]}
	if r.State != stored && r.State != announced && r.State != removed {
		return record{}, fmt.Errorf("parse seal: line %q: state: %w", line, errSeal)
	}
	size, err := strconv.ParseUint(fields[1], 10, 63)
	if err != nil {
		return record{}, fmt.Errorf("parse seal: line %q: size: %w", line, errSeal)
	}
	r.Size = int64(size)
	if _, err := hex.Decode(r.Hash[:], []byte(fields[2])); err != nil {
		return record{}, fmt.Errorf("parse seal: line %q: hash: %w", line, errSeal)
	}
	return r, nil
}

// hashOf reads r to its end.
func hashOf(r io.Reader) (sum hash, size int64, err error) {
	h := blake3.New()
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	size, err = io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, *buffer)
	h.Sum(sum[:0])
	return sum, size, err
}

var copyBuffers = sync.Pool{New: func() any {
	b := make([]byte, 256<<10)
	return &b
}}
