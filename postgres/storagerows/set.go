package storagerows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
)

// Row is what is set of one row, which bucket and name find. An empty text sets null, except LastModified, which is then
// left as it is, as are the times that are zero.
type Row struct {
	Bucket, Name         string
	Owner, OwnerID       string
	CreatedAt, UpdatedAt time.Time
	LastModified         string // in the column metadata
}

// Done is what Set did. Left names, of the rows that are not as asked for afterwards, the first.
type Done struct {
	Rows int64
	Left []cofre.Checked
}

// setSQL sets what no request can of the rows in $1, a JSON array, and returns bucket_id, name, whether everything but
// updated_at is as asked for now, and whether updated_at is. It never touches version: that names the bytes that were
// uploaded.
const setSQL = `UPDATE storage.objects o
   SET owner = r.owner, owner_id = r.owner_id, created_at = COALESCE(r.created_at, o.created_at),
       updated_at = COALESCE(r.updated_at, o.updated_at),
       metadata = CASE WHEN r.last_modified IS NULL THEN o.metadata
                       ELSE jsonb_set(o.metadata, '{lastModified}', to_jsonb(r.last_modified)) END
  FROM jsonb_to_recordset($1::jsonb) AS r(bucket_id text, name text, owner uuid, owner_id text, created_at timestamptz,
       updated_at timestamptz, last_modified text)
 WHERE o.bucket_id = r.bucket_id AND o.name = r.name
RETURNING o.bucket_id, o.name,
       (o.owner IS NOT DISTINCT FROM r.owner AND o.owner_id IS NOT DISTINCT FROM r.owner_id
        AND (r.created_at IS NULL OR o.created_at IS NOT DISTINCT FROM r.created_at)
        AND (r.last_modified IS NULL OR o.metadata->>'lastModified' IS NOT DISTINCT FROM r.last_modified)),
       (r.updated_at IS NULL OR o.updated_at IS NOT DISTINCT FROM r.updated_at)`

// withoutTriggers keeps the service's trigger from setting updated_at to now; it takes a superuser, or the right to set
// the parameter.
const withoutTriggers = `SET LOCAL session_replication_role = replica`

// batchSize is how many rows one statement sets.
const batchSize = 500

// insufficientPrivilege is PostgreSQL's SQLSTATE for a right that is missing.
const insufficientPrivilege = "42501"

// mostLeft bounds what is named.
const mostLeft = 100

// Set sets owners and times, in one transaction. A row that cannot be set is named, whatever becomes of the others, and
// so are rows whose updated_at a trigger set because this role may not keep it from running.
//
// Errors: ErrNoTable; those of rows, of postgres.Connect and of the server.
// After an error nothing is set.
func (t Table) Set(ctx context.Context, rows iter.Seq2[Row, error]) (Done, error) {
	var s setting
	conn, err := t.connect(ctx)
	if err != nil {
		return s.done, err
	}
	defer postgres.Close(ctx, conn)
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := quiet(ctx, tx); err != nil {
			return err
		}
		for batch, err := range batches(rows) {
			if err != nil {
				return err
			}
			if err := s.set(ctx, tx, batch); err != nil {
				return err
			}
		}
		return nil
	})
	if s.touched > 0 {
		s.leave(cofre.SayN("rows.updated_at", s.touched, "updated_at of 1 row of storage.objects", "updated_at of {{.n}} rows of storage.objects"), cofre.Say("rows.as_captured", "as captured"), cofre.Say("rows.restore_time", "the time of the restore: this role may not set session_replication_role"))
	}
	return s.done, err
}

// quiet keeps triggers from running in tx, if the role may.
func quiet(ctx context.Context, tx pgx.Tx) error {
	err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, withoutTriggers)
		return err
	})
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == insufficientPrivilege {
		return nil
	}
	return err
}

// setting is one Set under way.
type setting struct {
	done    Done
	touched int // rows whose updated_at is another
}

func (s *setting) leave(what, want, got cofre.Message) {
	if len(s.done.Left) < mostLeft {
		s.done.Left = append(s.done.Left, cofre.NewChecked(what, want, got, false))
	}
}

func rowOf(path string) cofre.Message {
	return cofre.Say("rows.row_of", "row of object {{.path}}", "path", path)
}

func ownerAndTimes() cofre.Message {
	return cofre.Say("rows.owner_and_times", "owner and times as captured")
}

// set sets a batch or, if the server refuses it, each of its rows.
func (s *setting) set(ctx context.Context, tx pgx.Tx, batch []Row) error {
	err := s.setAll(ctx, tx, batch)
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	if len(batch) == 1 {
		s.leave(rowOf(batch[0].path()), ownerAndTimes(), cofre.Verbatim(refused.Message))
		return nil
	}
	for one := range slices.Chunk(batch, 1) {
		if err := s.set(ctx, tx, one); err != nil {
			return err
		}
	}
	return nil
}

func (s *setting) setAll(ctx context.Context, tx pgx.Tx, batch []Row) error {
	param, err := parameter(batch)
	if err != nil {
		return err
	}
	unset := map[string]bool{}
	for _, r := range batch {
		unset[r.path()] = true
	}
	touched := 0
	err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, setSQL, param)
		if err != nil {
			return err
		}
		var found Row
		var same, untouched bool
		_, err = pgx.ForEachRow(rows, []any{&found.Bucket, &found.Name, &same, &untouched}, func() error {
			if same {
				delete(unset, found.path())
			}
			if !untouched {
				touched++
			}
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	s.touched += touched
	s.done.Rows += int64(len(batch) - len(unset))
	for _, p := range slices.Sorted(maps.Keys(unset)) {
		s.leave(rowOf(p), ownerAndTimes(), cofre.Say("rows.not_set", "not set, or set otherwise by the server"))
	}
	return nil
}

func (r Row) path() string { return r.Bucket + "/" + r.Name }

// batches cuts rows into what one statement sets.
func batches(rows iter.Seq2[Row, error]) iter.Seq2[[]Row, error] {
	return func(yield func([]Row, error) bool) {
		var batch []Row
		for r, err := range rows {
			if err != nil {
				yield(nil, err)
				return
			}
			batch = append(batch, r)
			if len(batch) == batchSize {
				if !yield(batch, nil) {
					return
				}
				batch = nil
			}
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}

// parameter is the parameter of setSQL.
func parameter(batch []Row) (string, error) {
	type record struct {
		Bucket       string  `json:"bucket_id"`
		Name         string  `json:"name"`
		Owner        *string `json:"owner"`
		OwnerID      *string `json:"owner_id"`
		CreatedAt    *string `json:"created_at"`
		UpdatedAt    *string `json:"updated_at"`
		LastModified *string `json:"last_modified"`
	}
	records := make([]record, len(batch))
	for i, r := range batch {
		records[i] = record{r.Bucket, r.Name, text(r.Owner), text(r.OwnerID), instant(r.CreatedAt), instant(r.UpdatedAt), text(r.LastModified)}
	}
	out, err := json.Marshal(records)
	if err != nil {
		return "", fmt.Errorf("encode owners and times: %w", err)
	}
	return string(out), nil
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func instant(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return text(t.UTC().Format(time.RFC3339Nano))
}
