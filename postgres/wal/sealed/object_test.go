package sealed_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"filippo.io/age"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

func sealedOf(t testing.TB, id *age.X25519Identity, digestOf, content []byte, sign bool) []byte {
	t.Helper()
	what := sealed.Contents{Object: "wal/7/00000001/000000010000000000000001", Digest: sealed.DigestOf(id.Recipient().String(), "wal/7/00000001/000000010000000000000001", digestOf)}
	if sign {
		what.Sign = func(_, statement string) []string { return []string{"id", fmt.Sprintf("%x", statement)} }
	}
	b, err := sealed.Seal(id.Recipient(), what, sealed.Compress(content, 2))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The digest is what proves a body, unless somebody who is believed has signed with which key it is encrypted.
func TestDigestOrKeyOfTheBody(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	believed := func(p sealed.Proof) bool {
		return len(p.Signature) == 2 && p.Signature[1] == fmt.Sprintf("%x", p.Statement)
	}
	for _, c := range []struct {
		what         string
		digest, sign bool // of this content; signed
		signed       func(sealed.Proof) bool
		want         error
	}{
		{"its digest", true, false, nil, nil},
		{"another digest", false, false, nil, cofre.ErrCorrupt},
		{"another digest, and nobody has signed", false, false, believed, cofre.ErrCorrupt},
		{"another digest, and nobody is believed", false, true, nil, cofre.ErrCorrupt},
		{"another digest, and another is believed", false, true, func(sealed.Proof) bool { return false }, cofre.ErrCorrupt},
		{"signed with the key of its body", false, true, believed, nil},
	} {
		content := bytes.Repeat([]byte("content"), 1<<18)
		of := content
		if !c.digest {
			of = []byte("another")
		}
		b := sealedOf(t, id, of, content, c.sign)
		got, _, err := sealed.Open(id, "wal/7/00000001/000000010000000000000001", bytes.NewReader(b), 1<<24, c.signed)
		if !errors.Is(err, c.want) || c.want == nil && !bytes.Equal(got, content) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
}

// The header of one object before the body of another names a key that is not its own: the digest is compared.
func TestHeaderOfAnotherBody(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	const object = "wal/7/00000001/000000010000000000000001"
	content := bytes.Repeat([]byte("content"), 1<<10)
	h, _, err := sealed.Judge(object, sealedOf(t, id, content, content, true))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, id.Recipient(), stolen(h.Proof))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range sealed.Compress([]byte("forged"), 1) {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, _, err = sealed.Open(id, object, &b, 1<<24, func(sealed.Proof) bool { return true })
	if !errors.Is(err, cofre.ErrCorrupt) {
		t.Errorf("a forged body under a stolen header: %v", err)
	}
}

// stolen puts the lines of a proof into the header of another object.
type stolen sealed.Proof

func (s stolen) Wrap([]byte) ([]*age.Stanza, error) {
	var all []*age.Stanza
	for line := range bytes.Lines([]byte(s.Statement)) {
		words := bytes.Fields(line)
		stanza := &age.Stanza{Type: string(words[0])}
		for _, w := range words[1:] {
			stanza.Args = append(stanza.Args, string(w))
		}
		all = append(all, stanza)
	}
	return append(all, &age.Stanza{Type: "cofre-origin", Args: s.Signature}), nil
}

// What the digest costs of reading a segment that compresses as WAL does, and of one that does not.
func BenchmarkOpen(b *testing.B) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		b.Fatal(err)
	}
	const object = "wal/7/00000001/000000010000000000000001"
	r := rand.NewChaCha8([32]byte{})
	for _, repeat := range []int{1, 4} {
		content := make([]byte, 0, 16<<20)
		for len(content) < 16<<20 {
			piece := make([]byte, 512)
			_, _ = r.Read(piece) // never fails
			content = append(content, bytes.Repeat(piece, repeat)...)
		}
		sealed1 := sealedOf(b, id, content, content, true)
		for name, signed := range map[string]func(sealed.Proof) bool{"digest": nil, "key": func(sealed.Proof) bool { return true }} {
			b.Run(fmt.Sprintf("%d/%s", repeat, name), func(b *testing.B) {
				for b.Loop() {
					if _, _, err := sealed.Open(id, object, bytes.NewReader(sealed1), 1<<24, signed); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
