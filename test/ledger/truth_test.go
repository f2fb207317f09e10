package ledger_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// ending is the record with which a transaction ended.
type ending struct {
	lsn    cofre.LSN // where the record starts
	xid    uint64
	at     time.Time
	commit bool
}

// history is the WAL of one timeline, with what it inherited, as pg_waldump reads it.
type history struct {
	timeline cofre.Timeline
	records  []cofre.LSN // where every record starts, in order
	end      cofre.LSN   // of the last one
	endings  []ending
	prepared []ending             // PREPARE TRANSACTION
	named    map[string]cofre.LSN // restore points
	made     []making             // databases and tablespaces
}

// making is a record that creates or drops a database or a tablespace, which counts when its transaction is committed.
type making struct {
	lsn  cofre.LSN
	xid  uint64
	what string // database or tablespace
	oid  string
	drop bool
}

var (
	recordLine = regexp.MustCompile(`^rmgr: (\S+) +len \(rec/tot\): +\d+/ *(\d+), tx: +(\d+), lsn: ([0-9A-F]+/[0-9A-F]+), .* desc: (\S+) ?(.*)$`)
	stampText  = regexp.MustCompile(`(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}) UTC`)
	madeOID    = regexp.MustCompile(`^(?:create dir \d+/|copy dir \S+ to \d+/|dir \d+/)?(\d+)`)
	preparedID = regexp.MustCompile(`^(\d+): `)
)

// readHistory has pg_waldump read the segments of one timeline in a folder, from the oldest there is.
func readHistory(t testing.TB, m *machine, server int, dir string, tli cofre.Timeline) *history {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, strings.TrimSuffix(pgdata.HistoryName(tli), ".history")+"????????????????"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no WAL of timeline %d in %s: %v", tli, dir, err)
	}
	slices.Sort(names)
	h := &history{timeline: tli, named: map[string]cofre.LSN{}}
	// It ends with an error where the WAL ends: only what it printed counts. Without a last segment it reads one.
	cmd := m.command(context.WithoutCancel(t.Context()), testkit.Binary(t, server, "pg_waldump"), "-p", dir, filepath.Base(names[0]), filepath.Base(names[len(names)-1]))
	out, _ := cmd.Output()
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		f := recordLine.FindStringSubmatch(lines.Text())
		if f == nil {
			continue
		}
		rmgr, tot, xid, at, what, detail := f[1], f[2], f[3], f[4], f[5], f[6]
		lsn, err1 := cofre.ParseLSN(at)
		length, err2 := strconv.Atoi(tot)
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		h.records = append(h.records, lsn)
		h.end = lsn + cofre.LSN(length+7)/8*8 // where no header of a page lies in between, which for the last one is enough
		switch {
		case rmgr == "Transaction" && what == "PREPARE":
			if at := stampText.FindStringSubmatch(detail); at != nil {
				made, err := time.Parse("2006-01-02 15:04:05.000000", at[1])
				if err != nil {
					t.Fatal(err)
				}
				h.prepared = append(h.prepared, ending{lsn: lsn, at: made})
			}
		case rmgr == "Database" || rmgr == "Tablespace":
			oid := madeOID.FindStringSubmatch(detail)
			id, err := strconv.ParseUint(xid, 10, 64)
			if oid == nil || err != nil {
				t.Fatalf("not read: %s", lines.Text())
			}
			h.made = append(h.made, making{lsn, id, strings.ToLower(rmgr), oid[1], strings.HasPrefix(what, "DROP")})
		case rmgr == "XLOG" && what == "RESTORE_POINT":
			h.named[detail] = lsn
		case rmgr == "Transaction" && (strings.HasPrefix(what, "COMMIT") || strings.HasPrefix(what, "ABORT")):
			e := ending{lsn: lsn, commit: strings.HasPrefix(what, "COMMIT")}
			if p := preparedID.FindStringSubmatch(detail); p != nil {
				xid = p[1]
			}
			var err error
			if e.xid, err = strconv.ParseUint(xid, 10, 64); err != nil {
				t.Fatal(err)
			}
			at := stampText.FindStringSubmatch(detail)
			if at == nil {
				t.Fatalf("no time in %s", lines.Text())
			}
			if e.at, err = time.Parse("2006-01-02 15:04:05.000000", at[1]); err != nil {
				t.Fatal(err)
			}
			h.endings = append(h.endings, e)
		}
	}
	if len(h.records) == 0 {
		t.Fatalf("pg_waldump read nothing of timeline %d in %s", tli, dir)
	}
	return h
}

