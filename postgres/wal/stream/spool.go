package stream

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// errSpool is the condition of a spool that cannot be used. Nothing helps but a person.
var errSpool = errors.New("spool not usable")

func unusable(err error) error { return fmt.Errorf("%w: %w", errSpool, err) }

// The files of a spool: SEGMENT is whole and waits, SEGMENT.part is being received, SEGMENT.left is a beginning that
// nobody completes, because its timeline ended, the rest is lost, or the run that received it ended.
const (
	partSuffix = ".part"
	leftSuffix = ".left"
)

// Spool is a folder of this host in which WAL waits for the archives.
//
// One goroutine writes: Begin, Append, Sync, SetAside, End. Several readers, of a number that is known from the
// beginning, each take every item once, in order: Next, Read, Done. What all have done is removed.
//
// A crash loses nothing that Sync or Append has said is durable: OpenSpool finds it again.
type Spool struct {
	dir     string
	system  cofre.SystemID
	size    int64 // of a segment
	readers int

	// Of the writer alone.
	file  *os.File
	named bool // whether the name of file is durable

	mu       sync.Mutex
	segment  pgdata.Segment // being received
	open     bool           // whether there is one
	received cofre.LSN      // up to where it is written
	synced   cofre.LSN      // up to where it is durable
	items    []*Item        // that wait, in order
	number   int            // of the last item
	naming   string         // the path that an item is about to have; empty if none
	ended    bool
	changed  chan struct{} // closed at the next change
}

// Item is a file of the spool that waits for the archives.
type Item struct {
	Segment  pgdata.Segment
	Leftover bool // a beginning only

	number int // they count from 1, in order
	path   string
	left   int // how many readers have not done it yet
}

// OpenSpool makes the folder of a system ready, and finds what an earlier run has left in it: whole segments wait as
// before, and an unfinished one waits as a leftover. The server sends that one again from its beginning, if there is
// still a server; if not, it is the only copy of the last seconds.
//
// Errors: those of the file system.
func OpenSpool(dir string, system cofre.SystemID, size int64, readers int) (*Spool, error) {
	s := &Spool{dir: dir, system: system, size: size, readers: readers, changed: make(chan struct{})}
	if err := durable.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(diskFull(err))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, unusable(err)
	}
	for _, e := range entries {
		text, suffix := e.Name(), ""
		if i := strings.IndexByte(text, '.'); i >= 0 {
			text, suffix = text[:i], text[i:]
		}
		seg, err := pgdata.ParseSegment(text, size)
		if err != nil {
			continue // not ours
		}
		switch suffix {
		case "":
			s.add(seg, whole)
		case leftSuffix:
			s.add(seg, leftover)
		case partSuffix:
			if err := s.leave(seg); err != nil {
				return nil, unusable(diskFull(err))
			}
		}
	}
	return s, nil
}

func (s *Spool) path(seg pgdata.Segment, suffix string) string {
	return filepath.Join(s.dir, seg.Name(s.size)+suffix)
}

type kind bool

const (
	whole    kind = false
	leftover kind = true
)

// add puts a file into the queue.
func (s *Spool) add(seg pgdata.Segment, k kind) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := &Item{Segment: seg, Leftover: bool(k), left: s.readers, path: s.path(seg, "")}
	if it.Leftover {
		it.path = s.path(seg, leftSuffix)
	}
	s.number++
	it.number = s.number
	s.items = append(s.items, it)
	s.naming = ""
	s.broadcast()
}

// take gives what was received of a segment the name under which it waits, and puts it into the queue. From the first
// step on Done does not remove the name: an item of before may have it.
func (s *Spool) take(seg pgdata.Segment, suffix string, k kind) error {
	to := s.path(seg, suffix)
	s.mu.Lock()
	s.naming = to
	s.mu.Unlock()
	if err := durable.Rename(s.path(seg, partSuffix), to); err != nil {
		return err
	}
	s.add(seg, k)
	return nil
}

