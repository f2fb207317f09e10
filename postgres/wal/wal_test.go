package wal_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"go.uber.org/goleak"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/internal/secret"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/check"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
	"github.com/trustlayer/cofre/postgres/wal/keyfile"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/store"
	"github.com/trustlayer/cofre/store/storetest"
)

// A server that archives runs this very binary: with COFRE_TEST_WAL set it is archive_command or
// restore_command instead of a test.
func TestMain(m *testing.M) {
	if verb := os.Getenv("COFRE_TEST_WAL"); verb != "" {
		os.Exit(command(verb, os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

func command(verb string, args []string) int {
	ctx := context.Background()
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, "cofre:", err)
		return fetch.Unknown.Exit()
	}
	st, err := store.Open(ctx, store.Config{URL: os.Getenv("COFRE_TEST_STORE")})
	if err != nil {
		return fail(err)
	}
	spool := os.Getenv("COFRE_TEST_SPOOL")
	switch verb {
	case "archive":
		r, err := wal.ParseRecipient(os.Getenv("COFRE_TEST_RECIPIENT"))
		if err != nil {
			return fail(err)
		}
		a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: r}}, Spool: spool}
		if _, err = a.Archive(ctx, args[0]); err != nil {
			return fail(err)
		}
	case "fetch", "prefetch":
		id, err := wal.KeepIdentity(fetch.IdentityFile(spool), wal.Recipient{}, func() (wal.Identity, error) {
			return wal.Unlock(ctx, st, password)
		})
		if err != nil {
			return fail(err)
		}
		f := &fetch.Fetcher{Store: st, Identity: id, Spool: spool, Prefetch: 4}
		if verb == "prefetch" {
			if err := f.PrefetchAfter(ctx, args[0]); err != nil {
				return fail(err)
			}
			return 0
		}
		answer, err := f.Fetch(ctx, args[0], args[1])
		if err != nil {
			fail(err)
		}
		return answer.Exit()
	}
	return 0
}

var password = secret.New("correct horse battery staple")

// The key is derived from a password, which takes a second: once for the binary.
var theKey = sync.OnceValues(func() (k struct {
	objects  map[string][]byte
	identity wal.Identity
}, err error,
) {
	dir, err := os.MkdirTemp("", "cofre-wal-key-")
	if err != nil {
		return k, err
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	st, err := store.Open(ctx, store.Config{URL: dir, Create: true})
	if err != nil {
		return k, err
	}
	if _, err := wal.CreateKeys(ctx, st, password); err != nil {
		return k, err
	}
	k.objects = map[string][]byte{}
	for _, name := range []string{wal.IdentityObject, wal.RecipientObject} {
		r, err := st.Open(ctx, name, 0, -1)
		if err != nil {
			return k, err
		}
		if k.objects[name], err = io.ReadAll(r); err != nil {
			return k, err
		}
		r.Close()
	}
	k.identity, err = wal.Unlock(ctx, st, password)
	return k, err
})

// repository makes a store with a key for WAL in a folder that every user may write to.
func repository(t testing.TB) (string, cofre.Store, wal.Identity) {
	t.Helper()
	k, err := theKey()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "cofre-wal-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Config{URL: filepath.Join(dir, "repository"), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range k.objects {
		if err := st.Create(t.Context(), name, bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
	}
	return dir, st, k.identity
}

// object is what a file of pg_wal is stored as.
func object(t testing.TB, system cofre.SystemID, name string) string {
	t.Helper()
	return wal.ObjectName(system, must(pgdata.ParseWALName(name))(t))
}

// dataDir makes a data directory of the fixtures of package pgdata: pg_control and segments of 1 MiB.
func dataDir(t testing.TB) (dir string, system cofre.SystemID, segments []string) {
	t.Helper()
	dir = t.TempDir()
	fixtures := "../pgdata/testdata/15"
	for _, d := range []string{"global", "pg_wal/archive_status"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	unpack := func(from, to string) []byte {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o644); err != nil {
			t.Fatal(err)
		}
		return b
	}
	c, err := pgdata.ParseControl(unpack(fixtures+"/pg_control.gz", filepath.Join(dir, "global/pg_control")))
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(fixtures + "/wal/*.gz")
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".gz")
		unpack(f, filepath.Join(dir, "pg_wal", name))
		segments = append(segments, name)
	}
	return dir, c.SystemID, segments
}

