package storagerows_test

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/storagerows"
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
	var rows iter.Seq2[storagerows.Row, error] = func(yield func(storagerows.Row, error) bool) {
		for _, n := range []string{"a", "b", "gone", "refused"} {
			row := storagerows.Row{Bucket: "evidence", Name: n, OwnerID: "owner of " + n, CreatedAt: at, UpdatedAt: at, LastModified: "2026-01-02T03:04:05.000Z"}
			if n == "refused" {
				row.OwnerID = "nobody"
			}
			if !yield(row, nil) {
				return
			}
		}
	}
	table := storagerows.Table{Server: postgres.Config{URL: server.URL(db)}}
	done, err := table.Set(t.Context(), rows)
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
	table.Server.User = "storage_rows_limited"
	if done, err = table.Set(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
	if done.Rows != 2 || !strings.Contains(done.Left[len(done.Left)-1].What, "updated_at of 2 rows") {
		t.Errorf("as another role: %+v", done)
	}
}

func TestRowsOfSeveralStatementsAreSet(t *testing.T) {
	t.Parallel()
	server := testkit.Postgres(t, 0)
	db := server.Database(t)
	server.Exec(t, db, strings.ReplaceAll(storageSchema, "storage_rows_limited", "storage_rows_many"))
	server.Exec(t, db, `INSERT INTO storage.objects (bucket_id, name) SELECT 'many', i::text FROM generate_series(1, 1234) i`)
	rows := func(yield func(storagerows.Row, error) bool) {
		for i := range 1234 {
			if !yield(storagerows.Row{Bucket: "many", Name: fmt.Sprint(i + 1), OwnerID: fmt.Sprint("owner of ", i+1)}, nil) {
				return
			}
		}
	}
	done, err := storagerows.Table{Server: postgres.Config{URL: server.URL(db)}}.Set(t.Context(), rows)
	if err != nil || done.Rows != 1234 || len(done.Left) != 0 {
		t.Fatalf("set %d rows, left %v: %v", done.Rows, done.Left, err)
	}
	if n := server.Query(t, db, `SELECT count(*) FROM storage.objects WHERE owner_id = 'owner of ' || name`); n != "1234" {
		t.Errorf("%s rows have their owner", n)
	}

	// Whoever gives the rows fails: nothing is set.
	broken := func(yield func(storagerows.Row, error) bool) {
		for i := range 600 {
			if !yield(storagerows.Row{Bucket: "many", Name: fmt.Sprint(i + 1), OwnerID: "half"}, nil) {
				return
			}
		}
		yield(storagerows.Row{}, io.ErrUnexpectedEOF)
	}
	if _, err := (storagerows.Table{Server: postgres.Config{URL: server.URL(db)}}).Set(t.Context(), broken); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error is %v", err)
	}
	if n := server.Query(t, db, `SELECT count(*) FROM storage.objects WHERE owner_id = 'half'`); n != "0" {
		t.Errorf("%s rows were set though the call failed", n)
	}
}

func TestRowsAreRead(t *testing.T) {
	t.Parallel()
	server := testkit.Postgres(t, 0)
	db := server.Database(t)
	table := storagerows.Table{Server: postgres.Config{URL: server.URL(db)}}
	read := func(since time.Time) (columns []string, text string, err error) {
		err = table.Read(t.Context(), since, func(c []string, r io.Reader) error {
			b, err := io.ReadAll(r)
			columns, text = c, string(b)
			return err
		})
		return columns, text, err
	}
	if _, _, err := read(time.Time{}); !errors.Is(err, cofre.ErrNotFound) {
		t.Errorf("without the table: %v", err)
	}
	server.Exec(t, db, strings.ReplaceAll(storageSchema, "storage_rows_limited", "storage_rows_read"))
	server.Exec(t, db, `ALTER TABLE storage.objects ADD "odd column" text, ADD gone text, ADD made text GENERATED ALWAYS AS (name) STORED; ALTER TABLE storage.objects DROP gone`)
	columns, text, err := read(time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if want := "id bucket_id name owner owner_id created_at updated_at last_accessed_at metadata version odd column"; strings.Join(columns, " ") != want {
		t.Errorf("columns are %q", columns)
	}
	if n := strings.Count(text, "\n"); n != 3 || !strings.Contains(text, "\tevidence\ta\t") {
		t.Errorf("rows are %q", text)
	}
	server.Exec(t, db, `ALTER TABLE storage.objects DISABLE TRIGGER USER; UPDATE storage.objects SET updated_at = '2026-01-02 03:04:05.5+00'; UPDATE storage.objects SET updated_at = '2026-01-02 03:04:05.6+00' WHERE name = 'b'`)
	if _, text, err = read(time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)); err != nil || strings.Count(text, "\n") != 1 || !strings.Contains(text, "\tevidence\tb\t") {
		t.Errorf("since an instant: %q, %v", text, err)
	}

	// Whoever reads may stop: the call ends, with his error.
	stop := errors.New("enough")
	if err := table.Read(t.Context(), time.Time{}, func([]string, io.Reader) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error is %v", err)
	}
}