// broadcast tells whoever waits for a change. The caller holds the lock.
func (s *Spool) broadcast() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Announce tells the readers that more was appended. Otherwise they learn of whole segments and leftovers only.
func (s *Spool) Announce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broadcast()
}

// Changed returns a channel that is closed as soon as the spool has something new for its readers. To be asked for before
// looking at what it has.
func (s *Spool) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// Begin begins a segment, or begins again the one that is being received.
//
// Errors: those of the file system.
func (s *Spool) Begin(seg pgdata.Segment) error {
	_ = s.Close()
	f, err := os.OpenFile(s.path(seg, partSuffix), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return unusable(diskFull(err))
	}
	s.file, s.named = f, false
	s.mu.Lock()
	defer s.mu.Unlock()
	start := seg.Start(s.size)
	s.segment, s.open, s.received, s.synced = seg, true, start, start
	return nil
}

// Close closes the file that is being written. What is in it stays for the next Begin, or the next run.
//
// Errors: of closing it.
func (s *Spool) Close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	return err
}

// Append writes WAL that begins at a position, which must be the next. Whenever a segment is whole it is made durable,
// waits for the archives, and the next one begins.
//
// Errors: one that names both positions if it is not the next; those of the file system.
func (s *Spool) Append(at cofre.LSN, b []byte) error {
	seg, received, open := s.Current()
	if !open || at != received {
		return fmt.Errorf("the server sent WAL of %s instead of %s", at, received)
	}
	for len(b) > 0 {
		n := min(int64(len(b)), int64(seg.End(s.size)-at))
		if _, err := s.file.WriteAt(b[:n], int64(at-seg.Start(s.size))); err != nil {
			return unusable(diskFull(err))
		}
		at, b = at+cofre.LSN(n), b[n:]
		s.mu.Lock()
		s.received = at
		s.mu.Unlock()
		if at == seg.End(s.size) {
			if err := s.complete(seg); err != nil {
				return err
			}
			seg = seg.Next()
		}
	}
	return nil
}

// complete makes a whole segment durable, then gives it its name, and begins the next. A crash before the name is
// durable leaves SEGMENT.part, whole.
func (s *Spool) complete(seg pgdata.Segment) error {
	err := durable.Sync(s.file)
	if err == nil {
		err = s.take(seg, "", whole)
	}
	if err != nil {
		return unusable(diskFull(err))
	}
	return s.Begin(seg.Next())
}

// Sync makes everything durable that was appended, and returns up to where that is.
//
// Errors: those of the file system; then nothing more is durable than before.
func (s *Spool) Sync() (cofre.LSN, error) {
	_, received, open := s.Current()
	s.mu.Lock()
	synced := s.synced
	s.mu.Unlock()
	if !open || received == synced {
		return synced, nil
	}
	err := durable.Sync(s.file)
	if err == nil && !s.named {
		err = durable.SyncDir(s.dir)
	}
	if err != nil {
		return synced, unusable(diskFull(err))
	}
	if err := s.Intact(); err != nil {
		return synced, err
	}
	s.named = true
	s.mu.Lock()
	defer s.mu.Unlock()
	s.synced = received
	return received, nil
}

// Intact makes sure that the file that is being written still has its name: what nobody finds again is not received.
//
// Errors: one that names the file, if something else has removed or replaced it.
func (s *Spool) Intact() error {
	seg, _, open := s.Current()
	if !open || s.file == nil {
		return nil
	}
	here, err := s.file.Stat()
	if err != nil {
		return unusable(err)
	}
	path := s.path(seg, partSuffix)
	if named, err := os.Stat(path); err != nil || !os.SameFile(here, named) {
		return cofre.WithHint(unusable(cofre.Fail(cofre.Say("stream.spool_changed", "{{.file}} was removed or replaced while it was written", "file", path), cofre.ErrRefused)),
			cofre.Say("stream.spool_alone", "leave the spool to cofre alone, and start cofre wal stream again: the server still has what was in it"))
	}
	return nil
}

