package basebackup

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustlayer/cofre/postgres/pgdata"
)

// TestBestPieceSize asks files of every kind which pieces they are to be stored in.
func TestBestPieceSize(t *testing.T) {
	random := rand.NewChaCha8([32]byte{5})
	noise := make([]byte, 300<<10)
	random.Read(noise)
	page := func(special uint16) []byte {
		p := make([]byte, pgdata.PageSize)
		binary.LittleEndian.PutUint16(p[14:], 100) // pd_upper: not a new page
		binary.LittleEndian.PutUint16(p[16:], special)
		return p
	}
	// far repeats itself beyond what a piece of 128 KiB holds, near within it.
	far := slices.Repeat(noise, 120)
	near := slices.Repeat(noise[:800], 50_000)
	plain := make([]byte, 33<<20)
	random.Read(plain)
	const table, index = pgdata.PageSize, pgdata.PageSize - 16
	for name, c := range map[string]struct {
		first []byte
		rest  []byte
		want  int64
	}{
		"a table that repeats far apart": {page(table), far, widePiece},
		"a table that repeats close by":  {page(table), near, 0},
		"a table of noise":               {page(table), plain, 0},
		"a small table":                  {page(table), far[:8<<20], 0},
		"an index":                       {page(index), far, finePiece},
		"a small index":                  {page(index), far[:1<<20], 0},
		"a file of new pages":            {make([]byte, pgdata.PageSize), make([]byte, 40<<20), 0},
		"nothing":                        {nil, nil, 0},
	} {
		at := filepath.Join(t.TempDir(), "file")
		b := slices.Concat(c.first, c.rest)
		if err := os.WriteFile(at, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(at)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		got, err := bestPieceSize(f, int64(len(b)))
		if err != nil || got != c.want {
			t.Errorf("%s: pieces of %d, %v; want %d", name, got, err, c.want)
		}
		// It was truncated after its size was taken.
		if got, err := bestPieceSize(f, int64(len(b))+64<<20); err != nil && got != 0 {
			t.Errorf("%s, longer than it is: %d, %v", name, got, err)
		}
	}
}

// TestScattered tells changes that lie together from those that lie apart.
func TestScattered(t *testing.T) {
	was := make([]uint64, 64*wideBlocks)
	changed := func(at ...int) []uint64 {
		now := slices.Clone(was)
		for _, i := range at {
			now[i]++
		}
		return now
	}
	var together, apart []int
	for i := range 32 {
		together, apart = append(together, i), append(apart, i*2*wideBlocks)
	}
	for name, c := range map[string]struct {
		was, now []uint64
		want     bool
	}{
		"nothing":          {was, was, false},
		"together":         {was, changed(together...), false},
		"a few apart":      {was, changed(apart[:8]...), false},
		"many apart":       {was, changed(apart...), true},
		"not known before": {nil, changed(apart...), false},
		"it has grown":     {was[:8], changed(apart...), false},
		"it has shrunk":    {was, was[:3], false},
	} {
		if got := scattered(c.was, c.now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