// TestWhatARowIsSetTo: what is empty sets null or leaves things as they are, and a row that the server sets otherwise, or cannot set, is named.
func TestWhatARowIsSetTo(t *testing.T) {
	t.Parallel()
	server := testkit.Postgres(t, 0)
	db := server.Database(t)
	server.Exec(t, db, strings.ReplaceAll(storageSchema, "storage_rows_limited", "storage_rows_each"))
	const uuid = "00000000-0000-4000-8000-000000000001"
	server.Exec(t, db, `ALTER TABLE storage.objects DISABLE TRIGGER USER; UPDATE storage.objects SET owner = '`+uuid+`', owner_id = 'before', created_at = '2025-05-05 05:05:05+00', updated_at = '2025-06-06 06:06:06+00';
		ALTER TABLE storage.objects ENABLE TRIGGER USER;
		INSERT INTO storage.objects (bucket_id, name, metadata, version) VALUES ('evidence', 'no metadata', NULL, 'v2'), ('evidence', 'text for metadata', '"text"', 'v2'), ('evidence', 'not named', '{}', 'v2'), ('other', 'a', '{"eTag":"y"}', 'v9')`)
	before := server.Query(t, db, `SELECT o::text FROM storage.objects o WHERE bucket_id = 'other'`)
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.FixedZone("", -3*3600))
	rows := func(yield func(storagerows.Row, error) bool) {
		for _, r := range []storagerows.Row{
			{Bucket: "evidence", Name: "a"},
			{Bucket: "evidence", Name: "b", Owner: uuid, OwnerID: uuid, CreatedAt: at, UpdatedAt: at.Add(time.Hour), LastModified: "2026-01-02T06:04:05.000Z"},
			{Bucket: "evidence", Name: "refused", Owner: "not a uuid"},
			{Bucket: "evidence", Name: "no metadata", OwnerID: "set", LastModified: "2026-01-02T06:04:05.000Z"},
			{Bucket: "evidence", Name: "text for metadata", OwnerID: "set", LastModified: "2026-01-02T06:04:05.000Z"},
		} {
			if !yield(r, nil) {
				return
			}
		}
	}
	done, err := storagerows.Table{Server: postgres.Config{URL: server.URL(db)}}.Set(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	left := ""
	for _, l := range done.Left {
		left += l.What + ": " + l.Got + "\n"
	}
	want := "row of object evidence/refused: invalid input syntax for type uuid: \"not a uuid\"\n" +
		"row of object evidence/no metadata: not set, or set otherwise by the server\n" +
		"row of object evidence/text for metadata: cannot set path in scalar\n"
	if done.Rows != 2 || left != want {
		t.Errorf("set %d rows, left\n%s\nwant\n%s", done.Rows, left, want)
	}
	const state = `SELECT string_agg(format('%s|%s|%s|%s|%s|%s|%s', name, owner, owner_id, created_at AT TIME ZONE 'UTC', updated_at AT TIME ZONE 'UTC', metadata, version), E'\n' ORDER BY name) FROM storage.objects WHERE bucket_id = 'evidence' AND name IN ('a', 'b', 'refused')`
	want = "a|||2025-05-05 05:05:05|2025-06-06 06:06:06|{\"eTag\": \"x\"}|v2\n" +
		"b|" + uuid + "|" + uuid + "|2026-01-02 06:04:05.678901|2026-01-02 07:04:05.678901|{\"eTag\": \"x\", \"lastModified\": \"2026-01-02T06:04:05.000Z\"}|v2\n" +
		"refused|" + uuid + "|before|2025-05-05 05:05:05|2025-06-06 06:06:06|{\"eTag\": \"x\"}|v2"
	if got := server.Query(t, db, state); got != want {
		t.Errorf("rows are\n%s\nwant\n%s", got, want)
	}
	if got := server.Query(t, db, `SELECT o::text FROM storage.objects o WHERE bucket_id = 'other'`); got != before {
		t.Errorf("a row of another bucket is %s, was %s", got, before)
	}
}

// TestNotAllRowsThatAreLeftAreNamed: a hundred are, of whatever many statements.
func TestNotAllRowsThatAreLeftAreNamed(t *testing.T) {
	t.Parallel()
	server := testkit.Postgres(t, 0)
	db := server.Database(t)
	server.Exec(t, db, strings.ReplaceAll(storageSchema, "storage_rows_limited", "storage_rows_left"))
	for _, n := range []int{0, 1, 99, 100, 101, 500, 501} {
		done, err := storagerows.Table{Server: postgres.Config{URL: server.URL(db)}}.Set(t.Context(), func(yield func(storagerows.Row, error) bool) {
			for i := range n {
				if !yield(storagerows.Row{Bucket: "gone", Name: fmt.Sprint(i)}, nil) {
					return
				}
			}
		})
		if err != nil || done.Rows != 0 || len(done.Left) != min(n, 100) {
			t.Errorf("of %d that are gone: %d set, %d named, %v", n, done.Rows, len(done.Left), err)
		}
	}
}

// TestWhatCannotBeReadIsNoEmptyTable: an error of the server or of the way to it hands over nothing.
func TestWhatCannotBeReadIsNoEmptyTable(t *testing.T) {
	t.Parallel()
	server := testkit.Postgres(t, 0)
	db := server.Database(t)
	conn, err := postgres.Connect(t.Context(), postgres.Config{URL: server.URL(db)})
	if err != nil {
		t.Fatal(err)
	}
	if columns, err := storagerows.Columns(t.Context(), conn); err == nil || columns != nil {
		t.Errorf("without the table: columns %q, %v", columns, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if columns, err := storagerows.Columns(t.Context(), conn); err == nil || columns != nil {
		t.Errorf("on a connection that is closed: columns %q, %v", columns, err)
	}
	away := storagerows.Table{Server: postgres.Config{URL: "postgres://postgres@/nowhere?host=" + t.TempDir()}}
	err = away.Read(t.Context(), time.Time{}, func([]string, io.Reader) error { t.Error("something is read"); return nil })
	if err == nil || !strings.HasPrefix(err.Error(), "read storage.objects: ") {
		t.Errorf("a server that is not there: %v", err)
	}
	if _, err := away.Set(t.Context(), func(func(storagerows.Row, error) bool) {}); err == nil {
		t.Error("set, and the server is not there")
	}
}
