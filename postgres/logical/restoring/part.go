package restoring

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"

	"github.com/trustlayer/cofre/postgres/logical"
)

// smallestPart is the least that is worth a part of its own when a table is loaded in parts. Bytes.
const smallestPart = 32 << 20

// loadPart is a stretch of a table's rows: all lines that begin at an offset in [from, to).
type loadPart struct {
	table    *logical.TableLoad
	from, to int64
	whole    bool
	shared   *partTally
}

// partTally adds up what the parts of one table saw; the last of them compares it with what was recorded.
type partTally struct {
	mu    sync.Mutex
	left  int
	tally logical.Tally
}

// split cuts the tables that alone would keep one worker longer than all others together need: each worker then
// loads a stretch of it. Such a table is not loaded frozen, for which one transaction would have to load it all.
// Half a share more than its own is left in one piece: two sessions that extend one table wait for each other, and
// two tables of 260 MB took 5.5 s with one of them split and 4.2 s without (docs/benchmarks.md).
func split(loads []logical.TableLoad, jobs int) []loadPart {
	var total int64
	for i := range loads {
		total += loads[i].Bytes()
	}
	share := total / int64(max(jobs, 1))
	var parts []loadPart
	for i := range loads {
		l := &loads[i]
		size := l.Bytes()
		n := int(size / max(smallestPart, share/4))
		if jobs < 2 || l.Whole || size <= share+share/2 || n < 2 {
			parts = append(parts, loadPart{table: l, to: size, whole: true})
			continue
		}
		l.Parted = true
		shared := &partTally{left: n, tally: logical.Tally{Key: l.Key}}
		for k := range n {
			parts = append(parts, loadPart{table: l, from: size * int64(k) / int64(n), to: size * int64(k+1) / int64(n), shared: shared})
		}
	}
	return parts
}

func (p loadPart) run(ctx context.Context, conn *pgx.Conn, tree cofre.Tree, progress *logical.Progress) error {
	load := p.copy
	if p.whole {
		load = p.table.Copy
	}
	if err := load(ctx, conn, tree, progress); err != nil {
		return fmt.Errorf("load table %s: %w", p.table.Table, err)
	}
	return nil
}

func (p loadPart) copy(ctx context.Context, conn *pgx.Conn, tree cofre.Tree, progress *logical.Progress) (err error) {
	body, err := logical.OpenRows(ctx, tree, p.table.Path, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if body.Size != p.table.Facts.Bytes {
		return fmt.Errorf("%d bytes of rows in the repository, %d were captured: %w", body.Size, p.table.Facts.Bytes, cofre.ErrCorrupt)
	}
	r := &partReader{br: bufio.NewReaderSize(body.Source, 256<<10), to: p.to, size: body.Size, tally: logical.Tally{Key: p.table.Key}}
	if err := r.begin(body.Source, p.from); err != nil {
		return err
	}
	tag, err := conn.PgConn().CopyFrom(ctx, progress.Reader(r, p.table.Table), p.table.CopyStatement())
	if err != nil {
		if r.err != nil {
			return r.err
		}
		return err
	}
	if p.to == body.Size {
		if err := logical.EndsWell(r.br); err != nil {
			return err
		}
	}
	if tag.RowsAffected() != r.tally.Rows {
		return fmt.Errorf("%d rows were sent and the server took %d: %w", r.tally.Rows, tag.RowsAffected(), cofre.ErrUnproven)
	}
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	p.shared.tally.Merge(&r.tally)
	if p.shared.left--; p.shared.left > 0 {
		return nil
	}
	return p.table.Verify(&p.shared.tally, p.shared.tally.Rows)
}

// partReader reads the lines that begin within a stretch.
type partReader struct {
	br            *bufio.Reader
	pos, to, size int64
	inLine        bool
	tally         logical.Tally
	err           error
}

// begin goes to the first line that begins at from or later.
func (r *partReader) begin(src io.ReadSeeker, from int64) error {
	if from == 0 {
		return nil
	}
	// The byte before decides whether from is the beginning of a line.
	if _, err := src.Seek(from-1, io.SeekStart); err != nil {
		return err
	}
	r.pos = from - 1
	for {
		skipped, err := r.br.ReadSlice('\n')
		r.pos += int64(len(skipped))
		if err == nil || errors.Is(err, io.EOF) {
			return nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

func (r *partReader) Read(p []byte) (int, error) {
	if r.pos >= r.size || r.pos >= r.to && !r.inLine {
		if r.inLine {
			return 0, r.fail(fmt.Errorf("the last row does not end: %w", cofre.ErrCorrupt))
		}
		return 0, io.EOF
	}
	if left := r.to - r.pos; left > 0 && int64(len(p)) > left {
		p = p[:left]
	}
	var n int
	var err error
	if r.pos < r.to {
		n, err = r.br.Read(p)
	} else {
		n, err = r.restOfLine(p)
	}
	if n > 0 {
		r.pos += int64(n)
		r.inLine = p[n-1] != '\n'
		_, _ = r.tally.Write(p[:n])
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("the rows end %d bytes early: %w", r.size-r.pos, cofre.ErrCorrupt)
	}
	return n, r.fail(err)
}

func (r *partReader) restOfLine(p []byte) (int, error) {
	if _, err := r.br.Peek(1); err != nil {
		return 0, err
	}
	b, err := r.br.Peek(min(len(p), r.br.Buffered()))
	if err != nil {
		return 0, err
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i+1]
	}
	n := copy(p, b)
	_, err = r.br.Discard(n)
	return n, err
}

func (r *partReader) fail(err error) error {
	if err != nil && r.err == nil {
		r.err = err
	}
	return err
}
