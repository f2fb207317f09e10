package pgdata_test

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// Every directory of testdata is named for a major version and holds files that a real server of it made;
// generate.sh says how.
func eachMajor(t *testing.T, run func(t *testing.T, major int, dir string)) {
	dirs, err := filepath.Glob("testdata/[0-9][0-9]")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("find fixtures: %v", err)
	}
	for _, dir := range dirs {
		major, _ := strconv.Atoi(filepath.Base(dir))
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			run(t, major, dir)
		})
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if b, err = io.ReadAll(z); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestControlAgreesWithPgControldata(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int, dir string) {
		c, err := pgdata.ParseControl(read(t, filepath.Join(dir, "pg_control.gz")))
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for line := range strings.Lines(string(read(t, filepath.Join(dir, "pg_controldata.txt")))) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), ":")
			want[k] = strings.TrimSpace(v)
		}
		onOff := map[bool]string{true: "on", false: "off"}
		when := func(at time.Time) string { return at.Format("Mon Jan _2 15:04:05 2006") }
		got := map[string]string{
			"pg_control version number":            fmt.Sprint(c.Version),
			"Catalog version number":               fmt.Sprint(c.CatalogVersion),
			"Database system identifier":           c.SystemID.String(),
			"Database cluster state":               c.State.String(),
			"pg_control last modified":             when(c.ModifiedAt),
			"Latest checkpoint location":           c.Checkpoint.String(),
			"Latest checkpoint's REDO location":    c.Redo.String(),
			"Latest checkpoint's TimeLineID":       fmt.Sprint(c.Timeline),
			"Latest checkpoint's PrevTimeLineID":   fmt.Sprint(c.PreviousTimeline),
			"Latest checkpoint's full_page_writes": onOff[c.FullPageWrites],
			"Latest checkpoint's NextXID":          fmt.Sprintf("%d:%d", c.NextXID>>32, uint32(c.NextXID)),
			"Time of latest checkpoint":            when(c.CheckpointAt),
			"Minimum recovery ending location":     c.MinRecovery.String(),
			"Min recovery ending loc's timeline":   fmt.Sprint(c.MinRecoveryTimeline),
			"Backup start location":                c.BackupStart.String(),
			"Backup end location":                  c.BackupEnd.String(),
			"wal_level setting":                    c.WALLevel.String(),
			"wal_log_hints setting":                onOff[c.WALLogHints],
			"max_connections setting":              fmt.Sprint(c.MaxConnections),
			"max_worker_processes setting":         fmt.Sprint(c.MaxWorkerProcesses),
			"max_wal_senders setting":              fmt.Sprint(c.MaxWALSenders),
			"max_prepared_xacts setting":           fmt.Sprint(c.MaxPreparedXacts),
			"max_locks_per_xact setting":           fmt.Sprint(c.MaxLocksPerXact),
			"track_commit_timestamp setting":       onOff[c.TrackCommitTime],
			"Database block size":                  fmt.Sprint(c.BlockSize),
			"Blocks per segment of large relation": fmt.Sprint(c.BlocksPerSegment),
			"WAL block size":                       fmt.Sprint(c.WALBlockSize),
			"Bytes per WAL segment":                fmt.Sprint(c.WALSegmentSize),
			"Data page checksum version":           fmt.Sprint(c.DataChecksumVersion),
		}
		for k, v := range got {
			if want[k] != v {
				t.Errorf("%s: got %s, pg_controldata says %s", k, v, want[k])
			}
		}
		if c.Major != major {
			t.Errorf("major %d, want %d", c.Major, major)
		}
	})
}

func TestBackupLabelAndItsHistoryFile(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int, dir string) {
		l, err := pgdata.ParseBackupLabel(read(t, filepath.Join(dir, "backup_label")))
		if err != nil {
			t.Fatal(err)
		}
		if l.Method != "streamed" || l.From != "primary" || l.Label != "pg_basebackup base backup" || l.StartTimeline != 1 || l.Start == 0 || l.Checkpoint <= l.Start {
			t.Errorf("backup label %+v", l)
		}
		if at, ok := l.StartedAt(); !ok || at.Year() < 2026 {
			t.Errorf("started at %v, %v", at, ok)
		}
		files, _ := filepath.Glob(filepath.Join(dir, "*.backup"))
		if len(files) < 2 {
			t.Fatalf("backup history files: %v", files)
		}
		for _, f := range files {
			n, err := pgdata.ParseWALName(filepath.Base(f))
			if err != nil {
				t.Fatal(err)
			}
			h, err := pgdata.ParseBackupLabel(read(t, f))
			if err != nil {
				t.Fatal(err)
			}
			if n.Kind != pgdata.WALBackup || n.Whole().String() != h.StartSegment || uint64(n.Offset) != uint64(h.Start)%(1<<20) || h.Stop <= h.Start || h.StopTimeline != 1 {
				t.Errorf("%s: %+v, name says %+v", f, h, n)
			}
			if want := pgdata.SegmentAt(1, h.Start, 1<<20).Name(1 << 20); want != h.StartSegment {
				t.Errorf("segment of %s is %s, the server says %s", h.Start, want, h.StartSegment)
			}
		}
		if major < 17 {
			return
		}
		i, err := pgdata.ParseBackupLabel(read(t, filepath.Join(dir, "backup_label.incremental")))
		if err != nil {
			t.Fatal(err)
		}
		if i.IncrementalFrom != l.Start || i.IncrementalFromTimeline != 1 {
			t.Errorf("incremental from %s, the full backup starts at %s", i.IncrementalFrom, l.Start)
		}
	})
}

