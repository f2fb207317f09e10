package rowhash

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/zeebo/xxh3"
)

func testKey(t testing.TB, b byte) *Key {
	t.Helper()
	k, err := New(bytes.Repeat([]byte{b}, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// slow is the hash as the package's documentation has it, in numbers of any size.
func slow(k *Key, row []byte) Hash {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 127), big.NewInt(1))
	number := func(hi, lo uint64) *big.Int {
		return new(big.Int).Or(new(big.Int).Lsh(new(big.Int).SetUint64(hi), 64), new(big.Int).SetUint64(lo))
	}
	point, acc := number(k.hi, k.lo), big.NewInt(1)
	step := func(e *big.Int) { acc = acc.Mod(acc.Add(acc.Mul(acc, point), e), p) }
	low := func(n int) *big.Int { return new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(n)), big.NewInt(1)) }
	for at := 0; at < len(row); at += blockSize {
		block := bytes.Clone(row[at:min(at+blockSize, len(row))])
		block = append(block, make([]byte, (16-len(block)%16)%16)...)
		for pass := range 2 {
			sum := new(big.Int)
			for i := 0; i < len(block)/8; i += 2 {
				a, b := binary.LittleEndian.Uint64(block[8*i:])+k.nh[i+2*pass], binary.LittleEndian.Uint64(block[8*i+8:])+k.nh[i+1+2*pass]
				sum.Add(sum, new(big.Int).Mul(new(big.Int).SetUint64(a), new(big.Int).SetUint64(b)))
			}
			step(sum.And(sum, low(126)))
		}
	}
	step(new(big.Int).SetInt64(int64(len(row))))
	var b [aes.BlockSize]byte
	acc.FillBytes(b[:])
	k.prf.Encrypt(b[:], b[:])
	return Hash{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
}

func TestAHashIsAsDescribed(t *testing.T) {
	k := testKey(t, 7)
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 3200 {
		row := make([]byte, n)
		for i := range row {
			switch n % 3 {
			case 0:
				row[i] = byte(r.Uint32())
			case 1:
				row[i] = 0xff
			}
		}
		want := slow(k, row)
		if got := k.NewHasher().Row(row); got != want {
			t.Fatalf("%d bytes: %x, want %x", n, got, want)
		}
		h := k.NewHasher()
		_, _ = h.Write([]byte("of a row before"))
		h.Reset()
		for rest := row; len(rest) > 0; {
			c := min(1+r.IntN(700), len(rest))
			_, _ = h.Write(rest[:c])
			rest = rest[c:]
		}
		if got := h.Sum(); got != want {
			t.Fatalf("%d bytes in pieces: %x, want %x", n, got, want)
		}
	}
}

// The reduction is right at its bounds, which chance does not meet.
func TestStepsAtTheBounds(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 127), big.NewInt(1))
	number := func(hi, lo uint64) *big.Int {
		return new(big.Int).Or(new(big.Int).Lsh(new(big.Int).SetUint64(hi), 64), new(big.Int).SetUint64(lo))
	}
	all := ^uint64(0)
	numbers := [][2]uint64{{0, 0}, {0, 1}, {0, all}, {1, 0}, {mask63, all}, {mask63, all - 1}, {1 << 63, 0}, {1 << 62, 0}, {mask62, all}}
	for _, a := range numbers {
		for _, point := range numbers {
			for _, e := range numbers {
				if point[0] > mask63 || e[0] > mask62 {
					continue
				}
				k := &Key{hi: point[0], lo: point[1]}
				hi, lo := k.step(a[0], a[1], e[0], e[1])
				want := new(big.Int).Mul(number(a[0], a[1]), number(point[0], point[1]))
				want.Mod(want.Add(want, number(e[0], e[1])), p)
				if got := number(hi, lo); new(big.Int).Mod(got, p).Cmp(want) != 0 || got.BitLen() > 128 || hi > 1<<63 || hi == 1<<63 && lo > 0 {
					t.Errorf("%x times %x plus %x: %x", a, point, e, got)
				}
			}
		}
	}
}

