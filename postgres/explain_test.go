package postgres_test

import (
	"errors"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
)

// A server that is reached, and says that it does not reach another one of a foreign table, is no server that cannot be reached.
func TestExplainOfAForeignServer(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	s.Exec(t, db, `CREATE EXTENSION postgres_fdw; CREATE SERVER gone FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1');
CREATE USER MAPPING FOR PUBLIC SERVER gone; CREATE FOREIGN TABLE public.f (id int) SERVER gone`)
	conn := s.Conn(t, db)
	_, err := conn.Exec(t.Context(), "SELECT FROM public.f")
	if err = postgres.Explain(err); err == nil || errors.Is(err, cofre.ErrUnreachable) {
		t.Error(err)
	}
	for _, code := range []string{"08006", "08003", "08000"} {
		_, err := conn.Exec(t.Context(), "DO $$BEGIN RAISE EXCEPTION 'elsewhere' USING ERRCODE = '"+code+"'; END$$")
		if err = postgres.Explain(err); err == nil || errors.Is(err, cofre.ErrUnreachable) {
			t.Errorf("%s: %v", code, err)
		}
	}
	_, err = conn.Exec(t.Context(), "SELECT pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid())")
	if err = postgres.Explain(err); !errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("ended: %v", err)
	}
}

func TestAProgramWhoseSessionIsCutSaysSo(t *testing.T) {
	said := "pg_restore: error: could not execute query: FATAL:  terminando la conexión debido a una orden del administrador\nserver closed the connection unexpectedly"
	err := postgres.ExplainProgram(errors.New("restore post-data"), said)
	if !errors.Is(err, cofre.ErrUnreachable) || cofre.Hint(err) == "" || err.Error() != "restore post-data" {
		t.Errorf("cut: %v, hint %q", err, cofre.Hint(err))
	}
	if err := postgres.ExplainProgram(errors.New("restore post-data"), "ERROR:  out of shared memory"); errors.Is(err, cofre.ErrUnreachable) {
		t.Errorf("another error: %v", err)
	}
}
