package drilled

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
	"github.com/trustlayer/cofre/postgres/throwaway"
)

// usualTimeout is how long an answer may take if nobody says.
const usualTimeout = time.Minute

// Question is what a restored database is asked. Exactly one of SQL, Command and Query is set.
type Question struct {
	Name    string
	SQL     string // one statement, whose only row is true
	Command string // of the shell, that ends with 0

	// Query is asked in the name of Role, with these parameters set, and returns Rows rows, or one whose first column is Value, or is Denied.
	Query    string
	Role     string
	Settings [][2]string
	Rows     *int
	Value    *string
	Denied   bool

	Timeout time.Duration // 0 is a minute
}

// The kinds of questions.
const (
	KindSQL         = "sql"
	KindCommand     = "command"
	KindRowSecurity = "row_security"
)

func (q Question) kind() string {
	switch {
	case q.Query != "":
		return KindRowSecurity
	case q.Command != "":
		return KindCommand
	}
	return KindSQL
}

// Answer is what came of a question: what was asked, wanted and got.
type Answer struct {
	Kind string        `json:"kind"`
	Role string        `json:"role,omitempty"`
	Took time.Duration `json:"took_ns"`
	cofre.Checked
}

// Ask asks a database of a drilled server. Whatever a statement changes is taken back. What the server or a command says against it is an answer,
// not an error, and so is that nothing came in time.
//
// Errors: those of the connection; ctx's.
func Ask(ctx context.Context, s *throwaway.Server, database string, q Question) (Answer, error) {
	q.Timeout = cmp.Or(q.Timeout, usualTimeout)
	a := Answer{Kind: q.kind(), Role: q.Role}
	began, want := time.Now(), q.want()
	var got cofre.Message
	var err error
	switch a.Kind {
	case KindCommand:
		got, err = q.run(ctx, s, database)
	default:
		got, err = q.query(ctx, s.Config(database))
	}
	a.Took, a.Checked = time.Since(began), cofre.NewChecked(cofre.Verbatim(q.Name), want, got, got.Text == want.Text)
	if err != nil {
		return a, fmt.Errorf("ask the restored database %s: %w", q.Name, err)
	}
	return a, nil
}

func ended() cofre.Message  { return cofre.Say("drill.ended_well", "ended with 0") }
func denied() cofre.Message { return cofre.Say("drill.denied", "denied") }
func (q Question) late() cofre.Message {
	return cofre.Say("drill.no_answer", "no answer within {{.time}}", "time", q.Timeout.String())
}

func (q Question) want() cofre.Message {
	switch {
	case q.Command != "":
		return ended()
	case q.Rows != nil:
		return rowsOf(*q.Rows)
	case q.Value != nil:
		return cofre.Verbatim(*q.Value)
	case q.Denied:
		return denied()
	}
	return cofre.Verbatim("true")
}

func rowsOf(n int) cofre.Message { return cofre.SayN("drill.rows", n, "1 row", "{{.n}} rows") }

func (q Question) query(ctx context.Context, in postgres.Config) (got cofre.Message, err error) {
	// As the application finds it: with the search path and the forms of dates that role and database say.
	conn, err := postgres.Connect(ctx, in.LeavingAsFound("search_path", "DateStyle", "TimeZone", "IntervalStyle", "bytea_output"))
	if err != nil {
		return got, err
	}
	defer postgres.Close(ctx, conn)
	tx, err := conn.Begin(ctx)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, undone(tx.Rollback(context.WithoutCancel(ctx)))) }()
	got, err = q.within(ctx, tx)
	var said *pgconn.PgError
	switch {
	case err == nil || ctx.Err() != nil || !errors.As(err, &said) || postgres.IsConnectionLost(err):
		return got, err
	case said.Code == "57014" && strings.Contains(said.Message, "timeout"):
		return q.late(), nil
	case said.Code == "42501":
		if q.Denied {
			return denied(), nil
		}
	}
	return cofre.Verbatim(said.Message), nil
}

// undone is the error of a rollback, unless the connection is gone, which says it already.
func undone(err error) error {
	if errors.Is(err, pgx.ErrTxClosed) {
		return nil
	}
	return err
}

func (q Question) within(ctx context.Context, tx pgx.Tx) (got cofre.Message, err error) {
	set := [][2]string{{"statement_timeout", strconv.FormatInt(q.Timeout.Milliseconds(), 10)}, {"row_security", "on"}}
	for _, s := range append(set, q.Settings...) {
		if _, err := tx.Exec(ctx, "SELECT pg_catalog.set_config($1, $2, true)", s[0], s[1]); err != nil {
			return got, err
		}
	}
	if q.Role != "" {
		if _, err := tx.Exec(ctx, "SET LOCAL ROLE "+pgarchive.Quote(q.Role)); err != nil {
			return got, err
		}
	}
	rows, err := tx.Query(ctx, cmp.Or(q.Query, q.SQL), pgx.QueryResultFormats{pgx.TextFormatCode})
	if err != nil {
		return got, err
	}
	defer rows.Close()
	n, first, boolean := 0, cofre.Say("drill.no_value", "no value"), false
	for rows.Next() {
		if n++; n > 1 {
			continue // counted alone
		}
		if columns := rows.RawValues(); len(columns) > 0 && columns[0] != nil {
			first = cofre.Verbatim(string(columns[0]))
			boolean = len(columns) == 1 && rows.FieldDescriptions()[0].DataTypeOID == pgtype.BoolOID
		} else if len(columns) > 0 {
			first = cofre.Verbatim("NULL")
		}
	}
	if err := rows.Err(); err != nil {
		return got, err
	}
	switch {
	case q.Denied:
		return cofre.Say("drill.not_denied", "not denied"), nil
	case q.Rows != nil || n != 1:
		return rowsOf(n), nil
	case q.Value != nil:
		return first, nil
	case !boolean:
		return cofre.Say("drill.no_boolean", "no boolean: {{.value}}", "value", first), nil
	case first.Text == "t":
		return cofre.Verbatim("true"), nil
	}
	return cofre.Verbatim("false"), nil
}

// run runs a command with the connection in its environment.
func (q Question) run(ctx context.Context, s *throwaway.Server, database string) (got cofre.Message, err error) {
	env := append(process.BaseEnv(), "PGHOST="+s.Socket, "PGPORT="+strconv.Itoa(s.Port), "PGUSER="+s.User(), "PGDATABASE="+database, "DATABASE_URL="+s.URL(database))
	bounded, cancel := context.WithTimeout(ctx, q.Timeout)
	defer cancel()
	said := &process.Tail{}
	err = process.Run(bounded, process.Command{Path: "sh", Args: []string{"-c", q.Command}, Env: env, Stdout: said, Stderr: said, Name: q.Name})
	var exit *cofre.ToolError
	switch {
	case err == nil:
		return ended(), nil
	case ctx.Err() != nil:
		return got, context.Cause(ctx)
	case bounded.Err() != nil:
		return q.late(), nil
	case errors.As(err, &exit):
		return cofre.Say("drill.ended_badly", "ended with {{.exit}}: {{.said}}", "exit", exit.Exit, "said", lastLine(said.String())), nil
	}
	return got, err
}

func lastLine(text string) string {
	text = strings.TrimSpace(strings.ToValidUTF8(text, "\ufffd"))
	if at := strings.LastIndexByte(text, '\n'); at >= 0 {
		text = text[at+1:]
	}
	const most = 200 // bytes
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// literal writes a text as SQL.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
