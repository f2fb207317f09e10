package logical

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/rowhash"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Loaded is a table whose rows were loaded, and what they are compared with.
type Loaded struct {
	Name    string // quoted
	Facts   *TableFacts
	Config  bool // an extension's, which has rows of its own in its configuration table, and says which are not
	columns []string
	from    string
}

// LoadedTables are the tables into which the rows of entries went, the largest first. Those of partitions that go in by their root are
// compared together, in the root.
//
// Errors: cofre.ErrCorrupt.
func (c *Component) LoadedTables(entries []*pgarchive.Entry) ([]Loaded, error) {
	facts := c.TableFacts()
	var tables []Loaded
	roots := map[string]*TableFacts{} // what all partitions had
	for _, e := range entries {
		f := facts[e.DumpID]
		if e.Desc != "TABLE DATA" || f == nil {
			continue
		}
		schema, name, columns, err := e.CopyTarget()
		if err != nil {
			return nil, fmt.Errorf("%w: %v", cofre.ErrCorrupt, err)
		}
		l := Loaded{Name: pgarchive.Quote(schema, name), Facts: f, Config: c.Made[[2]string{schema, name}] == nil, columns: columns}
		l.from = "ONLY " + l.Name
		if e.ByRoot() {
			if root := roots[l.Name]; root != nil {
				if err := root.Add(f, c.Key); err != nil {
					return nil, err
				}
				continue
			}
			sum := *f
			l.Facts, l.from, roots[l.Name] = &sum, l.Name, &sum
		}
		if l.Config {
			l.from += " " + f.Filter
		}
		tables = append(tables, l)
	}
	slices.SortStableFunc(tables, func(a, b Loaded) int { return cmp.Compare(b.Facts.Bytes, a.Facts.Bytes) })
	return tables, nil
}

// ReadBack compares rows that were loaded with those that were captured.
type ReadBack struct {
	Open     func(context.Context) (*pgx.Conn, error)
	Jobs     int
	Sums     bool // of every row, and not only how many there are
	Key      *rowhash.Key
	Observer cofre.Observer
}

// Compare reads every table. Each that differs is a comparison of its own, behind those of all of them.
//
// Errors: of the connection.
func (b *ReadBack) Compare(ctx context.Context, tables []Loaded) (checks []cofre.Checked, err error) {
	task := cofre.Event{Total: int64(len(tables)), Unit: cofre.UnitItems}.Doing(cofre.Say("database.task_rows", "check rows"))
	observe := func(kind cofre.EventType, e cofre.Event) {
		e.Type = kind
		b.Observer.Observe(e)
	}
	observe(cofre.TypeTaskBegan, task)
	var mu sync.Mutex
	var want, got int64
	configs, unequal := 0, 0
	var differ []cofre.Checked
	defer func() {
		task.Err = err
		observe(cofre.TypeTaskEnded, task)
	}()
	for _, t := range tables {
		if t.Config {
			configs++
		} else {
			want += t.Facts.Rows
		}
	}
	parts, end, err := b.split(ctx, tables)
	if err != nil {
		return nil, err
	}
	defer end()
	err = EachParallel(ctx, b.Jobs, parts, b.Open, func(ctx context.Context, conn *pgx.Conn, p readPart) error {
		tally, err := p.read(ctx, conn, b)
		if tally == nil || err != nil { // or other parts of the table are to come
			return err
		}
		t := p.table
		mu.Lock()
		defer mu.Unlock()
		if !t.Config {
			got += tally.Rows
		}
		found, sums := t.compare(tally, b.Sums)
		if differ = append(differ, found...); sums && !t.Config {
			unequal++
		}
		task.Done++
		progress := task
		progress.Item = t.Name
		observe(cofre.TypeTaskProgress, progress)
		return nil
	})
	if err != nil {
		return nil, err
	}
	add := func(what cofre.Message, want, got string) {
		checks = append(checks, cofre.NewChecked(what, cofre.Verbatim(want), cofre.Verbatim(got), want == got))
	}
	all := len(tables) - configs
	add(cofre.SayN("database.check_rows", all, "rows of 1 table", "rows of {{.n}} tables"), fmt.Sprint(want), fmt.Sprint(got))
	if b.Sums {
		add(cofre.Say("database.check_checksums", "checksums of tables"), fmt.Sprint(all), fmt.Sprint(all-unequal))
	}
	if configs > 0 {
		of := fmt.Sprint(configs)
		add(cofre.Say("database.check_config_tables", "configuration tables of extensions"), of, of) // those that differ are named, each for itself
	}
	return append(checks, differ...), nil
}

