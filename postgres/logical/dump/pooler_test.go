package dump_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/logical/logicaltest"
)

// pooled stands between clients and a server as a pooler does that gives each client a session: it lets no options through, and
// makes up the key of the session.
func pooled(t *testing.T, s *testkit.Server, db string) postgres.Config {
	t.Helper()
	c := s.Config(db)
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	socket := fmt.Sprintf("%s/.s.PGSQL.%s", q.Get("host"), q.Get("port"))
	dir := t.TempDir()
	l, err := net.Listen("unix", dir+"/.s.PGSQL."+q.Get("port"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go serve(client, socket)
		}
	}()
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	c.URL = u.String()
	return c
}

func serve(client net.Conn, socket string) {
	defer client.Close()
	server, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer server.Close()
	begin, err := message(client, 0)
	if err != nil {
		return
	}
	words := strings.Split(string(begin[8:]), "\x00")
	kept := append([]byte{0, 0, 0, 0}, begin[4:8]...)
	for i := 0; i+1 < len(words) && words[i] != ""; i += 2 {
		if words[i] != "options" {
			kept = append(kept, words[i]+"\x00"+words[i+1]+"\x00"...)
		}
	}
	kept = append(kept, 0)
	binary.BigEndian.PutUint32(kept, uint32(len(kept)))
	if _, err := server.Write(kept); err != nil {
		return
	}
	for {
		m, err := message(server, 1)
		if err != nil {
			return
		}
		if m[0] == 'K' {
			m[5] ^= 0x40
		}
		if _, err := client.Write(m); err != nil {
			return
		}
		if m[0] == 'Z' || m[0] == 'E' {
			break
		}
	}
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
}

// message reads one message of the protocol, whose length follows kind bytes.
func message(r io.Reader, kind int) ([]byte, error) {
	head := make([]byte, kind+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[kind:])-4)
	_, err := io.ReadFull(r, body)
	return append(head, body...), err
}

// TestAPoolerOfSessionsIsGoodEnough: it lets no options through, and a program writes amounts of money as the server's locale has them. That
// matters only if a definition holds one.
func TestAPoolerOfSessionsIsGoodEnough(t *testing.T) {
	t.Parallel()
	s := testkit.Postgres(t, 0)
	db := s.Database(t)
	locale := ""
	for _, l := range []string{"pt_BR.utf8", "es_ES.utf8", "de_DE.utf8"} {
		if _, err := s.Conn(t, db).Exec(t.Context(), "SET lc_monetary = '"+l+"'"); err == nil {
			locale = l
		}
	}
	if locale == "" {
		t.Skip("this machine has no locale that writes money in another way")
	}
	s.Exec(t, db, fmt.Sprintf(`ALTER DATABASE %q SET lc_monetary = '%s'; CREATE TABLE paid (id int PRIMARY KEY, m money); INSERT INTO paid VALUES (1, 1234.56::numeric::money)`, db, locale))
	src := dump.NewSource(cofre.SourceID{Installation: "test", Kind: cofre.KindDatabase, Name: db}, pooled(t, s, db), dump.Options{})
	tree, _, _ := logicaltest.Capture(t, src, 2)
	if rows := logicaltest.Read(t, tree, "archive/toc.dat"); !strings.Contains(rows, "paid") {
		t.Error("the table is not in the archive")
	}
	s.Exec(t, db, "ALTER TABLE paid ADD CHECK (m < 10000::money)")
	err := logicaltest.Failing(t, src)
	if !errors.Is(err, cofre.ErrPreflight) || !strings.Contains(err.Error(), "the definition of table paid has an amount of money: pg_dump would run with lc_monetary = "+locale) {
		t.Errorf("captured amounts as the locale has them: %v", err)
	}
}
