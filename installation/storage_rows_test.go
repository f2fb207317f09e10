package installation

import (
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
)

// storageSchema is storage.objects as Supabase has it, as far as its rows are set: the foreign key makes one of them
// impossible, the trigger writes updated_at.
const storageSchema = `
CREATE SCHEMA storage;
CREATE TABLE public.users (id uuid PRIMARY KEY);
CREATE TABLE storage.objects (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), bucket_id text, name text, owner uuid, owner_id text,
  created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), last_accessed_at timestamptz, metadata jsonb, version text,
  UNIQUE (bucket_id, name), CHECK (owner_id IS DISTINCT FROM 'nobody'));
CREATE FUNCTION storage.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END $$;
CREATE TRIGGER update_objects_updated_at BEFORE UPDATE ON storage.objects FOR EACH ROW EXECUTE FUNCTION storage.touch();
INSERT INTO storage.objects (bucket_id, name, metadata, version) SELECT 'evidence', n, '{"eTag":"x"}', 'v2' FROM unnest('{a,b,refused}'::text[]) n;
CREATE ROLE storage_rows_limited LOGIN;
GRANT USAGE ON SCHEMA storage TO storage_rows_limited;
GRANT SELECT, UPDATE ON storage.objects TO storage_rows_limited;
`

func TestRowsAreSetThoughOneCannotBe(t *testing.T) {
	t.Parallel()
	server := testkit.Postgres(t, 0)
	db := server.Database(t)
	server.Exec(t, db, storageSchema)
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	var objects iter.Seq2[bucket.Object, error] = func(yield func(bucket.Object, error) bool) {
		for _, n := range []string{"a", "b", "gone", "refused"} {
			row := &bucket.Row{OwnerID: "owner of " + n, CreatedAt: at, UpdatedAt: at, LastModified: "2026-01-02T03:04:05.000Z"}
			if n == "refused" {
				row.OwnerID = "nobody"
			}
			if !yield(bucket.Object{Bucket: "evidence", Name: n, Row: row}, nil) {
				return
			}
		}
	}
	rows := storageRows{postgres.Config{URL: server.URL(db)}}
	done, err := rows.FixUp(t.Context(), objects)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, l := range done.Left {
		got += l.What + ": " + l.Got + "\n"
	}
	if done.Rows != 2 || len(done.Left) != 2 || !strings.Contains(got, "row of object evidence/gone: not set") || !strings.Contains(got, "row of object evidence/refused: ") {
		t.Errorf("set %d rows, left %s", done.Rows, got)
	}
	const state = `SELECT string_agg(format('%s %s %s %s', name, owner_id, updated_at AT TIME ZONE 'UTC', metadata->>'lastModified'), ', ' ORDER BY name) FROM storage.objects WHERE name < 'c'`
	const want = "a owner of a 2026-01-02 03:04:05.678 2026-01-02T03:04:05.000Z, b owner of b 2026-01-02 03:04:05.678 2026-01-02T03:04:05.000Z"
	if is := server.Query(t, db, state); is != want {
		t.Errorf("rows are %s", is)
	}

	// A role that may not keep the trigger from running sets the rest, and says so.
	rows.server.User = "storage_rows_limited"
	if done, err = rows.FixUp(t.Context(), objects); err != nil {
		t.Fatal(err)
	}
	if done.Rows != 2 || !strings.Contains(done.Left[len(done.Left)-1].What, "updated_at of 2 rows") {
		t.Errorf("as another role: %+v", done)
	}
}
