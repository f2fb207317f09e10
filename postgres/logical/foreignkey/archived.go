package foreignkey

import (
	"strings"

	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Archived is the key that a statement of an archive makes, and the tables, schema and name, that it leads from and to.
//
// Source: PostgreSQL, src/bin/pg_dump/pg_dump.c, dumpConstraint.
func Archived(statement string) (k Key, from, to [2]string, ok bool) {
	table, add, _ := strings.Cut(strings.TrimSpace(statement), "\n")
	alter, isAlter := strings.CutPrefix(table, "ALTER TABLE ")
	named, adds := strings.CutPrefix(strings.TrimSpace(add), "ADD CONSTRAINT ")
	owner, _, err := pgarchive.SplitName(strings.TrimPrefix(alter, "ONLY "))
	if !isAlter || !adds || err != nil || len(owner) != 2 {
		return k, from, to, false
	}
	name, def, err := pgarchive.SplitName(named)
	if err != nil || len(name) != 1 {
		return k, from, to, false
	}
	leads, _, err := pgarchive.SplitName(behind(def, "REFERENCES"))
	if err != nil || len(leads) != 2 {
		return k, from, to, false
	}
	k = Key{Schema: owner[0], Table: owner[1], Name: name[0], To: pgarchive.Quote(leads...), def: strings.TrimSpace(strings.TrimRight(def, " \n;"))}
	return k, [2]string(owner), [2]string(leads), true
}

// Decoded is the key with its names as decode has them.
func (k Key) Decoded(decode func(string) string) Key {
	k.Schema, k.Table, k.Name, k.To, k.def = decode(k.Schema), decode(k.Table), decode(k.Name), decode(k.To), decode(k.def)
	return k
}

// NotValid is a statement that makes a key, without a word about the rows that are there.
func NotValid(statement string) string {
	return strings.TrimSuffix(strings.TrimRight(statement, " \n"), ";") + " NOT VALID;\n"
}

// Is reports whether a difference of the catalogs, by its name, is about the key. The server quotes what needs it, and Key all.
func (k Key) Is(difference string) bool {
	bare := func(s string) string { return strings.ReplaceAll(s, `"`, "") }
	of, got := bare("constraint "+k.String()), bare(difference)
	return got == of || strings.HasPrefix(got, of+": ")
}

// behind is what follows a word that stands outside of quotes.
func behind(sql, word string) string {
	for sql != "" {
		_, rest, err := pgarchive.SplitName(sql)
		if err != nil {
			rest = sql[1:]
		} else if strings.TrimSuffix(sql, rest) == word {
			return strings.TrimLeft(rest, " ")
		}
		sql = rest
	}
	return ""
}
