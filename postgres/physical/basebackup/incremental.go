package basebackup

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"path"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/internal/guard"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
)

// since is the previous component, which the server compares its cluster with: from 17 on, with summarize_wal, it
// knows which blocks WAL has changed and sends those alone. What it does not send is in the previous component, so
// that the new one is whole all the same, and restores without it.
type since struct {
	manifest []byte
	tree     cofre.Tree
	facts    map[string]physical.FileFacts
	previous *previous // finds entries
}

// since opens the previous component, if the server may be able to say what has changed since.
func (k *capture) since(ctx context.Context) (*since, error) {
	c := k.given
	if k.facts.Major < 17 || k.server.Settings["summarize_wal"] != "on" || c.Previous == nil || c.PreviousTree == nil || k.cfg.ReadEverything {
		return nil, nil
	}
	facts, err := physical.ReadFacts(ctx, c.PreviousTree)
	var manifest []byte
	if err == nil {
		manifest, err = physical.ReadAll(ctx, c.PreviousTree, path.Join(physical.DataDir, pgdata.BackupManifestFile))
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		k.note(cofre.Say("cluster.sends_all", "the server sends everything, because the previous component cannot be read: {{.error}}", "error", err))
		return nil, nil
	}
	if facts.BadPageCount > 0 || k.facts.SystemID != 0 && facts.SystemID != k.facts.SystemID {
		return nil, nil
	}
	s := &since{manifest: manifest, tree: c.PreviousTree, facts: map[string]physical.FileFacts{}}
	for _, f := range facts.Files {
		s.facts[f.Path] = f
	}
	s.previous = &previous{tree: c.PreviousTree, files: s.facts, dirs: map[string]map[string]cofre.Entry{}}
	return s, nil
}

// incrementalMagic begins an incremental file. maxBlocks is how many blocks a file of a relation has at most; more
// is no file of PostgreSQL's.
//
// Source: PostgreSQL 17, src/include/backup/basebackup_incremental.h, INCREMENTAL_MAGIC.
const (
	incrementalMagic = 0xd3ae1f0d
	maxBlocks        = 1 << 20
)

// incrementalOf returns the path of the file that an incremental one is of.
func incrementalOf(in string) (string, bool) {
	name, ok := strings.CutPrefix(path.Base(in), "INCREMENTAL.")
	return path.Join(path.Dir(in), name), ok
}

// incremental makes a whole file of the blocks that the server sends and those of the previous component.
//
// Source: PostgreSQL 17, src/backend/backup/basebackup.c, sendFile: the header, as many block numbers, zeros up to a
// whole block if there are any, the blocks. src/bin/pg_combinebackup/reconstruct.c says what the rest is.
func (s *stream) incremental(ctx context.Context, g *guard.Group, e cofre.Entry, name string, in io.Reader) error {
	came, as := &crcReader{r: in}, physical.ServerPath(e.Path)
	record := func() { s.sent[as] = sent{came.n, came.crc} }
	bad := func(what string) error {
		return fmt.Errorf("receive %s: %s: %w", as, what, cofre.ErrCorrupt)
	}
	was, ok := s.since.facts[name]
	if !ok {
		return bad("the previous component does not hold the file that it is incremental to")
	}
	header := make([]byte, 12)
	if _, err := io.ReadFull(came, header); err != nil {
		return err
	}
	count, length := int64(binary.LittleEndian.Uint32(header[4:])), int64(binary.LittleEndian.Uint32(header[8:]))
	if binary.LittleEndian.Uint32(header) != incrementalMagic || count > maxBlocks || length > maxBlocks {
		return bad("its header is not that of an incremental file")
	}
	numbers := make([]byte, 4*count)
	if _, err := io.ReadFull(came, numbers); err != nil {
		return err
	}
	if at := came.n % pgdata.PageSize; count > 0 && at != 0 {
		if _, err := io.CopyN(io.Discard, came, pgdata.PageSize-at); err != nil {
			return err
		}
	}
	changed := make([]int64, count)
	for i := range changed {
		changed[i] = int64(binary.LittleEndian.Uint32(numbers[4*i:]))
		if i > 0 && changed[i] <= changed[i-1] || changed[i] >= maxBlocks {
			return bad("its blocks are not in order")
		}
		length = max(length, changed[i]+1)
	}
	e.Path, e.Size = name, length*pgdata.PageSize
	if count == 0 && e.Size == was.Size {
		record()
		return s.reuse(ctx, e, was)
	}
	old, err := s.since.tree.Open(ctx, name)
	if err != nil {
		return err
	}
	defer old.Close()
	if _, err := s.file(ctx, g, e, &merged{changed: changed, new: came, old: old, oldSize: was.Size}); err != nil {
		return err
	}
	record()
	return nil
}

