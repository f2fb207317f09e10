package restoring

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/trustlayer/cofre/postgres/logical"
)

// Cut at any offsets, the parts hold every line once.
func TestPartsAreTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.StringMatching(`[a-c]{0,40}`), 1, 60).Draw(t, "lines")
		text := strings.Join(lines, "\n") + "\n"
		stored := []byte(text + logical.EndMarker)
		n := rapid.IntRange(1, 12).Draw(t, "parts")
		buffer := rapid.IntRange(16, 64).Draw(t, "buffer")
		var sum logical.Tally
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
				if err := logical.EndsWell(r.br); err != nil {
					t.Fatal(err)
				}
			}
			sum.Merge(&r.tally)
		}
		var whole logical.Tally
		_, _ = whole.Write([]byte(text))
		if got.String() != text || sum.Sum() != whole.Sum() || sum.Rows != whole.Rows {
			t.Fatalf("%q became %q", text, got.String())
		}
	})
}
