package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/shell"
)

// Connect opens one session, named cofre in pg_stat_activity, in which the parameters that role, database, server or
// a login trigger may have set are what they have to be (settings.go). Close ends it.
//
// Errors: cofre.ErrConfig, ErrUnreachable, ErrDenied (who may come in), ErrNotFound (no such database),
// ErrPreflight (a pooler that shares sessions by transactions), with a hint; the server's own error, if it sent
// one, is *pgconn.PgError in the chain. ctx's error if it ends.
func Connect(ctx context.Context, c Config) (*pgx.Conn, error) {
	p, err := c.parse()
	if err != nil {
		return nil, err
	}
	conn, err := login(ctx, p)
	if err != nil {
		return nil, connectError(ctx, c, err)
	}
	if p.RuntimeParams["replication"] != "" {
		return conn, nil // which takes no SQL, and gives files and WAL as they are
	}
	err = c.pin(ctx, conn)
	if err != nil && ctx.Err() == nil && cutShort(conn, err) {
		// Role or database give a session so little time that it ended, or its first statement did, before it could be told anything.
		_ = conn.Close(context.WithoutCancel(ctx))
		addOptions(p.RuntimeParams, "-c statement_timeout=0")
		if !strings.HasPrefix(conn.PgConn().ParameterStatus("server_version"), "13") {
			addOptions(p.RuntimeParams, "-c idle_session_timeout=0")
		}
		if conn, err = login(ctx, p); err != nil {
			return nil, connectError(ctx, c, err)
		}
		err = c.pin(ctx, conn)
	}
	if err != nil {
		_ = conn.Close(context.WithoutCancel(ctx))
		var known *failure
		if errors.As(err, &known) {
			return nil, fmt.Errorf("connect to %s: %w", c, err)
		}
		return nil, connectError(ctx, c, fmt.Errorf("set the parameters of the session: %w", err))
	}
	return conn, nil
}

// cutShort reports whether the server may have ended a session because it was told nothing for a moment (idle_session_timeout, from 14), or its first
// statement because that took one (statement_timeout). What it says of the former is lost if it comes while the session is written to.
func cutShort(conn *pgx.Conn, err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.Code == "57P05" || canceled(err)
	}
	return conn.IsClosed() && !strings.HasPrefix(conn.PgConn().ParameterStatus("server_version"), "13")
}

// canceled reports whether a statement was given too little time.
func canceled(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == "57014"
}

// failure is a condition with the error that led to it, and a text that says it once.
type failure struct {
	text      string
	condition error
	cause     error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() []error {
	if f.cause == nil {
		return []error{f.condition}
	}
	return []error{f.condition, f.cause}
}

// Retryable reports whether the same call may succeed a little later: the server is starting, stopping, or full.
func (f *failure) Retryable() bool {
	return errors.Is(f.condition, cofre.ErrUnreachable) || errors.Is(f.condition, cofre.ErrLocked)
}

func connectError(ctx context.Context, c Config, err error) error {
	where := "connect to " + c.String()
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", where, context.Cause(ctx))
	}
	var server *pgconn.PgError
	var login *loginFailure
	if errors.As(err, &login) && errors.As(err, &server) {
		return cofre.WithHint(fmt.Errorf("%s: %w", where, server),
			cofre.Say("postgres.login_trigger", "if a login trigger raised it: connect as a superuser, who goes past it, or ALTER EVENT TRIGGER … DISABLE (SELECT evtname FROM pg_event_trigger WHERE evtevent = 'login')"))
	}
	if errors.As(err, &server) {
		hint, condition := conditionOf(c, server)
		if condition == nil {
			return fmt.Errorf("%s: %w", where, server)
		}
		return cofre.WithHint(&failure{fmt.Sprintf("%s: %s", where, server.Message), condition, err}, hint)
	}
	var network *net.OpError
	text := withoutPassword(err.Error())
	if errors.As(err, &network) {
		text = network.Error()
	}
	if i := strings.LastIndex(text, "failed to connect to"); i >= 0 {
		if _, rest, ok := strings.Cut(text[i:], ":"); ok {
			text = strings.TrimSpace(rest)
		}
	}
	return cofre.WithHint(&failure{fmt.Sprintf("%s: %s", where, text), cofre.ErrUnreachable, err},
		cofre.Say("postgres.listens", "check that PostgreSQL runs and listens there (pg_lsclusters, systemctl status postgresql), and host, port and sslmode of the URL, or without a configuration file DB_HOST and DB_PORT"))
}

// conditionOf returns what a refused connection is in the words of package cofre, nil if it is nothing of theirs.
func conditionOf(c Config, e *pgconn.PgError) (hint cofre.Message, condition error) {
	switch {
	case e.Code == "28000" && strings.Contains(e.Message, "pg_hba.conf"):
		return cofre.Say("postgres.hba", "the server's pg_hba.conf lets nobody in this way: add a line for this user, database and address, then SELECT pg_reload_conf()"), cofre.ErrDenied
	case e.Code == "28P01", e.Code == "28000":
		return cofre.Say("postgres.password", "check user and password: database.password, PGPASSWORD or the password file"), cofre.ErrDenied
	case e.Code == "3D000":
		return cofre.Say("postgres.no_database", "list the databases there: psql -l; create it: createdb {{.name}}", "name", shell.Quote(c.DatabaseName())), cofre.ErrNotFound
	case e.Code == "42501":
		return cofre.Say("postgres.grant_connect", "GRANT CONNECT ON DATABASE {{.name}} TO {{.role}}", "name", pgx.Identifier{c.DatabaseName()}.Sanitize(), "role", pgx.Identifier{c.userName()}.Sanitize()), cofre.ErrDenied
	case e.Code == "57P03":
		return cofre.Say("postgres.starting", "the server is starting or stopping: try again"), cofre.ErrUnreachable
	case e.Code == "53300":
		return cofre.Say("postgres.full", "all connections are taken: raise max_connections, or give cofre a role with reserved ones"), cofre.ErrUnreachable
	}
	return cofre.Message{}, nil
}