func TestArchivedSegmentIsReadByStockTools(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, system, segments := dataDir(t)
	signer, err := origin.Host(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient(), Signer: signer}}}
	path := filepath.Join(dir, "pg_wal", segments[0])
	out, err := a.Archive(t.Context(), path)
	if err != nil || out.Stored != 1 || out.Damaged != 0 || out.System != system {
		t.Fatalf("archived %+v, %v", out, err)
	}

	// The key as a person would get at it: age -d cofre/keys/wal.age.
	key, err := age.NewScryptIdentity(password.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	identities := decrypt(t, st, wal.IdentityObject, key)
	ids, err := age.ParseIdentities(bytes.NewReader(identities))
	if err != nil {
		t.Fatal(err)
	}
	object := object(t, system, segments[0])
	packed := decrypt(t, st, object, ids[0])
	cmd := exec.Command("zstd", "-dc")
	cmd.Stdin = bytes.NewReader(packed)
	got, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) {
		testkit.Missing(t, "zstd", "zstd is not installed: make services")
	}
	want, _ := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("zstd -d gave %d bytes of %d, %v", len(got), len(want), err)
	}
}

func decrypt(t *testing.T, st cofre.Store, object string, id age.Identity) []byte {
	t.Helper()
	r, err := st.Open(t.Context(), object, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	d, err := age.Decrypt(r, id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(d)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestArchiveAcceptsEqualBytesAndRefusesOthers(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	_, second, _ := repository(t)
	dir, _, segments := dataDir(t)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}
	path := filepath.Join(dir, "pg_wal", segments[0])
	if _, err := a.Archive(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if out, err := a.Archive(t.Context(), path); err != nil || out.Stored != 0 {
		t.Errorf("again: %+v, %v", out, err)
	}
	a.Archives = append(a.Archives, wal.Archive{Store: second}) // with a key of its own
	if out, err := a.Archive(t.Context(), path); err != nil || out.Stored != 1 {
		t.Errorf("with a second repository: %+v, %v", out, err)
	}
	b, _ := os.ReadFile(path)
	b[len(b)-1] ^= 1
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := a.Archive(t.Context(), path)
	if !errors.Is(err, cofre.ErrExists) || cofre.Hint(err) == "" {
		t.Errorf("other bytes: %v", err)
	}
}

func TestArchiveRefusesWhatIsNotTheSegment(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	for name, c := range map[string]struct {
		spoil func(dir, path string) string
		want  error
	}{
		"of another system": {func(dir, path string) string {
			b, _ := os.ReadFile(path)
			b[24] ^= 1
			os.WriteFile(path, b, 0o644)
			return path
		}, cofre.ErrRefused},
		"cut off": {func(dir, path string) string {
			os.Truncate(path, 1<<19)
			return path
		}, cofre.ErrCorrupt},
		"empty": {func(dir, path string) string {
			os.Truncate(path, 0)
			return path
		}, cofre.ErrCorrupt},
		"zeros": {func(dir, path string) string {
			os.WriteFile(path, make([]byte, 1<<20), 0o644)
			return path
		}, cofre.ErrCorrupt},
		"under another name": {func(dir, path string) string {
			other := filepath.Join(filepath.Dir(path), "000000010000000000000077")
			os.Rename(path, other)
			return other
		}, cofre.ErrCorrupt},
		"of a younger timeline": {func(dir, path string) string {
			b, _ := os.ReadFile(path)
			b[4] = 9
			os.WriteFile(path, b, 0o644)
			return path
		}, cofre.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			dir, system, segments := dataDir(t)
			path := c.spoil(dir, filepath.Join(dir, "pg_wal", segments[0]))
			a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}
			_, err := a.Archive(t.Context(), path)
			if !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			object := object(t, system, filepath.Base(path))
			if _, err := st.Stat(t.Context(), object); !errors.Is(err, cofre.ErrNotFound) {
				t.Errorf("it was stored all the same: %v", err)
			}
		})
	}
}

func TestArchiveOfAnotherClusterIsRefused(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, _, segments := dataDir(t)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}, System: 4711}
	if _, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", segments[0])); !errors.Is(err, cofre.ErrRefused) {
		t.Error(err)
	}
}

