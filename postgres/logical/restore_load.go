package logical

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/zeebo/xxh3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// freezeFrom is the size from which a table's rows are loaded frozen. Below, the file that TRUNCATE makes anew
// costs more than a later vacuum saves. Bytes.
const freezeFrom = 1 << 20

// tableLoad is one table's rows on their way from the repository into a table.
type tableLoad struct {
	path    string // in the tree
	table   string // quoted
	columns []string
	facts   *TableFacts // nil where nothing was recorded
	fresh   bool        // the table was made by this restore and is empty
	entry   *pgarchive.Entry
	whole   bool // never loaded in parts: the table takes rows of others too
	parted  bool // loaded in parts, of which some may be in when another fails
	// encoding is that of the rows, where it is not the session's.
	encoding string
}

// load brings the data section: large objects' metadata and sequence values by pg_restore, rows by COPY.
func (t *Target) load(ctx context.Context, obs cofre.Observer, tool *restoreTool) error {
	var others []*pgarchive.Entry
	var blobs []*pgarchive.Entry
	var loads []tableLoad
	facts := t.tableFacts()
	for _, e := range t.sel.entries(pgarchive.SectionData) {
		switch {
		case e.Desc == "BLOBS":
			blobs = append(blobs, e)
		case !e.HasData:
			others = append(others, e)
		default:
			l, err := t.tableLoad(e, facts[e.DumpID])
			if err != nil {
				return err
			}
			loads = append(loads, l)
		}
	}
	if len(others) > 0 {
		if err := tool.restore(ctx, "data", others, 1); err != nil {
			return err
		}
	}
	if err := t.loadTables(ctx, obs, loads); err != nil {
		return err
	}
	if err := t.emptyHalves(ctx, loads); err != nil {
		return err
	}
	return t.loadLargeObjects(ctx, obs, blobs)
}

func (t *Target) tableLoad(e *pgarchive.Entry, f *TableFacts) (tableLoad, error) {
	schema, table, columns, err := e.CopyTarget()
	if err != nil {
		return tableLoad{}, fmt.Errorf("%w: %v", cofre.ErrCorrupt, err)
	}
	ours := t.made[[2]string{schema, table}] != nil
	return tableLoad{
		path: ArchiveDir + "/" + dataFile(t.toc, e, f), table: pgarchive.Quote(schema, table), columns: columns, facts: f,
		// A configuration table belongs to its extension, which may have put rows there; and where the
		// database is a copy of one that exists, nothing was made by this restore. A root takes the rows of several.
		fresh: ours && !t.fromTemplate() && !e.ByRoot(),
		entry: e, whole: !ours || e.ByRoot(),
	}, nil
}

func dataFile(toc *pgarchive.TOC, e *pgarchive.Entry, f *TableFacts) string {
	if f != nil && f.File != "" {
		return f.File
	}
	return cmp.Or(e.File, toc.FileName(e))
}

// loadTables loads the largest tables first, so that the last of them do not leave workers idle. What the repository has
// lost of them ends nothing: all of it is known in the end, and the check names it.
func (t *Target) loadTables(ctx context.Context, obs cofre.Observer, loads []tableLoad) (err error) {
	slices.SortStableFunc(loads, func(a, b tableLoad) int { return cmp.Compare(b.bytes(), a.bytes()) })
	var total int64
	for i := range loads {
		total += loads[i].bytes()
	}
	progress := &progress{obs: obs, task: "load rows", total: total}
	progress.begin()
	defer func() { progress.end(err) }()

	return eachParallel(ctx, t.o.Jobs, split(loads, t.o.Jobs), func(ctx context.Context) (*pgx.Conn, error) {
		conn, err := connectForLoad(ctx, t.rowsOn(t.o.Server.With(t.staged)), t.clientEncoding())
		if err != nil || t.o.SearchPath == "" {
			return conn, err
		}
		_, err = conn.Exec(ctx, "SELECT pg_catalog.set_config('search_path', $1, false)", t.o.SearchPath)
		return conn, err
	}, func(ctx context.Context, conn *pgx.Conn, p loadPart) error {
		e := p.table.entry
		if t.isGone(e.DumpID) {
			return nil
		}
		err := p.run(ctx, conn, t.tree, progress)
		switch {
		case isServerError(err):
			return t.explainFailure(err, err.Error())
		case isLost(err) && ctx.Err() == nil:
			t.lose(t.lostRows(e, p.table.facts, cofre.OneLine(err)))
			return nil
		}
		return err
	})
}

// connectForLoad opens a session that takes rows as pg_dump wrote them, without firing triggers where the role
// may ask for that.
func connectForLoad(ctx context.Context, c postgres.Config, encoding string) (*pgx.Conn, error) {
	// Durable all the same: the rename is a commit that waits for all WAL before it.
	conn, err := connect(ctx, c, map[string]string{"synchronous_commit": "off"})
	if err != nil {
		return nil, err
	}
	if err := setEncoding(ctx, conn, encoding); err != nil {
		return nil, errors.Join(err, postgres.Close(ctx, conn))
	}
	if _, err := replicaRole(ctx, conn); err != nil {
		return nil, errors.Join(err, postgres.Close(ctx, conn))
	}
	return conn, nil
}

