package fingerprint

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre/postgres"
)

// The text of a fingerprint, of which docs/formats/database-component.md has the description. A line of COPY text
// never begins with a backslash and one of these letters.
const (
	magic    = `\* cofre fingerprint 1 postgresql `
	kindMark = `\= `
	endMark  = `\.`
)

// Write reads the catalogs of the connection's database, in the transaction that is open there, and writes the
// fingerprint to w as it comes: one line for each object, in UTF-8 unless the database is in SQL_ASCII or MULE_INTERNAL. If places are
// given, as At writes them, only what is there or stands on it is read. Expressions come out with their schemas only if search_path is empty.
//
// The server prints definitions as of the moment when it is asked, and not as of the transaction's snapshot.
//
// Errors: of the connection; those of w.
func Write(ctx context.Context, conn *pgx.Conn, w io.Writer, within ...string) error {
	var major int
	var superuser bool
	var encoding, before string
	err := conn.QueryRow(ctx, `SELECT pg_catalog.current_setting('server_version_num')::int / 10000, r.rolsuper, pg_catalog.current_setting('server_encoding'), pg_catalog.current_setting('client_encoding')
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user`).Scan(&major, &superuser, &encoding, &before)
	if err != nil {
		return fmt.Errorf("read the version of the server: %w", err)
	}
	// These are many small queries, of which a server compiles what it thinks is dear.
	client := "UTF8"
	if postgres.IsBytes(encoding) {
		client = encoding
	}
	if _, err := conn.Exec(ctx, "SET LOCAL jit = off; SET LOCAL client_encoding = "+client); err != nil {
		return fmt.Errorf("prepare the transaction: %w", err)
	}
	b := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(b, "%s%d\n", magic, major)
	for _, k := range kinds(major, superuser) {
		b.WriteString(kindMark + k.name)
		for _, a := range k.placed() {
			b.WriteString("\t" + a.name)
			if a.spelled {
				b.WriteString(spelledMark)
			}
		}
		b.WriteByte('\n')
		if _, err := conn.PgConn().CopyTo(ctx, b, k.query(encoding, within)); err != nil {
			return fmt.Errorf("read the %s: %w", k.name, err)
		}
	}
	if _, err := conn.Exec(ctx, "SELECT pg_catalog.set_config('client_encoding', $1, true)", before); err != nil {
		return fmt.Errorf("give the transaction back: %w", err)
	}
	b.WriteString(endMark + "\n")
	return b.Flush()
}

// spelledMark follows the name of an attribute that is the text of a definition, placesMark that of one which has the
// places of what makes the attribute before it, or, without a name, of the object.
const (
	spelledMark = "~"
	placesMark  = "@"
)

// parseKind reads the line that begins a kind.
func parseKind(line string) (name string, attributes []attribute) {
	fields := strings.Split(strings.TrimPrefix(line, kindMark), "\t")
	for _, f := range fields[1:] {
		n, spelled := strings.CutSuffix(f, spelledMark)
		attributes = append(attributes, attribute{name: n, spelled: spelled})
	}
	return fields[0], attributes
}
