package stream

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const size = 1 << 20

// segment is one of the fixtures of package pgdata: neighbours, as a server wrote them.
type segment struct {
	pgdata.Segment
	content []byte
	system  cofre.SystemID
}

func fixtures(t *testing.T) []segment {
	t.Helper()
	files, _ := filepath.Glob("../../pgdata/testdata/15/wal/*.gz")
	var all []segment
	for _, f := range files {
		packed, err := os.Open(f)
		if err != nil {
			t.Fatal(err)
		}
		defer packed.Close()
		z, err := gzip.NewReader(packed)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		seg, err := pgdata.ParseSegment(strings.TrimSuffix(filepath.Base(f), ".gz"), size)
		if err != nil {
			t.Fatal(err)
		}
		page, err := pgdata.ParseWALPage(b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, segment{seg, b, page.SystemID})
	}
	if len(all) < 3 {
		t.Fatalf("%d segments are there", len(all))
	}
	return all
}

func openSpool(t *testing.T, dir string, of segment, readers int) *Spool {
	t.Helper()
	s, err := OpenSpool(dir, of.system, size, readers)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func begin(t *testing.T, s *Spool, seg segment) {
	t.Helper()
	if err := s.Begin(seg.Segment); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, s *Spool, seg segment, from, to int) {
	t.Helper()
	if err := s.Append(seg.Start(size)+cofre.LSN(from), seg.content[from:to]); err != nil {
		t.Fatal(err)
	}
}

// watch collects the steps below a folder while do runs, and makes one kind fail.
func watch(dir string, failing durable.Op, do func()) (seen []string) {
	defer durable.Watch(func(s durable.Step) error {
		if !strings.HasPrefix(s.Path, dir) {
			return nil
		}
		seen = append(seen, string(s.Op)+" "+filepath.Base(s.Path))
		if s.Op == failing {
			return syscall.EIO
		}
		return nil
	})()
	do()
	return seen
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

// WAL that is appended across the end of a segment makes it durable first, then gives it its name, and only then lets it wait.
func TestAppendCompletesSegmentsDurably(t *testing.T) {
	all := fixtures(t)
	dir := filepath.Join(t.TempDir(), "spool")
	s := openSpool(t, dir, all[0], 1)
	begin(t, s, all[0])
	name, next := all[0].Name(size), all[1].Name(size)
	seen := watch(dir, "", func() {
		write(t, s, all[0], 0, size-100)
		if s.Next(nil) != nil {
			t.Error("what is not whole waits")
		}
		both := append(bytes.Clone(all[0].content[size-100:]), all[1].content[:300]...)
		if err := s.Append(all[0].End(size)-100, both); err != nil {
			t.Fatal(err)
		}
	})
	if want := []string{"sync " + name + ".part", "rename " + name, "sync-dir spool"}; !slices.Equal(seen, want) {
		t.Errorf("steps %v, want %v", seen, want)
	}
	it := s.Next(nil)
	if it == nil || it.Segment != all[0].Segment || it.Leftover || s.Next(it) != nil {
		t.Fatalf("%+v waits", it)
	}
	if content, err := s.Read(it); err != nil || !bytes.Equal(content, all[0].content) {
		t.Errorf("%d bytes, %v", len(content), err)
	}
	if seg, received, open := s.Current(); seg != all[1].Segment || received != all[1].Start(size)+300 || !open {
		t.Errorf("%s is received up to %s, %v", seg.Name(size), received, open)
	}
	if got := names(t, dir); got != name+" "+next+".part" {
		t.Errorf("the folder holds %s", got)
	}
	if s.Bytes() != size || !slices.Equal(s.Waiting(), []pgdata.Segment{all[0].Segment}) {
		t.Errorf("%d bytes wait, %v", s.Bytes(), s.Waiting())
	}
	if err := s.Append(all[1].Start(size)+400, []byte("x")); err == nil || !strings.Contains(err.Error(), "instead of") {
		t.Errorf("WAL that is not the next: %v", err)
	}
	for _, failing := range []durable.Op{durable.OpSync, durable.OpRename, durable.OpSyncDir} {
		dir := filepath.Join(t.TempDir(), "spool")
		s := openSpool(t, dir, all[0], 1)
		begin(t, s, all[0])
		watch(dir, failing, func() {
			if err := s.Append(all[0].Start(size), all[0].content); !errors.Is(err, syscall.EIO) || !permanent(err) || s.Next(nil) != nil {
				t.Errorf("%s fails: %v, %v waits", failing, err, s.Next(nil))
			}
		})
	}
}

// What Sync says is durable was synced, and so was the name of the file; if one fails, nothing more is said to be.
func TestSyncIsOfBytesAndName(t *testing.T) {
	all := fixtures(t)
	dir := filepath.Join(t.TempDir(), "spool")
	s := openSpool(t, dir, all[0], 1)
	begin(t, s, all[0])
	start, part := all[0].Start(size), all[0].Name(size)+".part"
	for _, c := range []struct {
		what     string
		from, to int
		failing  durable.Op
		steps    []string
		synced   int
	}{
		{"nothing", 0, 0, "", nil, 0},
		{"the sync fails", 0, 100, durable.OpSync, []string{"sync " + part}, 0},
		{"the sync of the name fails", 100, 200, durable.OpSyncDir, []string{"sync " + part, "sync-dir spool"}, 0},
		{"the first", 200, 300, "", []string{"sync " + part, "sync-dir spool"}, 300},
		{"more", 300, 400, "", []string{"sync " + part}, 400},
		{"nothing more", 400, 400, "", nil, 400},
		{"the sync fails again", 400, 500, durable.OpSync, []string{"sync " + part}, 400},
	} {
		if c.from < c.to {
			write(t, s, all[0], c.from, c.to)
		}
		seen := watch(dir, c.failing, func() {
			got, err := s.Sync()
			if got != start+cofre.LSN(c.synced) || (err == nil) != (c.failing == "") || err != nil && !permanent(err) {
				t.Errorf("%s: durable up to %s, %v", c.what, got, err)
			}
		})
		if !slices.Equal(seen, c.steps) {
			t.Errorf("%s: steps %v, want %v", c.what, seen, c.steps)
		}
	}
	write(t, s, all[0], 500, size)
	if got, err := s.Sync(); got != all[0].End(size) || err != nil {
		t.Errorf("a whole segment: durable up to %s, %v", got, err)
	}
	begin(t, s, all[0])
	if got, err := s.Sync(); got != start || err != nil {
		t.Errorf("a segment that is begun again: durable up to %s, %v", got, err)
	}
}

// What the server is told to be flushed is found again by its name, whoever cleans up or starts a second stream there.
func TestTheFileThatIsWrittenKeepsItsName(t *testing.T) {
	all := fixtures(t)
	for what, harm := range map[string]func(part string) error{
		"removed": os.Remove,
		"renamed": func(part string) error { return os.Rename(part, strings.TrimSuffix(part, ".part")+".left") },
		"replaced": func(part string) error {
			return errors.Join(os.Rename(part, part+".old"), os.WriteFile(part, []byte("of another run"), 0o600))
		},
	} {
		dir := filepath.Join(t.TempDir(), "spool")
		s := openSpool(t, dir, all[0], 1)
		begin(t, s, all[0])
		write(t, s, all[0], 0, 100)
		if err := s.Intact(); err != nil {
			t.Errorf("before: %v", err)
		}
		durably, err := s.Sync()
		if err != nil {
			t.Fatal(err)
		}
		if err := harm(filepath.Join(dir, all[0].Name(size)+".part")); err != nil {
			t.Fatal(err)
		}
		write(t, s, all[0], 100, 200)
		if got, err := s.Sync(); got != durably || !permanent(err) || cofre.Hint(err) == "" {
			t.Errorf("%s: durable up to %s after %s, %v", what, got, durably, err)
		}
		if err := s.Intact(); !permanent(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A new folder has a name that is durable, and those above it.
func TestTheFolderOfASpoolIsDurable(t *testing.T) {
	all := fixtures(t)
	root := t.TempDir()
	dir := filepath.Join(root, "a", "b")
	seen := watch(root, "", func() { openSpool(t, dir, all[0], 1) })
	if want := []string{"sync-dir " + filepath.Base(root), "sync-dir a"}; !slices.Equal(seen, want) {
		t.Errorf("steps %v, want %v", seen, want)
	}
	if seen := watch(root, "", func() { openSpool(t, dir, all[0], 1) }); len(seen) != 0 {
		t.Errorf("a folder that is there: %v", seen)
	}
	watch(root, durable.OpSyncDir, func() {
		if _, err := OpenSpool(filepath.Join(root, "c"), 1, size, 1); !permanent(err) {
			t.Errorf("a name that cannot be made durable: %v", err)
		}
	})
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenSpool(filepath.Join(root, "file"), 1, size, 1); !permanent(err) {
		t.Errorf("a spool that is a file: %v", err)
	}
	if _, err := OpenSpool(filepath.Join(root, "file", "x"), 1, size, 1); !permanent(err) {
		t.Errorf("a spool below a file: %v", err)
	}
}

// What a killed run has left is found: whole segments wait, and of an unfinished one the longer beginning.
func TestASpoolIsFoundAgain(t *testing.T) {
	all := fixtures(t)
	for what, c := range map[string]struct {
		part, left int
		want       int
	}{
		"begun":                            {part: 5000, want: 5000},
		"begun again, and not come as far": {part: 5000, left: 9000, want: 9000},
		"begun again, and come further":    {part: 9000, left: 5000, want: 9000},
		"left":                             {left: 5000, want: 5000},
	} {
		dir := t.TempDir()
		put := func(name string, b []byte) {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put(all[0].Name(size), all[0].content)
		put("00000001.history", nil)
		put("notes.txt", nil)
		put(all[2].Name(size)+".other", nil)
		if c.part > 0 {
			put(all[1].Name(size)+".part", all[1].content[:c.part])
		}
		if c.left > 0 {
			put(all[1].Name(size)+".left", all[1].content[:c.left])
		}
		s := openSpool(t, dir, all[0], 1)
		var leftovers []pgdata.Segment
		for it := s.Next(nil); it != nil; it = s.Next(it) {
			content, err := s.Read(it)
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if it.Leftover {
				leftovers = append(leftovers, it.Segment)
				if len(content) != c.want {
					t.Errorf("%s: %d bytes are left, want %d", what, len(content), c.want)
				}
			}
		}
		if !slices.Contains(leftovers, all[1].Segment) || !slices.Equal(s.Waiting(), []pgdata.Segment{all[0].Segment}) {
			t.Errorf("%s: %v wait, of %v the beginning", what, s.Waiting(), leftovers)
		}
		if strings.Contains(names(t, dir), ".part") {
			t.Errorf("%s: the folder holds %s", what, names(t, dir))
		}
		for it := s.Next(nil); it != nil; it = s.Next(nil) {
			s.Done(it)
		}
		if got := names(t, dir); got != "00000001.history "+all[2].Name(size)+".other notes.txt" {
			t.Errorf("%s: when all is done, the folder holds %s", what, got)
		}
	}
}

func TestSetAside(t *testing.T) {
	all := fixtures(t)
	dir := filepath.Join(t.TempDir(), "spool")
	s := openSpool(t, dir, all[0], 1)
	if err := s.SetAside(); err != nil || s.Next(nil) != nil {
		t.Errorf("nothing is open: %v", err)
	}
	begin(t, s, all[0])
	if err := s.SetAside(); err != nil || s.Next(nil) != nil || names(t, dir) != "" {
		t.Errorf("nothing was received: %v, %s", err, names(t, dir))
	}
	name := all[0].Name(size)
	for _, failing := range []durable.Op{durable.OpSync, durable.OpRename, durable.OpSyncDir} {
		begin(t, s, all[0])
		write(t, s, all[0], 0, 100)
		watch(dir, failing, func() {
			if err := s.SetAside(); !permanent(err) || s.Next(nil) != nil {
				t.Errorf("%s fails: %v", failing, err)
			}
		})
		os.Remove(filepath.Join(dir, name+".left"))
	}
	begin(t, s, all[0])
	write(t, s, all[0], 0, 5000)
	seen := watch(dir, "", func() {
		if err := s.SetAside(); err != nil {
			t.Fatal(err)
		}
	})
	if want := []string{"sync " + name + ".part", "rename " + name + ".left", "sync-dir spool"}; !slices.Equal(seen, want) {
		t.Errorf("steps %v, want %v", seen, want)
	}
	it := s.Next(nil)
	if content, err := s.Read(it); err != nil || !it.Leftover || !bytes.Equal(content, all[0].content[:5000]) || len(s.Waiting()) != 0 {
		t.Errorf("%+v: %d bytes, %v", it, len(content), err)
	}
	if _, _, open := s.Current(); open {
		t.Error("it is still being received")
	}
	os.Remove(filepath.Join(dir, name+".left"))
	if content, err := s.Read(it); content != nil || err != nil {
		t.Errorf("a leftover that is not there: %d bytes, %v", len(content), err)
	}
}

// A file leaves the spool when every reader has done with it; and a segment that was received once more, while the first
// still waits, stays until the second is done, too.
func TestDone(t *testing.T) {
	all := fixtures(t)
	dir := filepath.Join(t.TempDir(), "spool")
	name := all[0].Name(size)
	path := filepath.Join(dir, name)
	there := func() bool { _, err := os.Stat(path); return err == nil }
	s := openSpool(t, dir, all[0], 2)
	begin(t, s, all[0])
	write(t, s, all[0], 0, size)
	first := s.Next(nil)
	s.Done(first)
	if !there() || s.Next(nil) != first || s.Bytes() != size {
		t.Error("it went when one reader was done")
	}
	// It is received again. The first is done in the very moment at which the name is taken.
	begin(t, s, all[0])
	defer durable.Watch(func(step durable.Step) error {
		if step.Op == durable.OpSyncDir && step.Path == dir && s.Next(nil) == first {
			s.Done(first)
		}
		return nil
	})()
	write(t, s, all[0], 0, size)
	second := s.Next(nil)
	if second == nil || second == first || second.Segment != all[0].Segment {
		t.Fatalf("%+v waits", second)
	}
	if content, err := s.Read(second); err != nil || !bytes.Equal(content, all[0].content) {
		t.Fatalf("the segment that was received again: %d bytes, %v", len(content), err)
	}
	s.Done(second)
	s.Done(second)
	if there() || s.Next(nil) != nil {
		t.Error("it stayed when both readers were done")
	}

	// The same, if the first is done after that.
	dir = filepath.Join(t.TempDir(), "another")
	path = filepath.Join(dir, name)
	s = openSpool(t, dir, all[0], 1)
	begin(t, s, all[0])
	write(t, s, all[0], 0, size)
	begin(t, s, all[0])
	write(t, s, all[0], 0, size)
	first = s.Next(nil)
	second = s.Next(first)
	s.Done(first)
	if content, err := s.Read(second); err != nil || len(content) != size {
		t.Errorf("%d bytes, %v", len(content), err)
	}
	s.Done(second)
	if there() {
		t.Error("it stayed")
	}
}

// What is not the segment of its name is not handed out, and nothing helps but a person.
func TestReadChecksWholeSegments(t *testing.T) {
	all := fixtures(t)
	dir := t.TempDir()
	s := openSpool(t, dir, all[0], 1)
	begin(t, s, all[0])
	if err := s.Append(all[0].Start(size), all[1].content); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(s.Next(nil)); !permanent(err) || !errors.Is(err, cofre.ErrCorrupt) {
		t.Errorf("another segment: %v", err)
	}
	os.Remove(filepath.Join(dir, all[0].Name(size)))
	if _, err := s.Read(s.Next(nil)); !permanent(err) {
		t.Errorf("a whole segment that is not there: %v", err)
	}
}

func TestAFullDiskIsSaidToBe(t *testing.T) {
	all := fixtures(t)
	dir := t.TempDir()
	s := openSpool(t, dir, all[0], 1)
	begin(t, s, all[0])
	write(t, s, all[0], 0, 100)
	defer durable.Watch(func(step durable.Step) error {
		if strings.HasPrefix(step.Path, dir) {
			return syscall.ENOSPC
		}
		return nil
	})()
	if _, err := s.Sync(); !errors.Is(err, cofre.ErrDiskFull) || !permanent(err) || cofre.Hint(err) == "" {
		t.Errorf("%v, hint %q", err, cofre.Hint(err))
	}
}