func (b *ReadBack) read(ctx context.Context, conn *pgx.Conn, t Loaded) (*Tally, error) {
	tally, err := b.readAs(ctx, conn, t)
	if !IsDenied(err) {
		return tally, err
	}
	// Policies that hide rows from the owner, too: they do not while this transaction lasts, which is taken back.
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, denied := tx.Exec(ctx, "ALTER TABLE ONLY "+t.Name+" NO FORCE ROW LEVEL SECURITY"); denied != nil {
			return err
		}
		if tally, err = b.readAs(ctx, tx.Conn(), t); err != nil {
			return err
		}
		return errRead
	})
	if errors.Is(err, errRead) {
		err = nil
	}
	return tally, err
}

// errRead takes a transaction back that was only to read.
var errRead = errors.New("read")

func (b *ReadBack) readAs(ctx context.Context, conn *pgx.Conn, t Loaded) (*Tally, error) {
	tally := &Tally{Key: b.Key}
	if b.Sums {
		if _, err := conn.PgConn().CopyTo(ctx, tally, fmt.Sprintf("COPY (SELECT %s FROM %s) TO STDOUT", ColumnList("", t.columns), t.from)); err != nil {
			return nil, fmt.Errorf("read table %s: %w", t.Name, err)
		}
	} else if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+t.from).Scan(&tally.Rows); err != nil {
		return nil, fmt.Errorf("count table %s: %w", t.Name, err)
	}
	return tally, nil
}

// compare returns what differs, and whether the sum does.
func (t Loaded) compare(tally *Tally, summed bool) (differ []cofre.Checked, sums bool) {
	differs := func(what, want, got cofre.Message) {
		check := cofre.NewChecked(what, want, got, false)
		if t.Config && tally.Rows > t.Facts.Rows {
			check = check.Because(cofre.Say("database.differs_config", "CREATE EXTENSION puts rows of its own there, which the extension does not tell from others"))
		}
		differ = append(differ, check)
	}
	if tally.Rows != t.Facts.Rows {
		number := func(n int64) cofre.Message { return cofre.Verbatim(strconv.FormatInt(n, 10)) }
		differs(cofre.Say("database.check_rows_of", "rows of {{.table}}", "table", t.Name), number(t.Facts.Rows), number(tally.Rows))
	}
	if summed && !t.Facts.RowSum.IsZero() && tally.Sum() != t.Facts.RowSum {
		sums = true
		differs(cofre.Say("database.check_checksum_of", "checksum of {{.table}}", "table", t.Name), cofre.Verbatim(t.Facts.RowSum.String()), cofre.Verbatim(tally.Sum().String()))
	}
	return differ, sums
}

// EachParallel gives things to jobs workers, each with a connection of its own.
//
// Errors: the first of open and do.
func EachParallel[T any](ctx context.Context, jobs int, things []T, open func(context.Context) (*pgx.Conn, error), do func(context.Context, *pgx.Conn, T) error) error {
	queue := make(chan T)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(queue)
		for _, t := range things {
			select {
			case queue <- t:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return nil
	})
	for range min(jobs, len(things)) {
		g.Go(func() error {
			conn, err := open(ctx)
			if conn != nil {
				defer postgres.Close(ctx, conn)
			}
			if err != nil {
				return err
			}
			for t := range queue {
				if err := do(ctx, conn, t); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
