package bucket

import (
	"encoding/json"
	"fmt"
	"iter"
	"time"
)

// FixUpSQL sets what no request can of the objects in $1, a FixUpBatch, and returns bucket_id, name, whether everything
// but updated_at is as captured now, and whether updated_at is. It runs in a transaction after FixUpSetting. It never
// touches version: that names the bytes that were uploaded.
const FixUpSQL = `UPDATE storage.objects o
   SET owner = r.owner, owner_id = r.owner_id, created_at = COALESCE(r.created_at, o.created_at),
       updated_at = COALESCE(r.updated_at, o.updated_at),
       metadata = CASE WHEN r.last_modified IS NULL THEN o.metadata
                       ELSE jsonb_set(o.metadata, '{lastModified}', to_jsonb(r.last_modified)) END
  FROM jsonb_to_recordset($1::jsonb) AS r(bucket_id text, name text, owner uuid, owner_id text, created_at timestamptz,
       updated_at timestamptz, last_modified text)
 WHERE o.bucket_id = r.bucket_id AND o.name = r.name
RETURNING o.bucket_id, o.name,
       (o.owner IS NOT DISTINCT FROM r.owner AND o.owner_id IS NOT DISTINCT FROM r.owner_id
        AND (r.created_at IS NULL OR o.created_at = r.created_at)
        AND (r.last_modified IS NULL OR o.metadata->>'lastModified' = r.last_modified)),
       (r.updated_at IS NULL OR o.updated_at = r.updated_at)`

// FixUpSetting keeps the server's trigger from setting updated_at to now; it takes a superuser, or the right to set
// the parameter.
const FixUpSetting = `SET LOCAL session_replication_role = replica`

// fixUpBatch is how many objects one statement sets.
const fixUpBatch = 500

// FixUpBatch is what one statement sets.
type FixUpBatch []fixUpRow

type fixUpRow struct {
	Bucket       string  `json:"bucket_id"`
	Name         string  `json:"name"`
	Owner        *string `json:"owner"`
	OwnerID      *string `json:"owner_id"`
	CreatedAt    *string `json:"created_at"`
	UpdatedAt    *string `json:"updated_at"`
	LastModified *string `json:"last_modified"`
}

// JSON is the parameter of FixUpSQL.
func (b FixUpBatch) JSON() (string, error) {
	out, err := json.Marshal([]fixUpRow(b))
	if err != nil {
		return "", fmt.Errorf("encode owners and times: %w", err)
	}
	return string(out), nil
}

// Paths names the objects.
func (b FixUpBatch) Paths() []string {
	out := make([]string, len(b))
	for i, r := range b {
		out[i] = r.Bucket + "/" + r.Name
	}
	return out
}

// Singly splits a batch, so that one row that cannot be set does not keep the others from it.
func (b FixUpBatch) Singly() []FixUpBatch {
	out := make([]FixUpBatch, len(b))
	for i := range b {
		out[i] = b[i : i+1]
	}
	return out
}

// FixUpBatches turns objects into the parameters of FixUpSQL.
func FixUpBatches(objects iter.Seq2[Object, error]) iter.Seq2[FixUpBatch, error] {
	return func(yield func(FixUpBatch, error) bool) {
		var batch FixUpBatch
		for o, err := range objects {
			if err != nil {
				yield(nil, err)
				return
			}
			if o.Row == nil {
				continue
			}
			batch = append(batch, fixUpRow{
				o.Bucket, o.Name, text(o.Row.Owner), text(o.Row.OwnerID), instant(o.Row.CreatedAt), instant(o.Row.UpdatedAt),
				text(o.Row.LastModified),
			})
			if len(batch) == fixUpBatch {
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
