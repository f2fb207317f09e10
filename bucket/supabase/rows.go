package supabase

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
)

// databaseFacts is what is read of a database component's facts.json (postgres/logical.Facts).
type databaseFacts struct {
	Tables []struct {
		Schema  string   `json:"schema"`
		Name    string   `json:"name"`
		File    string   `json:"file"`
		Rows    int64    `json:"rows"`
		Columns []string `json:"columns"`
	} `json:"table_list"`
}

// Rows yields the rows of storage.objects that a captured database holds: see bucket.Rowed.
//
// Errors: those of DatabaseRows.
func (s *Store) Rows(ctx context.Context, c cofre.Component, t cofre.Tree) (iter.Seq2[bucket.Object, error], error) {
	return DatabaseRows(ctx, c, t)
}

// DatabaseRows yields the rows of storage.objects that a captured database holds.
//
// Errors: cofre.ErrNotFound if the component is no database or has no such table.
func DatabaseRows(ctx context.Context, c cofre.Component, t cofre.Tree) (iter.Seq2[bucket.Object, error], error) {
	if c.Kind != cofre.KindDatabase {
		return nil, fmt.Errorf("component %s: no database: %w", c.Name, cofre.ErrNotFound)
	}
	var facts databaseFacts
	if err := bucket.ReadJSON(ctx, t, "facts.json", &facts); err != nil {
		return nil, fmt.Errorf("database %s: %w", c.Name, err)
	}
	for _, table := range facts.Tables {
		if table.Schema != "storage" || table.Name != "objects" {
			continue
		}
		return func(yield func(bucket.Object, error) bool) {
			r, err := t.Open(ctx, "archive/"+table.File)
			if err != nil {
				yield(bucket.Object{}, fmt.Errorf("database %s: read storage.objects: %w", c.Name, err))
				return
			}
			defer r.Close()
			for o, err := range CopyRows(r, table.Columns) {
				if !yield(o, err) {
					return
				}
			}
		}, nil
	}
	return nil, fmt.Errorf("database %s: table storage.objects: %w", c.Name, cofre.ErrNotFound)
}

// CopyRows reads the COPY text of storage.objects with the given columns. Rows of versions that were archived or
// deleted are left out: no request can reach them.
//
// Errors: cofre.ErrCorrupt for a line that does not fit the columns.
//
// Source: PostgreSQL 18, https://www.postgresql.org/docs/18/sql-copy.html#SQL-COPY-FILE-FORMATS (text format).
func CopyRows(r io.Reader, columns []string) iter.Seq2[bucket.Object, error] {
	return func(yield func(bucket.Object, error) bool) {
		if err := needColumns(columns, "bucket_id", "name", "metadata"); err != nil {
			yield(bucket.Object{}, err)
			return
		}
		sc := bufio.NewScanner(r)
		sc.Buffer(make([]byte, 0, 64<<10), bucket.MaxLine)
		for n := 1; sc.Scan(); n++ {
			line := sc.Text()
			if line == `\.` {
				return // the end mark of a file; what follows it is nothing
			}
			fields := strings.Split(line, "\t")
			if len(fields) != len(columns) {
				yield(bucket.Object{}, fmt.Errorf("row %d of storage.objects has %d columns, not %d: %w", n, len(fields), len(columns), cofre.ErrCorrupt))
				return
			}
			o, live, err := rowObject(columns, fields)
			if err != nil {
				yield(bucket.Object{}, fmt.Errorf("row %d of storage.objects: %w", n, err))
				return
			}
			if live && !yield(o, nil) {
				return
			}
		}
		if err := sc.Err(); err != nil {
			yield(bucket.Object{}, fmt.Errorf("read storage.objects: %w", err))
		}
	}
}

func needColumns(columns []string, need ...string) error {
	for _, c := range need {
		if !slices.Contains(columns, c) {
			return fmt.Errorf("storage.objects has no column %s: %w", c, cofre.ErrCorrupt)
		}
	}
	return nil
}

// storedMetadata is the column metadata, which the server writes with each upload.
type storedMetadata struct {
	ETag         string          `json:"eTag"`
	Size         json.Number     `json:"size"`
	Length       json.Number     `json:"contentLength"`
	MIME         string          `json:"mimetype"`
	CacheControl string          `json:"cacheControl"`
	LastModified json.RawMessage `json:"lastModified"`
	Robots       string          `json:"xRobotsTag"`
}

func rowObject(columns, fields []string) (bucket.Object, bool, error) {
	o := bucket.Object{Size: -1, Row: &bucket.Row{}, Metadata: json.RawMessage("{}")}
	live := true
	for i, c := range columns {
		text, null := unescape(fields[i])
		if null {
			continue
		}
		var err error
		switch c {
		case "bucket_id":
			o.Bucket = text
		case "name":
			o.Name = text
		case "version":
			o.Version = text
		case "id":
			o.Row.ID = text
		case "owner":
			o.Row.Owner = text
		case "owner_id":
			o.Row.OwnerID = text
		case "created_at":
			o.Row.CreatedAt, err = parseTime(text)
		case "updated_at":
			o.Row.UpdatedAt, err = parseTime(text)
			o.ModifiedAt = o.Row.UpdatedAt
		case "metadata":
			err = applyStored(&o, []byte(text))
		case "user_metadata":
			o.Metadata = bucket.CanonicalMetadata([]byte(text))
		case "is_delete_marker":
			live = live && text != "t"
		case "archived_at":
			live = false
		}
		if err != nil {
			return bucket.Object{}, false, fmt.Errorf("column %s: %w", c, err)
		}
	}
	return o, live, nil
}

func applyStored(o *bucket.Object, text []byte) error {
	var m storedMetadata
	if err := json.Unmarshal(text, &m); err != nil {
		return fmt.Errorf("%w: %w", cofre.ErrCorrupt, err)
	}
	o.ETag = bucket.TrimETag(m.ETag)
	o.ContentType, o.CacheControl, o.Robots = m.MIME, m.CacheControl, m.Robots
	for _, n := range []json.Number{m.Size, m.Length} {
		if v, err := n.Int64(); err == nil {
			o.Size = v
			break
		}
	}
	if len(m.LastModified) > 0 && o.Row != nil {
		var s string
		if json.Unmarshal(m.LastModified, &s) == nil {
			o.Row.LastModified = s
		}
	}
	return nil
}

// parseStored fills an object from the JSON that storage.objects and the listings call metadata.
func parseStored(o bucket.Object, metadata json.RawMessage) (bucket.Object, error) {
	if len(metadata) == 0 || string(metadata) == "null" {
		o.Size = -1
		return o, nil
	}
	err := applyStored(&o, metadata)
	return o, err
}

// unescape decodes one field of COPY text.
func unescape(field string) (text string, null bool) {
	if field == `\N` {
		return "", true
	}
	if !strings.Contains(field, `\`) {
		return field, false
	}
	var b strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] != '\\' || i+1 == len(field) {
			b.WriteByte(field[i])
			continue
		}
		i++
		if at := strings.IndexByte("bfnrtv", field[i]); at >= 0 {
			b.WriteByte("\b\f\n\r\t\v"[at])
			continue
		}
		b.WriteByte(field[i]) // COPY TO writes no octal or hexadecimal escapes
	}
	return b.String(), false
}

// parseTime reads a timestamptz in the ISO style that pg_dump and COPY under DateStyle ISO write.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02 15:04:05.999999-07", "2006-01-02 15:04:05.999999-07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.Join(cofre.ErrCorrupt, fmt.Errorf("time %q is not in the ISO style", text))
}