func TestDamagedRecordsAreArchivedAndTold(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, _, segments := dataDir(t)
	path := filepath.Join(dir, "pg_wal", segments[0])
	b, _ := os.ReadFile(path)
	clear(b[300000:310000])
	os.WriteFile(path, b, 0o644)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}
	out, err := a.Archive(t.Context(), path)
	if err != nil || out.Damaged == 0 || out.Damaged > 0x800000+310000 {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestArchiveAheadLeavesMarksThatHoldForTheSameFileOnly(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	dir, _, segments := dataDir(t)
	for _, s := range segments {
		os.WriteFile(filepath.Join(dir, "pg_wal/archive_status", s+".ready"), nil, 0o644)
	}
	var mu sync.Mutex
	var calls, made int
	counted := &storetest.Through{Store: st, Do: func(_ context.Context, verb storetest.Verb, _ string, do func() error) error {
		err := do()
		mu.Lock()
		defer mu.Unlock()
		if verb == storetest.Create {
			if calls++; err == nil {
				made++
			}
		}
		return err
	}}
	a := &wal.Archiver{Archives: []wal.Archive{{Store: counted, Recipient: id.Recipient()}}, Spool: filepath.Join(dir, "spool")}
	at := func(i int) string { return filepath.Join(dir, "pg_wal", segments[i]) }
	out, err := a.Archive(t.Context(), at(0))
	if err != nil || out.Ahead != len(segments)-1 || made != len(segments) {
		t.Fatalf("%+v, %v, %d created", out, err, made)
	}
	before := calls
	if out, err := a.Archive(t.Context(), at(1)); err != nil || out.Stored != 0 || calls != before {
		t.Errorf("a segment archived ahead is stored once more: %+v, %v", out, err)
	}
	// Another repository at the same address: it has nothing yet, whatever the marks say.
	fresh, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := wal.ParseRecipient(fresh.Recipient().String())
	if err != nil {
		t.Fatal(err)
	}
	anew := &wal.Archiver{Archives: []wal.Archive{{Store: counted, Recipient: renewed}}, Spool: a.Spool}
	if _, err := anew.Archive(t.Context(), at(4)); calls == before {
		t.Errorf("a mark was believed for another repository: %v", err)
	}
	before = calls
	// Another file under the same name, as after a restore in place: its bytes decide, not the mark.
	b, _ := os.ReadFile(at(2))
	b[len(b)-1] ^= 1
	os.Remove(at(2))
	os.WriteFile(at(2), b, 0o644)
	if _, err := a.Archive(t.Context(), at(2)); !errors.Is(err, cofre.ErrExists) {
		t.Errorf("another file with a mark: %v", err)
	}
	// A mark that was torn by a crash.
	marks, _ := filepath.Glob(filepath.Join(dir, "spool/archived/*/"+segments[3]))
	if len(marks) != 1 {
		t.Fatalf("marks %v", marks)
	}
	os.Truncate(marks[0], 5)
	if out, err := a.Archive(t.Context(), at(3)); err != nil || calls == before {
		t.Errorf("a torn mark was believed: %+v, %v", out, err)
	}
}

// TestAMarkIsNotBelievedUnlessTheRepositoryStillHasIt loses and spoils objects that were archived ahead: the server gives its
// file up once the call for it has succeeded.
func TestAMarkIsNotBelievedUnlessTheRepositoryStillHasIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what   string
		spoil  func(t *testing.T, st cofre.Store, object string)
		afresh bool
	}{
		{"as it was", func(*testing.T, cofre.Store, string) {}, false},
		{"it is gone", func(t *testing.T, st cofre.Store, object string) {
			if err := st.Delete(t.Context(), object); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"it is cut off", func(t *testing.T, st cofre.Store, object string) {
			b := readObject(t, st, object)
			replaceObject(t, st, object, b[:len(b)-1])
		}, true},
		{"its header is damaged", func(t *testing.T, st cofre.Store, object string) {
			b := readObject(t, st, object)
			b[40] ^= 1
			replaceObject(t, st, object, b)
		}, true},
		{"it was found damaged", func(t *testing.T, st cofre.Store, object string) {
			b := readObject(t, st, object)
			b[len(b)-1] ^= 1
			replaceObject(t, st, object, b)
			if err := wal.RememberDamage(t.Context(), st, object, errors.New("a bit")); err != nil {
				t.Fatal(err)
			}
		}, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			_, st, id := repository(t)
			_, second, secondID := repository(t)
			dir, system, segments := dataDir(t)
			readyAll(t, dir, segments...)
			a := &wal.Archiver{Archives: []wal.Archive{{Store: st}, {Store: second}}, Spool: filepath.Join(dir, "spool")}
			at := func(i int) string { return filepath.Join(dir, "pg_wal", segments[i]) }
			if out, err := a.Archive(t.Context(), at(0)); err != nil || out.Ahead != len(segments)-1 {
				t.Fatalf("%+v, %v", out, err)
			}
			c.spoil(t, second, object(t, system, segments[1]))
			out, err := a.Archive(t.Context(), at(1))
			if err != nil || (out.Stored+len(out.Healed) > 0) != c.afresh {
				t.Errorf("%+v, %v", out, err)
			}
			for i, st := range []cofre.Store{st, second} {
				b, err := wal.Read(t.Context(), st, []wal.Identity{id, secondID}[i], system, must(pgdata.ParseWALName(segments[1]))(t))
				if err != nil || !bytes.Equal(b, mustRead(t, at(1))) {
					t.Errorf("repository %d does not have the segment that the server may give up: %v", i, err)
				}
			}
		})
	}
}

