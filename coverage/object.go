package coverage

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
)

const (
	prefix        = "cofre/proven/"
	readPrefix    = prefix + "read/"
	summaryPrefix = prefix + "summary/"
	purpose       = "cofre proven" // of the key
	nameLayout    = "20060102T150405.000000000Z"
	// maxObject bounds what is read of an object that anybody who may write to the store could have made. Three million proofs are less.
	maxObject  = 64 << 20
	maxSummary = 256 << 20 // as JSON
	recordSize = len(fingerprint{}) + 4 + 1
)

// Sealer encrypts under a key that the repository's password opens, and reads what it has encrypted.
type Sealer interface {
	Seal(purpose string, text []byte) ([]byte, error)
	// Unseal fails with cofre.ErrCorrupt if this key has not sealed it for this purpose.
	Unseal(purpose string, sealed []byte) ([]byte, error)
}

// fingerprint is of an object as it is.
type fingerprint [16]byte

func fingerprintOf(o cofre.ReadBack) fingerprint {
	h := sha256.New()
	for _, s := range []string{o.Part.What, o.Part.Repository, o.Name, o.Version, string(o.Hash)} {
		h.Write(binary.AppendUvarint(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(o.Size)))
	h.Write(binary.LittleEndian.AppendUint64(nil, uint64(o.ModifiedAt.UnixNano())))
	return fingerprint(h.Sum(nil)[:len(fingerprint{})])
}

// proof is when an object was read back, in minutes since 1970, and whether it was as it was written.
type proof struct {
	minute uint32
	whole  bool
}

func minuteOf(t time.Time) uint32 { return uint32(t.Unix() / 60) }

func (p proof) at() time.Time { return time.Unix(int64(p.minute)*60, 0).UTC() }

// after reports whether p is to be believed over q: the later, and of one minute the worse.
func (p proof) after(q proof) bool {
	return p.minute > q.minute || p.minute == q.minute && !p.whole
}

// head is the first line of what is sealed.
type head struct {
	At      time.Time `json:"at"`
	Window  int64     `json:"window_s,omitempty"`
	Instead []string  `json:"instead,omitempty"` // the objects whose proofs are in this one, too; and all that are a day older
	Full    bool      `json:"full,omitempty"`
}

func encode(h head, proofs map[fingerprint]proof) ([]byte, error) {
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	text = append(text, '\n')
	for f, p := range proofs {
		text = append(text, f[:]...)
		text = binary.LittleEndian.AppendUint32(text, p.minute)
		var whole byte
		if p.whole {
			whole = 1
		}
		text = append(text, whole)
	}
	return text, nil
}

func decode(text []byte) (head, map[fingerprint]proof, error) {
	line, rest, ok := bytes.Cut(text, []byte("\n"))
	var h head
	if err := json.Unmarshal(line, &h); err != nil || !ok || len(rest)%recordSize != 0 {
		return h, nil, fmt.Errorf("%w: it is no record of what was read back", cofre.ErrCorrupt)
	}
	proofs := make(map[fingerprint]proof, len(rest)/recordSize)
	for r := range slices.Chunk(rest, recordSize) {
		n := len(fingerprint{})
		proofs[fingerprint(r[:n])] = proof{binary.LittleEndian.Uint32(r[n:]), r[n+4] == 1}
	}
	return h, proofs, nil
}

// create stores an object under a new name, and returns the SHA-256 of its stored bytes.
func create(ctx context.Context, st cofre.Store, key Sealer, under string, at time.Time, text []byte) (name, digest string, err error) {
	b, err := key.Seal(purpose, text)
	if err != nil {
		return "", "", err
	}
	name = under + at.UTC().Format(nameLayout) + "-" + strings.ToLower(rand.Text()[:8])
	sum := sha256.Sum256(b)
	return name, hex.EncodeToString(sum[:]), st.Create(ctx, name, bytes.NewReader(b), int64(len(b)))
}

// open reads an object. ok is false if it is gone, or nobody who knows the password has made it: it proves nothing then.
//
// Errors: those of the store.
func open(ctx context.Context, st cofre.Store, key Sealer, name string) (text []byte, ok bool, err error) {
	b, err := bounded.Read(ctx, st, name, maxObject)
	if err == nil {
		text, err = key.Unseal(purpose, b)
	}
	if errors.Is(err, cofre.ErrNotFound) || errors.Is(err, cofre.ErrCorrupt) {
		return nil, false, nil
	}
	return text, err == nil, err
}

// loaded is what some objects say.
type loaded struct {
	proofs  map[fingerprint]proof
	names   []string // that were read, or whose proofs are in one that was
	objects int      // that were read
	apart   int      // proofs in those that are not full
	newest  time.Time
}

// load reads what was proven: the newest object that has everything, and those whose proofs are not in it. A proof of after now, or of after
// its object was stored, is from a clock that leapt, and none.
//
// Errors: those of the store.
func load(ctx context.Context, st cofre.Store, key Sealer, now time.Time) (*loaded, error) {
	var all []cofre.StoredObject
	for o, err := range st.List(ctx, readPrefix) {
		if err != nil {
			return nil, fmt.Errorf("list what was read back: %w", err)
		}
		all = append(all, o)
	}
	l := &loaded{proofs: map[fingerprint]proof{}}
	instead := map[string]bool{}
	var full *cofre.StoredObject
	for _, o := range slices.Backward(all) {
		if instead[o.Name] || full != nil && olderThan(o, *full) {
			continue
		}
		text, ok, err := open(ctx, st, key, o.Name)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", o.Name, err)
		}
		if !ok {
			continue
		}
		h, proofs, err := decode(text)
		if err != nil {
			continue
		}
		l.objects++
		l.names = append(l.names, o.Name)
		if h.Full && full == nil {
			full = &o
			for _, name := range h.Instead {
				instead[name] = true
			}
		} else {
			l.apart += len(proofs)
		}
		l.take(proofs, o, now)
	}
	return l, nil
}

