package logical_test

import (
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
	"github.com/trustlayer/cofre/restore/targettest"
)

func TestADatabaseKeepsWhatItPromises(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	source := s.Database(t)
	s.Exec(t, source, `CREATE TABLE public.answers (id int PRIMARY KEY, body text); INSERT INTO public.answers SELECT i, 'as captured' FROM generate_series(1, 1000) i`)
	c := captureOf(t, s, source, dump.Options{})
	place := func(live string, o restoring.RestoreOptions, promise cofre.Promise) func(*testing.T) targettest.Place {
		return func(t *testing.T) targettest.Place {
			name := s.Database(t) + "_x"
			o := o
			o.Server, o.Name, o.Jobs = options(s, name).Server, name, 2
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
				New: func() cofre.Target { return restoring.NewTarget(o) }, Component: c.Component, Tree: c.tree, Promise: promise,
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
						s.Exec(t, "postgres", "ALTER DATABASE "+kept+" RENAME TO "+name)
					}
				},
			}
		}
	}
	t.Run("beside what there is", func(t *testing.T) {
		targettest.Run(t, place("", restoring.RestoreOptions{}, cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacesNothing, Undoable: true}))
	})
	t.Run("in the place of another", func(t *testing.T) {
		targettest.Run(t, place(`CREATE TABLE public.answers AS SELECT 1 AS id, 'the work of today' AS body`, restoring.RestoreOptions{Replace: true}, cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept, Undoable: true}))
	})
	t.Run("data alone, in a copy of what is there", func(t *testing.T) {
		o := restoring.RestoreOptions{Replace: true, Filter: logical.Filter{DataOnly: true}}
		targettest.Run(t, place("CREATE TABLE public.answers (id int PRIMARY KEY, body text)", o, cofre.Promise{Staging: cofre.StagedApart, Replaced: cofre.ReplacedKept, Undoable: true}))
	})
}