func TestFetchTellsTheEndOfWALFromEveryFailure(t *testing.T) {
	t.Parallel()
	root, st, id := repository(t)
	dir, system, segments := dataDir(t)
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}
	for _, s := range segments {
		if s == segments[2] {
			continue // a hole
		}
		if _, err := a.Archive(t.Context(), filepath.Join(dir, "pg_wal", s)); err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(dir, "pg_wal", "RECOVERYXLOG")
	f := &fetch.Fetcher{Store: st, Identity: id, System: system, Spool: filepath.Join(dir, "spool")}
	check := func(what, name string, f *fetch.Fetcher, want fetch.Answer, is error) {
		t.Helper()
		os.Remove(to)
		answer, err := f.Fetch(t.Context(), name, to)
		if answer != want || (err == nil) != (answer == fetch.Delivered) || (is != nil && !errors.Is(err, is)) {
			t.Errorf("%s: %s, %v", what, answer, err)
		}
		b, readErr := os.ReadFile(to)
		if (readErr == nil) != (want == fetch.Delivered) {
			t.Errorf("%s: a file of %d bytes is there: %v", what, len(b), readErr)
		}
		if want == fetch.Delivered {
			if want, _ := os.ReadFile(filepath.Join(dir, "pg_wal", name)); !bytes.Equal(b, want) {
				t.Errorf("%s: other bytes", what)
			}
		}
		if rest, _ := filepath.Glob(filepath.Join(dir, "pg_wal", ".*")); len(rest) != 0 {
			t.Errorf("%s: left %v", what, rest)
		}
	}
	check("there", segments[0], f, fetch.Delivered, nil)
	check("prefetched", segments[1], f, fetch.Delivered, nil)
	check("the end", "000000010000000000000099", f, fetch.Absent, cofre.ErrNotFound)
	check("no history", "00000002.history", f, fetch.Absent, cofre.ErrNotFound)
	check("another timeline", "000000020000000000000008", f, fetch.Absent, cofre.ErrNotFound)
	check("a hole", segments[2], f, fetch.Gap, nil)
	var gap *cofre.GapError
	if _, err := f.Fetch(t.Context(), segments[2], to); !errors.As(err, &gap) || gap.From != segments[2] {
		t.Errorf("a hole: %v", err)
	}
	check("not a name", "../../etc/passwd", f, fetch.Unknown, nil)

	// A younger timeline began later than the end of this one: what lies between was lost.
	history := filepath.Join(dir, "pg_wal", "00000002.history")
	if err := os.WriteFile(history, []byte("1\t0/2000000\tno recovery target specified\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Archive(t.Context(), history); err != nil {
		t.Fatal(err)
	}
	check("the tail of a timeline that was left", "00000001000000000000001F", f, fetch.Gap, nil)
	check("after the fork", "000000010000000000000020", f, fetch.Absent, cofre.ErrNotFound)

	other := *f
	other.System = 4711
	check("another system", segments[0], &other, fetch.Unknown, cofre.ErrNoRepo)

	empty, err := store.Open(t.Context(), store.Config{URL: filepath.Join(root, "not-mounted"), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	other = *f
	other.Store = empty
	check("a folder that is not mounted", "000000010000000000000099", &other, fetch.Unknown, cofre.ErrNoRepo)

	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if answer, err := f.Fetch(cancelled, "000000010000000000000099", to); answer != fetch.Unknown {
		t.Errorf("interrupted: %v", err)
	}
	for answer, exits := range map[fetch.Answer][2]int{fetch.Delivered: {0, 0}, fetch.Absent: {1, 1}, fetch.Gap: {126, 1}, fetch.Unknown: {126, 1}} {
		if got := [2]int{answer.Exit(), answer.ExitOfStandby()}; got != exits {
			t.Errorf("%s exits with %d, for a standby with %d", answer, got[0], got[1])
		}
	}

	object := object(t, system, segments[4])
	damage(t, st, object)
	check("damaged in the repository", segments[4], &fetch.Fetcher{Store: st, Identity: id, System: system}, fetch.Unknown, cofre.ErrCorrupt)

	k, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := wal.KeepIdentity(writeKey(t, k.String()), wal.Recipient{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	check("another key", segments[0], &fetch.Fetcher{Store: st, Identity: foreign, System: system}, fetch.Unknown, cofre.ErrWrongKey)
	if err := fetch.Forget(f.Spool); err != nil {
		t.Error(err)
	}
}

func writeKey(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// damage changes one byte in the middle of a stored object.
func damage(t *testing.T, st cofre.Store, object string) {
	t.Helper()
	r, err := st.Open(t.Context(), object, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := st.Replace(t.Context(), object, bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	r, err := wal.LoadRecipient(t.Context(), st)
	if err != nil || r.String() != id.Recipient().String() {
		t.Errorf("recipient %s, %v", r, err)
	}
	if again, err := wal.CreateKeys(t.Context(), st, password); err != nil || again.String() != r.String() {
		t.Errorf("a second key %s, %v", again, err)
	}
	if _, err := wal.Unlock(t.Context(), st, secret.New("wrong")); !errors.Is(err, cofre.ErrWrongKey) {
		t.Errorf("wrong password: %v", err)
	}
	if s := fmt.Sprintf("%v %+v %#v %s", id, id, id, id); strings.Contains(s, "AGE-SECRET") || !strings.Contains(s, "[redacted]") {
		t.Errorf("the identity prints as %s", s)
	}
	// A crash between the two objects of a new key.
	if err := st.Delete(t.Context(), wal.RecipientObject); err != nil {
		t.Fatal(err)
	}
	if again, err := wal.CreateKeys(t.Context(), st, password); err != nil || again.String() != r.String() {
		t.Errorf("after a crash %s, %v", again, err)
	}
}

// TestCheckKeys changes a byte of each copy of each key, takes it away, and puts it back: one of the two is named and read from the other, and
// stored again by whoever has the password; both are lost.
func TestCheckKeys(t *testing.T) {
	t.Parallel()
	_, st, _ := repository(t)
	ctx := t.Context()
	unlock := func() (wal.Identity, error) { return wal.Unlock(ctx, st, password) }
	want := func(what string, look func() ([]cofre.Finding, error), objects ...string) {
		t.Helper()
		var named []string
		found, err := look()
		for _, f := range found {
			named = append(named, f.Object)
		}
		if err != nil || !slices.Equal(named, objects) {
			t.Errorf("%s: %v, %v", what, found, err)
		}
	}
	keys := func() ([]cofre.Finding, error) { return check.Keys(ctx, st, unlock) }
	copies := func() ([]cofre.Finding, error) { return check.Copies(ctx, st) }
	complete := func() {
		t.Helper()
		opened, err := keyfile.Open(ctx, st, password)
		if err == nil {
			_, err = keyfile.Complete(ctx, st, opened)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want("of before", copies)
	complete()
	want("whole", keys)
	want("whole", copies)
	for _, pair := range [][2]string{{keyfile.Identity, keyfile.SecondIdentity}, {keyfile.Recipient, keyfile.SecondRecipient}} {
		whole := bytesOf(t, st, pair[0])
		put := func(object string, b []byte) {
			if err := st.Replace(ctx, object, bytes.NewReader(b), int64(len(b))); err != nil {
				t.Fatal(err)
			}
		}
		changed := bytes.Clone(whole)
		changed[len(changed)/2] ^= 4
		for i, object := range pair {
			put(object, changed)
			want("a changed byte of "+object, copies, pair[1])
			want("a changed byte of "+object, keys)
			complete()
			want("stored again", copies)
			if b := bytesOf(t, st, object); !bytes.Equal(b, whole) {
				t.Errorf("%s is %q", object, b)
			}
			if err := st.Delete(ctx, object); err != nil {
				t.Fatal(err)
			}
			want("deleted", keys)
			if i == 0 {
				want("deleted "+object, copies, object)
			}
			complete()
			want("stored again", copies)
		}
		put(pair[0], changed)
		put(pair[1], changed)
		want("both changed", keys, pair[0])
		put(pair[0], whole)
		put(pair[1], whole)
	}
}

func bytesOf(t *testing.T, st cofre.Store, object string) []byte {
	t.Helper()
	b, err := bounded.Read(t.Context(), st, object, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func number(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		t.Fatalf("%q is not a number", s)
	}
	return n
}
