package logical

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/rowhash"
)

// LostRows is what the repository has lost of the rows of a table, and what can still be read of them.
type LostRows struct {
	Path     string     // in the component
	Captured TableFacts // of all rows
	Readable TableFacts // of those that are whole
	Gaps     []Gap

	key *rowhash.Key
}

// Gap is a stretch of a table's rows that cannot be read, with the rows that it cuts.
type Gap struct {
	At    int64 // offset in the rows' text; bytes
	Bytes int64
	After int64 // how many readable rows come before it
}

// Lost is how many rows are lost.
func (l *LostRows) Lost() int64 { return l.Captured.Rows - l.Readable.Rows }

// gapsNamed is how many of the gaps of one table are named.
const gapsNamed = 3

// Message says what is lost and where: "129 of 4000 rows: 131072 bytes at 262144 of their text, after row 870".
func (l *LostRows) Message() cofre.Message {
	captured := int(l.Captured.Rows)
	if l.Readable.Rows == 0 {
		return cofre.SayN("database.gaps_all", captured, "the only row", "all {{.n}} rows")
	}
	var where []cofre.Message
	for _, g := range l.Gaps[:min(gapsNamed, len(l.Gaps))] {
		where = append(where, cofre.Say("database.gap", "{{.bytes}} bytes at {{.at}} of their text, after row {{.row}}", "bytes", g.Bytes, "at", g.At, "row", g.After))
	}
	if more := len(l.Gaps) - len(where); more > 0 {
		where = append(where, cofre.SayN("database.gaps_more", more, "1 more gap", "{{.n}} more gaps"))
	}
	return cofre.SayN("database.gaps", captured, "{{.lost}} of 1 row: {{.where}}", "{{.lost}} of {{.n}} rows: {{.where}}", "lost", l.Lost(), "where", cofre.Series(where...))
}

// IsLost tells what the repository has lost from what cannot be reached, and from what a server says.
func IsLost(err error) bool {
	return !IsServerError(err) && (errors.Is(err, cofre.ErrCorrupt) || errors.Is(err, cofre.ErrNotFound))
}

// Readable is a component as it can be read: of each path of lost, the rows that are whole follow one another as if no others had
// been captured, a large object is empty, a list of large objects names none, what the catalogs said and the globals are absent. The facts of tree and of c are of these rows. A path whose
// bytes are all there after all is not among what is returned.
//
// Only rows are given of which each byte is as it was captured: what a gap cuts is lost with it, and so is the first row behind a gap,
// whose beginning nobody can vouch for. The rows are read twice, and kept in no memory.
//
// Errors: of the repository if it cannot be reached.
func Readable(ctx context.Context, tree cofre.Tree, c *Component, lost []string) (cofre.Tree, []LostRows, error) {
	r := &readableTree{Tree: tree, files: map[string]*readableFile{}, gone: map[string]bool{}}
	var all []LostRows
	byPath := map[string]*TableFacts{}
	for i := range c.Facts.Tables {
		byPath[ArchiveDir+"/"+c.Facts.Tables[i].File] = &c.Facts.Tables[i]
	}
	for _, path := range lost {
		f := byPath[path]
		if f == nil {
			switch {
			case strings.HasPrefix(path, ArchiveDir+"/blob"):
				r.files[path] = &readableFile{}
			case path == FingerprintFile, path == GlobalsFile:
				r.gone[path] = true // as if none had been captured
			}
			continue
		}
		l := LostRows{Path: path, Captured: *f, key: c.Key}
		found, err := scan(ctx, tree, path, &l)
		if err != nil {
			return nil, nil, fmt.Errorf("look for rows of %s that can be read: %w", path, err)
		}
		if len(l.Gaps) == 0 {
			if l.Readable.Rows == f.Rows && (f.RowSum.IsZero() || f.RowSum == l.Readable.RowSum) {
				continue
			}
			// Every byte is as it was stored, and these are other rows: none of them can be told from the right ones.
			found = l.nothing()
		}
		*f = l.Readable
		r.files[path] = found
		all = append(all, l)
	}
	if len(all) > 0 {
		c.Facts.Summary.Rows = 0
		for _, t := range c.Facts.Tables {
			c.Facts.Summary.Rows += t.Rows
		}
		raw, err := json.Marshal(&c.Facts)
		if err != nil {
			return nil, nil, err
		}
		r.files[FactsFile] = &readableFile{tail: raw}
	}
	return r, all, nil
}

