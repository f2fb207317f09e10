package drilling_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/drilling"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/drilled"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/pgarchive"
	"github.com/trustlayer/cofre/restore"
)

// altered is a repository that gives other bytes than those that were captured.
type altered struct {
	cofre.Tree
	files map[string][]byte
}

type repo struct{ tree cofre.Tree }

func (r repo) Tree(context.Context, cofre.ObjectID) (cofre.Tree, error) { return r.tree, nil }

func (a altered) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	if b, ok := a.files[path]; ok {
		return struct {
			io.ReadSeeker
			io.Closer
		}{bytes.NewReader(b), io.NopCloser(nil)}, nil
	}
	return a.Tree.Open(ctx, path)
}

func rooms(t *testing.T) drilling.Rooms {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "drills-") // where the user of the server comes to
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return drilling.Rooms{State: t.TempDir(), Folder: dir}
}

// left are what drills have left in their rooms.
func left(t *testing.T, r drilling.Rooms) []string {
	t.Helper()
	folders, _ := filepath.Glob(r.Folder + "/*")
	records, _ := filepath.Glob(r.State + "/drills/*")
	return append(folders, records...)
}

func drill(t *testing.T, d drilling.Job, c logicaltest.Captured, tree cofre.Tree) (*drilling.Result, error) {
	t.Helper()
	d.Observer = cofre.Discard
	point := cofre.RecoveryPoint{ID: "p1", Installation: "test"}
	o, err := d.Open(t.Context(), repo{tree}, point, c.Component, nil)
	if err != nil {
		return o.Result, err
	}
	err = o.Run(t.Context(), repo{tree}, restore.Request{Point: point.ID, Component: c.Component})
	return o.Result, errors.Join(err, o.Close(t.Context()))
}

// retold is the table of contents after what a function has done to it.
func retold(t *testing.T, tree cofre.Tree, change func(*pgarchive.TOC)) []byte {
	t.Helper()
	c, err := logical.OpenComponent(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	change(c.TOC)
	var b bytes.Buffer
	if err := c.TOC.WriteDirectory(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func redefine(t *testing.T, toc *pgarchive.TOC, desc, tag, from, to string) {
	t.Helper()
	for i := range toc.Entries {
		if e := &toc.Entries[i]; e.Desc == desc && e.Tag == tag && strings.Contains(e.Defn, from) {
			e.Defn = strings.ReplaceAll(e.Defn, from, to)
			return
		}
	}
	t.Fatalf("no %s %s with %q", desc, tag, from)
}

// What was changed behind cofre's back is red, each by its name; what was not is green, at the same time on the same machine.
func TestWhatWasChangedIsNamed(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, testkit.DefaultMajor)
	db, _ := logicaltest.Original(t, s)
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	rows := logicaltest.AnswersFile(t, c)
	toc := retold(t, c.Tree, func(toc *pgarchive.TOC) {
		redefine(t, toc, "POLICY", "answers own", "profile_id > 0", "profile_id > 1")
		redefine(t, toc, "ACL", "TABLE answers", "SELECT,INSERT", "SELECT")
		redefine(t, toc, "SEQUENCE SET", "serials_id_seq", "10", "11")
		toc.Entries = slices.DeleteFunc(toc.Entries, func(e pgarchive.Entry) bool { return e.Desc == "INDEX" && e.Tag == "answers_at" })
	})
	changed := altered{c.Tree, map[string][]byte{
		rows:            bytes.Replace([]byte(logicaltest.Read(t, c.Tree, rows)), []byte("Resposta número 80\t"), []byte("Resposta número 81\t"), 1),
		logical.TOCFile: toc,
	}}
	in := rooms(t)
	var whole, red *drilling.Result
	var wholeErr, redErr error
	var both sync.WaitGroup
	both.Go(func() { whole, wholeErr = drill(t, drilling.Job{Rooms: in}, c, c.Tree) })
	both.Go(func() { red, redErr = drill(t, drilling.Job{Rooms: in}, c, changed) })
	both.Wait()
	if wholeErr != nil || whole.Red() || whole.Depth != cofre.DrilledEverything || whole.Server.Major != testkit.DefaultMajor {
		t.Errorf("%v, %+v", wholeErr, whole)
	}
	if redErr != nil {
		t.Fatal(redErr)
	}
	var names []string
	for _, f := range red.Findings {
		names = append(names, f.Object+": "+f.What)
	}
	for _, want := range []string{`rows of "public"."answers"`, "policy own on public.answers", "serials_id_seq", "index public.answers_at", "table public.answers: privileges"} {
		if !slices.ContainsFunc(names, func(n string) bool { return strings.Contains(n, want) }) {
			t.Errorf("%s is not among the findings:\n%s", want, strings.Join(names, "\n"))
		}
	}
	if l := left(t, in); len(l) > 0 {
		t.Errorf("left: %v", l)
	}
}

// What a machine cannot restore is said before anything is restored, and a server that never answers ends the drill. Nothing is left of either.
func TestADrillThatCannotBe(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, testkit.DefaultMajor)
	db := s.Database(t)
	s.Exec(t, db, "CREATE EXTENSION pgcrypto; CREATE TABLE t (id int)")
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	in := rooms(t)
	without := altered{c.Tree, map[string][]byte{logical.TOCFile: retold(t, c.Tree, func(toc *pgarchive.TOC) {
		for i := range toc.Entries {
			if e := &toc.Entries[i]; e.Desc == "EXTENSION" {
				e.Tag = "vector"
			}
		}
	})}}
	restored := false
	r, err := drill(t, drilling.Job{Rooms: in, Options: drilling.Options{Planned: func(p *cofre.Plan) error { restored = len(p.Problems) == 0; return nil }}}, c, without)
	if !errors.Is(err, cofre.ErrPreflight) || restored || !strings.Contains(err.Error(), "vector") || !strings.Contains(cofre.Hint(err), fmt.Sprintf("postgresql-%d-pgvector", s.Major)) || len(r.Steps) != 1 {
		t.Errorf("%v; hint %s", err, cofre.Hint(err))
	}
	bin := in.Folder + "/bin"
	script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = --version ] && exec %s/postgres --version\nexec sleep 1000\n", s.BinDir)
	if err := errors.Join(os.Mkdir(bin, 0o755), os.Symlink(s.BinDir+"/initdb", bin+"/initdb"), os.WriteFile(bin+"/postgres", []byte(script), 0o755)); err != nil {
		t.Fatal(err)
	}
	if _, err := drill(t, drilling.Job{Rooms: in, BinDir: bin, Ready: 3 * time.Second}, c, c.Tree); err == nil || !strings.Contains(err.Error(), "did not answer within 3s") {
		t.Errorf("a server that never answers: %v", err)
	}
	if l := left(t, in); len(l) != 1 || l[0] != bin {
		t.Errorf("left: %v", l)
	}
}

