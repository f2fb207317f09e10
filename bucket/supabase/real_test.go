package supabase_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math/rand"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/storagerows"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// TestTheDatabaseGoesBackBehindTheFiles is the documented procedure for a full restore of both, on a real server
// with its real database: rows are put back to an earlier time, the bytes they name are brought by cofre, and what
// the server then says of every object is compared with what it said at that time.
func TestTheDatabaseGoesBackBehindTheFiles(t *testing.T) {
	db := os.Getenv("COFRE_SUPABASE_DB")
	if db == "" {
		t.Skip("COFRE_SUPABASE_DB names no database")
	}
	ctx := t.Context()
	s := open(t, os.Getenv("COFRE_SUPABASE_URL"), os.Getenv("COFRE_SUPABASE_KEY"))
	conn, err := pgx.Connect(ctx, db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	const id = "drill"
	limit := int64(1 << 20)
	if err := s.Ensure(ctx, bucket.Bucket{ID: id, MaxSize: &limit, Types: []string{"text/plain"}}); err != nil {
		t.Fatal(err)
	}
	if err := bucket.RemovePrefix(ctx, s, id, ""); err != nil {
		t.Fatal(err)
	}
	put := func(name, content string) {
		t.Helper()
		o := bucket.Object{
			Bucket: id, Name: name, Size: int64(len(content)), ContentType: "text/plain", CacheControl: "max-age=77",
			Metadata: json.RawMessage(`{"case":"A-17"}`),
		}
		if _, err := s.Put(ctx, o, strings.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 30 {
		put(fmt.Sprintf("stays/%02d", i), strings.Repeat("stays", i))
	}
	put("overwritten", "as it was")
	put("deleted", "as it was")
	put("clash", "as it was")
	put("clash/child", "as it was")
	if _, err := conn.Exec(ctx, `UPDATE storage.objects SET owner_id = 'somebody' WHERE bucket_id = $1`, id); err != nil {
		t.Fatal(err)
	}
	rows := onlyBucket(sqlInventory(db), id)
	m := memoryCapture(t, bucket.Config{Store: s, Buckets: []string{id}, Inventory: rows})
	before, served := dump(t, conn, id), serve(t, s, id)
	if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS public.objects_before AS TABLE storage.objects WITH NO DATA; TRUNCATE public.objects_before`); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, `INSERT INTO public.objects_before SELECT * FROM storage.objects WHERE bucket_id = $1`, id); err != nil {
		t.Fatal(err)
	}

	put("overwritten", "as it is now")
	put("late", "made since")
	for _, n := range []string{"deleted", "clash/child"} {
		if err := s.Delete(ctx, id, n); err != nil {
			t.Fatal(err)
		}
	}
	goBack(t, conn, id)
	if got := serve(t, s, id); !strings.Contains(got, "overwritten: error") || !strings.Contains(got, "deleted: error") {
		t.Fatalf("the server still serves everything: %s", got)
	}
	tight := int64(3)
	if err := s.Ensure(ctx, bucket.Bucket{ID: id, MaxSize: &tight, Types: []string{"image/png"}}); err != nil {
		t.Fatal(err)
	}

	out := m.restoreTo(restoring.Restore{To: s, ForDatabase: sqlInventory(db), FixUp: fixUp{storagerows.Table{Server: postgres.Config{URL: db}}}, Replace: true})
	t.Log(out.Done.Text)
	if got := serve(t, s, id); got != served {
		t.Errorf("served before:\n%s\nand after:\n%s", served, got)
	}
	if got := dump(t, conn, id); got != before {
		t.Errorf("rows before:\n%s\nand after:\n%s", before, got)
	}
	b, err := s.Buckets(ctx, id)
	if err != nil || b[0].MaxSize == nil || *b[0].MaxSize != limit || len(b[0].Types) != 1 || b[0].Types[0] != "text/plain" {
		t.Errorf("bucket %+v, %v", b, err)
	}
}

// TestPointHoldsUnderLoad backs both up while objects are uploaded, overwritten and deleted, and proves by the
// closure check that what the dump names is in the point.
func TestPointHoldsUnderLoad(t *testing.T) {
	db := os.Getenv("COFRE_SUPABASE_DB")
	if db == "" {
		t.Skip("COFRE_SUPABASE_DB names no database")
	}
	ctx := t.Context()
	s := open(t, os.Getenv("COFRE_SUPABASE_URL"), os.Getenv("COFRE_SUPABASE_KEY"))
	const id, objects = "load", 200
	if err := s.Ensure(ctx, bucket.Bucket{ID: id}); err != nil {
		t.Fatal(err)
	}
	put := func(n int) {
		content := strings.Repeat(fmt.Sprintf("%d at %s;", n, time.Now()), 1+n%200)
		_, err := s.Put(ctx, bucket.Object{Bucket: id, Name: fmt.Sprintf("o/%d", n), Size: int64(len(content))}, strings.NewReader(content))
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}
	for n := range objects {
		put(n)
	}
	writing, stop := context.WithCancel(ctx)
	var writers sync.WaitGroup
	var writes atomic.Int64
	for w := range 2 {
		writers.Go(func() {
			random := rand.New(rand.NewSource(int64(w)))
			for writing.Err() == nil {
				n := random.Intn(2 * objects) // half of them new
				if random.Intn(10) == 0 {
					if err := s.Delete(ctx, id, fmt.Sprintf("o/%d", n)); err != nil {
						t.Error(err)
					}
				} else {
					put(n)
				}
				writes.Add(1)
			}
		})
	}
	defer writers.Wait()
	defer stop()

	repo := repositorytest.NewMemory()
	begin := func() cofre.Session {
		session, err := repo.Begin(ctx, cofre.SourceID{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = session.Close(context.Background()) })
		return session
	}
	finish := func(session cofre.Session) (cofre.Content, cofre.Tree) {
		content, err := session.Finish(ctx)
		if err != nil {
			t.Fatal(err)
		}
		tree, err := repo.Tree(ctx, content.Root)
		if err != nil {
			t.Fatal(err)
		}
		return content, tree
	}
	src := bucket.NewSource(bucket.Config{Store: s, Buckets: []string{id}, Inventory: onlyBucket(sqlInventory(db), id)})
	c := &cofre.Capture{Session: begin(), Observer: cofre.Discard, Jobs: 1}
	if err := src.Prepare(ctx, c); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d writes during the preparation", writes.Swap(0))
	dumped := begin()
	database := cofre.Component{Kind: cofre.KindDatabase, Name: "storage"}
	var tree cofre.Tree
	dumpObjects(t, db, dumped)
	<-time.After(5 * time.Second) // the rest of a dump that takes its time
	database.Content, tree = finish(dumped)
	t.Logf("%d writes during the dump", writes.Swap(0))
	c.Companions = []cofre.Companion{{Component: database, Tree: tree}}
	got, err := src.Capture(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d writes during the capture: %s", writes.Load(), got.Facts)
	storage := cofre.Component{Kind: cofre.KindStorage, Name: "storage", Facts: got.Facts}
	storage.Content, _ = finish(c.Session)
	found, err := bucket.Closure{Rows: supabase.DatabaseRows}.Check(ctx, cofre.RecoveryPoint{Components: []cofre.Component{database, storage}},
		func(c cofre.Component) (cofre.Tree, error) { return repo.Tree(ctx, c.Root) })
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Logf("%s: %s", f.Object, f.What)
	}
	if len(found) > 2 {
		t.Errorf("%d objects of the dump are not in the point", len(found))
	}
}

// dumpObjects writes storage.objects as a database component holds it.
func dumpObjects(t *testing.T, db string, into cofre.Session) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	columns, err := storagerows.Columns(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := conn.PgConn().CopyTo(t.Context(), &text, "COPY storage.objects ("+strings.Join(columns, ", ")+") TO STDOUT"); err != nil {
		t.Fatal(err)
	}
	facts, err := json.Marshal(map[string]any{"table_list": []map[string]any{{"schema": "storage", "name": "objects", "file": "1.dat", "columns": columns}}})
	if err != nil {
		t.Fatal(err)
	}
	for path, b := range map[string][]byte{"facts.json": facts, "archive/1.dat": text.Bytes()} {
		if _, err := into.Put(t.Context(), cofre.Entry{Path: path, Mode: 0o600, Size: int64(len(b))}, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
}

// goBack puts the rows of a bucket back, as a restored database has them: without telling the storage server.
func goBack(t *testing.T, conn *pgx.Conn, id string) {
	t.Helper()
	err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
		for _, sql := range []string{
			`SET LOCAL session_replication_role = replica`, `SET LOCAL storage.allow_delete_query = 'true'`,
			`DELETE FROM storage.objects WHERE bucket_id = '` + id + `'`,
		} {
			if _, err := tx.Exec(t.Context(), sql); err != nil {
				return err
			}
		}
		names, err := storagerows.Columns(t.Context(), conn)
		if err != nil {
			return err
		}
		columns := strings.Join(names, ", ")
		_, err = tx.Exec(t.Context(), `INSERT INTO storage.objects (`+columns+`) SELECT `+columns+` FROM public.objects_before`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dump is every row of a bucket except for what an upload must change: the version.
func dump(t *testing.T, conn *pgx.Conn, id string) string {
	t.Helper()
	var out string
	err := conn.QueryRow(t.Context(), `SELECT string_agg((to_jsonb(o) - 'version')::text, E'\n' ORDER BY name) FROM storage.objects o WHERE bucket_id = $1`, id).Scan(&out)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// serve is every object of a bucket as it is downloaded.
func serve(t *testing.T, s bucket.Store, id string) string {
	t.Helper()
	var out strings.Builder
	for o, err := range s.List(t.Context(), id, "") {
		if err != nil {
			t.Fatal(err)
		}
		got, body, err := s.Open(t.Context(), bucket.Object{Bucket: id, Name: o.Name})
		if err != nil {
			fmt.Fprintf(&out, "%s: error\n", o.Name)
			continue
		}
		b, err := io.ReadAll(body)
		_ = body.Close()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "%s: %s %s %s %s %q\n", o.Name, got.Row.ID, got.ContentType, got.CacheControl, got.Metadata, b)
	}
	return out.String()
}

func onlyBucket(inv bucket.Inventory, id string) bucket.Inventory {
	return bucket.InventoryFunc(func(ctx context.Context) iter.Seq2[bucket.Object, error] {
		return func(yield func(bucket.Object, error) bool) {
			for o, err := range inv.Rows(ctx) {
				if err == nil && o.Bucket != id {
					continue
				}
				if !yield(o, err) {
					return
				}
			}
		}
	})
}

type fixUp struct{ storagerows.Table }

func (f fixUp) FixUp(ctx context.Context, objects iter.Seq2[bucket.Object, error]) (restoring.FixedUp, error) {
	done, err := f.Set(ctx, func(yield func(storagerows.Row, error) bool) {
		for o, err := range objects {
			row := storagerows.Row{Bucket: o.Bucket, Name: o.Name}
			if o.Row != nil {
				row.Owner, row.OwnerID, row.LastModified = o.Row.Owner, o.Row.OwnerID, o.Row.LastModified
				row.CreatedAt, row.UpdatedAt = o.Row.CreatedAt, o.Row.UpdatedAt
			}
			if !yield(row, err) {
				return
			}
		}
	})
	return restoring.FixedUp{Rows: done.Rows, Left: done.Left}, err
}

// captured is a component in memory.
type captured struct {
	t         *testing.T
	component cofre.Component
	tree      cofre.Tree
}

func memoryCapture(t *testing.T, cfg bucket.Config) captured {
	t.Helper()
	repo := repositorytest.NewMemory()
	session, err := repo.Begin(t.Context(), cofre.SourceID{})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(t.Context())
	got, err := bucket.NewSource(cfg).Capture(t.Context(), &cofre.Capture{Session: session, Observer: cofre.Discard, Jobs: 1})
	if err != nil || got.Partial {
		t.Fatalf("capture: %v %v", err, got.Warnings)
	}
	content, err := session.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tree, err := repo.Tree(t.Context(), content.Root)
	if err != nil {
		t.Fatal(err)
	}
	return captured{t, cofre.Component{Kind: cofre.KindStorage, Content: content, Facts: got.Facts}, tree}
}

func (c captured) restoreTo(cfg restoring.Restore) *cofre.Outcome {
	c.t.Helper()
	target := restoring.NewTarget(cfg)
	plan, err := target.Plan(c.t.Context(), c.component, c.tree)
	if err != nil || len(plan.Problems) > 0 {
		c.t.Fatalf("plan: %v %+v", err, plan)
	}
	if err := target.Stage(c.t.Context(), cofre.Discard); err != nil {
		c.t.Fatal(err)
	}
	if proof, err := target.Check(c.t.Context(), cofre.Discard); err != nil || !proof.Holds() {
		c.t.Fatalf("check: %v %+v", err, proof)
	}
	out, err := target.Publish(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}
