package sealed

import (
	"strings"
	"testing"
)

// FuzzHeader: a header that is read has a digest, and what it says of its neighbours is what is written of that.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("age-encryption.org/v1\n-> X25519 SVrzdFfkPxf0LPHOUGB1gNb9E5Vr8EUDa9kxk04iQ0o\n0OrTkKHpE7klNLd0k+9Uam5hkQkzMxaqKcIPRIO1sNE\n-> " + linkType + " first=0/1000028 prev=0/0 last=0/1FFFF80 wants=12 by=host\n\n--- gxhoSa5BciRDt8lOpYNcx4EYtKpS0CJ06F3ZwN82VaM\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHeader("wal/object", b)
		if err != nil || h.Link == nil {
			return
		}
		again, err := ParseLink(h.Link.Args())
		if err != nil || *again != *h.Link {
			t.Errorf("%+v came back as %+v, %v", h.Link, again, err)
		}
	})
}

// FuzzLink: what a segment says of its neighbours, as it is written and read.
func FuzzLink(f *testing.F) {
	f.Add("first=0/1000028 prev=0/0 last=0/1FFFF80 wants=12 by=host")
	f.Add("remaining=77 overwritten break=1/0 before=" + strings.Repeat("0", 64))
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := ParseLink(strings.Fields(text)); err != nil && !strings.Contains(err.Error(), "neighbours") {
			t.Error(err)
		}
	})
}
