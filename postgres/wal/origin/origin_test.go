package origin_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/store"
)

const (
	system  = cofre.SystemID(7)
	secret  = "what only the password opens"
	object  = "wal/7/00000001/000000010000000000000005"
	early   = "wal/7/00000001/000000010000000000000003"
	parted  = "wal/7/00000001/000000010000000000000003.parts/00000000-00002000"
	history = "wal/7/00000002/00000002.history"
)

func folder(t *testing.T) cofre.Store {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{URL: filepath.Join(t.TempDir(), "repository"), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func put(t *testing.T, st cofre.Store, object, text string) {
	t.Helper()
	if err := st.Replace(t.Context(), object, strings.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
}

func host(t *testing.T) *origin.Key {
	t.Helper()
	k, err := origin.Host(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func withLists(s *origin.Set, st cofre.Store) *origin.Set {
	s.Lists = func(ctx context.Context, hash string) ([]byte, error) { return origin.ReadList(ctx, st, system, hash) }
	return s
}

// The story of a key: it asks, it is admitted, nothing else is believed, it is revoked.
func TestWhoIsBelieved(t *testing.T) {
	t.Parallel()
	st := folder(t)
	ctx := t.Context()
	own, other := host(t), host(t)
	set := func(seen origin.Records) *origin.Set {
		t.Helper()
		now, err := origin.ReadRecords(ctx, st, system)
		if err != nil {
			t.Fatal(err)
		}
		return withLists(origin.NewSet(system, secret, now, seen), st)
	}
	judge := func(s *origin.Set, k *origin.Key, object string) string {
		t.Helper()
		var args []string
		if k != nil {
			args = k.Sign(object, "statement")
		}
		known, err := s.Judge(ctx, object, "statement", args)
		var refused *origin.Error
		switch {
		case errors.As(err, &refused) && errors.Is(err, cofre.ErrRefused):
			return "refused"
		case err != nil:
			return err.Error()
		case known:
			return "known"
		}
		return "unknown"
	}
	want := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	said := func(isNew bool, err error) {
		t.Helper()
		if do(err); !isNew {
			t.Error("it was said before")
		}
	}

	want("nobody was asked", judge(set(nil), own, object), "unknown")
	do(origin.Ask(ctx, st, system, own.Public()))
	want("it has asked", judge(set(nil), own, object), "unknown")
	want("whoever has the password", judge(set(nil), origin.Own(secret), object), "known")
	if w := set(nil).Waiting(); len(w) != 1 || w[0].Fingerprint != own.Public().Fingerprint() || !strings.HasPrefix(w[0].Fingerprint, "SHA256:") {
		t.Errorf("waiting %+v", w)
	}

	// Without the password nobody admits: neither by a record of their own, nor by putting one in the way, nor with one of another system.
	name := own.Public().ID() + ".admitted"
	put(t, st, origin.Folder(system)+name, fmt.Sprintf(`{"system":"7","name":%q,"key":%q,"by":"me","at":"2026-11-26T00:00:00Z","code":"AAAA"}`, name, own.Public()))
	want("admitted by nobody", judge(set(nil), own, object), "unknown")
	if len(set(nil).Unread) != 1 {
		t.Errorf("unread %v", set(nil).Unread)
	}
	said(origin.Admit(ctx, st, 8, secret, own.Public(), "h", "ana"))
	copied, err := os.ReadFile(filepath.Join(strings.TrimPrefix(st.URL(), "file://"), origin.Folder(8)+name))
	do(err)
	put(t, st, origin.Folder(system)+name, string(copied))
	want("admitted elsewhere", judge(set(nil), own, object), "unknown")
	said(origin.Admit(ctx, st, system, secret, own.Public(), "h", "ana"))
	want("admitted", judge(set(nil), own, object), "known")
	if isNew, err := origin.Admit(ctx, st, system, secret, own.Public(), "h", "bea"); isNew || err != nil {
		t.Errorf("admitted again: %v, %v", isNew, err)
	}

	// A signature is of one object and of what its header states.
	if _, err := set(nil).Judge(ctx, object, "another statement", own.Sign(object, "statement")); !errors.Is(err, cofre.ErrRefused) {
		t.Errorf("another statement: %v", err)
	}
	if _, err := set(nil).Judge(ctx, early, "statement", own.Sign(object, "statement")); !errors.Is(err, cofre.ErrRefused) {
		t.Errorf("another object: %v", err)
	}

	before := map[string]string{"00000001": "000000010000000000000003"}
	said(origin.Require(ctx, st, system, secret, "ana", before, nil))
	for _, c := range []struct {
		what, object, want string
		key                *origin.Key
	}{
		{"signed", object, "known", own},
		{"not signed", object, "refused", nil},
		{"by another", object, "refused", other},
		{"of before", early, "unknown", nil},
		{"a part of before", parted, "unknown", nil},
		{"a history of after", history, "refused", nil},
		{"another timeline", "wal/7/00000002/000000020000000000000001", "refused", nil},
		{"whoever has the password", history, "known", origin.Own(secret)},
		{"whoever has another password", history, "refused", origin.Own("another")},
	} {
		want(c.what, judge(set(nil), c.key, c.object), c.want)
	}

	seen := set(nil).Seen
	k, ok := set(nil).Find(own.Public().Fingerprint())
	if !ok {
		t.Fatal("the key is not there")
	}
	part := "000000010000000000000006.parts/00000000-00002000"
	said(origin.Revoke(ctx, st, system, secret, k, "ana", map[string]string{"00000001": "000000010000000000000005"}, []string{part}, map[string]string{
		"000000010000000000000005": origin.Sum(object, "statement"), part: origin.Sum("wal/7/00000001/"+part, "statement"),
	}))
	want("revoked, and there before", judge(set(nil), own, object), "known")
	want("revoked", judge(set(nil), own, "wal/7/00000001/000000010000000000000006"), "refused")
	want("revoked, and its beginning was there", judge(set(nil), own, "wal/7/00000001/000000010000000000000006.parts/00000000-00002000"), "known")
	want("revoked, and more of it", judge(set(nil), own, "wal/7/00000001/000000010000000000000006.parts/00002000-00004000"), "refused")

	// What was seen is believed although it was taken away; but who never saw it does not know.
	for o, err := range st.List(ctx, origin.Folder(system)) {
		do(err)
		do(st.Delete(ctx, o.Name))
	}
	s := set(seen)
	want("taken away", judge(s, nil, object), "refused")
	want("taken away, and signed", judge(s, own, object), "known")
	if len(s.Gone) != 2 {
		t.Errorf("gone %v", s.Gone)
	}
	want("never seen", judge(set(nil), nil, object), "unknown")
}

// A key is made once, for its user alone; a file that others may read is no key.
func TestHostKey(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "origin")
	k, err := origin.Host(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := origin.Host(dir)
	if err != nil || again.Public().ID() != k.Public().ID() {
		t.Fatalf("made again: %v", err)
	}
	file := filepath.Join(dir, fmt.Sprintf("key-%d", os.Geteuid()))
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(text, "private") || !strings.Contains(text, "[redacted]") {
		t.Errorf("it prints as %s", text)
	}
	if p := origin.Publics(dir); len(p) != 1 || p[0].Public().ID() != k.Public().ID() {
		t.Errorf("public halves %+v", p)
	}
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := origin.Host(dir); !errors.Is(err, cofre.ErrRefused) {
		t.Errorf("a key that others may read: %v", err)
	}
}

func FuzzRecords(f *testing.F) {
	f.Add("x.admitted", []byte(`{"system":"7","key":"a","before":{"00000001":"x"}}`))
	f.Add("required", []byte(`{}`))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		s := origin.NewSet(system, secret, origin.Records{name: b}, origin.Records{name: b})
		if s.Required {
			t.Error("nobody who has the password required it")
		}
		for _, k := range s.Keys {
			if k.State != origin.Waiting {
				t.Errorf("%s is %s", k.ID, k.State)
			}
		}
		_, _ = s.Judge(t.Context(), object, string(b), []string{name, string(b)})
	})
}
