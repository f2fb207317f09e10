package pgrestore

import (
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
)

func TestMessagesOfPgRestore(t *testing.T) {
	const harmlessAndCounted = `pg_restore: while INITIALIZING:
pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"
Command was: SET transaction_timeout = 0;
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 4021; 0 0 COMMENT EXTENSION pgcrypto
pg_restore: error: could not execute query: ERROR:  must be owner of extension pgcrypto
Command was: COMMENT ON EXTENSION pgcrypto IS 'cryptographic
functions';


pg_restore: warning: errors ignored on restore: 2
`
	for _, c := range []struct {
		name, said, unknown string
		known               int
	}{
		{"nothing", "", "", 0},
		{"a list of harmless ones", harmlessAndCounted, "", 2},
		{"a missing role", `pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 3400; 3256 16404 POLICY answers own postgres
pg_restore: error: could not execute query: ERROR:  role "app" does not exist
Command was: CREATE POLICY own ON public.answers FOR SELECT TO app USING (true);
`, `role "app" does not exist`, 0},
		{"the same words about another command", "pg_restore: error: could not execute query: ERROR:  must be owner of extension x\nCommand was: DROP EXTENSION x;\n", "must be owner", 0},
		{"grants that came to nothing", "WARNING:  no privileges were granted for \"answers\"\n", "", 1},
		{"a notice", "NOTICE:  table \"x\" does not exist, skipping\n", "", 0},
		{"a count that does not add up", strings.Replace(harmlessAndCounted, "restore: 2", "restore: 3", 1), "errors ignored on restore: 3", 2},
		{"a crash", "pg_restore: error: could not read from input file: end of file", "end of file", 0},
		{"no words of pg_restore's", "Segmentation fault\n", "Segmentation fault", 0},
	} {
		for _, size := range []int{1, 7, 10000} {
			unknown, known := "", 0
			l := &Listener{Unknown: func(m Message) { unknown = m.String() }, Known: func(Message, cofre.Message) { known++ }}
			for part := range slices.Chunk([]byte(c.said), size) {
				if _, err := l.Write(part); err != nil {
					t.Fatal(err)
				}
			}
			l.End()
			if known != c.known || (c.unknown == "") != (unknown == "") || !strings.Contains(unknown, c.unknown) {
				t.Errorf("%s, %d bytes at once: %d harmless, unknown %q", c.name, size, known, unknown)
			}
		}
	}
}

// What ends every other statement as well is no failure of one, in any language.
func TestEndsInAnotherLanguage(t *testing.T) {
	said := "pg_restore: error: could not execute query: ERRO:  x\nCommand was: CREATE VIEW v AS SELECT 1;\n"
	for code, ends := range map[string]bool{"53100": true, "53200": true, "58030": true, "57P01": true, AskingLost: true, "57014": false, "42P07": false, "55P03": false, "": false} {
		ended, passed := false, 0
		l := &Listener{
			Unknown: func(Message) { ended = true }, Known: func(Message, cofre.Message) {}, Passed: func(Message, int) bool { passed++; return true },
			Ask: func(string) string { return code },
		}
		if _, err := l.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
		l.End()
		if ended != ends || (passed == 0) != ends {
			t.Errorf("%s: ended %t, passed %d", code, ended, passed)
		}
	}
}

// A server that cannot be made to speak English is asked for the SQLSTATE of what failed.
func TestMessagesInAnotherLanguage(t *testing.T) {
	codes := map[string]string{"SET transaction_timeout = 0;": "42704", "COMMENT ON EXTENSION pgcrypto IS 'x';": "42501", "SET other = 1;": "42704", "CREATE OR REPLACE PROCEDURAL LANGUAGE plpgsql;": "42710", "CREATE VIEW v AS SELECT 1;": "42P07"}
	for _, c := range []struct {
		said, unknown string
		known         int
	}{
		{"pg_restore: error: could not execute query: ERROR:  parámetro de configuración «transaction_timeout» no reconocido\nCommand was: SET transaction_timeout = 0;\npg_restore: warning: errors ignored on restore: 1\n", "", 1},
		{"pg_restore: error: could not execute query: ERRO:  deve ser o dono da extensão pgcrypto\nCommand was: COMMENT ON EXTENSION pgcrypto IS 'x';\n", "", 1},
		{"pg_restore: error: could not execute query: ERRO:  linguagem \"plpgsql\" já existe\nCommand was: CREATE OR REPLACE PROCEDURAL LANGUAGE plpgsql;\n", "", 1},
		{"pg_restore: error: could not execute query: ERRO:  relação \"v\" já existe\nCommand was: CREATE VIEW v AS SELECT 1;\n", "já existe", 0},
		{"pg_restore: error: could not execute query: ERRO:  a extensão é de outro\nCommand was: DROP EXTENSION pgcrypto;\n", "de outro", 0},
		{"AVISO:  wal_level é insuficiente\nDICA:  x\n", "", 1},
		{"ПРЕДУПРЕЖДЕНИЕ:  x\n", "", 1},
		{"Segmentation fault\n", "Segmentation fault", 0},
		{"pg_restore: error: could not read from input file: end of file", "end of file", 0},
	} {
		unknown, known := "", 0
		l := &Listener{Unknown: func(m Message) { unknown = m.String() }, Known: func(Message, cofre.Message) { known++ }, Ask: func(command string) string { return codes[command] }}
		if _, err := l.Write([]byte(c.said)); err != nil {
			t.Fatal(err)
		}
		l.End()
		if known != c.known || (c.unknown == "") != (unknown == "") || !strings.Contains(unknown, c.unknown) {
			t.Errorf("%s: %d harmless, unknown %q", c.said, known, unknown)
		}
	}
}

func FuzzListener(f *testing.F) {
	f.Add([]byte("pg_restore: error: x\nCommand was: y\n"))
	f.Fuzz(func(t *testing.T, said []byte) {
		l := &Listener{Unknown: func(Message) {}, Known: func(Message, cofre.Message) {}}
		_, _ = l.Write(said)
		l.End()
	})
}
