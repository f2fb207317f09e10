package wal_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// stolen puts lines of another object's header into a new one, as whoever has the public recipient can.
type stolen []*age.Stanza

func (s stolen) Wrap([]byte) ([]*age.Stanza, error) { return s, nil }

// headerOf is what an object's header says besides the recipient's lines.
func headerOf(t *testing.T, st cofre.Store, object string) stolen {
	t.Helper()
	r, err := st.Open(t.Context(), object, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := age.ExtractHeader(r)
	if err != nil {
		t.Fatal(err)
	}
	var all stolen
	for _, line := range bytes.Split(text, []byte("\n")) {
		f := bytes.Fields(line)
		if len(f) > 1 && bytes.HasPrefix(f[1], []byte("cofre-")) && string(f[1]) != "cofre-sum" {
			s := &age.Stanza{Type: string(f[1])}
			for _, arg := range f[2:] {
				s.Args = append(s.Args, string(arg))
			}
			all = append(all, s)
		}
	}
	return all
}

func forged(t *testing.T, st cofre.Store, id wal.Identity, object string, content []byte, header ...age.Recipient) {
	t.Helper()
	r, err := age.ParseX25519Recipient(id.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, append([]age.Recipient{r}, header...)...)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(w)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(z.Close(), w.Close(), st.Replace(t.Context(), object, &b, int64(b.Len()))); err != nil {
		t.Fatal(err)
	}
}

// An object whose content is another than its header says is refused, also with a header that a host has signed.
func TestTheContentIsTheOneThatWasSigned(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	key, err := origin.Host(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	archived := func(to wal.Archive) []byte {
		t.Helper()
		a := &wal.Archiver{Archives: []wal.Archive{to}}
		if _, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", segments[0])); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "pg_wal", segments[0]))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	asked := false
	content := archived(wal.Archive{Store: st, Recipient: id.Recipient(), Signer: key, Announce: func(ctx context.Context, of cofre.SystemID) {
		asked = of == system && origin.Ask(ctx, st, of, key.Public()) == nil
	}})
	if !asked {
		t.Error("nobody was told of the key")
	}
	if err := origin.Admit(t.Context(), st, system, id.Secret(), key.Public(), "here", "ana"); err != nil {
		t.Fatal(err)
	}
	if err := origin.Require(t.Context(), st, system, id.Secret(), "ana", nil, nil); err != nil {
		t.Fatal(err)
	}
	believing := id.Believing(func(ctx context.Context, of cofre.SystemID, _ bool) (*origin.Set, error) {
		now, err := origin.ReadRecords(ctx, st, of)
		return origin.NewSet(of, id.Secret(), now, nil), err
	})
	name, err := pgdata.ParseWALName(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	object := wal.ObjectName(system, name)
	read := func(id wal.Identity) error {
		got, err := wal.Read(t.Context(), st, id, system, name)
		if err == nil && !bytes.Equal(got, content) {
			t.Error("it is another content")
		}
		return err
	}
	if err := read(believing); err != nil {
		t.Fatal(err)
	}
	header := headerOf(t, st, object)
	other := bytes.Clone(content)
	other[len(other)-1] ^= 1
	forged(t, st, id, object, other, header)
	for _, id := range []wal.Identity{id, believing} {
		if err := read(id); !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("another content under a signed header: %v", err)
		}
	}
	var refused *origin.Error
	forged(t, st, id, object, content)
	if err := read(believing); !errors.As(err, &refused) {
		t.Errorf("without a signature: %v", err)
	}
	forged(t, st, id, object, content, header[:1], header[2:]) // the signature, and not all that it is of
	if err := read(believing); !errors.As(err, &refused) {
		t.Errorf("with a part of what was signed: %v", err)
	}
	forged(t, st, id, object, content, header)
	if err := read(believing); err != nil {
		t.Errorf("the same, made anew: %v", err)
	}
}
