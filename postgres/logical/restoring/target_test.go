package restoring_test

import (
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
	"github.com/trustlayer/cofre/restore/targettest"
)

func TestADatabaseKeepsWhatItPromises(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	source := s.Database(t)
	s.Exec(t, source, `CREATE TABLE public.answers (id int PRIMARY KEY, body text); INSERT INTO public.answers SELECT i, 'as captured' FROM generate_series(1, 1000) i`)
	c := logicaltest.CaptureOf(t, s, source, dump.Options{})
	place := func(live string, o restoring.Options, promise cofre.Promise) func(*testing.T) targettest.Place {
		return func(t *testing.T) targettest.Place {
			name := s.Database(t) + "_x"
			o := o
			o.Server, o.Name, o.Jobs = logicaltest.Options(s, name).Server, name, 2
			if live != "" {
				s.Exec(t, "postgres", "CREATE DATABASE "+name)
				s.Exec(t, name, live)
			}
			ours := func(t *testing.T) []string {
				return strings.Fields(s.Query(t, "postgres", "SELECT datname FROM pg_database WHERE datname = '"+name+"' OR starts_with(datname, '"+name+"_') ORDER BY 1"))
			}
			t.Cleanup(func() {
				for _, n := range ours(t) {
					s.Drop(t, n)
				}
			})
			return targettest.Place{
				New: func() cofre.Target { return restoring.NewTarget(o) }, Component: c.Component, Tree: c.Tree, Promise: promise,
				State: func(t *testing.T) map[string]string {
					state := map[string]string{}
					for _, n := range ours(t) {
						state[n] = s.Query(t, "postgres", "SELECT oid, datdba, datacl, datconnlimit, shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '"+n+"'") + "\n" + s.Dump(t, n)
					}
					return state
				},
				Undo: func(t *testing.T, done *cofre.Outcome) {
					s.Drop(t, done.Restored)
					for _, kept := range done.Kept {
						s.Exec(t, "postgres", "ALTER DATABASE "+kept.Where+" RENAME TO "+name)
					}
				},
			}
		}
	}
	t.Run("beside what there is", func(t *testing.T) {
		targettest.Run(t, place("", restoring.Options{}, cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}))
	})
	t.Run("in the place of another", func(t *testing.T) {
		targettest.Run(t, place(`CREATE TABLE public.answers AS SELECT 1 AS id, 'the work of today' AS body`, restoring.Options{Replace: true}, cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept, Undoable: true}))
	})
	t.Run("data alone, in a copy of what is there", func(t *testing.T) {
		o := restoring.Options{Replace: true, Filter: logical.Filter{DataOnly: true}}
		targettest.Run(t, place("CREATE TABLE public.answers (id int PRIMARY KEY, body text)", o, cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept, Undoable: true}))
	})
}

// state is every schema, relation and row of a small database; rows by table and key.
func state(t *testing.T, s *testkit.Server, database string) map[string]string {
	t.Helper()
	all := map[string]string{}
	query := func(sql string) []string { return strings.Split(s.Query(t, database, sql), "\n") }
	for _, n := range query(`SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'`) {
		all[n] = "schema"
	}
	for _, r := range query(`SELECT c.oid::regclass, c.relkind, pg_get_userbyid(c.relowner), c.relacl FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'`) {
		name, what, _ := strings.Cut(r, "|")
		all[name] = what
		if !strings.HasPrefix(what, "r|") {
			continue
		}
		for _, row := range query("SELECT id, body FROM " + name) {
			key, body, _ := strings.Cut(row, "|")
			all[name+"/"+key] = body
		}
	}
	return all
}

func TestATableKeepsWhatItPromises(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	source := s.Database(t)
	s.Exec(t, source, `CREATE TABLE public.answers (id int PRIMARY KEY, body text); INSERT INTO public.answers SELECT i, 'as captured ' || i FROM generate_series(1, 50) i`)
	c := logicaltest.CaptureOf(t, s, source, dump.Options{})
	live := `CREATE TABLE public.answers (id int PRIMARY KEY, body text); INSERT INTO public.answers SELECT i, 'as captured ' || i FROM generate_series(1, 40) i;
UPDATE public.answers SET body = 'the work of today ' || id WHERE id < 10; INSERT INTO public.answers VALUES (99, 'not captured')`
	place := func(sql string, open func(server postgres.Config) (cofre.Target, func(*testing.T)), promise cofre.Promise) func(*testing.T) targettest.Place {
		return func(t *testing.T) targettest.Place {
			database := s.Database(t)
			s.Exec(t, database, sql)
			var undo func(*testing.T) // of the newest
			return targettest.Place{
				New: func() (target cofre.Target) {
					target, undo = open(s.Config(database))
					return target
				},
				Component: c.Component, Tree: c.Tree, Promise: promise,
				State: func(t *testing.T) map[string]string { return state(t, s, database) },
				Undo:  func(t *testing.T, _ *cofre.Outcome) { undo(t) },
			}
		}
	}
	table := func(o rescue.TableOptions, undo string) func(server postgres.Config) (cofre.Target, func(*testing.T)) {
		return func(server postgres.Config) (cofre.Target, func(*testing.T)) {
			o := o
			o.Server, o.Table = server, "answers"
			return rescue.NewTable(o), func(t *testing.T) { s.Exec(t, server.DatabaseName(), undo) }
		}
	}
	apart := cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}
	t.Run("under its own name", func(t *testing.T) {
		targettest.Run(t, place("CREATE TABLE public.others (id int, body text)", table(rescue.TableOptions{}, "DROP TABLE public.answers"), apart))
	})
	t.Run("in a schema of its own", func(t *testing.T) {
		targettest.Run(t, place(live, table(rescue.TableOptions{ToSchema: "rescue"}, "DROP SCHEMA rescue CASCADE"), apart))
	})
	t.Run("merged into the live one", func(t *testing.T) {
		targettest.Run(t, place(live, func(server postgres.Config) (cofre.Target, func(*testing.T)) {
			m := rescue.NewMerge(rescue.MergeOptions{Server: server, Table: "answers", DeleteExtra: true})
			return m, func(t *testing.T) {
				s.Exec(t, server.DatabaseName(), m.Done().Undo)
				s.Exec(t, server.DatabaseName(), m.Done().Next[0].Command)
			}
		}, cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept, Undoable: true}))
	})
}
