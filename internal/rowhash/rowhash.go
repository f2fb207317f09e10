// Package rowhash sums rows under a secret: equal sets of rows have equal sums in whatever order they come, and whoever does not
// know the key cannot make other rows whose sum is the same.
//
// The hash of a row is a pseudo-random function of it: a universal hash of 127 bits, encrypted with AES-256 (Carter and Wegman's construction, as
// in UMAC, RFC 4418, and VMAC, whose parts these are). The universal hash takes blocks of 1024 bytes, each to two values of 126 bits (NH over
// words of 64 bits, twice with shifted keys), and evaluates the polynomial that has these values and the row's length as its
// coefficients, modulo 2^127-1, at a secret point. Two given rows have one hash with a probability below 2^-100, whatever they are, up to 1 GiB.
//
// The sum of a set is the sum of the hashes of its rows modulo 2^128. It does not depend on their order; unlike exclusive or it tells a
// row that is there twice from one that is not there at all. Two given sets that are not equal have one sum with a probability of at most N
// in 2^128, N being the most often that one row occurs. What is written down of a sum is encrypted once more (Key.Veil), so
// that the hashes of single rows cannot be learned from the sums of known sets.
package rowhash

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"

	"github.com/zeebo/blake3"
)

const (
	// KeySize is how long a secret is. Bytes.
	KeySize = 32

	blockSize  = 1024             // bytes of a row that NH takes at once
	blockWords = blockSize / 8    // of 64 bits
	nhWords    = blockWords + 2   // the second pass takes the key two words later
	mask62     = 1<<62 - 1        // of the upper half of an NH value, as in VMAC
	mask63     = 1<<63 - 1        // of the upper half of a number below 2^127
	context    = "cofre rows 1\n" // begins what the keys are derived from
)

// Key hashes rows. It may be used by several goroutines.
type Key struct {
	nh     [nhWords]uint64
	hi, lo uint64       // the point of the polynomial, below 2^127
	prf    cipher.Block // makes the universal hash a pseudo-random function
	veil   cipher.Block // of what is written down
}

// New makes a key of a secret of KeySize bytes.
//
// Errors: one if it has another size.
func New(secret []byte) (*Key, error) {
	if len(secret) != KeySize {
		return nil, fmt.Errorf("a key of rows has %d bytes, not %d", len(secret), KeySize)
	}
	h, err := blake3.NewKeyed(secret)
	if err != nil {
		return nil, err
	}
	_, _ = h.Write([]byte(context))
	var material [8*nhWords + 16 + 32 + 32]byte
	_, _ = h.Digest().Read(material[:])
	var k Key
	m := material[:]
	for i := range k.nh {
		k.nh[i], m = binary.LittleEndian.Uint64(m), m[8:]
	}
	k.lo, k.hi, m = binary.LittleEndian.Uint64(m), binary.LittleEndian.Uint64(m[8:])&mask63, m[16:]
	if k.prf, err = aes.NewCipher(m[:32]); err != nil {
		return nil, err
	}
	k.veil, err = aes.NewCipher(m[32:64])
	return &k, err
}

// Hash is the hash of a row, and a sum of such hashes.
type Hash struct{ Hi, Lo uint64 }

// Add adds o, modulo 2^128.
func (h *Hash) Add(o Hash) {
	var carry uint64
	h.Lo, carry = bits.Add64(h.Lo, o.Lo, 0)
	h.Hi, _ = bits.Add64(h.Hi, o.Hi, carry)
}

// Row is the hash of a row that is there as a whole. What Write took of another is not touched.
func (h *Hasher) Row(row []byte) Hash {
	k, hi, lo := h.key, uint64(0), uint64(1)
	n := len(row)
	for ; len(row) >= blockSize; row = row[blockSize:] {
		hi, lo = k.block(hi, lo, row[:blockSize])
	}
	if len(row) > 0 {
		hi, lo = k.block(hi, lo, row)
	}
	return h.finish(hi, lo, uint64(n))
}

// Veil is how a sum is written down: encrypted, in 32 hexadecimal digits. Equal sums are written alike.
func (k *Key) Veil(h Hash) string {
	b := make([]byte, aes.BlockSize)
	binary.BigEndian.PutUint64(b, h.Hi)
	binary.BigEndian.PutUint64(b[8:], h.Lo)
	k.veil.Encrypt(b, b)
	return hex.EncodeToString(b)
}

// Unveil reads what Veil has written.
//
// Errors: one if it is not written so. That another key has written it cannot be told.
func (k *Key) Unveil(s string) (Hash, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != aes.BlockSize {
		return Hash{}, fmt.Errorf("%q is no sum of rows", s)
	}
	k.veil.Decrypt(b, b)
	return Hash{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}, nil
}