// olderThan reports whether an object is so much older than one that has everything that its proofs must be in that.
func olderThan(o, full cofre.StoredObject) bool {
	return o.Name < full.Name && full.ModifiedAt.Sub(o.ModifiedAt) > 24*time.Hour
}

func (l *loaded) take(proofs map[fingerprint]proof, o cofre.StoredObject, now time.Time) {
	limit := now
	if o.ModifiedAt.Before(limit) {
		limit = o.ModifiedAt
	}
	last := minuteOf(limit.Add(cofre.ClockSkew))
	for f, p := range proofs {
		if p.minute > last {
			if p.whole {
				continue
			}
			p.minute = last
		}
		if was, ok := l.proofs[f]; !ok || p.after(was) {
			l.proofs[f] = p
		}
		if p.at().After(l.newest) {
			l.newest = p.at()
		}
	}
}

// Read returns the newest summary: what the last verification has established. found is false if there is none. It costs a listing and one
// object, or two.
//
// Errors: those of the store.
func Read(ctx context.Context, st cofre.Store, key Sealer, now time.Time) (c cofre.Coverage, found bool, err error) {
	var names []string
	for o, err := range st.List(ctx, summaryPrefix) {
		if err != nil {
			return c, false, fmt.Errorf("list what was verified: %w", err)
		}
		names = append(names, o.Name)
	}
	ahead := summaryPrefix + now.Add(cofre.ClockSkew).UTC().Format(nameLayout)
	for _, name := range slices.Backward(names) {
		if name > ahead {
			continue // of a clock that leapt
		}
		text, ok, err := open(ctx, st, key, name)
		if err != nil {
			return c, false, fmt.Errorf("read %s: %w", name, err)
		}
		if ok {
			if c, err := unpack(text); err == nil {
				return c, true, nil
			}
		}
	}
	return c, false, nil
}

func pack(c cofre.Coverage) ([]byte, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(c); err != nil {
		return nil, err
	}
	err := z.Close()
	return b.Bytes(), err
}

func unpack(text []byte) (c cofre.Coverage, err error) {
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err == nil {
		err = json.NewDecoder(io.LimitReader(z, maxSummary)).Decode(&c)
	}
	return c, err
}
