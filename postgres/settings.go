package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre"
)

// A role, a database, the server's configuration and a login trigger may all have set run-time parameters of a
// session. What of these changes the text of a value, the time a statement is given, the meaning of a statement or
// whether it is carried out, is set by Connect in every session, and in those of the programs by PGOPTIONS, which
// wins over roles and databases. What only changes how fast the server works and what it logs stays as it is, and how
// it plans but for the joins; so does what code of the database itself depends on when it is run: default_text_search_config,
// lc_time, lc_numeric, xmlbinary, the order of day and month in DateStyle.
//
// Source: pg_settings of PostgreSQL 13 to 18 whose context is user or superuser.

// pinned is a parameter and the value that our sessions have.
type pinned struct {
	name, value string
	superuser   bool // may be set by superusers alone; others are left with what they have
	only        programs
}

type programs int

const (
	everywhere programs = iota
	sessions            // the programs set it themselves, or must not have it
	tools               // it must be there before the session begins
)

var pins = []pinned{
	// Time.
	{name: "statement_timeout", value: "0"},
	{name: "lock_timeout", value: "0"},
	{name: "idle_in_transaction_session_timeout", value: "0"},
	{name: "idle_session_timeout", value: "0"}, // from 14
	{name: "transaction_timeout", value: "0"},  // from 17
	// Text.
	{name: "client_encoding", value: utf8, only: sessions}, // or the database's own: clientEncoding
	{name: "DateStyle", value: "ISO", only: sessions},
	{name: "TimeZone", value: "UTC", only: sessions},
	{name: "IntervalStyle", value: "postgres"},
	{name: "extra_float_digits", value: "3"},
	{name: "bytea_output", value: "hex"},
	{name: "xmloption", value: "content"},
	{name: "array_nulls", value: "on"},
	{name: "quote_all_identifiers", value: "off"},
	{name: MoneySetting, value: MoneyLocale, only: sessions},
	{name: "lc_messages", value: "C", superuser: true}, // what the server says is read by us
	{name: "client_min_messages", value: "error"},      // a warning of the login, that a setting is wrong, among them
	// Meaning.
	{name: "search_path", value: "", only: sessions},
	{name: "standard_conforming_strings", value: "on"},
	{name: "backslash_quote", value: "safe_encoding"},
	{name: "escape_string_warning", value: "off"},
	{name: "operator_precedence_warning", value: "off"}, // up to 13
	{name: "transform_null_equals", value: "off"},
	{name: "row_security", value: "off", only: sessions}, // an error, not fewer rows, if a policy would hide some
	{name: "restrict_nonsystem_relation_kind", value: ""},
	{name: "gin_fuzzy_search_limit", value: "0"},
	{name: "synchronize_seqscans", value: "off"},
	{name: "default_table_access_method", value: "heap"},
	{name: "default_tablespace", value: ""},
	{name: "createrole_self_grant", value: ""}, // from 16
	{name: "session_replication_role", value: "origin", superuser: true},
	{name: "zero_damaged_pages", value: "off", superuser: true},
	{name: "ignore_checksum_failure", value: "off", superuser: true},
	// Plans: joins that a role or a database has switched off make a comparison of rows quadratic.
	{name: "enable_hashjoin", value: "on", only: sessions},
	{name: "enable_mergejoin", value: "on", only: sessions},
	{name: "enable_sort", value: "on", only: sessions},
	// Progress.
	{name: "default_transaction_isolation", value: "read committed"},
	{name: "default_transaction_read_only", value: "off"},
	{name: "default_transaction_deferrable", value: "off"},
	{name: "check_function_bodies", value: "off", only: sessions},
	{name: "exit_on_error", value: "off"},
	{name: "icu_validation_level", value: "warning"},                     // from 16
	{name: "event_triggers", value: "off", superuser: true, only: tools}, // from 17
}

// MoneySetting is the parameter that says how values of type money are written and read, and MoneyLocale its value in
// every session: the one that all systems have.
const (
	MoneySetting = "lc_monetary"
	MoneyLocale  = "C"
)

const utf8 = "UTF8"

// clientEncoding is, in SQL, the encoding of a session's texts: UTF-8, or that of the database if IsBytes.
const clientEncoding = "CASE WHEN pg_catalog.current_setting('server_encoding') OPERATOR(pg_catalog.=) ANY (ARRAY['SQL_ASCII', 'MULE_INTERNAL']) THEN pg_catalog.current_setting('server_encoding') ELSE '" + utf8 + "' END"