// Hasher hashes rows: whole ones, and one at a time, of any length, that comes in pieces.
type Hasher struct {
	key    *Key
	hi, lo uint64
	total  uint64
	n      int // bytes in buf
	buf    [blockSize]byte
	one    [aes.BlockSize]byte // here, so that no row costs an allocation
}

// NewHasher begins a row.
func (k *Key) NewHasher() *Hasher {
	h := &Hasher{key: k}
	h.Reset()
	return h
}

// Reset begins another row.
func (h *Hasher) Reset() { h.hi, h.lo, h.total, h.n = 0, 1, 0, 0 }

// Write takes a piece. It never fails.
func (h *Hasher) Write(p []byte) (int, error) {
	n := len(p)
	h.total += uint64(n)
	for len(p) > 0 {
		if h.n == 0 && len(p) >= blockSize {
			h.hi, h.lo = h.key.block(h.hi, h.lo, p[:blockSize])
			p = p[blockSize:]
			continue
		}
		c := copy(h.buf[h.n:], p)
		p = p[c:]
		if h.n += c; h.n == blockSize {
			h.hi, h.lo = h.key.block(h.hi, h.lo, h.buf[:])
			h.n = 0
		}
	}
	return n, nil
}

// Sum is the hash of what came since Reset.
func (h *Hasher) Sum() Hash {
	hi, lo := h.hi, h.lo
	if h.n > 0 {
		hi, lo = h.key.block(hi, lo, h.buf[:h.n])
	}
	return h.finish(hi, lo, h.total)
}

// block takes up to blockSize bytes into the polynomial: NH of them, with zeros up to a multiple of 16 bytes.
func (k *Key) block(hi, lo uint64, p []byte) (uint64, uint64) {
	var h0, l0, h1, l1, ph, pl, c uint64
	key := k.nh[:]
	for len(p) >= 16 && len(key) >= 4 {
		a, b := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
		ph, pl = bits.Mul64(a+key[0], b+key[1])
		l0, c = bits.Add64(l0, pl, 0)
		h0, _ = bits.Add64(h0, ph, c)
		ph, pl = bits.Mul64(a+key[2], b+key[3])
		l1, c = bits.Add64(l1, pl, 0)
		h1, _ = bits.Add64(h1, ph, c)
		p, key = p[16:], key[2:]
	}
	if len(p) > 0 {
		var tail [16]byte
		copy(tail[:], p)
		a, b := binary.LittleEndian.Uint64(tail[:]), binary.LittleEndian.Uint64(tail[8:])
		ph, pl = bits.Mul64(a+key[0], b+key[1])
		l0, c = bits.Add64(l0, pl, 0)
		h0, _ = bits.Add64(h0, ph, c)
		ph, pl = bits.Mul64(a+key[2], b+key[3])
		l1, c = bits.Add64(l1, pl, 0)
		h1, _ = bits.Add64(h1, ph, c)
	}
	hi, lo = k.step(hi, lo, h0&mask62, l0)
	return k.step(hi, lo, h1&mask62, l1)
}

// finish ends a row of n bytes.
func (h *Hasher) finish(hi, lo, n uint64) Hash {
	hi, lo = h.key.step(hi, lo, 0, n)
	if hi > mask63 || hi == mask63 && lo == ^uint64(0) { // 2^127 or 2^127-1: less the modulus
		lo++
		hi = 0
	}
	b := h.one[:]
	binary.BigEndian.PutUint64(b, hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	h.key.prf.Encrypt(b, b)
	return Hash{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// step is (hi,lo) times the point plus (eh,el), modulo 2^127-1, as a number of at most 2^127. It takes such a number and one below 2^126.
func (k *Key) step(hi, lo, eh, el uint64) (uint64, uint64) {
	// The product has 256 bits at most: r3 r2 r1 r0.
	r1, r0 := bits.Mul64(lo, k.lo)
	r3, r2 := bits.Mul64(hi, k.hi)
	h, l := bits.Mul64(lo, k.hi)
	var c uint64
	r1, c = bits.Add64(r1, l, 0)
	r2, c = bits.Add64(r2, h, c)
	r3 += c
	h, l = bits.Mul64(hi, k.lo)
	r1, c = bits.Add64(r1, l, 0)
	r2, c = bits.Add64(r2, h, c)
	r3 += c
	// 2^127 is 1.
	lo, c = bits.Add64(r0, r2<<1|r1>>63, 0)
	hi, _ = bits.Add64(r1&mask63, r3<<1|r2>>63, c)
	lo, c = bits.Add64(lo, hi>>63, 0)
	hi = hi&mask63 + c
	lo, c = bits.Add64(lo, el, 0)
	hi, _ = bits.Add64(hi, eh, c)
	lo, c = bits.Add64(lo, hi>>63, 0)
	return hi&mask63 + c, lo
}