// A drilled database leads to no foreign server, whoever reads a foreign table; that is no difference.
func TestForeignServersAreNotTouched(t *testing.T) {
	t.Parallel()
	testkit.EachMajor(t, foreignServersAreNotTouched)
}

func foreignServersAreNotTouched(t *testing.T, major int) {
	s := testkit.Postgres(t, major)
	db, far := s.Database(t), s.Database(t)
	s.Exec(t, far, "CREATE TABLE visits (at timestamptz); CREATE FUNCTION visit() RETURNS int LANGUAGE sql AS 'INSERT INTO public.visits VALUES (now()) RETURNING 1'; CREATE VIEW seen AS SELECT public.visit() AS n")
	s.Exec(t, db, fmt.Sprintf(`CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '%s', port '%d', dbname '%s');
CREATE USER MAPPING FOR postgres SERVER far OPTIONS (user 'postgres'); CREATE FOREIGN TABLE seen (n int) SERVER far;
CREATE MATERIALIZED VIEW copied AS SELECT n FROM seen`, s.Socket, s.Port, far))
	visits := func() string { return s.Query(t, far, "SELECT count(*) FROM visits") }
	c := logicaltest.CaptureOf(t, s, db, dump.Options{})
	before := visits()
	in := rooms(t)
	r, err := drill(t, drilling.Job{Rooms: in, BinDir: s.BinDir, Questions: []drilled.Question{{Name: "far", SQL: "SELECT count(*) = 1 FROM seen"}}}, c, c.Tree)
	if err != nil {
		t.Fatal(err)
	}
	if now := visits(); now != before {
		t.Errorf("visited %s times, and then %s times", before, now)
	}
	if r.Server.Major != major || len(r.Findings) != 1 || r.Findings[0].Object != "far" || !strings.Contains(r.Findings[0].What, drilled.NoHandler) {
		t.Errorf("%+v", r.Findings)
	}
	if !slices.ContainsFunc(r.Proof.Checks, func(c cofre.Checked) bool {
		return strings.Contains(c.What, "foreign server far") || strings.Contains(c.What, "server")
	}) {
		t.Errorf("the server was not compared: %+v", r.Proof.Checks)
	}
}
