package wal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
)

// Archiver archives files of pg_wal, as archive_command hands them over.
type Archiver struct {
	// Archives are all mandatory: a file counts as archived when every one of them has it, durably.
	Archives []Archive

	// System is the cluster whose WAL belongs here; WAL of another is refused. Zero takes what pg_control of
	// the data directory says, which still refuses foreign files.
	System cofre.SystemID

	// Spool is a folder of the host for archiving ahead; empty archives only what is asked for.
	Spool string
	// Ahead is how many further segments one call may archive; 0 takes 64.
	Ahead int
	// Jobs is how many files to compress and store at once; 0 takes the number of CPUs.
	Jobs int
}

// Archived is what a call of Archive did.
type Archived struct {
	Name   string         `json:"name"`
	System cofre.SystemID `json:"system"`
	Stored int            `json:"stored"` // in how many stores it is new; 0 if all had it, byte for byte
	Ahead  int            `json:"ahead"`  // how many further segments are archived by now
	// Damaged says where the records of a segment end although the segment does not: WAL that the server wrote
	// and that recovery cannot read past. It is archived all the same, for nothing better is to be had; a base
	// backup should follow.
	Damaged cofre.LSN `json:"damaged,omitzero"`
	// Unrelated says in which way a segment does not go on where the one before it ends; empty if it does, as far as
	// is known. It is archived all the same, for the same reason.
	Unrelated string `json:"unrelated,omitempty"`
	// Healed is what was stored and could not be proven whole, and is stored afresh; what was there is kept next to it.
	Healed []string `json:"healed,omitempty"`
}

// aheadTime bounds how long one call goes on with further segments: PostgreSQL waits for the command when it
// shuts down.
const aheadTime = 10 * time.Second

// Archive stores the file at path, as archive_command gives it with %p: relative to the data directory, in which
// the command runs. When it returns nil, the file is durable in every store.
//
// It is safe to call again for a file that is archived already, and at any moment in several processes: the
// object is created only if there is none, and one that is there is accepted only if it holds the same bytes.
//
// If Spool is set, what waits behind the segment asked for (NAME.ready in archive_status) is archived with it, and
// each leaves a mark in Spool once it is durable in every store. A later call that finds the mark of its file looks whether
// every store still has that very object, and answers at once. What a crash leaves is harmless in every order: a segment
// stored without its mark is compared and accepted, a mark is written only after the segment is durable, and it names the very file (size, modification time, inode) and
// the repositories with their keys, so that one left over from another life of the server counts for nothing.
// PostgreSQL still recycles a segment only after the command succeeded for it by name.
//
// Files are prepared side by side and stored one after the other, in the order in which PostgreSQL hands them over:
// nothing is archived ahead of a file that was refused, which would make one archive of two histories.
//
// Of a segment whose records end before it does, or that does not go on where the one before it ends, a Note is
// left in the store before the segment is; so is one of a file that is refused because another is there.
//
// Errors: cofre.ErrExists if a store holds other bytes under the same name; cofre.ErrRefused if the file is
// of another system; cofre.ErrCorrupt if it is not what its name says; the stores'.
func (a *Archiver) Archive(ctx context.Context, path string) (Archived, error) {
	return (&Archiver{Remembering(a.Archives), a.System, a.Spool, a.Ahead, a.Jobs}).archive(ctx, path)
}

func (a *Archiver) archive(ctx context.Context, path string) (Archived, error) {
	out := Archived{Name: filepath.Base(path)}
	name, err := pgdata.ParseWALName(out.Name)
	if err != nil {
		return out, fmt.Errorf("archive %s: %w", path, err)
	}
	system, err := a.system(path)
	if err != nil {
		return out, fmt.Errorf("archive %s: %w", name, err)
	}
	out.System = system
	if len(a.Archives) == 0 {
		return out, fmt.Errorf("archive %s: no repository: %w", name, cofre.ErrConfig)
	}
	if a.takeMark(ctx, system, path) {
		return out, nil
	}
	l := &line{Archiver: a, system: system, order: []file{{path, name}}, jobs: a.Jobs}
	if l.jobs <= 0 {
		l.jobs = runtime.GOMAXPROCS(0)
	}
	if a.Spool != "" && name.Kind == pgdata.WALSegment {
		l.order = append(l.order, a.waiting(l.order[0])...)
	}
	first, ahead, err := l.run(ctx)
	out.Ahead = ahead
	for n, to := range a.Archives {
		if err == nil || first.has(n) { // also if another archive fails: what this one holds waits for the key
			to.announce(ctx, system)
		}
	}
	if err == nil {
		out.Stored, out.Damaged, out.Unrelated = first.stored, first.chain.Break, first.unrelated
	}
	for _, f := range l.files {
		out.Healed = append(out.Healed, f.healed...)
	}
	return out, err
}