// WithoutFacts is a component whose facts are lost, as if none had been recorded: its rows come out, and nothing says how many they
// were. A component whose facts can be read is as it is.
//
// Errors: of the repository if it cannot be reached.
func WithoutFacts(ctx context.Context, tree cofre.Tree) (cofre.Tree, error) {
	_, err := ReadFacts(ctx, tree)
	if !IsLost(err) {
		return tree, err
	}
	raw, err := json.Marshal(&Facts{})
	if err != nil {
		return nil, err
	}
	return &readableTree{Tree: tree, files: map[string]*readableFile{FactsFile: {tail: raw}}, gone: map[string]bool{}, unrecorded: true}, nil
}

// unrecorded reports whether the facts of a component are lost.
func unrecorded(tree cofre.Tree) bool {
	r, ok := tree.(*readableTree)
	return ok && (r.unrecorded || unrecorded(r.Tree))
}

// scan finds the rows of a file that are whole.
func scan(ctx context.Context, tree cofre.Tree, path string, l *LostRows) (_ *readableFile, err error) {
	found := l.nothing()
	e, err := tree.Stat(ctx, path)
	var src io.ReadSeekCloser
	if err == nil {
		src, err = tree.Open(ctx, path)
	}
	if IsLost(err) {
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	l.Gaps = nil
	defer func() { err = errors.Join(err, src.Close()) }()
	s := scanner{src: src, size: e.Size - int64(len(EndMarker)), lost: l, found: found, tally: Tally{Key: l.key}, rest: Tally{Key: l.key}}
	if err := s.run(ctx); err != nil {
		return nil, err
	}
	l.Readable.Rows, l.Readable.Bytes, l.Readable.RowSum = s.tally.Rows, s.tally.Bytes, s.tally.Sum()
	return found, nil
}

// nothing is what can be read of rows that are all lost.
func (l *LostRows) nothing() *readableFile {
	l.Readable = l.Captured
	l.Readable.Rows, l.Readable.Bytes, l.Readable.RowSum = 0, 0, (&Tally{Key: l.key}).Sum()
	l.Gaps = []Gap{{Bytes: l.Captured.Bytes}}
	return &readableFile{path: l.Path, tail: []byte(EndMarker)}
}

// scanner goes through the rows of a file, and notes the stretches that hold whole rows alone.
type scanner struct {
	src   io.ReadSeekCloser
	size  int64 // without the end marker
	lost  *LostRows
	found *readableFile
	tally Tally // of whole rows

	pos, from int64 // from is where the stretch begins; -1 if no row has begun since the last gap
	row       int64 // where the row begins that has not ended
	rest      Tally // of whole rows of this stretch, and of one that has not ended
}

func (s *scanner) run(ctx context.Context) error {
	buf := make([]byte, 256<<10)
	for s.pos < s.size {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		n, err := s.src.Read(buf[:min(int64(len(buf)), s.size-s.pos)])
		s.take(buf[:n])
		switch {
		case err == nil:
		case IsLost(err):
			if err := s.skip(); err != nil {
				return err
			}
		case errors.Is(err, io.EOF):
			if s.pos < s.size {
				s.gap(s.size - s.pos)
			}
		default:
			return err
		}
	}
	s.end()
	return nil
}

// take goes through what was read.
func (s *scanner) take(p []byte) {
	if s.from < 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			s.pos += int64(len(p))
			return
		}
		s.pos += int64(i) + 1
		s.from, s.row, p = s.pos, s.pos, p[i+1:]
	}
	if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
		s.row = s.pos + int64(i) + 1
		_, _ = s.rest.Write(p[:i+1])
		p, s.pos = p[i+1:], s.row
	}
	_, _ = s.rest.Write(p)
	s.pos += int64(len(p))
}

// end closes the stretch at the end of its last whole row.
func (s *scanner) end() {
	if s.from >= 0 && s.row > s.from {
		s.found.parts = append(s.found.parts, stretch{from: s.from, bytes: s.row - s.from})
		s.rest.Bytes = s.row - s.from
		s.tally.Merge(&s.rest)
	}
	s.rest = Tally{Key: s.lost.key}
	s.from = -1
}

// skip passes over the piece that cannot be read, or over all that is left if nobody knows where the piece ends.
func (s *scanner) skip() error {
	n := s.size - s.pos
	if p, ok := s.src.(cofre.Skipper); ok {
		n = min(n, p.Skip())
	}
	if n <= 0 {
		n = s.size - s.pos
	}
	s.gap(n)
	_, err := s.src.Seek(s.pos, io.SeekStart)
	return err
}

