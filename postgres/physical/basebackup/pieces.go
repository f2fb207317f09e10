package basebackup

import (
	"io"
	"os"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
)

// A file is stored in pieces of BlockSize, of which one with a changed page is stored again. Two kinds of file are not:
// an index, whose pages change all over where rows of its table are inserted, in smaller pieces, which cost little more
// now and less then; and a file that compresses so much better in large ones that it is worth what changed pages will
// cost. Which of them a file is, is asked of the file itself when it is first captured, and remembered: to change it is to
// store the file again.
//
// The figures behind these numbers: docs/decisions/0011-piece-sizes.md.
const (
	finePiece = 64 << 10
	fineMin   = 4 << 20 // a smaller index is not worth it

	widePiece     = 1 << 20
	wideBlocks    = widePiece / physical.BlockSize
	wideMin       = 32 << 20 // a smaller file is not tried
	wideTryEach   = 64 << 20 // one stretch of each so much is tried
	wideTryAtMost = 4
	// What must be gained: a tenth of the bytes stored, and a hundredth of the file.
	wideGain, wideGainRaw = 0.1, 0.01
)

// layoutOf is how pieces of a size are asked for.
func layoutOf(pieceSize int64) cofre.Layout {
	switch pieceSize {
	case finePiece:
		return cofre.LayoutFinePages
	case widePiece:
		return cofre.LayoutWidePages
	}
	return cofre.LayoutPages
}

// bestPieceSize decides about a file of a relation that was not captured before. 0 stands for BlockSize.
func bestPieceSize(f *os.File, size int64) (int64, error) {
	if size >= fineMin {
		first := make([]byte, pgdata.PageSize)
		if _, err := f.ReadAt(first, 0); err != nil && err != io.EOF {
			return 0, err
		}
		if pgdata.HasSpecial(first) {
			return finePiece, nil
		}
	}
	wide, err := gainsWide(f, size)
	if wide {
		return widePiece, err
	}
	return 0, err
}

// trial compresses as the repository does by default. Its result is a measure, not what is stored.
var trial = sync.OnceValue(func() *zstd.Encoder {
	e, _ := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false)) // no error with these options
	return e
})

// gainsWide tries some stretches of a file, whole and block by block. A file that ends meanwhile gains nothing.
func gainsWide(f *os.File, size int64) (bool, error) {
	if size < wideMin {
		return false, nil
	}
	samples := min(max(size/wideTryEach, 1), wideTryAtMost)
	stretch, packed := make([]byte, widePiece), make([]byte, 0, widePiece)
	var wide, narrow int
	for i := range samples {
		// From the middle of its share: the first pages of a file are not like the others.
		at := (size/samples*i + size/samples/2) / widePiece * widePiece
		if _, err := f.ReadAt(stretch, at); err == io.EOF {
			return false, nil
		} else if err != nil {
			return false, err
		}
		packed = trial().EncodeAll(stretch, packed[:0])
		wide += len(packed)
		for b := range wideBlocks {
			packed = trial().EncodeAll(physical.Block(stretch, b), packed[:0])
			narrow += len(packed)
		}
	}
	gain := float64(narrow - wide)
	return gain >= wideGain*float64(narrow) && gain >= wideGainRaw*float64(samples*widePiece), nil
}

// scattered reports whether pages changed so far from each other that pieces of 1 MiB cost in one capture, beyond what
// pieces of 128 KiB would have, more than a quarter of the file: storing it again in those is then soon earned.
func scattered(was, now []uint64) bool {
	stored, changed := 0, 0
	for at := 0; at < len(was) && at < len(now); at += wideBlocks {
		n := 0
		for i := at; i < min(at+wideBlocks, len(was), len(now)); i++ {
			if was[i] != now[i] {
				n++
			}
		}
		if n > 0 {
			stored += wideBlocks
			changed += n
		}
	}
	return stored-changed > len(now)/4
}
