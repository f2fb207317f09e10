package dump

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical"
)

// textBatch is how many texts the server is asked for at once.
const textBatch = 500

// noteTexts has the server say what the texts of the archive are in UTF-8, if nobody else can: by these, a person finds a table in it. It
// has a session of its own, as a text may have no equal there.
//
// Errors: those of the session.
func (d *dump) noteTexts(ctx context.Context) error {
	if !logical.OnlyServersKnow(d.server.Encoding) {
		return nil
	}
	seen := map[string]bool{}
	var raw [][]byte
	note := func(s *string) {
		if !seen[*s] && !isASCII(*s) {
			seen[*s] = true
			raw = append(raw, []byte(*s))
		}
	}
	for i := range d.toc.Entries {
		logical.EachText(&d.toc.Entries[i], note)
	}
	for line := range strings.Lines(string(d.globals)) { // one by one: a role of another database may be no text in this encoding
		note(&line)
	}
	if len(raw) == 0 {
		return nil
	}
	conn, err := postgres.Connect(ctx, d.s.config)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	for len(raw) > 0 {
		n := min(len(raw), textBatch)
		if err := d.askTexts(ctx, conn, raw[:n]); err != nil {
			return err
		}
		raw = raw[n:]
	}
	return nil
}

// askTexts asks for several texts; one by one if one of them has no equal in UTF-8.
func (d *dump) askTexts(ctx context.Context, conn *pgx.Conn, raw [][]byte) error {
	rows, err := conn.Query(ctx, "SELECT pg_catalog.convert_from(t, $2) FROM pg_catalog.unnest($1::pg_catalog.bytea[]) WITH ORDINALITY u(t, i) ORDER BY i", raw, d.server.Encoding)
	if err != nil {
		return err
	}
	texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
	var server *pgconn.PgError
	if errors.As(err, &server) && len(raw) == 1 {
		return nil
	}
	if errors.As(err, &server) {
		for i := range raw {
			if err := d.askTexts(ctx, conn, raw[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	for i, t := range texts {
		d.facts.Texts = append(d.facts.Texts, logical.TextFact{Raw: raw[i], UTF8: t})
	}
	return nil
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
