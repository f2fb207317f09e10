package dump

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// pageSize is how many bytes of a large object a row of pg_largeobject stands for.
//
// Source: PostgreSQL, src/include/storage/large_object.h, LOBLKSIZE: a quarter of the block size.
const pageSize = 2048

// objectsPerTask is how many large objects are read with one statement.
const objectsPerTask = 1000

// largeObjects makes the tasks for one BLOBS entry and stores its list. To 1.15 there is one entry for all large
// objects; from 1.16 each belongs to a BLOB METADATA entry, whose definition lists the oids, a line each.
func (d *dump) largeObjects(ctx context.Context, e *pgarchive.Entry) ([]task, error) {
	var oids []uint32
	grouped := false
	for _, id := range e.Depends {
		meta, ok := d.toc.Entry(id)
		if !ok || meta.Desc != "BLOB METADATA" {
			continue
		}
		grouped = true
		for _, line := range strings.Fields(meta.Defn) {
			oid, err := strconv.ParseUint(line, 10, 32)
			if err != nil {
				return nil, fmt.Errorf("read the table of contents: large object %q: %w", line, err)
			}
			oids = append(oids, uint32(oid))
		}
	}
	if !grouped {
		var err error
		oids, err = logical.Collect(ctx, d.conn, "the large objects", `SELECT oid FROM pg_catalog.pg_largeobject_metadata ORDER BY oid`, pgx.RowTo[uint32])
		if err != nil {
			return nil, err
		}
	}
	var list bytes.Buffer
	for _, oid := range oids {
		fmt.Fprintf(&list, "%d blob_%d.dat\n", oid, oid)
	}
	if _, err := d.c.Session.Put(ctx, d.factsEntry(logical.ArchiveDir+"/"+d.toc.FileName(e), int64(list.Len())), &list); err != nil {
		return nil, fmt.Errorf("store the list of large objects: %w", err)
	}
	var pages bool
	if err := d.conn.QueryRow(ctx, "SELECT "+readsPages).Scan(&pages); err != nil {
		return nil, fmt.Errorf("read the right on large objects: %w", err)
	}
	var tasks []task
	for at := 0; at < len(oids); at += objectsPerTask {
		tasks = append(tasks, &objects{oids[at:min(at+objectsPerTask, len(oids))], pages})
	}
	return tasks, nil
}

// readsPages asks whether the role may read the catalog in which the pages of all large objects are.
const readsPages = "pg_catalog.has_table_privilege('pg_catalog.pg_largeobject', 'SELECT')"

// objects is the task of copying some large objects, in ascending order of oid.
type objects struct {
	oids  []uint32
	pages bool // the role may read the catalog of pages
}

// size is a guess: sizes of large objects are not recorded anywhere.
func (o *objects) size() int64 { return int64(len(o.oids)) * 64 << 10 }

func (o *objects) lock() string { return "" }

