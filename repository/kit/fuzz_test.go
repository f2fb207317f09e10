package kit_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/trustlayer/cofre/repository/kit"
)

// FuzzFormat: what a person types in from a kit is the format that was printed, or is refused.
func FuzzFormat(f *testing.F) {
	printed := kit.Format{"kopia.repository": []byte("{}"), "kopia.blobcfg": {0, 1, 2}}.Encode()
	f.Add("THE KIT\n\n" + printed + "\n")
	f.Add(printed[:len(printed)/2])
	f.Fuzz(func(t *testing.T, text string) {
		parsed, err := kit.ParseFormat(text)
		if err != nil {
			return
		}
		again, err := kit.ParseFormat(parsed.Encode())
		if err != nil || !maps.EqualFunc(parsed, again, slices.Equal[[]byte]) {
			t.Errorf("%v came back as %v, %v", parsed, again, err)
		}
	})
}
