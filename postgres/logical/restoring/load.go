package restoring

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

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// load brings the data section: large objects' metadata and sequence values by pg_restore, rows by COPY.
func (t *Target) load(ctx context.Context, obs cofre.Observer, tool *restoreTool) error {
	var others []*pgarchive.Entry
	var blobs []*pgarchive.Entry
	var loads []logical.TableLoad
	facts := t.TableFacts()
	for _, e := range t.sel.Entries(pgarchive.SectionData) {
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
	if err := t.loadReadable(ctx, obs, loads); err != nil {
		return err
	}
	return t.loadLargeObjects(ctx, obs, blobs)
}

func (t *Target) tableLoad(e *pgarchive.Entry, f *logical.TableFacts) (logical.TableLoad, error) {
	schema, table, columns, err := e.CopyTarget()
	if err != nil {
		return logical.TableLoad{}, fmt.Errorf("%w: %v", cofre.ErrCorrupt, err)
	}
	ours := t.Made[[2]string{schema, table}] != nil
	return logical.TableLoad{
		Path: logical.ArchiveDir + "/" + logical.DataFile(t.TOC, e, f), Table: pgarchive.Quote(schema, table), Columns: columns, Facts: f, Key: t.Key,
		// A configuration table belongs to its extension, which may have put rows there; and if the
		// database is a copy of one that exists, nothing was made by this restore. A root takes the rows of several.
		Fresh: ours && !t.fromTemplate() && !e.ByRoot(),
		Entry: e, Whole: !ours || e.ByRoot(),
	}, nil
}

// loadTables loads the largest tables first, so that the last of them do not leave workers idle. What the repository has
// lost of them ends nothing: all of it is known in the end, and the check names it.
func (t *Target) loadTables(ctx context.Context, obs cofre.Observer, loads []logical.TableLoad) (err error) {
	slices.SortStableFunc(loads, func(a, b logical.TableLoad) int { return cmp.Compare(b.Bytes(), a.Bytes()) })
	var total int64
	for i := range loads {
		total += loads[i].Bytes()
	}
	progress := &logical.Progress{Observer: obs, Task: cofre.Say("database.task_load", "load rows"), Total: total}
	progress.Begin()
	defer func() { progress.End(err) }()

	return logical.EachParallel(ctx, t.o.Jobs, split(loads, t.o.Jobs), func(ctx context.Context) (*pgx.Conn, error) {
		// Rows have their offsets with them, and are read alike in every time zone; what a CHECK makes of them may depend on it.
		conn, err := logical.ConnectForLoad(ctx, t.RowsOn(t.o.Server.With(t.staged)).LeavingAsFound("TimeZone"), t.ClientEncoding())
		if err != nil || t.o.SearchPath == "" {
			return conn, err
		}
		_, err = conn.Exec(ctx, "SELECT pg_catalog.set_config('search_path', $1, false)", t.o.SearchPath)
		return conn, err
	}, func(ctx context.Context, conn *pgx.Conn, p loadPart) error {
		e := p.table.Entry
		if t.isBroken(e.DumpID) {
			return nil
		}
		err := p.run(ctx, conn, t.tree, progress)
		switch {
		case logical.IsServerError(err):
			return t.explainFailure(err, err.Error())
		case logical.IsLost(err) && ctx.Err() == nil:
			t.lose(t.lostRows(e, p.table.Facts, cofre.OneLine(err)))
			t.breaks(e.DumpID)
			return nil
		}
		return err
	})
}

// loadLargeObjects fills the large objects that pg_restore has made.
func (t *Target) loadLargeObjects(ctx context.Context, obs cofre.Observer, entries []*pgarchive.Entry) (err error) {
	if len(entries) == 0 {
		return nil
	}
	p := &logical.Progress{Observer: obs, Task: cofre.Say("database.task_large_objects", "load large objects"), Total: t.Facts.LargeObjects.Bytes}
	p.Begin()
	defer func() { p.End(err) }()
	conn, err := logical.ConnectForLoad(ctx, t.RowsOn(t.o.Server.With(t.staged)), t.ClientEncoding())
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	sum := logical.Tally{Key: t.Key}
	for _, e := range entries {
		if err := t.loadGroup(ctx, conn, e, &sum, p); err != nil {
			return fmt.Errorf("load large objects: %w", err)
		}
	}
	want := t.Facts.LargeObjects
	if t.lostObjects() {
		return nil // the sum is of all
	}
	if want.Count != sum.Rows && want.Count != 0 {
		return fmt.Errorf("load large objects: %d in the repository, %d were captured: %w", sum.Rows, want.Count, cofre.ErrCorrupt)
	}
	if !want.RowSum.IsZero() && want.RowSum != sum.Sum() {
		return fmt.Errorf("load large objects: those in the repository have checksum %s, those captured had %s: %w", sum.Sum(), want.RowSum, cofre.ErrCorrupt)
	}
	return nil
}

// perTransaction bounds the locks that a transaction takes: one for each large object, of 64 × connections.
const perTransaction = 500

func (t *Target) loadGroup(ctx context.Context, conn *pgx.Conn, e *pgarchive.Entry, sum *logical.Tally, p *logical.Progress) error {
	path := logical.ArchiveDir + "/" + cmp.Or(e.File, t.TOC.FileName(e))
	list, err := logical.ReadAll(ctx, t.tree, path)
	if logical.IsLost(err) {
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
func (t *Target) loadOne(ctx context.Context, tx pgx.Tx, oid uint32, file string, sum *logical.Tally, p *logical.Progress) error {
	err := t.fillOne(ctx, tx, oid, file, sum, p)
	if !logical.IsLost(err) {
		return err
	}
	t.lose(lostObject(strconv.FormatUint(uint64(oid), 10), logical.ArchiveDir+"/"+file, cofre.OneLine(err)))
	_, err = tx.Exec(ctx, "SELECT pg_catalog.lo_truncate(pg_catalog.lo_open($1, 131072), 0)", oid) // INV_WRITE
	return err
}

func (t *Target) fillOne(ctx context.Context, tx pgx.Tx, oid uint32, file string, sum *logical.Tally, p *logical.Progress) (err error) {
	r, err := t.tree.Open(ctx, logical.ArchiveDir+"/"+file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	hash := logical.NewObjectHash(t.Key)
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
			p.Add(int64(n), "large objects")
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	hash.AddTo(sum, oid)
	return nil
}
