package compressors

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/kopia/kopia/repo/compression"
)

// stockCompressors are Kopia's own, as they were before this package put others in their place.
var stockCompressors = map[compression.Name]compression.Compressor{
	Zstd: compression.ByName[Zstd],
	S2:   compression.ByName[S2],
}

// TestCompressionIsKopias reads with Kopia's compressors what ours wrote, and with ours what Kopia's wrote.
func TestCompressionIsKopias(t *testing.T) {
	noise := make([]byte, 3<<20)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(noise)
	pieces := map[string][]byte{
		"nothing": nil, "a byte": {7}, "noise": noise, "zeros": make([]byte, 5<<20),
		"text": []byte(strings.Repeat("a row of a table; ", 60_000)), "some": noise[:128<<10],
	}
	Adopt()
	for name, stock := range stockCompressors {
		ours := compression.ByName[name]
		if ours == stock {
			t.Fatalf("%s is still Kopia's", name)
		}
		for what, want := range pieces {
			for _, way := range []struct {
				name     string
				from, to compression.Compressor
			}{{"ours to Kopia's", ours, stock}, {"Kopia's to ours", stock, ours}, {"ours to ours", ours, ours}} {
				var packed, got bytes.Buffer
				if err := way.from.Compress(&packed, bytes.NewReader(want)); err != nil {
					t.Fatalf("%s, %s, %s: compress: %v", name, what, way.name, err)
				}
				whole := bytes.Clone(packed.Bytes())
				if err := way.to.Decompress(&got, &packed, true); err != nil {
					t.Fatalf("%s, %s, %s: decompress: %v", name, what, way.name, err)
				}
				if !bytes.Equal(got.Bytes(), want) {
					t.Errorf("%s, %s, %s: %d bytes came back, not the %d that went in", name, what, way.name, got.Len(), len(want))
				}
				if err := way.to.Decompress(&got, bytes.NewReader(whole[:len(whole)-1]), true); err == nil && len(want) > 0 {
					t.Errorf("%s, %s, %s: a piece that lacks its last byte is read without an error", name, what, way.name)
				}
			}
		}
	}
}
