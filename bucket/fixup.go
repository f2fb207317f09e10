package bucket

import (
	"encoding/json"
	"fmt"
	"iter"
	"time"
)

// FixUpSQL sets what no request can of the objects in $1, a batch of FixUpBatches as jsonb. It runs in a transaction
// after FixUpSetting. It never touches version: that names the bytes that were uploaded.
const FixUpSQL = `UPDATE storage.objects o
   SET owner = r.owner, owner_id = r.owner_id, created_at = COALESCE(r.created_at, o.created_at),
       updated_at = COALESCE(r.updated_at, o.updated_at),
       metadata = CASE WHEN r.last_modified IS NULL THEN o.metadata
                       ELSE jsonb_set(o.metadata, '{lastModified}', to_jsonb(r.last_modified)) END
  FROM jsonb_to_recordset($1::jsonb) AS r(bucket_id text, name text, owner uuid, owner_id text, created_at timestamptz,
       updated_at timestamptz, last_modified text)
 WHERE o.bucket_id = r.bucket_id AND o.name = r.name`

// FixUpSetting keeps the server's trigger from setting updated_at to now; it takes a superuser, or the right to set
// the parameter.
const FixUpSetting = `SET LOCAL session_replication_role = replica`

// fixUpBatch is how many objects one statement sets.
const fixUpBatch = 500

// FixUpBatches turns objects into the parameters of FixUpSQL.
func FixUpBatches(objects iter.Seq2[Object, error]) iter.Seq2[[]byte, error] {
	type row struct {
		Bucket       string  `json:"bucket_id"`
		Name         string  `json:"name"`
		Owner        *string `json:"owner"`
		OwnerID      *string `json:"owner_id"`
		CreatedAt    *string `json:"created_at"`
		UpdatedAt    *string `json:"updated_at"`
		LastModified *string `json:"last_modified"`
	}
	text := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	instant := func(t time.Time) *string {
		if t.IsZero() {
			return nil
		}
		return text(t.UTC().Format(time.RFC3339Nano))
	}
	return func(yield func([]byte, error) bool) {
		var batch []row
		flush := func() bool {
			b, err := json.Marshal(batch)
			batch = batch[:0]
			if err != nil {
				err = fmt.Errorf("encode owners and times: %w", err)
			}
			return yield(b, err)
		}
		for o, err := range objects {
			if err != nil {
				yield(nil, err)
				return
			}
			if o.Row == nil {
				continue
			}
			batch = append(batch, row{
				o.Bucket, o.Name, text(o.Row.Owner), text(o.Row.OwnerID), instant(o.Row.CreatedAt), instant(o.Row.UpdatedAt),
				text(o.Row.LastModified),
			})
			if len(batch) == fixUpBatch && !flush() {
				return
			}
		}
		if len(batch) > 0 {
			flush()
		}
	}
}