// SetAside lets the beginning of a segment that will never be completed wait for the archives: a timeline has ended in
// it, or the rest of it is lost.
//
// Errors: those of the file system.
func (s *Spool) SetAside() error {
	s.mu.Lock()
	seg, open := s.segment, s.open
	s.open = false
	s.mu.Unlock()
	if !open {
		return nil
	}
	part := s.path(seg, partSuffix)
	info, err := os.Stat(part) // what an earlier session of this run has received counts as well
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.Size() == 0 {
		return os.Remove(part)
	}
	if err == nil {
		err = durable.SyncFile(part)
	}
	if err == nil {
		err = s.leave(seg)
	}
	if err != nil {
		return unusable(diskFull(err))
	}
	return nil
}

// leave makes a leftover of the beginning of a segment, unless there is one that is as long: a run that was killed soon
// after its start has begun the segment again, and the longer beginning may be the only copy.
func (s *Spool) leave(seg pgdata.Segment) error {
	part, left := s.path(seg, partSuffix), s.path(seg, leftSuffix)
	now, err := os.Stat(part)
	if err != nil {
		return err
	}
	if before, err := os.Stat(left); err == nil && before.Size() >= now.Size() {
		return os.Remove(part)
	}
	return s.take(seg, leftSuffix, leftover)
}

// End says that no more will be written.
func (s *Spool) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.broadcast()
}

// Ended reports whether End was called. What Next does not return after that, it never will.
func (s *Spool) Ended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// Current is the segment that is being received, and up to where it is written; open is false if there is none.
func (s *Spool) Current() (seg pgdata.Segment, received cofre.LSN, open bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.segment, s.received, s.open
}

// Next returns the first item after the given one, or after none if that is nil; nil if there is none yet.
func (s *Spool) Next(after *Item) *Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range s.items {
		if after == nil || it.number > after.number {
			return it
		}
	}
	return nil
}

// Last is the number of the last item that was added, 0 if none was.
func (s *Spool) Last() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

// Read returns the content of an item; of a whole segment it is compared with its name. It is nil if the item is a
// leftover that is not there any more.
//
// Errors: those of the file system; one that says what does not agree.
func (s *Spool) Read(it *Item) ([]byte, error) {
	content, err := os.ReadFile(it.path)
	if it.Leftover && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unusable(err)
	}
	if !it.Leftover {
		if err := wal.CheckContent(s.system, it.Segment.File(s.size), content); err != nil {
			return nil, unusable(fmt.Errorf("segment %s: %w", it.Segment.Name(s.size), err))
		}
	}
	return content, nil
}

// Done says that one reader has done with an item. After the last of them the file goes, unless another item is of the
// same file: a segment that was received once more. A crash before that stores it again, which is accepted.
func (s *Spool) Done(it *Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if it.left--; it.left > 0 {
		return
	}
	s.items = slices.DeleteFunc(s.items, func(other *Item) bool { return other == it })
	if it.path != s.naming && !slices.ContainsFunc(s.items, func(other *Item) bool { return other.path == it.path }) {
		_ = os.Remove(it.path)
	}
}

// Beginning opens the segment that is being received, to be read up to where it is written; nil if it is whole by now.
//
// Errors: those of the file system.
func (s *Spool) Beginning(seg pgdata.Segment) (*os.File, error) {
	f, err := os.Open(s.path(seg, partSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unusable(err)
	}
	return f, nil
}

// Bytes is how much waits for the archives, counted in whole segments.
func (s *Spool) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int64(len(s.items)) * s.size
}

// Waiting lists the whole segments that wait.
func (s *Spool) Waiting() []pgdata.Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []pgdata.Segment
	for _, it := range s.items {
		if !it.Leftover {
			all = append(all, it.Segment)
		}
	}
	return all
}

func diskFull(err error) error {
	if err = durable.Full(err); errors.Is(err, cofre.ErrDiskFull) {
		return cofre.WithHint(err, cofre.Say("wal.space", "free space on the disk that this is on: df -h"))
	}
	return err
}
