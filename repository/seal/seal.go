package seal

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
// authenticates what is inside its blobs; a seal covers the whole of them: preamble, padding, postamble. Without its
// key (key.go) it tells of decay; with it also of a forger.
//
// The text, one line a record, is documented in docs/formats/repository.md.
type Seal struct {
	At      time.Time
	Records []Record
	Keyed   bool // somebody who has the key has written it, under this name
	Raised  bool // it says that seals without the key are not believed
}

// Record is one line of a seal.
type Record struct {
	State State
	Size  int64
	Hash  Hash
	Name  string // in the store
	Keyed bool   // its seal is; see Seal
	// At is when it was written, or soon after, by the clock of the store; by that of who wrote it if the store does not say. It is to be believed if Keyed.
	At time.Time
}

type Hash [32]byte

type State byte

const (
	Stored    State = '=' // the blob was written
	Announced State = '~' // the blob is about to be written; the second seal of the pair says that it was
	Removed   State = '-' // the blob was taken away on purpose
)

const (
	Prefix   = "cofre/seals/"
	sealHead = "cofre seals 1"
	// Seals come in pairs: the first is written before the index that makes its packs visible, the second after
	// it. So no index is ever visible whose packs have no seal, and a seal that is lost leaves a half pair.
	firstOfPair  = "-a"
	secondOfPair = "-b"
	TimeLayout   = "20060102T150405.000000000Z"
)

// Names makes the names of a pair, which sort by time.
func Names(at time.Time) (first, second string) {
	pair := Prefix + at.UTC().Format(TimeLayout) + "-" + strings.ToLower(rand.Text()[:8])
	return pair + firstOfPair, pair + secondOfPair
}

// Encode writes a seal as text that ends with the hash of itself. It is for everybody to write: see EncodeAs.
func (s Seal) Encode() []byte { return s.EncodeAs("", nil) }

// EncodeAs writes a seal that is to have a name, under a key.
func (s Seal) EncodeAs(name string, key Key) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s\nat %s\n", sealHead, s.At.UTC().Format(time.RFC3339Nano))
	at := s.At
	for _, r := range s.Records {
		if key != nil && !r.At.IsZero() && !r.At.Equal(at) {
			at = r.At
			fmt.Fprintf(&b, "%c 0 %x %s%s\n", Removed, Hash{}, atName, at.UTC().Format(TimeLayout))
		}
		fmt.Fprintf(&b, "%c %d %x %s\n", r.State, r.Size, r.Hash, r.Name)
	}
	if s.Raised {
		fmt.Fprintf(&b, "%c 0 %x %s\n", Removed, Hash{}, raisedName)
	}
	if key != nil {
		fmt.Fprintf(&b, "%c 0 %x %s\n", Removed, key.mac(name, b.Bytes()), macName)
	}
	sum := blake3.Sum256(b.Bytes())
	fmt.Fprintf(&b, "end %x\n", sum)
	return b.Bytes()
}

var errSeal = errors.New("not the text of a seal")

// Parse reads what Encode wrote. Anything else, down to one changed bit, is an error.
//
// Errors: one that says where the text is not that of a seal.
func Parse(text []byte) (Seal, error) { return ParseAs("", text, nil) }

// ParseAs reads the seal that has a name, and finds out whether it was written under a key. Errors are as of Parse.
func ParseAs(name string, text []byte, key Key) (Seal, error) {
	const endLength = len("end ") + 2*len(Hash{}) + 1
	if len(text) < endLength {
		return Seal{}, fmt.Errorf("parse seal: %d bytes: %w", len(text), errSeal)
	}
	body, end := text[:len(text)-endLength], text[len(text)-endLength:]
	sum := blake3.Sum256(body)
	if string(end) != fmt.Sprintf("end %x\n", sum) {
		return Seal{}, fmt.Errorf("parse seal: it does not match its own hash: %w", errSeal)
	}
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	if len(lines) < 2 || lines[0] != sealHead || !strings.HasPrefix(lines[1], "at ") {
		return Seal{}, fmt.Errorf("parse seal: no head: %w", errSeal)
	}
	at, err := time.Parse(time.RFC3339Nano, lines[1][len("at "):])
	if err != nil {
		return Seal{}, fmt.Errorf("parse seal: %v: %w", err, errSeal)
	}
	s := Seal{At: at}
	for _, line := range lines[2:] {
		r, err := parseRecord(line)
		if err != nil {
			return Seal{}, err
		}
		s.Records = append(s.Records, r)
	}
	s.authenticate(name, body, key)
	return s, nil
}

func parseRecord(line string) (Record, error) {
	fields := strings.SplitN(line, " ", 4)
	if len(fields) != 4 || len(fields[0]) != 1 || len(fields[2]) != 2*len(Hash{}) || fields[3] == "" {
		return Record{}, fmt.Errorf("parse seal: line %.80q: %w", line, errSeal)
	}
	r := Record{State: State(fields[0][0]), Name: fields[3]}
	if r.State != Stored && r.State != Announced && r.State != Removed {
		return Record{}, fmt.Errorf("parse seal: line %.80q: state: %w", line, errSeal)
	}
	size, err := strconv.ParseUint(fields[1], 10, 63)
	if err != nil {
		return Record{}, fmt.Errorf("parse seal: line %.80q: size: %w", line, errSeal)
	}
	r.Size = int64(size)
	if _, err := hex.Decode(r.Hash[:], []byte(fields[2])); err != nil {
		return Record{}, fmt.Errorf("parse seal: line %.80q: hash: %w", line, errSeal)
	}
	return r, nil
}

// HashOf reads r to its end.
//
// Errors: of r.
func HashOf(r io.Reader) (sum Hash, size int64, err error) {
	h := blake3.New()
	buffer := CopyBuffers.Get().(*[]byte)
	defer CopyBuffers.Put(buffer)
	size, err = io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, *buffer)
	h.Sum(sum[:0])
	return sum, size, err
}

var CopyBuffers = sync.Pool{New: func() any {
	b := make([]byte, 256<<10)
	return &b
}}