// A vector that another implementation can be held to.
func TestVector(t *testing.T) {
	k := testKey(t, 1)
	var sum Hash
	for _, row := range []string{"1\tuma linha", "2\toutra", ""} {
		sum.Add(k.NewHasher().Row([]byte(row)))
	}
	if got := k.Veil(sum); got != vector {
		t.Errorf("%s", got)
	}
	back, err := k.Unveil(vector)
	if err != nil || back != sum {
		t.Errorf("unveiled %x, %v", back, err)
	}
	for _, bad := range []string{"", "00", vector + "00", "g" + vector[1:]} {
		if _, err := k.Unveil(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestSums(t *testing.T) {
	k := testKey(t, 1)
	sum := func(k *Key, rows ...string) (s Hash) {
		for _, r := range rows {
			s.Add(k.NewHasher().Row([]byte(r)))
		}
		return s
	}
	of := sum(k, "a", "b", "c")
	if sum(k, "c", "a", "b") != of {
		t.Error("the order matters")
	}
	for name, other := range map[string]Hash{
		"removed": sum(k, "a", "b"), "twice": sum(k, "a", "b", "c", "c"), "changed": sum(k, "a", "b", "d"), "one for another": sum(k, "a", "a", "c"),
		"an empty row": sum(k, "a", "b", "c", ""), "zeros behind": sum(k, "a", "b", "c\x00"), "another key": sum(testKey(t, 2), "a", "b", "c"),
	} {
		if other == of {
			t.Errorf("%s: the same sum", name)
		}
	}
	if sum(k, "x", "x") == sum(k, "y", "y") || sum(k, "x", "x") == sum(k) {
		t.Error("what is there twice vanishes")
	}
	if _, err := New(make([]byte, KeySize-1)); err == nil {
		t.Error("a short secret was taken")
	}
}

// Rows whose unkeyed hashes are made to sum up to the same: the lowest bits at least, with as few rows as a test has time for. The same
// search over any number of bits is what a database user can do, and what the key takes away.
func TestChosenRowsDoNotCollide(t *testing.T) {
	const n = 40 // bits
	k := testKey(t, 3)
	one, other := collide(n)
	plain := func(rows [2]string) uint64 {
		return (xxh3.Hash128([]byte(rows[0])).Lo + xxh3.Hash128([]byte(rows[1])).Lo) & (1<<n - 1)
	}
	keyed := func(rows [2]string) (s Hash) {
		s.Add(k.NewHasher().Row([]byte(rows[0])))
		s.Add(k.NewHasher().Row([]byte(rows[1])))
		return s
	}
	if one == other || plain(one) != plain(other) {
		t.Fatalf("%q and %q do not collide", one, other)
	}
	if a, b := keyed(one), keyed(other); a == b || a.Lo&(1<<n-1) == b.Lo&(1<<n-1) {
		t.Errorf("%q and %q collide under the key", one, other)
	}
}

// collide finds two pairs of rows whose unkeyed hashes have one sum modulo 2^n.
func collide(n int) (one, other [2]string) {
	rows := func(i int) [2]string { return [2]string{fmt.Sprintf("1\t%d", i), fmt.Sprintf("2\t%d", i*7)} }
	seen := map[uint64]int{}
	for i := 1; ; i++ {
		r := rows(i)
		s := (xxh3.Hash128([]byte(r[0])).Lo + xxh3.Hash128([]byte(r[1])).Lo) & (1<<n - 1)
		if at, ok := seen[s]; ok {
			return rows(at), r
		}
		seen[s] = i
	}
}

func BenchmarkRow(b *testing.B) {
	k := testKey(b, 1)
	for _, n := range []int{30, 200, 4000} {
		row := bytes.Repeat([]byte{'x'}, n)
		b.Run(fmt.Sprintf("keyed/%d", n), func(b *testing.B) {
			h := k.NewHasher()
			b.SetBytes(int64(n))
			var sum Hash
			for b.Loop() {
				sum.Add(h.Row(row))
			}
		})
		b.Run(fmt.Sprintf("xxh3/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			var sum Hash
			for b.Loop() {
				h := xxh3.Hash128(row)
				sum.Add(Hash{h.Hi, h.Lo})
			}
		})
	}
}

const vector = "c57bd0a9fd95011e404605ca31665e25"