// system is the cluster that path belongs to.
func (a *Archiver) system(path string) (cofre.SystemID, error) {
	control := filepath.Join(filepath.Dir(filepath.Dir(path)), pgdata.ControlFile)
	c, err := ReadControl(control)
	if errors.Is(err, os.ErrNotExist) && a.System != 0 {
		return a.System, nil
	}
	if err != nil {
		return 0, cofre.WithHint(fmt.Errorf("find out which cluster it is of: %w", err), cofre.Say("wal.archive_directory", "archive_command = 'cofre wal archive %p' runs in the data directory"))
	}
	if a.System != 0 && c.SystemID != a.System {
		return 0, Foreign(c.SystemID, a.System)
	}
	return c.SystemID, nil
}

// ReadControl reads pg_control of a server that may be writing it: a read that meets a write is repeated.
//
// Errors: those of the file system; cofre.ErrCorrupt if its checksum does not hold after several reads; those of
// pgdata.ParseControl.
func ReadControl(path string) (*pgdata.Control, error) {
	for try := 0; ; try++ {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		c, err := pgdata.ParseControl(b)
		if err == nil || !errors.Is(err, cofre.ErrCorrupt) || try == 5 {
			return c, err
		}
		time.Sleep(time.Duration(1<<try) * time.Millisecond)
	}
}

// Foreign is the error of WAL that is of another system than the one whose WAL belongs to an archive.
//
// Errors: cofre.ErrRefused, with a hint.
func Foreign(is, want cofre.SystemID) error {
	return cofre.WithHint(fmt.Errorf("it is of system %s, and the WAL of system %s belongs here: %w", is, want, cofre.ErrRefused),
		cofre.Say("wal.own_repository", "give every cluster, and every copy that writes, a configuration and a repository of its own"))
}

// mapFile maps a file into memory instead of reading it: a process that lives for one segment spends a third of
// its time on the first touch of fresh memory, and the page cache has the segment already. A disk that fails
// while the file is read ends the process, with a status that PostgreSQL takes for what it is, a failure.
func mapFile(path string) (content []byte, unmap func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if fi.Size() == 0 || fi.Size() > MaxSegment {
		return nil, func() {}, nil // no segment, and refused as such
	}
	content, err = syscall.Mmap(int(f.Fd()), 0, int(fi.Size()), syscall.PROT_READ, syscall.MAP_SHARED|syscall.MAP_POPULATE)
	if err != nil {
		return nil, nil, fmt.Errorf("map %s: %w", path, err)
	}
	return content, func() { _ = syscall.Munmap(content) }, nil
}

// CheckContent compares a file with its name and its system.
//
// Errors: cofre.ErrCorrupt if the content is not what the name says, or not whole; cofre.ErrRefused if it is of another
// system: see Foreign.
func CheckContent(system cofre.SystemID, name pgdata.WALName, content []byte) error {
	switch name.Kind {
	case pgdata.WALSegment, pgdata.WALPartial:
		p, err := pgdata.CheckSegment(name.Whole(), content[:min(len(content), pgdata.WALPageSize)])
		if err != nil {
			return err
		}
		if p.SystemID != system {
			return Foreign(p.SystemID, system)
		}
		// A partial one is as long as any other: what was not written is zeros or an older life of the file.
		if int64(len(content)) != p.SegmentSize {
			return fmt.Errorf("it has %d bytes, and segments of this cluster have %d: %w", len(content), p.SegmentSize, cofre.ErrCorrupt)
		}
	case pgdata.WALHistory:
		if _, err := pgdata.ParseHistory(name.Timeline, content); err != nil {
			return err
		}
	case pgdata.WALBackup:
		l, err := pgdata.ParseBackupLabel(content)
		if err != nil {
			return err
		}
		if l.StartSegment != name.Whole().String() {
			return fmt.Errorf("it is of a backup that started in %s: %w", l.StartSegment, cofre.ErrCorrupt)
		}
	}
	return nil
}

