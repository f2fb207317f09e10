package wal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/check"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
	"github.com/trustlayer/cofre/store/storetest"
)

// inMemory makes a store in memory with a key for WAL.
func inMemory(t *testing.T) (*storetest.Memory, wal.Identity) {
	t.Helper()
	k, err := theKey()
	if err != nil {
		t.Fatal(err)
	}
	st := storetest.NewMemory(time.Now)
	for name, b := range k.objects {
		if err := st.Create(t.Context(), name, bytes.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
	}
	return st, k.identity
}

// asking is a store each of whose requests asks f.
func asking(st cofre.Store, f *testkit.Faults) cofre.Store {
	return storetest.Before(st, func(verb storetest.Verb, name string) error { return f.Check(fmt.Sprint(verb, " ", name)) })
}

// Whichever request to a repository fails: what is said of its WAL is an error, or what is said without the fault; what is done to it is an
// error, or done; and no file of WAL that is there is said to be absent.
func TestEachRequestToARepositoryCounts(t *testing.T) {
	t.Parallel()
	st, id := inMemory(t)
	dir, system, segments := dataDir(t)
	in := func(name string) string { return filepath.Join(dir, "pg_wal", name) }
	a := &wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}
	if err := os.WriteFile(in("00000002.history"), []byte("1\t0/2000000\tno recovery target specified\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(slices.Delete(slices.Clone(segments), 2, 3), "00000002.history") {
		must(a.Archive(t.Context(), in(name)))(t)
	}
	hole, damaged := segments[2], segments[3]
	damage(t, st, object(t, system, damaged))
	name := func(s string) pgdata.WALName { return must(pgdata.ParseWALName(s))(t) }
	known := wal.Acknowledgement{Timeline: 1, From: hole, To: hole, By: "ana", At: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), Why: "the disk failed"}
	why := errors.New("it cannot be read")
	if err := errors.Join(wal.RememberDamage(t.Context(), st, object(t, system, damaged), why), wal.Acknowledge(t.Context(), st, id, system, known)); err != nil {
		t.Fatal(err)
	}
	unlock := func() (wal.Identity, error) { return id, nil }
	inventory := func(ctx context.Context, st cofre.Store) (*wal.Inventory, error) {
		return wal.ReadInventory(ctx, st, system, 1<<20, unlock)
	}
	last := must(pgdata.ParseSegment(segments[len(segments)-1], 1<<20))(t)
	kept := []recovery.BaseBackup{{Point: "p", SystemID: system, Timeline: 1, Start: last.Start(1 << 20), Stop: last.Start(1<<20) + 100, StoppedAt: known.At}}
	for what, read := range map[string]func(context.Context, cofre.Store) (any, error){
		"systems":   func(ctx context.Context, st cofre.Store) (any, error) { return wal.Systems(ctx, st) },
		"files":     func(ctx context.Context, st cofre.Store) (any, error) { return check.Files(ctx, st, system) },
		"damage":    func(ctx context.Context, st cofre.Store) (any, error) { return wal.KnownDamage(ctx, st, system, nil) },
		"histories": func(ctx context.Context, st cofre.Store) (any, error) { return check.Histories(ctx, st, id) },
		"segments":  func(ctx context.Context, st cofre.Store) (any, error) { return wal.HasSegments(ctx, st, system, 1) },
		"refused": func(ctx context.Context, st cofre.Store) (any, error) {
			return wal.Refused(ctx, st, system, name(hole))
		},
		"recipient": func(ctx context.Context, st cofre.Store) (any, error) {
			r, err := wal.LoadRecipient(ctx, st)
			return r == id.Recipient(), err
		},
		"readable": func(ctx context.Context, st cofre.Store) (any, error) { return nil, wal.Readable(ctx, st, unlock) },
		"segment": func(ctx context.Context, st cofre.Store) (any, error) {
			return wal.Read(ctx, st, id, system, name(segments[0]))
		},
		"read back": func(ctx context.Context, st cofre.Store) (any, error) {
			return wal.ReadBack(ctx, st, id, object(t, system, segments[0]))
		},
		"status": func(ctx context.Context, st cofre.Store) (any, error) {
			inv, err := inventory(ctx, st)
			if err != nil {
				return nil, err
			}
			return wal.StatusOf(inv, kept), nil
		},
		"what would expire": func(ctx context.Context, st cofre.Store) (any, error) {
			inv, err := inventory(ctx, st)
			if err != nil {
				return nil, err
			}
			return wal.Expire(ctx, st, inv, kept, time.Now(), false)
		},
	} {
		want, err := read(t.Context(), st)
		if err != nil {
			t.Errorf("%s, without a fault: %v", what, err)
			continue
		}
		testkit.EachFails(t, func(f *testkit.Faults) {
			if got, err := read(t.Context(), asking(st, f)); err == nil && fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
				t.Errorf("%s, and %s fails: %.300v, want %.300v", what, f.Failed(), got, want)
			}
		})
	}

	before := st.State()
	to := filepath.Join(t.TempDir(), "to")
	fetched := func(st cofre.Store, name string) (fetch.Answer, error) {
		answer, err := (&fetch.Fetcher{Store: st, Identity: id, System: system}).Fetch(t.Context(), name, to)
		if want, _ := os.ReadFile(in(name)); answer == fetch.Delivered && !bytes.Equal(must(os.ReadFile(to))(t), want) {
			t.Errorf("%s came back with other bytes", name)
		}
		os.Remove(to)
		return answer, err
	}
	content := must(os.ReadFile(in(hole)))(t)
	for what, c := range map[string]struct {
		do   func(context.Context, cofre.Store) error
		done func() bool
	}{
		"archive": {func(ctx context.Context, st cofre.Store) error {
			_, err := (&wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}).Archive(ctx, in(hole))
			return err
		}, func() bool { answer, _ := fetched(st, hole); return answer == fetch.Delivered }},
		"archive over damage": {func(ctx context.Context, st cofre.Store) error {
			_, err := (&wal.Archiver{Archives: []wal.Archive{{Store: st, Recipient: id.Recipient()}}}).Archive(ctx, in(damaged))
			return err
		}, func() bool {
			answer, _ := fetched(st, damaged)
			return answer == fetch.Delivered || len(must(wal.KnownDamage(t.Context(), st, system, nil))(t)) == 1
		}},
		"restore": {func(ctx context.Context, s cofre.Store) error {
			_, err := wal.Restore(ctx, wal.Archive{Store: s, Recipient: id.Recipient()}, system, name(hole), content)
			return err
		}, func() bool { answer, _ := fetched(st, hole); return answer == fetch.Delivered }},
		"acknowledge": {func(ctx context.Context, st cofre.Store) error {
			other := known
			other.By = "bia"
			return wal.Acknowledge(ctx, st, id, system, other)
		}, func() bool {
			all := must(inventory(t.Context(), st))(t).Acknowledged
			return slices.ContainsFunc(all, func(a wal.Acknowledgement) bool { return a.By == "bia" })
		}},
		"forget damage": {func(ctx context.Context, s cofre.Store) error {
			return wal.ForgetDamage(ctx, s, object(t, system, damaged))
		}, func() bool { return len(must(wal.KnownDamage(t.Context(), st, system, nil))(t)) == 0 }},
		"remember damage": {func(ctx context.Context, s cofre.Store) error {
			return wal.RememberDamage(ctx, s, object(t, system, segments[0]), why)
		}, func() bool { return len(must(wal.KnownDamage(t.Context(), st, system, nil))(t)) == 2 }},
		"expire": {func(ctx context.Context, s cofre.Store) error {
			inv, err := inventory(ctx, s)
			if err != nil {
				return err
			}
			_, err = wal.Expire(ctx, s, inv, kept, time.Now(), true)
			return err
		}, func() bool {
			answer, _ := fetched(st, segments[0])
			return answer != fetch.Delivered && stored(t, st, system, segments[len(segments)-1])
		}},
	} {
		testkit.EachFails(t, func(f *testkit.Faults) {
			st.Restore(before)
			if err := c.do(t.Context(), asking(st, f)); err == nil && !c.done() {
				t.Errorf("%s, and %s fails: it is said to be done", what, f.Failed())
			} else if f.Failed() == "" && err != nil {
				t.Errorf("%s, without a fault: %v", what, err)
			}
		})
	}
	st.Restore(before)
	for file, may := range map[string][]fetch.Answer{
		segments[0]: {fetch.Delivered}, "00000002.history": {fetch.Delivered}, damaged: nil, hole: {fetch.Gap},
		"000000010000000000000099": {fetch.Absent}, "00000003.history": {fetch.Absent},
	} {
		testkit.EachFails(t, func(f *testkit.Faults) {
			answer, err := fetched(asking(st, f), file)
			if answer != fetch.Unknown && !slices.Contains(may, answer) {
				t.Errorf("fetch %s, and %s fails: %v, %v", file, f.Failed(), answer, err)
			}
			if f.Failed() == "" && len(may) > 0 && answer != may[0] {
				t.Errorf("fetch %s, without a fault: %v, %v", file, answer, err)
			}
		})
	}
}
