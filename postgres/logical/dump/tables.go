package dump

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/guard"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// tablesPerTransaction is how many tables a worker copies before it begins a new transaction under the same
// snapshot: each keeps its lock until then, and the lock table has 64 × connections places by default.
const tablesPerTransaction = 50

// task is a piece of the copying: a table, a part of one, some large objects.
type task interface {
	size() int64 // about, in bytes
	// lock is the statement that makes another session's copy safe, empty if none is needed.
	lock() string
	run(ctx context.Context, d *dump, s *session, prefix string, p *logical.Progress) error
}

// copyAll copies everything that has data, with as many sessions as there are jobs. The first is the one that
// holds the snapshot and all locks. The others lock what they copy without waiting: if somebody waits to
// alter that table, a lock would queue behind them, and they behind us. Such a table is left to the first
// session, which needs no lock any more.
func (d *dump) copyAll(ctx context.Context) (err error) {
	tasks, err := d.tasks(ctx)
	if err != nil {
		return err
	}
	p := &logical.Progress{Observer: d.observer(), Task: cofre.Say("database.task_copy", "copy {{.database}}", "database", d.server.Database)}
	for _, t := range tasks {
		p.Total += t.size()
	}
	p.Begin()
	defer func() { p.End(err) }()

	if d.control, err = takeOver(ctx, d.conn); err != nil {
		return err
	}
	if err := d.control.exec(ctx, "SET client_encoding = "+logical.Literal(d.server.Encoding)+"; SET LOCAL lock_timeout = 0"); err != nil {
		return fmt.Errorf("set the client encoding: %w", err)
	}
	jobs := max(cmp.Or(d.s.o.Jobs, d.c.Jobs), 1)
	q := &queue{tasks: tasks, deferred: make(chan task, len(tasks))}
	g, ctx := guard.WithContext(ctx)
	for range min(jobs, len(tasks)) - 1 {
		q.workers.Add(1)
		g.Go(func() error {
			defer q.workers.Done()
			return d.work(ctx, q, p)
		})
	}
	g.Go(func() error { return d.workControl(ctx, q, p) })
	go func() {
		q.workers.Wait()
		close(q.deferred)
	}()
	if err := g.Wait(); err != nil {
		return err
	}
	f := &d.facts
	slices.SortFunc(f.Tables, func(a, b logical.TableFacts) int {
		return cmp.Or(strings.Compare(a.Schema, b.Schema), strings.Compare(a.Name, b.Name))
	})
	f.Summary.Tables = len(f.Tables)
	for _, t := range f.Tables {
		f.Rows += t.Rows
	}
	return nil
}

// queue hands out tasks in order, and back to the control session those that a worker could not lock.
type queue struct {
	tasks    []task
	next     atomic.Int64
	workers  sync.WaitGroup
	deferred chan task
}

func (q *queue) take() (task, bool) {
	i := q.next.Add(1) - 1
	if i >= int64(len(q.tasks)) {
		return nil, false
	}
	return q.tasks[i], true
}

func (d *dump) work(ctx context.Context, q *queue, p *logical.Progress) error {
	t, ok := q.take()
	if !ok {
		return nil
	}
	conn, err := postgres.Connect(ctx, d.s.config)
	if err != nil {
		return err
	}
	if err := logical.SetEncoding(ctx, conn, d.server.Encoding); err != nil {
		return errors.Join(err, postgres.Close(ctx, conn))
	}
	s, err := takeOver(ctx, conn)
	if err != nil {
		return err
	}
	defer s.close()
	begin := "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT " + logical.Literal(d.snap) + ";"
	prefix := begin
	for n := 1; ok; n++ {
		err := t.run(ctx, d, s, prefix+t.lock(), p)
		var server *pgconn.PgError
		begun := prefix != ""
		switch prefix = ""; {
		case begun && errors.As(err, &server) && (server.Code == "22023" || server.Code == "55000"):
			// invalid_parameter_value, object_not_in_prerequisite_state: a snapshot ends with the session that exported it.
			return cofre.WithHint(fmt.Errorf("the session that holds the snapshot has ended: %w: %w", cofre.ErrUnreachable, err), cofre.Say("database.session_ended", "the server's log says who or what ended it; then back up again"))
		case errors.As(err, &server) && server.Code == "55P03" && s.dead == nil:
			q.deferred <- t
			prefix = "ROLLBACK;" + begin
		case err != nil:
			return err
		case n%tablesPerTransaction == 0:
			prefix = "COMMIT;" + begin
		}
		t, ok = q.take()
	}
	return nil
}

