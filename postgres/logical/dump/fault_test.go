package dump_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/throwaway"
	"github.com/trustlayer/cofre/repository/repositorytest"
)

// await polls until a query answers t (true).
func await(t *testing.T, s *testkit.Server, db, query string) {
	t.Helper()
	testkit.AwaitEvery(t, 10*time.Millisecond, query, 20*time.Second, func() bool { return s.Query(t, db, query) == "t" })
}

const cofreWaits = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'cofre' AND datname = current_database() AND wait_event_type = 'Lock')`

// TestChangedBetweenSnapshotAndLock holds a table while the capture takes its snapshot, and lets it go changed.
// pg_dump would dump the rewritten table without its rows, since its snapshot does not see the new file's.
func TestChangedBetweenSnapshotAndLock(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	for name, change := range map[string]string{
		"rewritten": "ALTER TABLE app.answers ALTER n TYPE bigint",
		"dropped":   "DROP TABLE app.answers",
		"truncated": "TRUNCATE app.answers; INSERT INTO app.answers VALUES (7)",
	} {
		t.Run(name, func(t *testing.T) {
			db := s.Database(t)
			s.Exec(t, db, "CREATE SCHEMA app; CREATE TABLE app.answers (n int); INSERT INTO app.answers SELECT generate_series(1, 1000); CREATE TABLE app.other ()")
			conn := s.Conn(t, db)
			if _, err := conn.Exec(t.Context(), "BEGIN"); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.PgConn().Exec(t.Context(), change).ReadAll(); err != nil {
				t.Fatal(err)
			}
			var committed sync.WaitGroup
			committed.Go(func() {
				await(t, s, db, cofreWaits)
				if _, err := conn.Exec(context.Background(), "COMMIT"); err != nil {
					t.Error(err)
				}
			})
			_, facts, _ := logicaltest.Capture(t, logicaltest.Source(s, db, dump.Options{}), 2)
			committed.Wait()
			rows := map[string]int64{}
			for _, f := range facts.Tables {
				rows[f.Name] = f.Rows
			}
			want := map[string]map[string]int64{
				"rewritten": {"answers": 1000, "other": 0}, "dropped": {"other": 0}, "truncated": {"answers": 1, "other": 0},
			}[name]
			if fmt.Sprint(rows) != fmt.Sprint(want) {
				t.Errorf("captured %v, want %v", rows, want)
			}
			testkit.Healthy(t, s, db)
		})
	}
}

func TestLockedTableIsNamedWithItsHolder(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, "CREATE TABLE free (i int); CREATE TABLE held (i int)")
	conn := s.Conn(t, db)
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE held"); err != nil {
		t.Fatal(err)
	}
	err := logicaltest.Failing(t, logicaltest.Source(s, db, dump.Options{LockTimeout: 200 * time.Millisecond}))
	pid := fmt.Sprint("pid ", conn.PgConn().PID())
	if !errors.Is(err, cofre.ErrLocked) || !strings.Contains(err.Error(), "public.held is locked by "+pid) || !strings.Contains(err.Error(), "LOCK TABLE held") {
		t.Errorf("got %v", err)
	}
	testkit.Healthy(t, s, db)
}

// TestAlteredWhileCopied has sessions wait to alter every table from before its copy on. Another session's lock
// would queue behind them: the one that holds all locks copies such tables.
func TestAlteredWhileCopied(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	const tables = 6
	for i := range tables {
		s.Exec(t, db, fmt.Sprintf("CREATE TABLE t%d (i int); INSERT INTO t%d SELECT generate_series(1, 5000)", i, i))
	}
	var altered sync.WaitGroup
	once := sync.OnceFunc(func() {
		for i := range tables {
			altered.Go(func() { s.Exec(t, db, fmt.Sprintf("ALTER TABLE t%d ADD COLUMN late int", i)) })
		}
		await(t, s, db, fmt.Sprintf(`SELECT count(*) = %d FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, tables))
	})
	_, facts := captureObserved(t, logicaltest.Source(s, db, dump.Options{}), cofre.ObserverFunc(func(e cofre.Event) {
		if e.Type == cofre.TypeTaskBegan {
			once()
		}
	}))
	altered.Wait()
	if facts.Rows != tables*5000 || len(facts.Tables[0].Columns) != 1 {
		t.Errorf("captured %d rows, columns %v", facts.Rows, facts.Tables[0].Columns)
	}
	testkit.Healthy(t, s, db)
}

// A table is altered right after the capture has locked it, and before pg_dump does: pg_dump waits behind the ALTER, which waits for the
// capture. The capture lets it through and begins again.
func TestAlteredBeforeThePGDump(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, "CREATE TABLE public.t (i int); INSERT INTO public.t VALUES (1)")
	waiting := s.Conn(t, db)
	var altered sync.WaitGroup
	altered.Go(func() {
		// Asked in one session, so that pg_dump has no time to come first.
		if _, err := waiting.Exec(t.Context(), `DO $$BEGIN
 FOR i IN 1 .. 100000 LOOP
  EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE relation = 'public.t'::regclass AND mode = 'AccessShareLock' AND granted);
  PERFORM pg_sleep(0.001);
 END LOOP;
END$$; ALTER TABLE public.t ADD COLUMN late int`); err != nil {
			t.Error(err)
		}
	})
	_, facts := captureObserved(t, logicaltest.Source(s, db, dump.Options{}), cofre.Discard)
	altered.Wait()
	if facts.Rows != 1 {
		t.Errorf("captured %d rows", facts.Rows)
	}
	testkit.Healthy(t, s, db)
}

