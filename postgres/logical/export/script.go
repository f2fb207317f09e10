package export

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/logical"
)

// scriptHead begins a script. A psql that does not know \restrict would pass that line over and carry out whatever commands a hostile server had
// put among its definitions, so it is made to stop there. \restrict came with 13.22, 14.19, 15.14, 16.10, 17.6 and 18.
//
// Source: PostgreSQL, CVE-2025-8714; src/bin/psql/command.c, exec_command_restrict; src/bin/pg_dump/pg_dump.c, main.
const scriptHead = `-- Written by cofre export. It takes a psql that knows \restrict (13.22, 14.19, 15.14, 16.10, 17.6, 18, or newer), which then runs no command
-- of its own that the original could have put in here. An older one stops at that line. To load this with an older one all the same, which
-- only somebody who trusts the original should do, delete the lines that begin with a backslash here and at the end.
SELECT NOT (:VERSION_NUM >= 180000 OR :VERSION_NUM BETWEEN 170006 AND 179999 OR :VERSION_NUM BETWEEN 160010 AND 169999 OR :VERSION_NUM BETWEEN 150014 AND 159999 OR :VERSION_NUM BETWEEN 140019 AND 149999 OR :VERSION_NUM BETWEEN 130022 AND 139999) AS cofre_old_psql \gset
\if :cofre_old_psql
\warn 'this psql knows no \\restrict: use 13.22, 14.19, 15.14, 16.10, 17.6, 18, or newer'
\set ON_ERROR_STOP on
\endif
\restrict %[1]s
`

// script writes the whole script under one \restrict, whose key nobody knew when the database was captured.
func (x *sqlExport) script(ctx context.Context, f logical.Filter) error {
	if _, err := fmt.Fprintf(x.w, scriptHead, x.key); err != nil {
		return err
	}
	if err := x.run(ctx, f); err != nil {
		return err
	}
	_, err := fmt.Fprintf(x.w, "\n\\unrestrict %s\n", x.key)
	return err
}

// within takes pg_restore's own \restrict lines out of what it writes, which would be an error within ours. Its key comes before anything that the
// original says, and nobody else knows it.
//
// Source: PostgreSQL, src/bin/pg_dump/pg_backup_archiver.c, RestoreArchive.
type within struct {
	w     io.Writer
	key   []byte
	lines int
	rest  []byte // of a line that has not ended
}

// headLines is how many lines of pg_restore's output its \restrict comes in: after a comment of three lines and an empty one.
const headLines = 8

func (r *within) Write(b []byte) (int, error) {
	n := len(b)
	if r.lines > headLines && r.key == nil && len(r.rest) == 0 {
		_, err := r.w.Write(b) // of a pg_restore that writes none
		return n, err
	}
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			r.rest = append(r.rest, b...)
			break
		}
		line := b[:i+1]
		if len(r.rest) > 0 {
			line = append(r.rest, line...)
			r.rest = nil
		}
		if err := r.line(line); err != nil {
			return 0, err
		}
		b = b[i+1:]
	}
	return n, nil
}

func (r *within) line(line []byte) error {
	r.lines++
	if key, ok := bytes.CutPrefix(line, []byte(`\restrict `)); ok && r.key == nil && r.lines <= headLines {
		r.key = bytes.Clone(bytes.TrimSpace(key))
		return nil
	}
	if key, ok := bytes.CutPrefix(line, []byte(`\unrestrict `)); ok && len(r.key) > 0 && bytes.Equal(bytes.TrimSpace(key), r.key) {
		return nil
	}
	_, err := r.w.Write(line)
	return err
}

func (r *within) end() error {
	_, err := r.w.Write(r.rest)
	return err
}

// copyLines passes rows on that a server has sent as COPY's text format, and refuses those that it never writes: a line that begins with \. ends
// the data for psql, and a last line that does not end makes the end of the data a part of itself.
//
// Source: PostgreSQL, src/bin/psql/copy.c, handleCopyIn; src/backend/commands/copyto.c, CopyAttributeOutText, which doubles each backslash.
type copyLines struct {
	w    io.Writer
	tail []byte // the last bytes, two at most
}

func (c *copyLines) Write(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	if c.tail == nil {
		c.tail = []byte("\n") // before the first row
	}
	seam := append(c.tail, b[:min(2, len(b))]...)
	if bytes.Contains(seam, endOfData) || bytes.Contains(b, endOfData) {
		return 0, fmt.Errorf("a row begins with \\., which ends the rows for psql and which no server writes: %w", cofre.ErrCorrupt)
	}
	if len(b) >= 2 {
		seam = b
	}
	c.tail = bytes.Clone(seam[len(seam)-2:])
	return c.w.Write(b)
}

var endOfData = []byte("\n\\.")

func (c *copyLines) end() error {
	if len(c.tail) > 0 && c.tail[len(c.tail)-1] != '\n' {
		return fmt.Errorf("the last row does not end: %w", cofre.ErrCorrupt)
	}
	return nil
}