// IsBytes reports whether the texts of a session in a database of this encoding are the bytes that they are: SQL_ASCII says
// nothing of them, and from MULE_INTERNAL no server has a way to UTF-8. Connect leaves them so.
//
// Source: PostgreSQL, src/backend/utils/mb/mbutils.c, PrepareClientEncoding, and pg_conversion.
func IsBytes(encoding string) bool { return encoding == "SQL_ASCII" || encoding == "MULE_INTERNAL" }

// What is kept with a connection.
const (
	keyOptions = "cofre.options" // that set the parameters of a program's session
	keyPooled  = "cofre.pooled"  // the server's session is a pooler's
	keyFound   = "cofre.found"   // the parameters as they were before they were set
)

// loginOptions remembers how sessions of a role at a server are begun, once one has been: a login trigger, from
// version 17, runs before the session can be told anything, and a superuser may keep it from running.
var loginOptions sync.Map

func loginKey(p *pgx.ConnConfig) string { return fmt.Sprintf("%s:%d %s", p.Host, p.Port, p.User) }

const noLoginTriggers = "-c event_triggers=off"

func addOptions(params map[string]string, options string) {
	params["options"] = strings.TrimSpace(params["options"] + " " + options)
}

// login opens the session.
func login(ctx context.Context, p *pgx.ConnConfig) (*pgx.Conn, error) {
	plain := p.Copy()
	if o, ok := loginOptions.Load(loginKey(p)); ok && o != "" {
		addOptions(p.RuntimeParams, o.(string))
		conn, err := pgx.ConnectConfig(ctx, p)
		if err == nil || !refusesOptions(err) {
			return conn, err
		}
		loginOptions.Delete(loginKey(p)) // another server, role or pooler is there by now
	}
	conn, err := pgx.ConnectConfig(ctx, plain)
	var server *pgconn.PgError
	if err == nil || !errors.As(err, &server) || refusesLogin(server) {
		return conn, err
	}
	// A trigger's error may be any.
	without := plain.Copy()
	addOptions(without.RuntimeParams, noLoginTriggers)
	conn, again := pgx.ConnectConfig(ctx, without)
	if again == nil {
		return conn, nil
	}
	if errors.As(again, &server) && server.Code == "42501" && strings.Contains(server.Message, "event_triggers") {
		err = &loginFailure{err}
	}
	return nil, err
}

// refusesOptions reports whether the error is about the parameter that keeps login triggers from running: the role may not set it, the version
// does not know it, or a pooler takes no options. Any other error says nothing of it, and without it the triggers of the database would run.
func refusesOptions(err error) bool {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return false
	}
	return server.Code == "08P01" || strings.Contains(server.Message, "event_triggers")
}

// loginFailure is an error that a login trigger may have raised.
type loginFailure struct{ error }

func (f *loginFailure) Unwrap() error { return f.error }

// refusesLogin reports whether the error is the server's own answer to who comes and to where.
func refusesLogin(e *pgconn.PgError) bool {
	switch e.Code {
	case "28000", "28P01", "3D000", "57P03", "53300", "55000", "08P01":
		return true
	}
	return e.Code == "42501" && e.Routine == "CheckMyDatabase"
}

// pin sets the parameters of a session that has just begun.
func (c Config) pin(ctx context.Context, conn *pgx.Conn) error {
	begun, err := c.set(ctx, conn)
	if err != nil {
		return err
	}
	if begun.pooled {
		// Nothing has been left in the server's session: set does so only if it is ours alone.
		if err := c.refuseSharedSession(ctx, conn, begun.pid); err != nil {
			return err
		}
		conn.PgConn().CustomData()[keyPooled] = true
		if _, err := c.setAll(ctx, conn, "false"); err != nil {
			return err
		}
	}
	if begun.role != "none" {
		// Whoever gave the role of the session another one to act as meant it; a database means its applications.
		var database bool
		if err := conn.QueryRow(ctx, roleOfDatabase).Scan(&database); err != nil {
			return err
		}
		if database {
			if _, err := conn.Exec(ctx, "SET ROLE NONE"); err != nil {
				return err
			}
			if begun, err = c.set(ctx, conn); err != nil {
				return err
			}
			begun.options += " -c role=none"
		}
	}
	data := conn.PgConn().CustomData()
	data[keyFound], data[keyOptions] = begun.found, begun.options
	if !begun.pooled {
		loginOptions.Store(loginKey(conn.Config()), begun.login)
	}
	return nil
}

