package pgdata

import (
	"math/rand/v2"
	"testing"
)

// TestChecksumRows compares what this processor does with what every processor can.
func TestChecksumRows(t *testing.T) {
	random := rand.NewChaCha8([32]byte{3})
	for _, n := range []int{0, 1, 2, 3, 63, 64, 255} {
		rows := make([]byte, n*rowSize)
		random.Read(rows)
		got, want := checksumBase, checksumBase
		checksumRows(&got, rows)
		checksumRowsGeneric(&want, rows)
		if got != want {
			t.Errorf("%d rows: %x, want %x", n, got, want)
		}
	}
}
