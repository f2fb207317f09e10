package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/store/storetest"
)

// What lies beside WAL, or is about it, is not the newest of it, whoever has put it there.
func TestTheNewestIsOfWAL(t *testing.T) {
	t.Parallel()
	dir, st, id := repository(t)
	const size = 16 << 20
	segment := func(n uint64) string { return pgdata.Segment{Timeline: 1, Number: n}.Name(size) }
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	put := func(name string, day int) {
		t.Helper()
		name = "wal/7/00000001/" + name
		if err := st.Create(t.Context(), name, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(filepath.Join(dir, "repository", name), time.Time{}, at.AddDate(0, 0, day)); err != nil {
			t.Fatal(err)
		}
	}
	newest := func(want int) {
		t.Helper()
		inv, err := wal.ReadInventory(t.Context(), st, 7, size, func() (wal.Identity, error) { return id, nil })
		if err != nil || !inv.NewestAt.Equal(at.AddDate(0, 0, want)) {
			t.Errorf("newest %v, not of day %d: %v", inv.NewestAt, want, err)
		}
	}
	put(segment(1), 1)
	newest(1)
	put(segment(1)+".00000028.backup", 5)
	put(segment(1)+".00000028.ba9kup", 6)
	put("junk", 7)
	newest(1)
	put(segment(2)+".parts/00000000-00010000", 8)
	newest(8)
	put(segment(3)+".partial", 9)
	newest(9)
}

// What status says, what is acknowledged, and what retention removes need the names of the objects alone.
func TestStatusAcknowledgementAndExpiry(t *testing.T) {
	t.Parallel()
	_, st, id := repository(t)
	const size = 16 << 20
	put := func(name string) {
		t.Helper()
		if err := st.Create(t.Context(), "wal/7/00000001/"+name, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
	}
	segment := func(n uint64) string { return pgdata.Segment{Timeline: 1, Number: n}.Name(size) }
	for n := uint64(1); n <= 20; n++ {
		if n != 8 && n != 9 {
			put(segment(n))
		}
	}
	put(segment(2) + ".00000028.backup")
	put(segment(3) + ".parts/00000000-00010000") // left by a crash
	put(segment(21) + ".parts/00000000-00010000")
	put(segment(21) + ".parts/00010000-00018000")
	put(segment(21) + ".parts/00020000-00028000") // does not follow
	day := func(n int) time.Time { return time.Date(2026, 11, n, 0, 0, 0, 0, time.UTC) }
	backups := []recovery.BaseBackup{
		{Point: "a", SystemID: 7, Timeline: 1, Start: 2*size + 40, Stop: 3*size + 80, StoppedAt: day(1)},
		{Point: "b", SystemID: 7, Timeline: 1, Start: 12*size + 40, Stop: 12*size + 80, StoppedAt: day(10)},
		{Point: "of another system", SystemID: 8, Timeline: 1, Start: 15 * size, Stop: 15*size + 80, StoppedAt: day(15)},
	}
	read := func() *wal.Inventory {
		t.Helper()
		inv, err := wal.ReadInventory(t.Context(), st, 7, 0, func() (wal.Identity, error) { return id, nil })
		if err != nil {
			t.Fatal(err)
		}
		return inv
	}
	say := func(s wal.Status) string {
		var b strings.Builder
		for _, w := range s.Windows {
			fmt.Fprintf(&b, "%s %s-%s; ", w.Backup, w.From, w.To)
		}
		for _, g := range s.Gaps {
			fmt.Fprintf(&b, "%s-%s %s alarm=%v; ", g.From, g.To, g.State, g.Alarm)
		}
		return b.String()
	}
	gap := segment(8) + "-" + segment(9)
	for _, c := range []struct {
		backups []recovery.BaseBackup
		want    string
	}{
		{backups, "a 0/3000050-0/8000000; b 0/C000050-0/15018000; " + gap + " superseded alarm=false; "},
		{backups[:1], "a 0/3000050-0/8000000; " + gap + " open alarm=true; "},
		{backups[1:], "b 0/C000050-0/15018000; "},
	} {
		if got := say(wal.StatusOf(read(), c.backups)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
	if err := wal.Acknowledge(t.Context(), st, id, 7, wal.Acknowledgement{Timeline: 1, From: segment(8), To: segment(9), By: "ana", At: day(11), Why: "the disk failed"}); err != nil {
		t.Fatal(err)
	}
	s := wal.StatusOf(read(), backups[:1])
	if len(s.Gaps) != 1 || s.Gaps[0].State != wal.GapAcknowledged || s.Gaps[0].Alarm || s.Gaps[0].Known.By != "ana" {
		t.Errorf("acknowledged: %+v", s.Gaps)
	}

	names := func() (out []string) {
		for o, err := range st.List(t.Context(), "wal/7/00000001/") {
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, strings.TrimPrefix(o.Name, "wal/7/00000001/"))
		}
		return out
	}
	before := names()
	dry, err := wal.Expire(t.Context(), st, read(), backups, day(12), false)
	if err != nil || !slices.Equal(before, names()) {
		t.Errorf("a dry run removed something: %v", err)
	}
	done, err := wal.Expire(t.Context(), st, read(), backups, day(12), true)
	if err != nil || done != dry {
		t.Errorf("said %+v, did %+v, %v", dry, done, err)
	}
	left := names()
	// Base backup a keeps what makes it consistent, 2 and 3; the window begins after b. Everything else goes: the segments
	// in between and before, with what belongs to them, and parts of a segment that is whole.
	var want []string
	for _, name := range before {
		n := must(pgdata.ParseWALName(name[:24]))(t)
		kept := n.Seg == 2 || n.Seg == 3 || n.Seg >= 12
		if kept && name != segment(3)+".parts/00000000-00010000" {
			want = append(want, name)
		}
	}
	if !slices.Equal(left, want) {
		t.Errorf("left %v\nwant %v", left, want)
	}
	if want := (wal.Expired{Segments: 7, Objects: len(before) - len(want), First: segment(1), Last: segment(11)}); done != want {
		t.Errorf("said %+v, want %+v", done, want)
	}
	if again, err := wal.Expire(t.Context(), st, read(), backups, day(12), true); err != nil || again != (wal.Expired{}) {
		t.Errorf("again: %+v, %v", again, err)
	}
	if systems, err := wal.Systems(t.Context(), st); err != nil || !slices.Equal(systems, []cofre.SystemID{7}) {
		t.Errorf("systems %v, %v", systems, err)
	}
	// Something that a later version stores is left alone.
	if err := st.Create(t.Context(), "wal/7/00000001/summary", bytes.NewReader(nil), 0); err != nil {
		t.Fatal(err)
	}
	read()
}

// deleting is a store that notes what is removed, and refuses once it has removed so many.
func deleting(st cofre.Store, names *[]string, most int) cofre.Store {
	return storetest.Before(st, func(verb storetest.Verb, name string) error {
		if verb != storetest.Delete {
			return nil
		}
		if len(*names) == most {
			return cofre.ErrDenied
		}
		*names = append(*names, name)
		return nil
	})
}

// Segments go oldest first, each with all that belongs to it, so that what is left after a failure has no hole. A store
// that refuses is told of.
func TestExpiryLeavesNoHole(t *testing.T) {
	t.Parallel()
	_, st, _ := repository(t)
	const size = 16 << 20
	segment := func(n uint64) string { return pgdata.Segment{Timeline: 1, Number: n}.Name(size) }
	for n := uint64(1); n <= 6; n++ {
		for _, suffix := range []string{"", ".00000028.backup"} {
			if err := st.Create(t.Context(), "wal/7/00000001/"+segment(n)+suffix, strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, left := range []string{"00000001/" + segment(6) + ".parts/00000000-00010000", "00000002/00000002.history"} {
		if err := st.Create(t.Context(), "wal/7/"+left, strings.NewReader("x"), 1); err != nil {
			t.Fatal(err)
		}
	}
	kept := []recovery.BaseBackup{{Point: "a", SystemID: 7, Timeline: 1, Start: 5*size + 40, Stop: 5*size + 80, StoppedAt: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}}
	since := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	_, err := wal.ReadInventory(t.Context(), st, 7, 0, func() (wal.Identity, error) { return wal.Identity{}, cofre.ErrWrongKey })
	if !errors.Is(err, cofre.ErrWrongKey) {
		t.Errorf("a history without its key: %v", err)
	}
	if err := st.Delete(t.Context(), "wal/7/00000002/00000002.history"); err != nil {
		t.Fatal(err)
	}
	inv, err := wal.ReadInventory(t.Context(), st, 7, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for most := range 9 {
		var names []string
		_, err := wal.Expire(t.Context(), deleting(st, &names, most), inv, kept, since, true)
		if !errors.Is(err, cofre.ErrDenied) && most < 8 {
			t.Errorf("a store that refuses after %d: %v", most, err)
		}
		if !slices.IsSortedFunc(names, func(a, b string) int { return strings.Compare(a[:39], b[:39]) }) {
			t.Errorf("in this order: %v", names)
		}
	}
	var all []string
	if _, err := wal.Expire(t.Context(), deleting(st, &all, 100), inv, kept, since, true); err != nil || len(all) != 9 {
		t.Errorf("%d objects went: %v, %v", len(all), all, err)
	}
}