// run reads the pages from the catalog table itself, many objects with one statement: lo_open asks for a right
// on every single object, which the predefined role pg_read_all_data does not bring. A role without the right on the
// catalog, as the owner of a database on a server of which nobody is a superuser, reads each as pg_dump does.
func (o *objects) run(ctx context.Context, d *dump, s *session, prefix string, p *logical.Progress) (err error) {
	var ids strings.Builder
	for i, oid := range o.oids {
		if i > 0 {
			ids.WriteByte(',')
		}
		ids.WriteString(strconv.FormatUint(uint64(oid), 10))
	}
	sql := "SELECT loid, pageno, data FROM pg_catalog.pg_largeobject WHERE loid = ANY ('{" + ids.String() + "}') ORDER BY loid, pageno"
	if !o.pages {
		// INV_READ, to the end; zeros stand for what is missing of an object. A join could take the length of another object for
		// that of this one (Memoize): the descriptor's number is the same.
		sql = fmt.Sprintf(`SELECT p.oid, p.page::int4, pg_catalog.lo_get(p.oid, p.page * %[1]d, %[1]d) FROM (
SELECT f.oid, pg_catalog.generate_series(0, (pg_catalog.lo_lseek64(f.fd, 0, 2) + pg_catalog.lo_close(f.fd) - 1) / %[1]d) AS page FROM (
SELECT o.oid, pg_catalog.lo_open(o.oid, 262144) AS fd FROM pg_catalog.unnest('{%[2]s}'::oid[]) o(oid) OFFSET 0) f OFFSET 0) p`, pageSize, ids.String())
	}
	c := s.copyOut(ctx, prefix+"COPY ("+sql+") TO STDOUT (FORMAT binary)")
	defer c.stop()
	pages := &pageReader{r: c, p: p, full: !o.pages}
	defer func() {
		if err != nil {
			err = fmt.Errorf("copy large objects: %w", explainCopy(c.settle(err)))
		}
	}()
	sum := logical.Tally{Key: d.key}
	var total int64
	for _, oid := range o.oids {
		r := &objectReader{pages: pages, oid: oid, hash: logical.NewObjectHash(d.key)}
		if _, err := d.c.Session.Put(ctx, d.entry(fmt.Sprintf("%s/blob_%d.dat", logical.ArchiveDir, oid), -1), r); err != nil {
			return err
		}
		r.hash.AddTo(&sum, oid)
		total += r.at
	}
	if err := pages.finish(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f := &d.facts.LargeObjects
	f.Count += sum.Rows
	f.Bytes += total
	d.objectSum.Merge(&sum)
	f.RowSum = d.objectSum.Sum()
	return nil
}

// pageReader reads the rows (loid, pageno, data) of a binary COPY.
//
// Source: https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.4
type pageReader struct {
	r     io.Reader
	p     *logical.Progress
	begun bool
	ended bool
	held  bool // a page was read and not yet taken
	full  bool // no page is empty, other than the first of an object
	oid   uint32
	no    int32
	data  []byte
	buf   [2*pageSize + 64]byte
}

var copySignature = []byte("PGCOPY\n\xff\r\n\x00")

// peek returns the next page's object, and ok false at the end.
func (r *pageReader) peek() (oid uint32, ok bool, err error) {
	if r.held || r.ended {
		return r.oid, r.held, nil
	}
	if !r.begun {
		head := r.buf[:len(copySignature)+8]
		if _, err := io.ReadFull(r.r, head); err != nil {
			return 0, false, err
		}
		if !bytes.HasPrefix(head, copySignature) {
			return 0, false, errors.New("the server's binary COPY has another form")
		}
		r.begun = true
	}
	head := r.buf[:2]
	if _, err := io.ReadFull(r.r, head); err != nil {
		return 0, false, err
	}
	if binary.BigEndian.Uint16(head) == 0xffff {
		r.ended = true
		return 0, false, nil
	}
	// Three fields, each with its length: 4 bytes, 4 bytes, a page.
	head = r.buf[:20]
	if _, err := io.ReadFull(r.r, head); err != nil {
		return 0, false, err
	}
	r.oid, r.no = binary.BigEndian.Uint32(head[4:]), int32(binary.BigEndian.Uint32(head[12:]))
	n := int(int32(binary.BigEndian.Uint32(head[16:])))
	if n < 0 || n > len(r.buf) || r.no < 0 || r.full && n == 0 && r.no > 0 {
		return 0, false, fmt.Errorf("page %d of large object %d has %d bytes", r.no, r.oid, n)
	}
	r.data = r.buf[:n]
	if _, err := io.ReadFull(r.r, r.data); err != nil {
		return 0, false, err
	}
	r.held = true
	r.p.Add(int64(n), "large objects")
	return r.oid, true, nil
}

// finish reads to the end of the stream, where the server says whether all went well.
func (r *pageReader) finish() error {
	if oid, ok, err := r.peek(); err != nil || ok {
		return errors.Join(err, fmt.Errorf("a page of large object %d is out of order", oid))
	}
	_, err := io.Copy(io.Discard, r.r)
	return err
}

// objectReader reads one large object: its pages, and zeros where pages are missing or short.
type objectReader struct {
	pages *pageReader
	oid   uint32
	at    int64 // bytes yielded
	hash  *logical.ObjectHash
}

func (r *objectReader) Read(p []byte) (int, error) {
	oid, ok, err := r.pages.peek()
	if err != nil {
		return 0, err
	}
	if !ok || oid != r.oid {
		if ok && oid < r.oid {
			return 0, fmt.Errorf("a page of large object %d is out of order", oid)
		}
		return 0, io.EOF
	}
	pg := r.pages
	var n int
	start := int64(pg.no) * pageSize
	if gap := start - r.at; gap > 0 {
		n = int(min(gap, int64(len(p))))
		clear(p[:n])
	} else {
		n = copy(p, pg.data[r.at-start:])
		if r.at+int64(n) == start+int64(len(pg.data)) {
			pg.held = false
		}
	}
	_, _ = r.hash.Write(p[:n])
	r.at += int64(n)
	return n, nil
}
