package rawtext_test

import (
	"testing"

	"github.com/trustlayer/cofre/internal/rawtext"
)

func TestEncode(t *testing.T) {
	for plain, want := range map[string]string{
		"": "", "maçã": "maçã", "100%": "100%", "a\xe7/b": "%cofre:a%E7%2Fb", "%cofre:x": "%cofre:%25cofre:x",
	} {
		got := rawtext.Encode(plain)
		if got != want || rawtext.Decode(got) != plain {
			t.Errorf("%q is written as %q, want %q, and read as %q", plain, got, want, rawtext.Decode(got))
		}
	}
	if got := rawtext.Decode("%cofre:%zz"); got != "%cofre:%zz" {
		t.Errorf("%q", got)
	}
}