func (d *dump) workControl(ctx context.Context, q *queue, p *logical.Progress) error {
	for {
		var t task
		var ok bool
		select {
		case t, ok = <-q.deferred:
		default:
			if t, ok = q.take(); !ok {
				t, ok = <-q.deferred // closed when the workers are done
			}
		}
		if !ok {
			// The channel may have been closed while tasks were still to be taken.
			if t, ok = q.take(); !ok {
				return nil
			}
		}
		if err := t.run(ctx, d, d.control, "", p); err != nil {
			return err
		}
	}
}

// tasks lists what is to be copied, the largest first, so that no worker is left alone with a large table.
func (d *dump) tasks(ctx context.Context) ([]task, error) {
	var tasks []task
	for i := range d.toc.Entries {
		e := &d.toc.Entries[i]
		if !e.HasData {
			continue
		}
		switch e.Desc {
		case "TABLE DATA":
			t, err := d.table(e)
			if err != nil {
				return nil, err
			}
			for part := range t.parts {
				tasks = append(tasks, &tablePart{t, part})
			}
		case "BLOBS":
			list, err := d.largeObjects(ctx, e)
			if err != nil {
				return nil, err
			}
			tasks = append(tasks, list...)
		default:
			return nil, fmt.Errorf("the table of contents has data of a kind that is not known: %s %s", e.Desc, e.Tag)
		}
	}
	slices.SortStableFunc(tasks, func(a, b task) int { return cmp.Compare(b.size(), a.size()) })
	return tasks, nil
}

// table is a table at its copying.
type table struct {
	facts   logical.TableFacts
	name    string // quoted, in the encoding of the database
	columns string // as in the COPY statement: " (a, b)", or ""
	filter  string
	bytes   int64
	blocks  int64 // of each part; 0 if there is one part only
	parts   []part
	left    atomic.Int32
}

type part struct {
	tally  logical.Tally
	object cofre.ObjectID
}

func (d *dump) table(e *pgarchive.Entry) (*table, error) {
	oid, err := strconv.ParseUint(e.OID, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the table of contents: data of %s has oid %q", e.Tag, e.OID)
	}
	r, ok := d.tables[uint32(oid)]
	if !ok {
		return nil, fmt.Errorf("read the table of contents: table %s.%s is not in the catalog", e.Namespace, e.Tag)
	}
	schema, name, columns, err := e.CopyTarget()
	if err != nil {
		return nil, err
	}
	if e.ByRoot() {
		// The archive says where the rows go to: from there, those of all partitions would be read.
		schema, name = e.Namespace, e.Tag
	}
	t := &table{
		name:   pgarchive.Quote(schema, name),
		filter: r.Filter, bytes: r.bytes,
		facts: logical.TableFacts{
			Schema: r.Schema, Name: r.Name, DumpID: e.DumpID, File: d.toc.FileName(e), Columns: columns,
			PrimaryKey: r.PrimaryKey, Filter: r.Filter,
		},
	}
	if len(columns) > 0 {
		quoted := make([]string, len(columns))
		for i, c := range columns {
			quoted[i] = pgarchive.Quote(c)
		}
		t.columns = strings.Join(quoted, ", ")
	}
	if r.columns != nil {
		t.facts.Columns = r.columns
	}
	n := int64(1)
	// Below 14 a range of blocks is found by reading the whole table.
	if split := d.s.o.SplitBytes; split > 0 && r.bytes >= 2*split && r.Heap && r.Kind == "r" && r.Filter == "" &&
		d.server.Version.Major() >= 14 && len(columns) > 0 {
		t.blocks = partBlocks(r.bytes, r.blocks, split)
		n = max((r.blocks+t.blocks-1)/t.blocks, 1)
	}
	t.parts = make([]part, n)
	for i := range t.parts {
		t.parts[i].tally.Key = d.key
	}
	t.left.Store(int32(n))
	return t, nil
}

// partBlocks is how many blocks of the table proper make a part of about split bytes, rows kept elsewhere by
// TOAST included. A power of two: parts then begin at the same blocks when the table has grown.
func partBlocks(bytes, blocks, split int64) int64 {
	n := max(blocks*split/max(bytes, 1), 64)
	return 1 << (bits.Len64(uint64(n)) - 1)
}