func captureObserved(t *testing.T, src *dump.Source, o cofre.Observer) (cofre.Tree, logical.Facts) {
	t.Helper()
	repo := repositorytest.NewMemory()
	session, err := repo.Begin(t.Context(), src.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(context.Background())
	if _, err := src.Capture(t.Context(), &cofre.Capture{Session: session, Observer: o, Jobs: 3}); err != nil {
		t.Fatal(err)
	}
	content, err := session.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tree, err := repo.Tree(t.Context(), content.Root)
	if err != nil {
		t.Fatal(err)
	}
	return tree, logicaltest.ReadFacts(t, tree)
}

// slowSession is a session whose Put reads a little and then waits until the test has done its harm.
type slowSession struct {
	cofre.Session
	harm func()
}

func (s slowSession) Put(ctx context.Context, e cofre.Entry, r io.Reader) (cofre.Entry, error) {
	if strings.HasSuffix(e.Path, ".dat") && !strings.HasSuffix(e.Path, "toc.dat") {
		var b [100]byte
		n, err := r.Read(b[:])
		if err != nil {
			return e, err
		}
		s.harm()
		r = io.MultiReader(strings.NewReader(string(b[:n])), r)
	}
	return s.Session.Put(ctx, e, r)
}

// TestEndedInTheMiddle harms a capture of two large tables in the middle of their rows, in every way there is.
func TestEndedInTheMiddle(t *testing.T) {
	s := testkit.Postgres(t, 0, testkit.Own())
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) })
	for name, c := range map[string]struct {
		harm func(cancel func(), db string)
		want error
	}{
		"connection cut": {func(_ func(), db string) {
			s.Query(t, "postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+db+"' AND application_name = 'cofre' AND query ~ 'COPY' LIMIT 1")
		}, cofre.ErrUnreachable},
		"cancelled": {func(cancel func(), _ string) { cancel() }, context.Canceled},
		"statement cancelled": {func(_ func(), db string) {
			s.Query(t, "postgres", "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = '"+db+"' AND application_name = 'cofre' AND query ~ 'COPY' LIMIT 1")
		}, nil},
		"server stopped": {func(func(), string) {
			if err := s.Stop(context.Background(), throwaway.Immediate); err != nil {
				t.Error(err)
			}
		}, cofre.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			db := s.Database(t)
			s.Exec(t, db, "CREATE TABLE a (t text); INSERT INTO a SELECT repeat(md5(i::text), 30) FROM generate_series(1, 20000) i; CREATE TABLE b AS SELECT * FROM a")
			src := logicaltest.Source(s, db, dump.Options{})
			session, err := repositorytest.NewMemory().Begin(t.Context(), src.ID())
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close(context.Background())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			harm := sync.OnceFunc(func() { c.harm(cancel, db) })
			_, err = src.Capture(ctx, &cofre.Capture{Session: slowSession{session, harm}, Observer: cofre.Discard, Jobs: 2})
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
			if !s.Running() {
				if err := s.Start(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			testkit.Healthy(t, s, db)
		})
	}
}

func TestRepositoryFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, "CREATE TABLE a (t text); INSERT INTO a SELECT repeat(md5(i::text), 30) FROM generate_series(1, 20000) i; CREATE TABLE b AS SELECT * FROM a")
	full := errors.Join(cofre.ErrDiskFull)
	repo := repositorytest.Faulty(t, repositorytest.NewMemory(), repositorytest.Fault{Op: repositorytest.OpPut, After: 3, Err: full})
	src := logicaltest.Source(s, db, dump.Options{})
	session, err := repo.Begin(t.Context(), src.ID())
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close(context.Background())
	if _, err = src.Capture(t.Context(), &cofre.Capture{Session: session, Observer: cofre.Discard, Jobs: 2}); !errors.Is(err, cofre.ErrDiskFull) {
		t.Errorf("got %v", err)
	}
	testkit.Healthy(t, s, db)
}

// TestStandby captures from a hot standby, where nothing can be written and unlogged tables have no rows.
func TestStandby(t *testing.T) {
	t.Parallel()
	primary := testkit.Postgres(t, 0, testkit.Own())
	primary.Exec(t, "postgres", "CREATE TABLE logged AS SELECT generate_series(1, 100) i; CREATE UNLOGGED TABLE unlogged AS SELECT 1 i")
	dir := filepath.Join(primary.TempDir(), "standby")
	if err := process.Run(t.Context(), process.Command{
		Path: testkit.Binary(t, testkit.DefaultMajor, "pg_basebackup"), Env: process.BaseEnv(),
		Args: []string{"--pgdata=" + dir, "--dbname=" + primary.URL("postgres"), "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf", "--no-sync"},
	}); err != nil {
		t.Fatal(err)
	}
	if err := process.Run(t.Context(), process.Command{Path: "chown", Args: []string{"-R", "--reference=" + primary.DataDir, dir}}); err != nil {
		t.Fatal(err)
	}
	server, err := throwaway.Start(t.Context(), throwaway.Options{BinDir: primary.BinDir, DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	standby := &testkit.Server{Server: server}
	_, facts, _ := logicaltest.Capture(t, logicaltest.Source(standby, "postgres", dump.Options{}), 2)
	if facts.Rows != 100 || len(facts.Tables) != 1 || facts.LSN == 0 {
		t.Errorf("captured %d rows of %d tables at %s", facts.Rows, len(facts.Tables), facts.LSN)
	}
}
