package seal

import (
	"crypto/hmac"
	"fmt"

	"github.com/zeebo/blake3"
)

// Key is what only the password of a repository opens, 32 bytes. With nil a seal is written, and read, by anybody.
type Key []byte

// Purpose is what the key is derived for.
const Purpose = "cofre seals"

// Two lines of a seal are of no object. They have the form of what was removed, so that versions which know nothing of keys pass over them.
const (
	// macName is that of the last line of a seal with a key: its hash is the keyed BLAKE3 of the name of the seal, a newline, and every byte
	// before the line. The name says which of two seals is the later one.
	macName = Prefix + "mac"
	// raisedName says that seals without a key are not believed any more.
	raisedName = Prefix + "unkeyed"
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
	for i := range s.Records {
		s.Records[i].Keyed = s.Keyed
	}
}