// replicaRole makes the session one in which ordinary triggers and foreign keys do not fire, and reports
// whether the role was permitted to.
func replicaRole(ctx context.Context, conn *pgx.Conn) (bool, error) {
	_, err := conn.Exec(ctx, "SET session_replication_role = replica")
	if isDenied(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("set session_replication_role: %w", err)
	}
	return true, nil
}

// copy loads one table in one transaction and compares what passed with what was recorded and with what the
// server took.
//
// Errors: cofre.ErrCorrupt where they differ.
func (l tableLoad) copy(ctx context.Context, conn *pgx.Conn, tree cofre.Tree, p *progress) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return l.copyInto(ctx, tx, tree, p) })
}

func (l tableLoad) copyStatement() string {
	sql := "COPY " + l.table
	if len(l.columns) > 0 {
		sql += " (" + list("", l.columns) + ")"
	}
	sql += " FROM STDIN"
	if l.encoding != "" {
		sql += " WITH (ENCODING " + literal(l.encoding) + ")"
	}
	return sql
}

func (l tableLoad) copyInto(ctx context.Context, tx pgx.Tx, tree cofre.Tree, p *progress) (err error) {
	body, err := openRows(ctx, tree, l.path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	var taken int64
	if body.size > 0 {
		sql := l.copyStatement()
		if l.fresh && body.size >= freezeFrom {
			// Rows may be stored frozen only in a file that this transaction made.
			if _, err := tx.Exec(ctx, "TRUNCATE ONLY "+l.table); err != nil {
				return err
			}
			sql += " WITH (FREEZE)"
		}
		tag, err := tx.Conn().PgConn().CopyFrom(ctx, p.reader(body, l.table), sql)
		if err != nil {
			// The server repeats what the reader said; what the reader knows is told.
			if body.err != nil {
				return body.err
			}
			return err
		}
		taken = tag.RowsAffected()
	}
	if err := body.finish(); err != nil {
		return err
	}
	return l.verify(&body.tally, taken)
}

func (l tableLoad) verify(passed *rowTally, taken int64) error {
	if taken != passed.rows {
		return fmt.Errorf("%d rows were sent and the server took %d: %w", passed.rows, taken, cofre.ErrUnproven)
	}
	if l.facts == nil {
		return nil
	}
	if passed.rows != l.facts.Rows {
		return fmt.Errorf("%d rows in the repository, %d were captured: %w", passed.rows, l.facts.Rows, cofre.ErrCorrupt)
	}
	if l.facts.Checksum != "" && passed.checksum() != l.facts.Checksum {
		return fmt.Errorf("the rows in the repository have checksum %s, those captured had %s: %w", passed.checksum(), l.facts.Checksum, cofre.ErrCorrupt)
	}
	return nil
}

// rowReader reads the COPY text of a table out of the repository, without its end marker, and counts it.
type rowReader struct {
	src   io.ReadSeekCloser
	left  int64
	size  int64 // without the end marker
	tally rowTally
	err   error
}

func openRows(ctx context.Context, tree cofre.Tree, path string) (*rowReader, error) {
	e, err := tree.Stat(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if e.Size < int64(len(endMarker)) {
		return nil, fmt.Errorf("open %s: %d bytes are no rows of a table: %w", path, e.Size, cofre.ErrCorrupt)
	}
	src, err := tree.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	size := e.Size - int64(len(endMarker))
	return &rowReader{src: src, left: size, size: size}, nil
}

func (r *rowReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > r.left {
		p = p[:r.left]
	}
	n, err := r.src.Read(p)
	r.left -= int64(n)
	_, _ = r.tally.Write(p[:n])
	switch {
	case errors.Is(err, io.EOF) && r.left > 0:
		err = fmt.Errorf("the rows end %d bytes early: %w", r.left, cofre.ErrCorrupt)
	case errors.Is(err, io.EOF):
		err = nil // the next call says so
	}
	if err != nil {
		r.err = err
	}
	return n, err
}

// finish reads the end marker, once all rows have been read.
func (r *rowReader) finish() error {
	if err := r.tally.end(); err != nil {
		return fmt.Errorf("%v: %w", err, cofre.ErrCorrupt)
	}
	return endsWell(r.src)
}

// endsWell reads the end marker.
func endsWell(r io.Reader) error {
	tail, err := io.ReadAll(io.LimitReader(r, int64(len(endMarker))+1))
	if err != nil {
		return err
	}
	if string(tail) != endMarker {
		return fmt.Errorf("the rows do not end with the end marker: %w", cofre.ErrCorrupt)
	}
	return nil
}

func (r *rowReader) Close() error { return r.src.Close() }

// loadLargeObjects fills the large objects that pg_restore has made.
func (t *Target) loadLargeObjects(ctx context.Context, obs cofre.Observer, entries []*pgarchive.Entry) (err error) {
	if len(entries) == 0 {
		return nil
	}
	p := &progress{obs: obs, task: "load large objects", total: t.facts.LargeObjects.Bytes}
	p.begin()
	defer func() { p.end(err) }()
	conn, err := connectForLoad(ctx, t.rowsOn(t.o.Server.With(t.staged)), t.clientEncoding())
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	var sum rowTally
	for _, e := range entries {
		if err := t.loadGroup(ctx, conn, e, &sum, p); err != nil {
			return fmt.Errorf("load large objects: %w", err)
		}
	}
	want := t.facts.LargeObjects
	if t.lostObjects() {
		return nil // the sum is of all
	}
	if want.Count != sum.rows && want.Count != 0 {
		return fmt.Errorf("load large objects: %d in the repository, %d were captured: %w", sum.rows, want.Count, cofre.ErrCorrupt)
	}
	if want.Checksum != "" && want.Checksum != sum.checksum() {
		return fmt.Errorf("load large objects: those in the repository have checksum %s, those captured had %s: %w", sum.checksum(), want.Checksum, cofre.ErrCorrupt)
	}
	return nil
}

// perTransaction bounds the locks that a transaction takes: one for each large object, of 64 × connections.
const perTransaction = 500

func (t *Target) loadGroup(ctx context.Context, conn *pgx.Conn, e *pgarchive.Entry, sum *rowTally, p *progress) error {
	path := ArchiveDir + "/" + cmp.Or(e.File, t.toc.FileName(e))
	list, err := readAll(ctx, t.tree, path)
	if isLost(err) {
		t.lose(lostList(path, cofre.OneLine(err)))
		return nil
	}
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(list))
	for more := true; more; {
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			for range perTransaction {
				if more = lines.Scan(); !more {
					return lines.Err()
				}
				id, file, ok := strings.Cut(lines.Text(), " ")
				oid, err := strconv.ParseUint(id, 10, 32)
				if !ok || err != nil || strings.Contains(file, "/") {
					return fmt.Errorf("line %q of the list of large objects: %w", lines.Text(), cofre.ErrCorrupt)
				}
				if err := t.loadOne(ctx, tx, uint32(oid), file, sum, p); err != nil {
					return fmt.Errorf("large object %d: %w", oid, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// loadOne fills one large object. One that is lost, in part or whole, stays empty.
func (t *Target) loadOne(ctx context.Context, tx pgx.Tx, oid uint32, file string, sum *rowTally, p *progress) error {
	err := t.fillOne(ctx, tx, oid, file, sum, p)
	if !isLost(err) {
		return err
	}
	t.lose(lostObject(strconv.FormatUint(uint64(oid), 10), ArchiveDir+"/"+file, cofre.OneLine(err)))
	_, err = tx.Exec(ctx, "SELECT pg_catalog.lo_truncate(pg_catalog.lo_open($1, 131072), 0)", oid) // INV_WRITE
	return err
}

func (t *Target) fillOne(ctx context.Context, tx pgx.Tx, oid uint32, file string, sum *rowTally, p *progress) (err error) {
	r, err := t.tree.Open(ctx, ArchiveDir+"/"+file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	hash := xxh3.New()
	buf := make([]byte, 1<<20)
	var at int64
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if _, err := tx.Exec(ctx, "SELECT pg_catalog.lo_put($1, $2, $3)", oid, at, buf[:n]); err != nil {
				return err
			}
			_, _ = hash.Write(buf[:n])
			at += int64(n)
			p.add(int64(n), "large objects")
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	h := hash.Sum128()
	fmt.Fprintf(sum, "%d %016x%016x\n", oid, h.Hi, h.Lo)
	return nil
}

// progress tells an observer how far a task is, not more often than a person can see.
type progress struct {
	obs   cofre.Observer
	task  string
	total int64
	done  atomic.Int64
	told  atomic.Int64
}

func (p *progress) begin() {
	p.obs.Observe(cofre.Event{Type: cofre.TypeTaskBegan, Task: p.task, Total: p.total, Unit: cofre.UnitBytes})
}

func (p *progress) end(err error) {
	p.obs.Observe(cofre.Event{Type: cofre.TypeTaskEnded, Task: p.task, Done: p.done.Load(), Total: p.total, Unit: cofre.UnitBytes, Err: err})
}

// step is how many bytes pass between two events.
const step = 4 << 20

func (p *progress) add(n int64, item string) {
	done := p.done.Add(n)
	if told := p.told.Load(); done-told >= step && p.told.CompareAndSwap(told, done) {
		p.obs.Observe(cofre.Event{Type: cofre.TypeTaskProgress, Task: p.task, Item: item, Done: done, Total: p.total, Unit: cofre.UnitBytes})
	}
}

func (p *progress) reader(r io.Reader, item string) io.Reader { return &progressReader{r, p, item} }

type progressReader struct {
	r    io.Reader
	p    *progress
	item string
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.p.add(int64(n), r.item)
	return n, err
}
