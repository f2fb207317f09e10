package wal_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/check"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
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
	if _, err := origin.Admit(t.Context(), st, system, id.Secret(), key.Public(), "here", "ana"); err != nil {
		t.Fatal(err)
	}
	if _, err := origin.Require(t.Context(), st, system, id.Secret(), "ana", nil, nil); err != nil {
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
	for _, id := range []wal.Identity{id, believing, id.Delivering(), believing.Delivering()} {
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

// What anybody can put into the repository, without the password, raises alarms and ends none: deleted WAL and known damage stay alarms whatever lies beside them.
func TestForgedObjectsHideNothing(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	archiveAll(t, st, id, dir, segments[:5]...)
	if _, err := origin.Require(t.Context(), st, system, id.Secret(), "ana", map[string]string{"00000001": segments[4]}, nil); err != nil {
		t.Fatal(err)
	}
	id = id.Believing(func(ctx context.Context, of cofre.SystemID, _ bool) (*origin.Set, error) {
		now, err := origin.ReadRecords(ctx, st, of)
		return origin.NewSet(of, id.Secret(), now, nil), err
	})
	unlock := func() (wal.Identity, error) { return id, nil }
	damaged, deleted := segments[1], segments[3]
	at, gone := object(t, system, damaged), object(t, system, deleted)
	if err := errors.Join(wal.RememberDamage(t.Context(), st, at, errors.New("a test")), st.Delete(t.Context(), gone)); err != nil {
		t.Fatal(err)
	}
	alarms := func() (damage, breaks, there, acknowledged int) {
		t.Helper()
		for _, d := range must(wal.KnownDamage(t.Context(), st, system, unlock))(t) {
			if !d.Acknowledged {
				damage++
			}
		}
		inv := must(wal.ReadInventory(t.Context(), st, system, 1<<20, unlock))(t)
		return damage, len(inv.Breaks), len(inv.Segments), len(inv.Acknowledged)
	}
	damage, breaks, there, _ := alarms()
	if damage != 1 || breaks != 1 {
		t.Fatalf("%d files known to be damaged, %d breaks", damage, breaks)
	}
	folder, copied := wal.Prefix(system), string(readObject(t, st, object(t, system, segments[2])))
	for _, forged := range []struct{ what, name, text string }{
		{"an acknowledgement that is none", folder + "gaps/" + damaged + "-" + damaged, "x"},
		{"one without a code", folder + "gaps/" + damaged + "-" + damaged, `{"timeline":1,"from":"` + damaged + `","to":"` + damaged + `"}`},
		{"one with a wrong code", folder + "gaps/" + damaged + "-" + damaged, `{"timeline":1,"from":"` + damaged + `","to":"` + damaged + `","code":"x"}`},
		{"one of what was deleted", folder + "gaps/" + deleted + "-" + deleted, `{"timeline":1,"from":"` + deleted + `","to":"` + deleted + `"}`},
		{"one of everything", folder + "gaps/" + segments[0] + "-" + segments[4], `{"timeline":1,"from":"` + segments[0] + `","to":"` + segments[4] + `"}`},
		{"a claim", folder + "claims/00000002", `{"from":1}`},
		{"a refused note", gone + ".found/refused-0011223344556677", `{"kind":"refused","name":"` + deleted + `","what":"x"}`},
		{"a broken note", gone + ".found/broken-0011223344556677", `{"kind":"broken","name":"` + deleted + `","what":"x"}`},
		{"an unrelated note", at + ".found/unrelated-0011223344556677", `{"kind":"unrelated","name":"` + damaged + `","what":"x"}`},
		{"a note that is none", at + ".found/refused-0011223344556678", "x"},
		{"a healed note", at + ".damage/healed-0011223344556677", `{"name":"` + damaged + `","what":"x"}`},
		{"an object that was kept", at + ".damage/object-0011223344556677", "x"},
		{"a found note of another object", at + ".damage/found-0011223344556677", `{"name":"` + damaged + `","what":"x"}`},
		{"the file in the folder of another timeline", folder + "00000011/" + deleted, copied},
		{"a part of it there", folder + "00000011/" + deleted + ".parts/00000000-00100000", copied},
		{"one that was found damaged there", folder + "00000011/" + damaged + ".damage/healed-0011223344556677", `{"name":"` + damaged + `","what":"x"}`},
		{"the file in a folder by another name", folder + "1/" + deleted, copied},
		{"the file below its folder", folder + "00000001/x/" + deleted, copied},
		{"a healed note of what was deleted", gone + ".damage/healed-0011223344556677", `{"name":"` + deleted + `","what":"x"}`},
	} {
		replaceObject(t, st, forged.name, []byte(forged.text))
		if d, b, n, a := alarms(); d < damage || b < breaks || n > there || a > 0 {
			t.Errorf("with %s: %d files known to be damaged, %d breaks, %d segments, %d acknowledged", forged.what, d, b, n, a)
		}
		if astray := strings.HasPrefix(forged.name, folder+"00000011/"); astray {
			inv := must(wal.ReadInventory(t.Context(), st, system, 1<<20, unlock))(t)
			if !slices.ContainsFunc(inv.Unread, func(u wal.Unread) bool { return u.Object == forged.name }) {
				t.Errorf("%s is not named: %v", forged.what, inv.Unread)
			}
		}
		if files := must(check.Files(t.Context(), st, system))(t); files[must(pgdata.ParseWALName(deleted))(t)] {
			t.Errorf("with %s the file is listed", forged.what)
		}
	}
	// Who has the password may say it.
	if err := wal.Acknowledge(t.Context(), st, id, system, wal.Acknowledgement{Timeline: 1, From: damaged, To: damaged, By: "ana"}); err != nil {
		t.Fatal(err)
	}
	if d, _, _, a := alarms(); d != 0 || a != 1 {
		t.Errorf("acknowledged: %d files known to be damaged, %d acknowledged", d, a)
	}
	replaced := readObject(t, st, folder+"gaps/"+damaged+"-"+damaged)
	if err := wal.RememberDamage(t.Context(), st, object(t, system, segments[2]), errors.New("a test")); err != nil {
		t.Fatal(err)
	}
	replaceObject(t, st, folder+"gaps/"+segments[2]+"-"+segments[2], replaced) // said of another file
	if d, _, _, _ := alarms(); d != 1 {
		t.Errorf("an acknowledgement of another file: %d files known to be damaged", d)
	}
}

// What an admitted key has signed with the key of its body is brought to a recovery without its digest. Whoever says that it is as it was archived, or
// signs what they have read, computes it: here the host's memory has changed a byte between the digest and the encryption.
func TestOnlyARecoveryGoesWithoutTheDigest(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	key, err := origin.Host(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := origin.Admit(t.Context(), st, system, id.Secret(), key.Public(), "here", "ana"); err != nil {
		t.Fatal(err)
	}
	if _, err := origin.Require(t.Context(), st, system, id.Secret(), "ana", nil, nil); err != nil {
		t.Fatal(err)
	}
	load := func(ctx context.Context, of cofre.SystemID, _ bool) (*origin.Set, error) {
		now, err := origin.ReadRecords(ctx, st, of)
		return origin.NewSet(of, id.Secret(), now, nil), err
	}
	believing := id.Believing(load)
	name, err := pgdata.ParseWALName(segments[0])
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "pg_wal", segments[0]))
	if err != nil {
		t.Fatal(err)
	}
	object := wal.ObjectName(system, name)
	r, err := age.ParseX25519Recipient(id.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	digest := sealed.DigestOf(r.String(), object, content)
	content[len(content)-1] ^= 1
	put := func(key *origin.Key) {
		t.Helper()
		b, err := sealed.Seal(r, sealed.Contents{Object: object, Digest: digest, Sign: key.Sign}, sealed.Compress(content, 1))
		if err != nil {
			t.Fatal(err)
		}
		if err := st.Replace(t.Context(), object, bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
	}
	put(key)
	if got, err := wal.Read(t.Context(), st, believing.Delivering(), system, name); err != nil || !bytes.Equal(got, content) {
		t.Errorf("for a recovery: %v", err)
	}
	for _, id := range []wal.Identity{id, believing, id.Delivering()} { // the last believes nobody
		if _, err := wal.Read(t.Context(), st, id, system, name); !errors.Is(err, cofre.ErrCorrupt) {
			t.Errorf("read: %v", err)
		}
	}
	found, err := check.Segments(t.Context(), st, believing, check.Options{})
	if err != nil || len(found) != 1 || found[0].Object != object {
		t.Errorf("check found %+v, %v", found, err)
	}

	// A key that nobody has admitted, or that was revoked before this file, proves nothing of it.
	other, err := origin.Host(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	put(other)
	if _, err := wal.Read(t.Context(), st, believing.Delivering(), system, name); !errors.Is(err, cofre.ErrCorrupt) {
		t.Errorf("signed by a key of nobody: %v", err)
	}
	set, err := believing.Origins(t.Context(), system)
	if err != nil {
		t.Fatal(err)
	}
	known, _ := set.Find(key.Public().ID())
	if _, err := origin.Revoke(t.Context(), st, system, id.Secret(), known, "ana", nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	put(key)
	believing = id.Believing(load)
	if _, err := wal.Read(t.Context(), st, believing.Delivering(), system, name); !errors.Is(err, cofre.ErrCorrupt) {
		t.Errorf("signed by a key that was revoked: %v", err)
	}
}
