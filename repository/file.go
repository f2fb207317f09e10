package repository

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"sync"

	"github.com/kopia/kopia/repo/blob"
	"github.com/kopia/kopia/repo/object"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/repository/trouble"
)

// How far a file is read ahead: enough to keep both the store and the decompressor at work, and little enough
// that several files at once stay small. Nothing is read ahead before the second piece is asked for in order.
const (
	readAheadBytes  = 6 << 20
	readAheadPieces = 16
)

// file reads one object: piece by piece, each authenticated before any of its bytes is given out.
type file struct {
	repo   *Repository
	path   string
	pieces []object.IndirectObjectEntry
	size   int64

	ctx    context.Context // of Open, cancelled by Close: Read has none of its own
	cancel context.CancelFunc
	ahead  sync.WaitGroup

	mu      sync.Mutex
	pos     int64
	current int // the piece in data, -1 for none
	data    []byte
	coming  map[int]chan piece // being read ahead
}

type piece struct {
	data []byte
	err  error
}

func (r *Repository) openFile(ctx context.Context, path, id string) (*file, error) {
	oid, err := object.ParseID(id)
	if err != nil {
		return nil, trouble.Of("read its object id", err)
	}
	f := &file{repo: r, path: path, current: -1, coming: map[int]chan piece{}}
	if inner, ok := oid.IndexObjectID(); ok {
		err := r.mended(ctx, func() (err error) {
			f.pieces, err = object.LoadIndexObject(ctx, r.kopia.ContentManager(), inner)
			return err
		})
		if err != nil {
			r.notice(ctx, inner, err)
			return nil, trouble.Of("read the list of its contents", err)
		}
	} else {
		cid, _, _ := oid.ContentID()
		info, err := r.kopia.ContentInfo(ctx, cid)
		if err != nil {
			return nil, trouble.Of("find its content", err)
		}
		f.pieces = []object.IndirectObjectEntry{{Length: int64(info.OriginalLength), Object: oid}}
	}
	f.size = lengthOf(f.pieces)
	f.ctx, f.cancel = context.WithCancel(ctx)
	return f, nil
}

// readPiece reads, decrypts and decompresses one piece.
func (f *file) readPiece(i int) piece {
	p := f.pieces[i]
	ctx, done := f.repo.computing.Begin(f.ctx)
	defer done()
	data, err := f.repo.readObject(ctx, p.Object, p.Length)
	if err != nil {
		return piece{err: err}
	}
	if int64(len(data)) != p.Length {
		return piece{err: fmt.Errorf("a content has %d bytes, %d were written: %w", len(data), p.Length, cofre.ErrCorrupt)}
	}
	return piece{data: data}
}

// readObject reads an object that fits in memory, a content as a rule, and of which length bytes were written.
func (r *Repository) readObject(ctx context.Context, id object.ID, length int64) ([]byte, error) {
	if cid, packed, ok := id.ContentID(); ok && !packed {
		b, err := r.kopia.ContentManager().GetContent(ctx, cid)
		if errors.Is(err, blob.ErrBlobNotFound) && r.refresh(ctx) == nil {
			b, err = r.kopia.ContentManager().GetContent(ctx, cid) // it was moved since the indexes were read
		}
		r.notice(ctx, id, err)
		return b, err
	}
	in, err := r.kopia.OpenObject(ctx, id)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return bounded.All(in, length)
}

// load makes piece i the current one.
func (f *file) load(i int) error {
	inOrder := i == f.current+1 && f.current >= 0
	if !inOrder {
		// Whoever jumps will not come back for these; they end by themselves.
		clear(f.coming)
	}
	var got piece
	if c, ok := f.coming[i]; ok {
		delete(f.coming, i)
		if inOrder {
			f.startAhead(i)
		}
		got = <-c
	} else {
		if inOrder {
			f.startAhead(i)
		}
		got = f.readPiece(i)
	}
	if got.err != nil {
		return trouble.Of(fmt.Sprintf("read %q", f.path), got.err)
	}
	f.current, f.data = i, got.data
	return nil
}

// startAhead begins to read what follows piece i.
func (f *file) startAhead(i int) {
	var bytes int64
	for next := i + 1; next < len(f.pieces) && next <= i+readAheadPieces; next++ {
		if bytes += f.pieces[next].Length; bytes > readAheadBytes && next > i+1 {
			return
		}
		if f.coming[next] != nil {
			continue
		}
		c := make(chan piece, 1)
		f.coming[next] = c
		f.ahead.Go(func() { c <- f.readPiece(next) })
	}
}

// Read reads from the current position.
func (f *file) Read(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %q: %w", f.path, err)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if f.pos >= f.size {
		return 0, io.EOF
	}
	if !f.holds(f.pos) {
		i := f.pieceAt(f.pos)
		if i == len(f.pieces) || f.pieces[i].Start > f.pos {
			return 0, fmt.Errorf("read %q: no content at %d: %w", f.path, f.pos, cofre.ErrCorrupt)
		}
		if err := f.load(i); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.data[f.pos-f.pieces[f.current].Start:])
	f.pos += int64(n)
	return n, nil
}

func (f *file) holds(pos int64) bool {
	return f.current >= 0 && pos >= f.pieces[f.current].Start && pos < f.pieces[f.current].Start+f.pieces[f.current].Length
}

// pieceAt is the piece that holds a position; len(f.pieces) for none.
func (f *file) pieceAt(pos int64) int {
	return sort.Search(len(f.pieces), func(i int) bool { return f.pieces[i].Start+f.pieces[i].Length > pos })
}

// Skip moves to the end of the piece at the current position.
func (f *file) Skip() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.pieceAt(f.pos)
	if i == len(f.pieces) {
		return 0
	}
	n := f.pieces[i].Start + f.pieces[i].Length - f.pos
	f.pos += n
	return n
}

// Seek moves the position. It reads nothing.
func (f *file) Seek(offset int64, whence int) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += f.pos
	case io.SeekEnd:
		offset += f.size
	}
	if offset < 0 {
		return f.pos, fmt.Errorf("seek in %q to %d: %w", f.path, offset, fs.ErrInvalid)
	}
	f.pos = offset
	return offset, nil
}

// Close ends what is read ahead.
func (f *file) Close() error {
	f.cancel()
	f.ahead.Wait()
	return nil
}
