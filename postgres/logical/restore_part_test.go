package logical

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Cut at any offsets, the parts hold every line once.
func TestPartsAreTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.StringMatching(`[a-c]{0,40}`), 1, 60).Draw(t, "lines")
		text := strings.Join(lines, "\n") + "\n"
		stored := []byte(text + endMarker)
		n := rapid.IntRange(1, 12).Draw(t, "parts")
		buffer := rapid.IntRange(16, 64).Draw(t, "buffer")
		var sum rowTally
		var got strings.Builder
		for k := range n {
			src := bytes.NewReader(stored)
			from, to := int64(len(text)*k/n), int64(len(text)*(k+1)/n)
			r := &partReader{br: bufio.NewReaderSize(src, buffer), to: to, size: int64(len(text))}
			if err := r.begin(src, from); err != nil {
				t.Fatal(err)
			}
			if _, err := io.CopyBuffer(&got, struct{ io.Reader }{r}, make([]byte, rapid.IntRange(1, 50).Draw(t, "read"))); err != nil {
				t.Fatal(err)
			}
			if to == int64(len(text)) {
				if err := endsWell(r.br); err != nil {
					t.Fatal(err)
				}
			}
			sum.merge(&r.tally)
		}
		var whole rowTally
		_, _ = whole.Write([]byte(text))
		if got.String() != text || sum.checksum() != whole.checksum() || sum.rows != whole.rows {
			t.Fatalf("%q became %q", text, got.String())
		}
	})
}