// store puts a file's content into every archive.
func store(ctx context.Context, archives []Archive, system cofre.SystemID, name pgdata.WALName, content []byte, jobs int) (stored int, err error) {
	return put(ctx, archives, ObjectName(system, name), content, jobs)
}

// file is a file of pg_wal, with its name read once.
type file struct {
	path string
	name pgdata.WALName
}

// waiting lists the files that wait behind a segment, in the order in which PostgreSQL hands them over: by name, a
// timeline's history before its segments. It is empty if one waits before the segment: that one was refused, or is yet
// to be handed over, and nothing goes past it.
//
// Source: PostgreSQL, src/backend/postmaster/pgarch.c, ready_file_comparator.
func (a *Archiver) waiting(first file) []file {
	most := a.Ahead
	if most <= 0 {
		most = 64
	}
	dir, text := filepath.Split(first.path)
	entries, err := os.ReadDir(filepath.Join(dir, "archive_status"))
	if err != nil {
		return nil // nothing to archive ahead is no reason to fail
	}
	var out []file
	for _, e := range entries {
		next, ok := strings.CutSuffix(e.Name(), ".ready")
		name, err := pgdata.ParseWALName(next)
		if !ok || err != nil || name.Timeline != first.name.Timeline || next == text {
			continue
		}
		if next < text {
			return nil
		}
		out = append(out, file{dir + next, name})
	}
	slices.SortFunc(out, func(a, b file) int { return strings.Compare(a.path, b.path) }) // without .ready
	return out[:min(len(out), most)]
}

// fingerprint names a file as it is, and where it was stored: a repository by its key, too, for one that was made anew at
// the same address has nothing of what the old one had.
func (a *Archiver) fingerprint(ctx context.Context, path string) (string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return "", errors.New("no inode")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d %d %d\n", fi.Size(), fi.ModTime().UnixNano(), st.Ino)
	for _, to := range a.Archives {
		r, err := to.Find(ctx)
		if err != nil {
			return "", err
		}
		b.WriteString(to.URL() + " " + r.String() + "\n")
	}
	return b.String(), nil
}

func (a *Archiver) markPath(system cofre.SystemID, path string) string {
	return filepath.Join(a.Spool, "archived", system.String(), filepath.Base(path))
}

// mark remembers that a file is durable in every store, and as which object. It is not synced: a lost mark costs a
// comparison.
func (l *line) mark(ctx context.Context, f *outgoing) error {
	text, err := l.fingerprint(ctx, f.path)
	if err != nil {
		return err
	}
	for n, d := range f.digests {
		text += fmt.Sprintf("%s %d\n", d, f.sizes[n])
	}
	mark := l.markPath(l.system, f.path)
	return inside.WriteCache(mark, []byte(text))
}

// takeMark reports whether the very file at path was archived ahead and is still in every store, and takes the mark away. A file
// that a torn mark, or one of another file, belongs to is archived as any other, and so is one that a store has lost since:
// once this call succeeds, the server gives it up.
func (a *Archiver) takeMark(ctx context.Context, system cofre.SystemID, path string) bool {
	if a.Spool == "" {
		return false
	}
	mark := a.markPath(system, path)
	b, err := inside.ReadFile(mark)
	if err != nil {
		return false
	}
	want, err := a.fingerprint(ctx, path)
	_ = os.Remove(mark)
	rest, ok := strings.CutPrefix(string(b), want)
	objects := strings.Split(rest, "\n")
	if err != nil || !ok || len(objects) != len(a.Archives)+1 {
		return false
	}
	name, err := pgdata.ParseWALName(filepath.Base(path))
	if err != nil {
		return false
	}
	_, errs := inEach(a.Archives, func(n int, to Archive) (bool, error) {
		var d sealed.Digest
		text, size, _ := strings.Cut(objects[n], " ")
		bytes, err := strconv.ParseInt(size, 10, 64)
		if err := errors.Join(err, d.Decode(text)); err != nil {
			return false, err
		}
		err = stillHas(ctx, to.Store, ObjectName(system, name), d, bytes)
		if errors.Is(err, cofre.ErrDenied) {
			err = nil // a key that may only put: what was stored was stored
		}
		return false, err
	})
	return errors.Join(errs...) == nil
}