// child is the history of a timeline that left h at fork: own is what was written on it.
func (h *history) child(own *history, fork cofre.LSN) *history {
	c := &history{timeline: own.timeline, end: own.end, named: map[string]cofre.LSN{}}
	before := func(lsn cofre.LSN) bool { return lsn < fork }
	for _, r := range h.records {
		if before(r) {
			c.records = append(c.records, r)
		}
	}
	for _, r := range own.records {
		if !before(r) {
			c.records = append(c.records, r)
		}
	}
	for _, e := range h.endings {
		if before(e.lsn) {
			c.endings = append(c.endings, e)
		}
	}
	for _, e := range own.endings {
		if !before(e.lsn) {
			c.endings = append(c.endings, e)
		}
	}
	for _, e := range h.prepared {
		if before(e.lsn) {
			c.prepared = append(c.prepared, e)
		}
	}
	for _, e := range own.prepared {
		if !before(e.lsn) {
			c.prepared = append(c.prepared, e)
		}
	}
	for _, m := range h.made {
		if before(m.lsn) {
			c.made = append(c.made, m)
		}
	}
	for _, m := range own.made {
		if !before(m.lsn) {
			c.made = append(c.made, m)
		}
	}
	for n, lsn := range h.named {
		if before(lsn) {
			c.named[n] = lsn
		}
	}
	for n, lsn := range own.named {
		if !before(lsn) {
			c.named[n] = lsn
		}
	}
	return c
}

// until is the history as far as a repository has it: records that end after lsn are not all there.
func (h *history) until(lsn cofre.LSN) *history {
	c := &history{timeline: h.timeline, prepared: h.prepared, made: h.made, named: map[string]cofre.LSN{}}
	for i, r := range h.records {
		end := h.end
		if i+1 < len(h.records) {
			end = h.records[i+1]
		}
		if end <= lsn {
			c.end = end
			c.records = append(c.records, r)
		}
	}
	var last cofre.LSN
	if n := len(c.records); n > 0 {
		last = c.records[n-1]
	}
	for _, e := range h.endings {
		if e.lsn <= last {
			c.endings = append(c.endings, e)
		}
	}
	for n, at := range h.named {
		if at <= last {
			c.named[n] = at
		}
	}
	return c
}

// stop is where PostgreSQL ends a recovery: before the record at lsn, or after it.
type stop struct {
	lsn   cofre.LSN
	after bool
}

// stopOf says where a recovery to a target ends that begins at a base backup, as the manual says it; ok is false where the
// WAL holds no such place.
//
// Source: PostgreSQL, src/backend/access/transam/xlogrecovery.c, recoveryStopsBefore and recoveryStopsAfter.
func (h *history) stopOf(target cofre.RecoveryTarget, b base) (s stop, ok bool) {
	switch {
	case !target.At.IsZero():
		// What the base backup has in it cannot be taken back out.
		if b.StoppedAt.After(target.At) {
			return stop{}, false
		}
		for _, e := range h.endings {
			if e.at.After(target.At) || target.Exclusive && e.at.Equal(target.At) {
				return stop{lsn: e.lsn}, true
			}
		}
	case target.LSN != 0:
		if i, _ := slices.BinarySearch(h.records, target.LSN); i < len(h.records) {
			return stop{h.records[i], !target.Exclusive}, true
		}
	case target.XID != 0:
		for _, e := range h.endings {
			if e.xid == target.XID && e.lsn >= b.StartLSN {
				return stop{e.lsn, !target.Exclusive}, true
			}
		}
	case target.Name != "":
		lsn, ok := h.named[target.Name]
		return stop{lsn, true}, ok
	case target.Immediate:
		return stop{lsn: b.StopLSN}, true
	default:
		return stop{h.records[len(h.records)-1], true}, true
	}
	return stop{}, false
}

// exact is where the last record starts that a recovery to s replays that begins at a base backup, where the base backup
// ends if there is none: before the commit at which PostgreSQL would stop, whatever lies between belongs to nothing that
// has ended.
func (h *history) exact(target cofre.RecoveryTarget, s stop, b base) cofre.LSN {
	if s.after || target.Immediate || target.LSN != 0 {
		return s.lsn
	}
	at := b.StopLSN
	for _, e := range h.endings {
		if e.lsn >= b.StopLSN && e.lsn < s.lsn {
			at = max(at, e.lsn)
		}
	}
	for _, e := range h.prepared {
		late := !target.At.IsZero() && (e.at.After(target.At) || target.Exclusive && e.at.Equal(target.At))
		if e.lsn >= b.StopLSN && e.lsn < s.lsn && !late {
			at = max(at, e.lsn)
		}
	}
	return at
}

// reachableFrom reports whether a recovery that ends at s can begin at a base backup: it is consistent by then.
func (s stop) reachableFrom(b base) bool { return s.lsn >= b.StopLSN }

// committed is which transactions a cluster has that was recovered up to s.
func (h *history) committed(s stop) map[uint64]bool {
	set := map[uint64]bool{}
	for _, e := range h.endings {
		if e.commit && (e.lsn < s.lsn || s.after && e.lsn == s.lsn) {
			set[e.xid] = true
		}
	}
	return set
}

// keepWAL copies the WAL of a server aside, before it is rewound or removed.
func keepWAL(t testing.TB, from, to string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(from, "????????????????????????"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(n)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// newestBase is the base backup that leads to a stop and stopped last before it.
func newestBase(bases []base, leads func(base) bool) (base, bool) {
	var usable []base
	for _, b := range bases {
		if leads(b) {
			usable = append(usable, b)
		}
	}
	if len(usable) == 0 {
		return base{}, false
	}
	return slices.MaxFunc(usable, func(a, b base) int { return cmp.Compare(a.StopLSN, b.StopLSN) }), true
}