func TestTablespaceMap(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int, dir string) {
		b := read(t, filepath.Join(dir, "tablespace_map"))
		spaces, err := pgdata.ParseTablespaceMap(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(spaces) != 1 || spaces[0].Path != "/srv/cluster/space" || spaces[0].OID < 16384 {
			t.Errorf("tablespaces %+v", spaces)
		}
		if again := pgdata.EncodeTablespaceMap(spaces); !bytes.Equal(again, b) {
			t.Errorf("encoded %q, read %q", again, b)
		}
	})
	odd := []pgdata.Tablespace{{OID: 16385, Path: "/mnt/a b\\c\nd\re"}, {OID: 4294967295, Path: "/x"}}
	got, err := pgdata.ParseTablespaceMap(pgdata.EncodeTablespaceMap(odd))
	if err != nil || !slices.Equal(got, odd) {
		t.Errorf("odd paths came back as %v, %v", got, err)
	}
}

func TestManifestComesBackByteForByte(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int, dir string) {
		b := read(t, filepath.Join(dir, "backup_manifest.gz"))
		m, err := pgdata.ParseManifest(b)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Files) < 500 || len(m.Ranges) != 1 || (major >= 17) != (m.Version == 2) || (m.Version == 2) != (m.SystemID != 0) {
			t.Errorf("version %d, system %s, %d files, ranges %v", m.Version, m.SystemID, len(m.Files), m.Ranges)
		}
		if got := m.Encode(); !bytes.Equal(got, b) {
			t.Errorf("differs from the server's: %s", cmp.Diff(string(b), string(got)))
		}
		b[len(b)/2] ^= 1
		if _, err := pgdata.ParseManifest(b); err == nil {
			t.Error("a changed manifest was read")
		}
	})
	m := &pgdata.Manifest{Version: 1, Files: []pgdata.ManifestFile{{Path: "a\xff\"", ModifiedAt: time.Unix(1e9, 0).UTC(), Algorithm: "CRC32C", Checksum: []byte{1, 2, 3, 4}}, {Path: "é<&>", ModifiedAt: time.Unix(1e9, 0).UTC(), Checksum: []byte{}}}}
	got, err := pgdata.ParseManifest(m.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(m, got); d != "" {
		t.Error(d)
	}
}

func TestChecksumOfRealPages(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int, dir string) {
		b := read(t, filepath.Join(dir, "heap.pages.gz"))
		if len(b) != 2*pgdata.PageSize {
			t.Fatalf("%d bytes of pages", len(b))
		}
		for blk := range uint32(2) {
			page := b[blk*pgdata.PageSize:][:pgdata.PageSize]
			if !pgdata.VerifyPage(page, blk) || pgdata.IsNew(page) || pgdata.PageLSN(page) == 0 {
				t.Errorf("block %d: carries %04x, computed %04x, LSN %s", blk, pgdata.PageChecksum(page), pgdata.ChecksumPage(page, blk), pgdata.PageLSN(page))
			}
			if pgdata.VerifyPage(page, blk+1) {
				t.Errorf("block %d passes as block %d", blk, blk+1)
			}
			for _, i := range []int{0, 13, 127, 128, 4000, 8191} {
				page[i] ^= 4
				if pgdata.VerifyPage(page, blk) {
					t.Errorf("block %d passes with byte %d changed", blk, i)
				}
				page[i] ^= 4
			}
		}
	})
	if zero := make([]byte, pgdata.PageSize); !pgdata.VerifyPage(zero, 7) || !pgdata.IsNew(zero) {
		t.Error("a page of zeros is not a whole new page")
	}
}

func BenchmarkChecksumPage(b *testing.B) {
	page := make([]byte, pgdata.PageSize)
	b.SetBytes(pgdata.PageSize)
	for b.Loop() {
		pgdata.ChecksumPage(page, 7)
	}
}