func (s *scanner) gap(n int64) {
	s.end()
	if last := len(s.lost.Gaps) - 1; last >= 0 && s.lost.Gaps[last].At+s.lost.Gaps[last].Bytes == s.pos {
		s.lost.Gaps[last].Bytes += n
	} else {
		s.lost.Gaps = append(s.lost.Gaps, Gap{At: s.pos, Bytes: n, After: s.tally.Rows})
	}
	s.pos += n
}

// readableTree gives some files of a tree in another form.
type readableTree struct {
	cofre.Tree
	files map[string]*readableFile
	gone  map[string]bool

	unrecorded bool // the facts are lost
}

// Stat has the size of what Open gives.
func (t *readableTree) Stat(ctx context.Context, path string) (cofre.Entry, error) {
	if t.gone[path] {
		return cofre.Entry{}, fmt.Errorf("%s: %w", path, cofre.ErrNotFound)
	}
	e, err := t.Tree.Stat(ctx, path)
	f := t.files[path]
	if f == nil {
		return e, err
	}
	if IsLost(err) {
		e, err = cofre.Entry{Path: path}, nil
	}
	e.Size = f.size()
	return e, err
}

// Open gives what can be read.
func (t *readableTree) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	if t.gone[path] {
		return nil, fmt.Errorf("open %s: %w", path, cofre.ErrNotFound)
	}
	f := t.files[path]
	if f == nil {
		return t.Tree.Open(ctx, path)
	}
	r := &readableReader{file: f, at: -1}
	if len(f.parts) > 0 {
		src, err := t.Tree.Open(ctx, path)
		if err != nil {
			return nil, err
		}
		r.src = src
	}
	return r, nil
}

// readableFile is stretches of a file, and what comes behind them.
type readableFile struct {
	path  string
	parts []stretch
	tail  []byte
}

type stretch struct{ from, bytes int64 }

func (f *readableFile) size() int64 {
	n := int64(len(f.tail))
	for _, p := range f.parts {
		n += p.bytes
	}
	return n
}

// readableReader reads the stretches of a file as one.
type readableReader struct {
	file *readableFile
	src  io.ReadSeekCloser // nil if there are no stretches
	pos  int64
	at   int64 // where src stands, -1 if that is not known
}

// Read reads from the stretch in which the position is.
func (r *readableReader) Read(p []byte) (int, error) {
	begin := int64(0)
	for _, part := range r.file.parts {
		if r.pos < begin+part.bytes {
			return r.readPart(p, part, r.pos-begin)
		}
		begin += part.bytes
	}
	if r.pos-begin >= int64(len(r.file.tail)) {
		return 0, io.EOF
	}
	n := copy(p, r.file.tail[r.pos-begin:])
	r.pos += int64(n)
	return n, nil
}

func (r *readableReader) readPart(p []byte, part stretch, off int64) (int, error) {
	if want := part.from + off; r.at != want {
		if _, err := r.src.Seek(want, io.SeekStart); err != nil {
			return 0, err
		}
		r.at = want
	}
	n, err := r.src.Read(p[:min(int64(len(p)), part.bytes-off)])
	r.pos, r.at = r.pos+int64(n), r.at+int64(n)
	if errors.Is(err, io.EOF) {
		if err = nil; n == 0 {
			err = fmt.Errorf("%s ends early: %w", r.file.path, cofre.ErrCorrupt)
		}
	}
	return n, err
}

// Seek moves the position. It reads nothing.
func (r *readableReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.file.size()
	}
	if offset < 0 {
		return r.pos, fmt.Errorf("seek in %s to %d: %w", r.file.path, offset, fs.ErrInvalid)
	}
	r.pos = offset
	return offset, nil
}

func (r *readableReader) Close() error {
	if r.src == nil {
		return nil
	}
	return r.src.Close()
}

// List has the sizes of what Open gives, as Stat does.
func (t *readableTree) List(ctx context.Context, dir string) iter.Seq2[cofre.Entry, error] {
	return func(yield func(cofre.Entry, error) bool) {
		for e, err := range t.Tree.List(ctx, dir) {
			if f := t.files[e.Path]; f != nil && err == nil {
				e.Size = f.size()
			}
			if !yield(e, err) {
				return
			}
		}
	}
}