// reuse takes a file over in which nothing has changed.
func (s *stream) reuse(ctx context.Context, e cofre.Entry, was physical.FileFacts) error {
	dir, err := s.since.previous.dir(ctx, path.Dir(e.Path))
	if err != nil {
		return err
	}
	old, ok := dir[e.Path]
	if !ok || old.Size != was.Size {
		return fmt.Errorf("%s of the previous component is not what its facts say: %w", e.Path, cofre.ErrCorrupt)
	}
	e.Object = old.Object
	if err := s.k.given.Session.Reuse(ctx, e); err != nil {
		return err
	}
	was.ModifiedNS, was.Inode = e.ModTime.UnixNano(), 0
	s.files = append(s.files, was)
	s.k.facts.ReusedCount++
	return nil
}

// fullLabel stores backup_label without the lines that say that the backup is incremental: the component is not.
//
// Source: PostgreSQL 17, src/bin/pg_combinebackup/backup_label.c, write_backup_label.
func (s *stream) fullLabel(ctx context.Context, g *guard.Group, e cofre.Entry, in io.Reader) error {
	b, err := bounded.All(in, 1<<20) // PostgreSQL itself reads one page of it
	if err != nil {
		return err
	}
	s.sent[physical.ServerPath(e.Path)] = sent{int64(len(b)), crc32.Checksum(b, castagnoli)}
	var full []byte
	for line := range bytes.Lines(b) {
		if !bytes.HasPrefix(line, []byte("INCREMENTAL FROM ")) {
			full = append(full, line...)
		}
	}
	e.Size = int64(len(full))
	_, err = s.file(ctx, g, e, bytes.NewReader(full))
	return err
}

// crcReader counts and sums up what passes.
type crcReader struct {
	r   io.Reader
	n   int64
	crc uint32
}

func (c *crcReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.crc = crc32.Update(c.crc, castagnoli, p[:n])
	return n, err
}

// merged reads a file block by block: those that changed from one reader, the others from the file as it was, and
// zeros beyond its old end. Its end is the reader's business.
type merged struct {
	changed []int64 // ascending
	new     io.Reader
	old     io.ReadSeeker
	oldSize int64

	at    int64 // block
	oldAt int64 // offset
	rest  []byte
	buf   [pgdata.PageSize]byte
}

// Read yields at most one block.
func (m *merged) Read(p []byte) (int, error) {
	if len(m.rest) == 0 {
		if err := m.block(); err != nil {
			return 0, err
		}
		m.rest = m.buf[:]
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

func (m *merged) block() error {
	at := m.at * pgdata.PageSize
	switch {
	case len(m.changed) > 0 && m.changed[0] == m.at:
		m.changed = m.changed[1:]
		if _, err := io.ReadFull(m.new, m.buf[:]); err != nil {
			return err
		}
	case at+pgdata.PageSize <= m.oldSize:
		if m.oldAt != at {
			if _, err := m.old.Seek(at, io.SeekStart); err != nil {
				return err
			}
		}
		if _, err := io.ReadFull(m.old, m.buf[:]); err != nil {
			return errors.Join(err, cofre.ErrCorrupt)
		}
		m.oldAt = at + pgdata.PageSize
	default:
		clear(m.buf[:])
	}
	m.at++
	return nil
}
