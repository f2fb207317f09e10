package export

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"golang.org/x/text/encoding"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/internal/rowhash"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Directory writes a component as a directory archive that `pg_restore -Fd -j N` restores, with facts and
// globals beside it: dir/archive, dir/facts.json, dir/globals.sql. dir must be absent or empty. Every table is
// compared with its recorded checksum on the way. The files are synced before it returns.
//
// Errors: cofre.ErrExists if dir is not empty; cofre.ErrRefused if somebody's link leads to what is another's; cofre.ErrCorrupt. After an error dir is incomplete, and a
// toc.dat, without which pg_restore takes nothing, is missing: it is written last.
func Directory(ctx context.Context, tree cofre.Tree, dir string, obs cofre.Observer) (err error) {
	c, err := logical.OpenComponent(ctx, tree)
	if err != nil {
		return fmt.Errorf("export to %s: %w", dir, err)
	}
	if err := exportDirectory(ctx, tree, &c, dir, obs); err != nil {
		err = fmt.Errorf("export to %s: %w", dir, err)
		if cofre.Hint(err) == "" {
			err = cofre.WithHint(err, cofre.Say("export.not_whole", "what is in {{.dir}} is not whole: remove it before the next try", "dir", dir))
		}
		return err
	}
	return nil
}

// exportDirectory writes into the directory that it opened, whatever somebody who may write beside it puts in the place of a name meanwhile.
func exportDirectory(ctx context.Context, tree cofre.Tree, c *logical.Component, dir string, obs cofre.Observer) (err error) {
	top, err := inside.MakeAs(dir, 0o700)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, top.Close()) }()
	if found, err := top.ReadDir(); err != nil || len(found) > 0 {
		return cmp.Or(err, cofre.WithHint(fmt.Errorf("directory is not empty: %w", cofre.ErrExists), cofre.Say("place.new", "name one that does not exist")))
	}
	archive, err := top.Descend(logical.ArchiveDir, (*inside.Dir).Mkdir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	var total int64
	for _, t := range c.Facts.Tables {
		total += t.Bytes
	}
	p := &logical.Progress{Observer: obs, Task: cofre.Say("export.task", "export"), Total: total + c.Facts.LargeObjects.Bytes}
	p.Begin()
	defer func() { p.End(err) }()
	byFile := map[string]*logical.TableFacts{}
	for i := range c.Facts.Tables {
		byFile[c.Facts.Tables[i].File] = &c.Facts.Tables[i]
	}
	for e, err := range tree.List(ctx, logical.ArchiveDir) {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(e.Path, logical.ArchiveDir+"/")
		if e.IsDir() || name == "toc.dat" || !filepath.IsLocal(name) {
			continue
		}
		if err := exportFile(ctx, tree, e.Path, archive, name, byFile[name], c.Key, p); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, name := range []string{logical.FactsFile, logical.GlobalsFile} {
		err := exportFile(ctx, tree, name, top, name, nil, nil, p)
		if err != nil && !(name == logical.GlobalsFile && errors.Is(err, cofre.ErrNotFound)) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := errors.Join(archive.Sync(), top.Sync()); err != nil {
		return err
	}
	// toc.dat comes last, when all else is on the disk: without it, what an interrupted export or a crash leaves is no archive.
	if err := exportFile(ctx, tree, logical.TOCFile, archive, path.Base(logical.TOCFile), nil, nil, p); err != nil {
		return fmt.Errorf("%s: %w", logical.TOCFile, err)
	}
	return archive.Sync()
}

// File writes a file that does not exist. It has its name only when all of it is written and on the disk: half a script looks
// whole. Until then it is beside it, under a name that begins with a dot and ends in .tmp.
//
// The file's directory is the one that is opened first.
//
// Errors: cofre.ErrExists if something has the name; cofre.ErrRefused if somebody's link leads to what is another's; those of write and of the
// operating system.
func File(file string, write func(io.Writer) error) error {
	exists := func(err error) error {
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		return cofre.WithHint(cofre.Fail(cofre.Say("export.write", "write {{.path}}", "path", file), cofre.ErrExists), cofre.Say("export.new_file", "name a file that does not exist"))
	}
	d, err := inside.OpenAs(filepath.Dir(file))
	if err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	defer d.Close() // only searched
	name := filepath.Base(file)
	if taken, err := d.Exists(name); err != nil || taken {
		return cmp.Or(err, exists(fs.ErrExist))
	}
	f, err := durable.Create(d.At(name), 0o600)
	if err != nil {
		return fmt.Errorf("write export: %w", d.Named(err))
	}
	if err := write(f); err != nil {
		return errors.Join(err, d.Named(f.Discard()))
	}
	return exists(d.Named(f.PublishNew()))
}

func exportFile(ctx context.Context, tree cofre.Tree, from string, in *inside.Dir, name string, facts *logical.TableFacts, key *rowhash.Key, p *logical.Progress) (err error) {
	src, err := tree.Open(ctx, from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	f, err := in.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	tally := logical.Tally{Key: key}
	var r io.Reader = p.Reader(&bound{ctx, src}, from)
	if facts != nil {
		r = io.TeeReader(io.LimitReader(r, facts.Bytes), &tally)
	}
	if _, err := io.Copy(f, r); err != nil {
		return err
	}
	if facts != nil {
		if tally.Rows != facts.Rows || !facts.RowSum.IsZero() && tally.Sum() != facts.RowSum {
			return fmt.Errorf("%d rows with checksum %s, captured were %d with %s: %w", tally.Rows, tally.Sum(), facts.Rows, facts.RowSum, cofre.ErrCorrupt)
		}
		if _, err := io.Copy(f, src); err != nil {
			return err
		}
	}
	return durable.Sync(f)
}

// bound ends reads when its context does.
type bound struct {
	ctx context.Context
	r   io.Reader
}

func (b *bound) Read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	return b.r.Read(p)
}

// SQL writes a component as a script for psql: what pg_restore makes of the archive, and the rows between
// pre-data and post-data straight from the repository. No rows are kept on disk. All of it is restricted, see script.
//
// Errors: cofre.ErrNotFound if there is no pg_restore that reads the archive; cofre.ErrCorrupt, also if rows would end the data
// of their table early or run into what follows, after which
// what was written ends in the middle and says so nowhere: the caller removes it.
func SQL(ctx context.Context, tree cofre.Tree, f logical.Filter, w io.Writer, obs cofre.Observer) error {
	c, err := logical.OpenComponent(ctx, tree)
	if err == nil {
		err = (&sqlExport{Component: c, tree: tree, w: w, obs: obs, key: rand.Text()}).script(ctx, f)
	}
	if err != nil {
		return fmt.Errorf("export SQL: %w", err)
	}
	return nil
}

// circleNote comes before rows of tables that refer to one another, which no order can load under their foreign keys.
const circleNote = "\n-- Tables refer to one another in a circle: foreign keys are not looked at while rows are loaded, which only a superuser may ask for.\nSET session_replication_role = replica;\n"

type sqlExport struct {
	logical.Component
	tree cofre.Tree
	w    io.Writer
	obs  cofre.Observer
	sel  *logical.Selection
	key  string // of \restrict
}

func (x *sqlExport) run(ctx context.Context, f logical.Filter) (err error) {
	if x.sel, err = x.Choose(f); err != nil {
		return err
	}
	version := logical.RestoreNeeds(x.TOC.Version)
	tools, err := postgres.FindTools(ctx, max(version, postgres.Version(logical.MajorOf(x.Facts.ServerVersion)*10000)))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cofre-export-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.WriteFile(filepath.Join(dir, "toc.dat"), x.TOCRaw, 0o600); err != nil {
		return err
	}
	for _, section := range []pgarchive.Section{pgarchive.SectionPreData, pgarchive.SectionData, pgarchive.SectionPostData} {
		var defined, rows, blobs []*pgarchive.Entry
		for _, e := range x.sel.Entries(section) {
			switch {
			case e.Desc == "BLOBS":
				blobs = append(blobs, e)
			case e.HasData:
				rows = append(rows, e)
			default:
				defined = append(defined, e)
			}
		}
		if len(defined)+len(rows)+len(blobs) == 0 {
			continue
		}
		if err := x.section(ctx, tools, dir, section, defined); err != nil {
			return err
		}
		// If the definitions are there already, so are the foreign keys.
		if f.DataOnly || f.Section == "data" {
			var circle bool
			if rows, circle = loadOrder(x.TOC, rows); circle {
				if _, err := io.WriteString(x.w, circleNote); err != nil {
					return err
				}
			}
		}
		if err := x.rows(ctx, rows); err != nil {
			return err
		}
		if err := x.largeObjects(ctx, blobs); err != nil {
			return err
		}
	}
	return nil
}

func (x *sqlExport) section(ctx context.Context, tools postgres.Tools, dir string, section pgarchive.Section, entries []*pgarchive.Entry) error {
	keep := map[int]bool{}
	for _, e := range entries {
		keep[e.DumpID] = true
	}
	var list bytes.Buffer
	if err := x.TOC.WriteList(&list, func(e *pgarchive.Entry) bool { return keep[e.DumpID] }); err != nil {
		return err
	}
	path := filepath.Join(dir, "list")
	if err := os.WriteFile(path, list.Bytes(), 0o600); err != nil {
		return err
	}
	// Unlike a restore this stops at nothing: pg_restore only writes, and any message is an error.
	var said bytes.Buffer
	out := &within{w: x.w}
	err := process.Run(ctx, process.Command{
		Path: filepath.Join(tools.Dir, "pg_restore"), Name: "pg_restore " + tools.Version.String(), Env: process.BaseEnv(), Dir: "/",
		Args:   []string{"--format=directory", "--section=" + section.String(), "--use-list=" + path, "--file=-", dir},
		Stdout: out, Stderr: &said,
	})
	if err == nil {
		err = out.end()
	}
	if err == nil && said.Len() > 0 {
		err = fmt.Errorf("pg_restore said: %s", strings.TrimSpace(said.String()))
	}
	return err
}

func (x *sqlExport) rows(ctx context.Context, entries []*pgarchive.Entry) (err error) {
	facts := x.TableFacts()
	var total int64
	for _, e := range entries {
		if f := facts[e.DumpID]; f != nil {
			total += f.Bytes
		}
	}
	p := &logical.Progress{Observer: x.obs, Task: cofre.Say("export.task_rows", "export rows"), Total: total}
	p.Begin()
	defer func() { p.End(err) }()
	for _, e := range entries {
		if err := x.table(ctx, e, facts[e.DumpID], p); err != nil {
			return fmt.Errorf("table %s.%s: %w", e.Namespace, e.Tag, err)
		}
	}
	return nil
}

func (x *sqlExport) table(ctx context.Context, e *pgarchive.Entry, f *logical.TableFacts, p *logical.Progress) (err error) {
	body, err := logical.OpenRows(ctx, x.tree, logical.ArchiveDir+"/"+logical.DataFile(x.TOC, e, f), x.Key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	if _, err := fmt.Fprintf(x.w, "\n%s", e.Copy); err != nil {
		return err
	}
	lines := &copyLines{w: x.w}
	if _, err := io.Copy(lines, p.Reader(&bound{ctx, body}, e.Tag)); err != nil {
		return err
	}
	if err := lines.end(); err != nil {
		return err
	}
	if err := body.Finish(); err != nil {
		return err
	}
	if err := (logical.TableLoad{Facts: f}).Verify(&body.Tally, body.Tally.Rows); err != nil {
		return err
	}
	_, err = io.WriteString(x.w, "\\.\n\n")
	return err
}

func (x *sqlExport) largeObjects(ctx context.Context, entries []*pgarchive.Entry) error {
	for _, e := range entries {
		list, err := logical.ReadAll(ctx, x.tree, logical.ArchiveDir+"/"+cmp.Or(e.File, x.TOC.FileName(e)))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(list)) {
			id, file, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			if !ok || strings.Trim(id, "0123456789") != "" || strings.Contains(file, "/") {
				return fmt.Errorf("line %q of the list of large objects: %w", line, cofre.ErrCorrupt)
			}
			if err := x.largeObject(ctx, id, file); err != nil {
				return fmt.Errorf("large object %s: %w", id, err)
			}
		}
	}
	return nil
}

func (x *sqlExport) largeObject(ctx context.Context, id, file string) (err error) {
	r, err := x.tree.Open(ctx, logical.ArchiveDir+"/"+file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	buf := make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			if _, err := fmt.Fprintf(x.w, "SELECT pg_catalog.lo_put(%s, %d, '\\x%s');\n", id, at, hex.EncodeToString(buf[:n])); err != nil {
				return err
			}
			at += int64(n)
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// CSV writes the rows of one table as CSV with a header (RFC 4180, UTF-8, lines ending in CR LF). NULL is
// an empty field, the empty text is "", as PostgreSQL's own CSV has it. A partitioned table's partitions follow
// one another under one header. It returns how many fields it has changed, which it does only for a spreadsheet.
//
// Errors: cofre.ErrNotFound if the point has no such table; cofre.ErrCorrupt.
func CSV(ctx context.Context, tree cofre.Tree, o CSVOptions, w io.Writer, obs cofre.Observer) (defused int64, err error) {
	opened, err := logical.OpenComponent(ctx, tree)
	if err != nil {
		return 0, fmt.Errorf("export table %s: %w", o.Table, err)
	}
	c, _ := opened.InUTF8()
	out := &csvWriter{Writer: bufio.NewWriterSize(w, 1<<16), spreadsheet: o.Spreadsheet}
	if err := exportCSV(ctx, tree, &c, o.Table, out, obs); err != nil {
		return out.defused, fmt.Errorf("export table %s: %w", o.Table, err)
	}
	return out.defused, nil
}

// CSVOptions say which table is written, and for whom.
type CSVOptions struct {
	Table string
	// Spreadsheet puts an apostrophe before what a spreadsheet would take for a formula, and so changes it.
	Spreadsheet bool
}

func exportCSV(ctx context.Context, tree cofre.Tree, c *logical.Component, table string, out *csvWriter, obs cofre.Observer) (err error) {
	a, err := logical.FindArchived(c.TOC, table, false)
	if err != nil {
		return err
	}
	facts := c.TableFacts()
	var total int64
	for _, e := range a.Data {
		if f := facts[e.DumpID]; f != nil {
			total += f.Bytes
		}
	}
	p := &logical.Progress{Observer: obs, Task: cofre.Say("export.task_table", "export table {{.table}}", "table", a.Name), Total: total}
	p.Begin()
	defer func() { p.End(err) }()
	var header []string
	for i, e := range a.Data {
		_, _, columns, err := e.CopyTarget()
		if err != nil {
			return fmt.Errorf("%w: %v", cofre.ErrCorrupt, err)
		}
		if i == 0 {
			header = columns
			for j, col := range columns {
				if j > 0 {
					out.WriteByte(',')
				}
				out.field([]byte(col))
			}
			out.WriteString("\r\n")
		}
		order, err := columnOrder(header, columns)
		if err != nil {
			return err
		}
		if err := csvTable(ctx, tree, c, e, facts[e.DumpID], order, out, p); err != nil {
			return err
		}
	}
	return out.Flush()
}

// columnOrder says where each column of the header is in a partition's rows, whose order may differ.
func columnOrder(header, columns []string) ([]int, error) {
	order := make([]int, len(header))
	for i, h := range header {
		order[i] = -1
		for j, c := range columns {
			if c == h {
				order[i] = j
			}
		}
		if order[i] < 0 {
			return nil, fmt.Errorf("a partition has no column %s: %w", pgarchive.Quote(h), cofre.ErrCorrupt)
		}
	}
	return order, nil
}

func csvTable(ctx context.Context, tree cofre.Tree, c *logical.Component, e *pgarchive.Entry, f *logical.TableFacts, order []int, out *csvWriter, p *logical.Progress) (err error) {
	body, err := logical.OpenRows(ctx, tree, logical.ArchiveDir+"/"+logical.DataFile(c.TOC, e, f), c.Key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	lines := bufio.NewReaderSize(p.Reader(&bound{ctx, body}, e.Tag), 1<<16)
	var text *encoding.Decoder
	if known := logical.Encodings[c.ClientEncoding()]; known != nil {
		text = known.NewDecoder()
	} else if logical.OnlyServersKnow(c.ClientEncoding()) {
		return cofre.WithHint(cofre.Fail(cofre.Say("export.encoding", "only a server can read the rows of a database in {{.encoding}}", "encoding", c.ClientEncoding()), cofre.ErrRefused),
			cofre.Say("export.encoding_way", "restore the table and have the server write it: cofre restore table {{.table}} POINT --to SCHEMA, then psql -c 'SET client_encoding = UTF8' -c 'COPY SCHEMA.TABLE TO STDOUT CSV HEADER'", "table", shell.Quote(e.Namespace+"."+e.Tag)))
	}
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			break
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		if text != nil {
			if line, err = text.Bytes(line); err != nil {
				return fmt.Errorf("read a row as %s: %w", c.ClientEncoding(), err)
			}
		}
		var fields [][]byte
		if len(order) > 0 {
			fields = bytes.Split(line, []byte("\t"))
		}
		for i, at := range order {
			if at >= len(fields) {
				return fmt.Errorf("a row has %d fields: %w", len(fields), cofre.ErrCorrupt)
			}
			if i > 0 {
				out.WriteByte(',')
			}
			if string(fields[at]) != `\N` {
				out.field(unescapeCopy(fields[at]))
			}
		}
		if _, err := out.WriteString("\r\n"); err != nil {
			return err
		}
	}
	if err := body.Finish(); err != nil {
		return err
	}
	return (logical.TableLoad{Facts: f}).Verify(&body.Tally, body.Tally.Rows)
}

// unescapeCopy reads a field of COPY's text format.
//
// Source: PostgreSQL, https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2
func unescapeCopy(f []byte) []byte {
	if bytes.IndexByte(f, '\\') < 0 {
		return f
	}
	out := make([]byte, 0, len(f))
	for i := 0; i < len(f); i++ {
		if f[i] != '\\' || i+1 == len(f) {
			out = append(out, f[i])
			continue
		}
		i++
		switch f[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'v':
			out = append(out, '\v')
		default:
			// COPY TO writes no octal and no hexadecimal escapes.
			out = append(out, f[i])
		}
	}
	return out
}