// roleOfDatabase asks whether it was a database that said which role the session acts as: of what may say so, the first counts that names the role of
// the session and the database, the role, the database, or neither. pg_settings does not list the parameter.
//
// Source: PostgreSQL, src/backend/utils/init/postinit.c, process_settings, and guc.h, GucSource.
const roleOfDatabase = `SELECT coalesce((SELECT NOT s.setdatabase IN (0) FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c
 WHERE pg_catalog.starts_with(c, 'role=') AND s.setdatabase IN (0, (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname IN (pg_catalog.current_database())))
   AND s.setrole IN (0, (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname IN (session_user)))
 ORDER BY s.setrole IN (0), s.setdatabase IN (0) LIMIT 1), false)`

// beginning is what a session was when it began.
type beginning struct {
	pid     string
	pooled  bool // the server's session is not this connection's own
	role    string
	options string // that do the same for a program
	login   string // that keep login triggers from running
	found   map[string]string
}

func (c Config) set(ctx context.Context, conn *pgx.Conn) (beginning, error) {
	pid := strconv.FormatUint(uint64(conn.PgConn().PID()), 10)
	// A pooler makes the key up that it gives to its clients.
	return c.setAll(ctx, conn, "pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.<>) "+pid)
}

// setAll sets all parameters; for one transaction only if local is true in SQL. Its statements are carried out with the search_path that the
// database's owner chose, and often as a superuser: each function, relation and operator in them is that of pg_catalog by name. IN, and CASE
// with a value, name no operator, and the parser looks for theirs along that path.
//
// Source: PostgreSQL, src/backend/parser/parse_expr.c, transformAExprIn, transformCaseExpr.
func (c Config) setAll(ctx context.Context, conn *pgx.Conn, local string) (b beginning, err error) {
	var values []string
	add := func(name, value string, superuser bool) {
		values = append(values, fmt.Sprintf("(%s, %s, %t)", literal(name), value, superuser))
	}
	for _, p := range pins {
		if _, ours := c.Settings[p.name]; !ours && p.only != tools && !slices.Contains(c.asFound, p.name) {
			value := literal(p.value)
			if p.name == "client_encoding" {
				value = clientEncoding
			}
			add(p.name, value, p.superuser)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		add(name, literal(c.Settings[name]), false)
	}
	if _, ours := c.Settings["synchronous_commit"]; !ours {
		// What is reported as done is done: a commit waits for its WAL.
		const now = "pg_catalog.current_setting('synchronous_commit')"
		add("synchronous_commit", "CASE WHEN "+now+" OPERATOR(pg_catalog.=) 'off' THEN 'local' ELSE "+now+" END", false)
	}
	// The first two are statements of their own, so that the rest is given the time it takes.
	results, err := conn.PgConn().Exec(ctx, fmt.Sprintf(`SELECT pg_catalog.set_config('statement_timeout', '0', %[1]s);
SELECT pg_catalog.set_config('exit_on_error', 'off', %[1]s);
SELECT s.name, pg_catalog.current_setting(s.name), pg_catalog.set_config(s.name, s.value, %[1]s) FROM (VALUES %[2]s) s(name, value, superuser)
 WHERE pg_catalog.current_setting(s.name, true) IS NOT NULL AND (NOT s.superuser OR pg_catalog.current_setting('is_superuser') OPERATOR(pg_catalog.=) 'on');
SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('role'), pg_catalog.current_setting('is_superuser'), coalesce(pg_catalog.current_setting('event_triggers', true), '')`,
		local, strings.Join(values, ", "))).ReadAll()
	if err != nil {
		return b, err
	}
	if len(results) != 4 || len(results[3].Rows) != 1 {
		return b, fmt.Errorf("the server answered %d of 4 statements", len(results))
	}
	b.found = map[string]string{}
	for _, row := range results[2].Rows {
		b.found[string(row[0])] = string(row[1])
	}
	last := results[3].Rows[0]
	b.pid, b.role = string(last[0]), string(last[1])
	b.pooled = b.pid != strconv.FormatUint(uint64(conn.PgConn().PID()), 10)
	if string(last[2]) == "on" && len(last[3]) > 0 {
		b.login = noLoginTriggers
	}
	b.options = toolOptions(b)
	return b, nil
}

// toolOptions are the options of a program's session: of those parameters that this server has and this role may set.
func toolOptions(b beginning) string {
	options := b.login
	for _, p := range pins {
		if _, set := b.found[p.name]; set && p.only == everywhere {
			options += " -c " + p.name + "=" + optionEscaper.Replace(p.value)
		}
	}
	return options
}

// optionEscaper writes a value as libpq's options hold it.
//
// Source: PostgreSQL, src/backend/utils/init/postinit.c, pg_split_opts.
var optionEscaper = strings.NewReplacer(`\`, `\\`, " ", `\ `)

// sharedRounds is how often two connections are asked whether they are served by one session of the server.
const sharedRounds = 5

// refuseSharedSession refuses a pooler that gives one session of the server to several clients by turns: what is
// set would be in force for the statements of others, and not for ours.
func (c Config) refuseSharedSession(ctx context.Context, conn *pgx.Conn, pid string) error {
	p, err := c.parse()
	if err != nil {
		return err
	}
	other, err := pgx.ConnectConfig(ctx, p)
	if err != nil {
		return connectError(ctx, c, err)
	}
	defer other.Close(context.WithoutCancel(ctx))
	first, second := map[string]bool{pid: true}, map[string]bool{}
	for range sharedRounds {
		for _, turn := range []struct {
			conn         *pgx.Conn
			mine, theirs map[string]bool
		}{{other, second, first}, {conn, first, second}} {
			results, err := turn.conn.PgConn().Exec(ctx, "SELECT pg_catalog.pg_backend_pid()").ReadAll()
			if err != nil {
				return err
			}
			served := string(results[0].Rows[0][0])
			turn.mine[served] = true
			if turn.theirs[served] || len(turn.mine) > 1 {
				return cofre.WithHint(&failure{"a pooler shares the sessions of the server between its clients, transaction by transaction", cofre.ErrPreflight, nil},
					cofre.Say("postgres.pooler", "connect to the server itself, or to the port at which the pooler gives each client a session (pool_mode = session; Supabase: 5432, not 6543)"))
			}
		}
	}
	return nil
}

// Close ends a session that Connect began. That of a pooler goes back as a new one would be.
//
// Errors: of closing the connection; that the settings of the session could not be given back to a pooler. A
// connection that is lost already is none of the latter.
func Close(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var err error
	if !conn.IsClosed() {
		for _, sql := range AsFound(conn) {
			if _, failed := conn.PgConn().Exec(ctx, sql).ReadAll(); failed != nil && !IsConnectionLost(failed) {
				err = errors.Join(err, fmt.Errorf("give the session back to the pooler: %w", failed))
			}
		}
	}
	return errors.Join(err, conn.Close(ctx))
}

// AsFound are the statements that make a session what it was before Connect set its parameters. There are none for a
// session that ends with its connection.
func AsFound(conn *pgx.Conn) []string {
	if conn.PgConn().CustomData()[keyPooled] == nil {
		return nil
	}
	return []string{"ROLLBACK", "DISCARD ALL"}
}

// toolsPinned are the options of a program that reaches the server as conn did.
//
// Errors: cofre.ErrPreflight if a pooler lets no options through and a parameter is what it must not be.
func toolsPinned(conn *pgx.Conn, program string) (string, error) {
	data := conn.PgConn().CustomData()
	options, _ := data[keyOptions].(string)
	dumps := program != "pg_restore" // the archive says what it was written with
	if data[keyPooled] == nil {
		if dumps {
			options += " -c " + MoneySetting + "=" + MoneyLocale
		}
		return options, nil
	}
	found, _ := data[keyFound].(map[string]string)
	var wrong []string
	for _, name := range []string{"array_nulls", "quote_all_identifiers", "standard_conforming_strings", "transform_null_equals", "default_transaction_read_only"} {
		i := slices.IndexFunc(pins, func(p pinned) bool { return p.name == name })
		if is := found[name]; is != pins[i].value {
			wrong = append(wrong, name+" = "+is)
		}
	}
	if len(wrong) > 0 {
		return "", unpinned(program, strings.Join(wrong, ", "))
	}
	return "", nil
}

func unpinned(program, setting string) error {
	return cofre.WithHint(fmt.Errorf("%s would run with %s, and the pooler lets no options through: %w", program, setting, cofre.ErrPreflight),
		cofre.Say("postgres.pooler_settings", "connect to the server itself, or take the setting from the role and the database (ALTER ROLE … RESET, ALTER DATABASE … RESET)"))
}

// ToolsMoney refuses a program that reaches the server as conn did, if it would write values of type money as the server's locale has them: a
// pooler lets no options through. Most databases have none in their definitions, and only those are written by a program.
//
// Errors: cofre.ErrPreflight.
func ToolsMoney(conn *pgx.Conn, program string) error {
	data := conn.PgConn().CustomData()
	found, _ := data[keyFound].(map[string]string)
	if is := found[MoneySetting]; data[keyPooled] != nil && !plainMoney(is) {
		return unpinned(program, MoneySetting+" = "+is)
	}
	return nil
}

// plainMoney reports whether values of type money are written as under C.
func plainMoney(locale string) bool {
	return locale == "C" || locale == "POSIX" || strings.HasPrefix(locale, "C.") || strings.HasPrefix(locale, "en_US")
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