// tablePart is the task of copying one part of a table; most tables have one.
type tablePart struct {
	t *table
	i int
}

func (p *tablePart) size() int64 { return p.t.bytes / int64(len(p.t.parts)) }

func (p *tablePart) lock() string {
	return "LOCK TABLE ONLY " + p.t.name + " IN ACCESS SHARE MODE NOWAIT;"
}

func (p *tablePart) statement() string {
	t := p.t
	columns := t.columns
	if columns == "" {
		columns = "*"
	}
	switch {
	case t.blocks > 0:
		where := fmt.Sprintf("ctid >= '(%d,0)'", int64(p.i)*t.blocks)
		if p.i < len(t.parts)-1 { // the last part has no end: the table may have grown since it was measured
			where += fmt.Sprintf(" AND ctid < '(%d,0)'", int64(p.i+1)*t.blocks)
		}
		return "COPY (SELECT " + columns + " FROM ONLY " + t.name + " WHERE " + where + ") TO STDOUT"
	case t.filter != "":
		return "COPY (SELECT " + columns + " FROM " + t.name + " " + t.filter + ") TO STDOUT"
	case t.columns == "":
		return "COPY " + t.name + " TO STDOUT"
	}
	return "COPY " + t.name + " (" + columns + ") TO STDOUT"
}

// run copies the part and, if it is the last one to be done, puts the table together.
func (p *tablePart) run(ctx context.Context, d *dump, s *session, prefix string, pr *logical.Progress) error {
	t := p.t
	shown := pgarchive.Quote(t.facts.Schema, t.facts.Name)
	c := s.copyOut(ctx, prefix+p.statement())
	defer c.stop()
	rows := &countedRows{c: c, tally: &t.parts[p.i].tally, p: pr, item: shown}
	var r io.Reader = rows
	if p.i == len(t.parts)-1 {
		r = io.MultiReader(rows, strings.NewReader(logical.EndMarker))
	}
	entry := d.entry(logical.ArchiveDir+"/"+t.facts.File, -1)
	var err error
	if len(t.parts) == 1 {
		_, err = d.c.Session.Put(ctx, entry, r)
	} else {
		t.parts[p.i].object, _, err = d.c.Session.Store(ctx, entry.Layout, r)
	}
	if err == nil && !rows.ended {
		err = errors.New("its end was not read")
	}
	if err == nil {
		err = rows.tally.End()
	}
	if err != nil {
		return fmt.Errorf("copy table %s: %w", shown, explainCopy(c.settle(err)))
	}
	if t.left.Add(-1) > 0 {
		return nil
	}
	return d.finishTable(ctx, t, entry)
}

func (d *dump) finishTable(ctx context.Context, t *table, e cofre.Entry) error {
	sum := &t.parts[0].tally
	if len(t.parts) > 1 {
		ids := make([]cofre.ObjectID, len(t.parts))
		for i := range t.parts {
			ids[i] = t.parts[i].object
			if i > 0 {
				sum.Merge(&t.parts[i].tally)
			}
		}
		if _, err := d.c.Session.Concat(ctx, e, ids); err != nil {
			return fmt.Errorf("copy table %s: %w", t.name, err)
		}
	}
	t.facts.Rows, t.facts.Bytes, t.facts.RowSum = sum.Rows, sum.Bytes, sum.Sum()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.facts.Tables = append(d.facts.Tables, t.facts)
	return nil
}

// explainCopy gives the errors of COPY their hints.
func explainCopy(err error) error {
	var server *pgconn.PgError
	if errors.As(err, &server) && server.Code == "XX001" || errors.As(err, &server) && server.Code == "XX002" {
		return cofre.WithHint(fmt.Errorf("%w: %w", cofre.ErrCorrupt, err), cofre.Say("database.damaged_table", "the table itself is damaged: pg_amcheck, and an earlier recovery point, say what is left"))
	}
	return postgres.Explain(err)
}

// countedRows counts and sums the rows that pass through it.
type countedRows struct {
	c     *copyReader
	tally *logical.Tally
	p     *logical.Progress
	item  string
	ended bool
}

func (r *countedRows) Read(b []byte) (int, error) {
	n, err := r.c.Read(b)
	if n > 0 {
		_, _ = r.tally.Write(b[:n])
		r.p.Add(int64(n), r.item)
	}
	r.ended = r.ended || errors.Is(err, io.EOF)
	return n, err
}
