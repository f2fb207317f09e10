package coverage

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
)

// FuzzProofs: what is read is what is written again.
func FuzzProofs(f *testing.F) {
	text, err := encode(head{At: time.Unix(1_800_000_000, 0).UTC(), Window: 3600, Instead: []string{"cofre/proven/a"}}, map[fingerprint]proof{{1, 2, 3}: {7, true}, {4}: {8, false}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)-1])
	f.Fuzz(func(t *testing.T, b []byte) {
		h, proofs, err := decode(b)
		if err != nil {
			return
		}
		text, err := encode(h, proofs)
		if err != nil {
			return // a time that JSON has no form for
		}
		again, same, err := decode(text)
		if err != nil || !maps.Equal(proofs, same) || !again.At.Equal(h.At) || again.Full != h.Full {
			t.Errorf("%+v and %d proofs came back as %+v and %d, %v", h, len(proofs), again, len(same), err)
		}
	})
}

func FuzzSummary(f *testing.F) {
	b, err := pack(cofre.Coverage{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := unpack(b)
		if err != nil {
			return
		}
		text, err := pack(c)
		if err != nil {
			return
		}
		again, err := unpack(text)
		if err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%+v came back as %+v, %v", c, again, err)
		}
	})
}