var walPage = regexp.MustCompile(`lsn: ([0-9A-F]+)/([0-9A-F]+), prev ([0-9A-F]+/[0-9A-F]+), desc: (.*)`)

// walk gives every segment of a fixture to a walker.
func walk(t testing.TB, dir string, yield func(pgdata.Record)) *pgdata.Walker {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "wal", "*.gz"))
	w := pgdata.NewWalker(1 << 20)
	for _, f := range files {
		b := read(t, f)
		name, err := pgdata.ParseWALName(strings.TrimSuffix(filepath.Base(f), ".gz"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pgdata.CheckSegment(name, b); err != nil {
			t.Fatal(err)
		}
		for page := range slices.Chunk(b, pgdata.WALPageSize) {
			w.Page(page, func(r pgdata.Record) bool { yield(r); return true })
		}
	}
	return w
}

func TestWalkerAgreesWithPgWaldump(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int, dir string) {
		var want, got []string
		prepared := 0
		for line := range strings.Lines(string(read(t, filepath.Join(dir, "waldump.txt.gz")))) {
			m := walPage.FindStringSubmatch(line)
			if m == nil {
				t.Fatalf("waldump: %q", line)
			}
			lsn, _ := cofre.ParseLSN(m[1] + "/" + m[2])
			prev, _ := cofre.ParseLSN(m[3])
			s := fmt.Sprintf("%s after %s", lsn, prev)
			verb, rest, _ := strings.Cut(m[4], " ")
			tx := regexp.MustCompile(`tx: +(\d+)`).FindStringSubmatch(line)[1]
			at := func() string {
				return regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6} UTC`).FindString(rest)
			}
			switch verb {
			case "COMMIT", "ABORT", "PREPARE":
				s += fmt.Sprintf(" %s %s %s", verb, tx, at())
			case "COMMIT_PREPARED", "ABORT_PREPARED":
				id, _, _ := strings.Cut(rest, ":")
				s += fmt.Sprintf(" %s %s %s", strings.TrimSuffix(verb, "_PREPARED"), id, at())
			case "RESTORE_POINT":
				s += " RESTORE_POINT " + strings.TrimSpace(rest)
			}
			want = append(want, s)
		}
		w := walk(t, dir, func(r pgdata.Record) {
			s := fmt.Sprintf("%s after %s", r.Start, r.Prev)
			if m, ok := r.Moment(); ok {
				at := m.At.Format("2006-01-02 15:04:05.000000 UTC")
				switch m.Kind {
				case pgdata.MomentCommit:
					s += fmt.Sprintf(" COMMIT %d %s", m.XID, at)
				case pgdata.MomentAbort:
					s += fmt.Sprintf(" ABORT %d %s", m.XID, at)
				case pgdata.MomentPrepare:
					s += fmt.Sprintf(" PREPARE %d %s", m.XID, at)
					prepared++
				case pgdata.MomentRestorePoint:
					s += " RESTORE_POINT " + m.Name
				}
			}
			got = append(got, s)
		})
		// The last segments end in switches and shutdowns that pg_waldump may not have been shown.
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		if len(got) < 200 || prepared != 2 {
			t.Errorf("%d records, %d of PREPARE TRANSACTION", len(got), prepared)
		}
		if end, ok := w.End(); ok {
			t.Errorf("ended at %s", end)
		}
	})
}

func TestWalkerStopsAtDamage(t *testing.T) {
	dir := "testdata/15"
	var starts []cofre.LSN
	walk(t, dir, func(r pgdata.Record) { starts = append(starts, r.Start) })
	files, _ := filepath.Glob(filepath.Join(dir, "wal", "*.gz"))
	b := read(t, files[0])
	base := starts[0] &^ (1<<20 - 1)
	victim := starts[len(starts)/3]
	if victim >= base+1<<20 {
		t.Fatalf("record %s is not in the first segment", victim)
	}
	b[int(victim-base)+recordByte] ^= 1
	w, last := pgdata.NewWalker(1<<20), cofre.LSN(0)
	for page := range slices.Chunk(b, pgdata.WALPageSize) {
		w.Page(page, func(r pgdata.Record) bool { last = r.Start; return true })
	}
	end, ok := w.End()
	if !ok || end != victim || last >= victim {
		t.Errorf("ended %v at %s after %s, damaged at %s", ok, end, last, victim)
	}
}

// recordByte is inside the header of every record: its transaction id.
const recordByte = 5

func TestSegmentNames(t *testing.T) {
	for _, c := range []struct {
		name string
		size int64
		tli  cofre.Timeline
		lsn  cofre.LSN
	}{
		{"000000010000000000000001", 16 << 20, 1, 0x1000000},
		{"0000000200000003000000FE", 16 << 20, 2, 0x3FE000000},
		{"00000002000000030000003F", 64 << 20, 2, 0x3FC000000},
		{"00000001000000010000000F", 1 << 20, 1, 0x100F00000},
		{"000000010000000100000003", 1 << 30, 1, 0x1C0000000},
	} {
		s, err := pgdata.ParseSegment(c.name, c.size)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if s.Timeline != c.tli || s.Start(c.size) != c.lsn || s.Name(c.size) != c.name || pgdata.SegmentAt(c.tli, c.lsn+5, c.size) != s {
			t.Errorf("%s: %+v starts at %s", c.name, s, s.Start(c.size))
		}
	}
	for _, bad := range []string{"", "00000001000000000000000", "00000001000000000000000g", "000000010000000000000100", "000000000000000000000001", "00000001000000000000000a"} {
		if s, err := pgdata.ParseSegment(bad, 16<<20); err == nil {
			t.Errorf("%q was read as %+v", bad, s)
		}
	}
}

func TestWALNames(t *testing.T) {
	for name, want := range map[string]pgdata.WALName{
		"0000000A00000000000000FF":                 {Kind: pgdata.WALSegment, Timeline: 10, Seg: 0xFF},
		"0000000A00000000000000FF.partial":         {Kind: pgdata.WALPartial, Timeline: 10, Seg: 0xFF},
		"0000000A.history":                         {Kind: pgdata.WALHistory, Timeline: 10},
		"0000000A00000000000000FF.00000028.backup": {Kind: pgdata.WALBackup, Timeline: 10, Seg: 0xFF, Offset: 0x28},
	} {
		got, err := pgdata.ParseWALName(name)
		if err != nil || got != want || got.String() != name {
			t.Errorf("%s: %+v, which is written %s: %v", name, got, got, err)
		}
		s, err := got.Segment(16 << 20)
		if want := (pgdata.Segment{Timeline: 10, Number: 0xFF}); got.Kind == pgdata.WALHistory && err == nil || got.Kind != pgdata.WALHistory && (err != nil || s != want) {
			t.Errorf("%s: segment %+v, %v", name, s, err)
		}
		if got.Kind != pgdata.WALHistory && (got.Whole().String() != name[:24] || got.Partial().String() != name[:24]+".partial") {
			t.Errorf("%s: whole %s, partial %s", name, got.Whole(), got.Partial())
		}
	}
	for _, bad := range []string{"", "RECOVERYXLOG", "../000000010000000000000001", "00000000.history", "1.history", "0000000A00000000000000FF.partial.gz"} {
		if got, err := pgdata.ParseWALName(bad); err == nil {
			t.Errorf("%q was read as %+v", bad, got)
		}
	}
}

func TestHistory(t *testing.T) {
	h, err := pgdata.ParseHistory(4, []byte("1\t0/5000000\tno recovery target specified\n\n# a comment\n2\t0/7000028\tbefore transaction 731 at 2026-11-24 21:59:39.727396+00\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []pgdata.Branch{{1, 0, 0x5000000}, {2, 0x5000000, 0x7000028}, {4, 0x7000028, ^cofre.LSN(0)}}
	if d := cmp.Diff(want, h.Branches()); d != "" {
		t.Error(d)
	}
	for lsn, tli := range map[cofre.LSN]cofre.Timeline{0x4FFFFFF: 1, 0x5000000: 2, 0x7000027: 2, 0x7000028: 4} {
		if got := h.TimelineAt(lsn); got != tli {
			t.Errorf("%s is on timeline %d, want %d", lsn, got, tli)
		}
	}
	if !h.Contains(2, 0x6000000) || h.Contains(3, 0x6000000) || h.Contains(1, 0x5000001) {
		t.Error("contains what it should not, or does not contain what it should")
	}
	for _, bad := range []string{"x", "1", "0\t0/1\t", "5\t0/1\tx", "2\t0/2\tx\n1\t0/3\tx", "1\t0/3\tx\n2\t0/2\tx", "1 0/3"} {
		if h, err := pgdata.ParseHistory(4, []byte(bad)); err == nil {
			t.Errorf("%q was read as %+v", bad, h)
		}
	}
}

func TestControlRefusesDamage(t *testing.T) {
	b := read(t, "testdata/15/pg_control.gz")
	for i := range 292 {
		c := bytes.Clone(b)
		c[i] ^= 0x10
		if _, err := pgdata.ParseControl(c); err == nil {
			t.Fatalf("byte %d changed and nobody noticed: %s", i, hex.EncodeToString(c[i:i+1]))
		}
	}
}
