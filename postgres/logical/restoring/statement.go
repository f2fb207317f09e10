package restoring

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/foreignkey"
	"github.com/trustlayer/cofre/postgres/logical/pgrestore"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// failedStatement is one statement of the archive that the server refused, and that the restore went on without.
type failedStatement struct {
	What string `json:"what"` // "statement of policy public.answers own"
	Said string `json:"said"` // what the server said
}

// foundations are the kinds of entries without which there is nothing to go on with: whatever they hold, or is made
// of them, would fail as well. Every other kind is one object, whose absence is a difference like any other.
var foundations = []string{"SCHEMA", "TABLE", "TYPE", "SHELL TYPE", "DOMAIN", "EXTENSION", "SEQUENCE", "BLOB", "BLOB METADATA", "BLOBS", "ENCODING", "STDSTRINGS", "SEARCHPATH"}

// pass remembers a statement that failed if the restore can go on without it. One that only gives an object its owner
// or its options never ends a restore.
func (t *Target) pass(m pgrestore.Message, dumpID int) bool {
	name := "of " + strings.Join(strings.Fields(m.Command), " ")
	if len(name) > 100 {
		name = strings.ToValidUTF8(name[:100], "") + "…"
	}
	if e := t.entryOf(m, dumpID); e != nil {
		if slices.Contains(foundations, e.Desc) && !strings.HasPrefix(m.Command, "ALTER ") {
			return false
		}
		name = entryName(e)
	} else if dumpID != 0 {
		return false
	}
	said := strings.TrimPrefix(m.Text, "pg_restore: error: could not execute query: ")
	t.failed = append(t.failed, failedStatement{What: "statement " + name, Said: strings.Join(strings.Fields(said), " ")})
	return true
}

// entryName names the statement of an entry: "of policy public.answers own".
func entryName(e *pgarchive.Entry) string {
	if e.Namespace == "" {
		return "of " + strings.ToLower(e.Desc) + " " + e.Tag
	}
	return "of " + strings.ToLower(e.Desc) + " " + e.Namespace + "." + e.Tag
}

// entryOf finds the entry that a message is about: pg_restore names it, except in parallel: then only the statement tells.
func (t *Target) entryOf(m pgrestore.Message, dumpID int) *pgarchive.Entry {
	for i := range t.TOC.Entries {
		if e := &t.TOC.Entries[i]; e.DumpID == dumpID || dumpID == 0 && (strings.TrimSpace(e.Defn) == m.Command || strings.TrimSpace(foreignkey.NotValid(e.Defn)) == m.Command) {
			return e
		}
	}
	return nil
}

// failures names the statements that failed as differences of their own.
func (c *checker) failures() {
	for _, f := range c.failed {
		c.proof.Checks = append(c.proof.Checks, cofre.NewChecked(cofre.Verbatim(f.What), captured(), cofre.Verbatim(f.Said), false).Because(c.lostReason(f.What), c.goneStatement(f.What)))
	}
}

// unresolved is what the server says of a name without its schema, if the search path does not lead to it.
var unresolved = pattern.Lazy(`(?:function|relation|type|operator|text search \w+|collation) .* does not exist`)

// unresolvedCodes are its SQLSTATEs: undefined function, table, object, schema.
var unresolvedCodes = []string{"42883", "42P01", "42704", "3F000"}

// explainFailure adds what is known about the reason for which a restore ended: a function that was written for a search
// path, which pg_dump's archives empty for safety, and what failed before it.
func (t *Target) explainFailure(err error, said string) error {
	if len(t.failed) > 0 {
		err = fmt.Errorf("%w; before it failed %d of the statements, the first of them %s: %s", err, len(t.failed), t.failed[0].What, t.failed[0].Said)
	}
	if t.o.SearchPath == "" && (unresolved().MatchString(said) || slices.ContainsFunc(unresolvedCodes, func(code string) bool { return logical.HasCode(err, code) })) {
		err = cofre.WithHint(err, cofre.Say("database.search_path", "an expression or a function names something without its schema, and an archive is restored with an empty search path: "+
			"--search-path public restores with that one; ALTER FUNCTION … SET search_path = … mends the function for good"))
	}
	return err
}

// adapted is the table of contents as pg_restore gets it: with the search path that was asked for, and without a
// promise about rows that are lost.
//
// Source: PostgreSQL, src/bin/pg_dump/pg_backup_archiver.c, processSearchPathEntry.
func (t *Target) adapted() ([]byte, error) {
	broken := map[int]bool{}
	for _, k := range t.brokenKeys() {
		broken[k.entry.DumpID] = true
	}
	if t.o.SearchPath == "" && len(broken) == 0 {
		return t.TOCRaw, nil
	}
	toc := *t.TOC
	toc.Entries = slices.Clone(t.TOC.Entries)
	for i := range toc.Entries {
		e := &toc.Entries[i]
		if broken[e.DumpID] {
			e.Defn = foreignkey.NotValid(e.Defn)
		}
		if e.Desc == "SEARCHPATH" && t.o.SearchPath != "" {
			e.Defn = "SELECT pg_catalog.set_config('search_path', " + strings.TrimSpace(logical.Literal(t.o.SearchPath)) + ", false);\n"
		}
	}
	var b bytes.Buffer
	if err := toc.WriteDirectory(&b); err != nil {
		return nil, fmt.Errorf("write the table of contents: %w", err)
	}
	return b.Bytes(), nil
}