func cut() cofre.Message {
	return cofre.Say("postgres.cut", "the connection to PostgreSQL was cut: its log says why (a restart, a crash, pg_terminate_backend, a network fault)")
}

// Explain adds to an error of a query the condition of package cofre that it is, and a hint if there is one. The server's own
// fields stay in the chain.
//
// Errors: err with cofre.ErrDenied (SQLSTATE 42501), cofre.ErrLocked (55P03), cofre.ErrUnreachable (57P01, 57P02, 57P03, 57P05,
// 08000, 08003, 08006 if they end the session, or a connection that is lost without a word of the server), cofre.ErrDiskFull (53100) or
// cofre.ErrNotFound (3D000); others, and nil, as they are.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	var known *failure
	if errors.As(err, &known) {
		return err
	}
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		if hasCondition(err) {
			return err // a repository that is full or cannot be reached is no fault of the connection
		}
		if IsConnectionLost(err) {
			return cofre.WithHint(&failure{err.Error(), cofre.ErrUnreachable, err}, cut())
		}
		return err
	}
	condition, hint := error(nil), cofre.Verbatim(server.Hint)
	switch server.Code {
	case "42501":
		condition = cofre.ErrDenied
		if hint.IsZero() {
			hint = cofre.Say("database.grants", "cofre doctor --print-grants prints the SQL for a role that may read everything")
		}
		if strings.Contains(server.Message, "row-level security") {
			hint = cofre.Say("postgres.rows_hidden", "rows of this table are hidden from the role: ALTER ROLE … BYPASSRLS (cofre doctor --print-grants)")
		}
	case "55P03":
		condition = cofre.ErrLocked
	case "57P01", "57P02", "57P03", "08000", "08003", "08006", "57P05":
		if !IsConnectionLost(err) {
			break // of another server, as of a foreign table: this one has answered
		}
		condition = cofre.ErrUnreachable
		if hint.IsZero() {
			hint = cut()
		}
	case "53100":
		condition = cofre.ErrDiskFull
	case "53200":
		if strings.Contains(server.Hint, "max_locks_per_transaction") {
			hint = cofre.Say("database.max_locks", "too many tables for the lock table: ALTER SYSTEM SET max_locks_per_transaction = 256, then restart PostgreSQL")
		}
	case "3D000":
		condition = cofre.ErrNotFound
	}
	text := err.Error()
	if server.Detail != "" && !strings.Contains(text, server.Detail) {
		text += ": " + server.Detail
	}
	if condition != nil {
		err = &failure{text, condition, err}
	}
	if !hint.IsZero() && cofre.Hint(err) == "" {
		err = cofre.WithHint(err, hint)
	}
	return err
}

// lostByProgram are the words of libpq, in a program that we run, if its session is gone. The server's own words before them may be of any
// language.
//
// Source: PostgreSQL, src/interfaces/libpq, fe-misc.c, fe-exec.c and fe-secure-openssl.c.
var lostByProgram = []string{"server closed the connection unexpectedly", "no connection to the server", "could not receive data from server", "could not send data to server", "SSL connection has been closed unexpectedly"}

// ExplainProgram adds to an error of a program that we ran the condition that its session was cut, if said, which is what it printed, says so.
//
// Errors: err, with cofre.ErrUnreachable then.
func ExplainProgram(err error, said string) error {
	if err == nil || hasCondition(err) || !slices.ContainsFunc(lostByProgram, func(words string) bool { return strings.Contains(said, words) }) {
		return err
	}
	return cofre.WithHint(&failure{err.Error(), cofre.ErrUnreachable, err}, cut())
}

// Refused is what a server has said against something, if it did, and the session is not what is gone.
func Refused(err error) (said string, ok bool) {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || IsConnectionLost(err) {
		return "", false
	}
	return refused.Message, true
}

// IsConnectionLost reports whether err says that the session is gone: the server ended it, or the network did. A server that
// ends a session says so as FATAL or PANIC; as an ERROR it says that another server, of a foreign table, could not be reached.
func IsConnectionLost(err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return server.SeverityUnlocalized != "ERROR" && (strings.HasPrefix(server.Code, "57P") || strings.HasPrefix(server.Code, "08"))
	}
	var file *fs.PathError
	if errors.As(err, &file) {
		return false // what the system says about a file looks like a net.Error too
	}
	var network net.Error
	return errors.Is(err, net.ErrClosed) || errors.As(err, &network) || isEOF(err) || strings.Contains(err.Error(), "conn closed")
}

// hasCondition reports whether whoever made err has said already what it is.
func hasCondition(err error) bool {
	return slices.ContainsFunc([]error{
		cofre.ErrDiskFull, cofre.ErrReadOnly, cofre.ErrDenied, cofre.ErrUnreachable, cofre.ErrNoRepo, cofre.ErrCorrupt,
		cofre.ErrLocked, cofre.ErrNotFound, cofre.ErrWrongKey,
	}, func(condition error) bool { return errors.Is(err, condition) })
}
