package seal

import (
	"crypto/hmac"
	"fmt"
	"strings"
	"time"

	"github.com/zeebo/blake3"
)

// Key is what only the password of a repository opens, 32 bytes. With nil a seal is written, and read, by anybody.
type Key []byte

// Purpose is what the key is derived for.
const Purpose = "cofre seals"

// Three lines of a seal are of no object. They have the form of what was removed, so that versions which know nothing of keys pass over them.
const (
	// macName is that of the last line of a seal with a key: its hash is the keyed BLAKE3 of the name of the seal, a newline, and every byte
	// before the line. The name says which of two seals is the later one.
	macName = Prefix + "mac"
	// raisedName says that seals without a key are not believed any more.
	raisedName = Prefix + "unkeyed"
	// atName and a time say when what the lines below name was written.
	atName = Prefix + "at/"
)

func (k Key) mac(name string, text []byte) (sum Hash) {
	h, err := blake3.NewKeyed(k)
	if err != nil {
		panic(fmt.Sprintf("seal: internal error: a key of %d bytes", len(k)))
	}
	_, _ = h.Write([]byte(name + "\n")) // never fails
	_, _ = h.Write(text)
	h.Sum(sum[:0])
	return sum
}

// authenticate takes the lines that are of no object out of the records, and finds out what they say. body is the text before the end.
func (s *Seal) authenticate(name string, body []byte, key Key) {
	n := len(s.Records) - 1
	if n < 0 || s.Records[n].Name != macName || s.Records[n].State != Removed {
		return // what else it says of names like these is of an object that nobody has
	}
	mac := s.Records[n]
	s.Records = s.Records[:n]
	line := len(fmt.Sprintf("%c %d %x %s\n", mac.State, mac.Size, mac.Hash, mac.Name))
	if key != nil {
		want := key.mac(name, body[:len(body)-line])
		s.Keyed = hmac.Equal(want[:], mac.Hash[:])
	}
	if n > 0 && s.Records[n-1].Name == raisedName && s.Records[n-1].State == Removed {
		s.Raised, s.Records = s.Keyed, s.Records[:n-1]
	}
	at, records := s.At, s.Records[:0]
	for _, r := range s.Records {
		if first, ok := strings.CutPrefix(r.Name, atName); ok && r.State == Removed {
			if t, err := time.Parse(TimeLayout, first); err == nil {
				at = t
			}
			continue
		}
		r.Keyed, r.At = s.Keyed, at
		records = append(records, r)
	}
	s.Records = records
}

// Evidence is what an object of the record must hold, and who says so, for what is remembered of reading it back: what was read by versions that
// knew no key proves nothing.
func (r Record) Evidence() []byte {
	by := byte('d') // decrypted, or kept twice
	if r.Keyed {
		by = 'k'
	}
	return append(r.Hash[:], by)
}
