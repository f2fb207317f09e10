package testkit

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// sqlstate of what Statements answers: the server's own for what should never be.
const sqlstate = "XX000"

// Statements stands between cofre and the server, and returns the address of a database through it. Each statement of each session asks check
// first, and so does each command of the replication protocol; sessions of PostgreSQL's own programs ask nothing. If check returns an
// error, the server is not told of the statement, and it is answered as one that failed: the session goes on.
func (s *Server) Statements(t testing.TB, database string, check func(sql string) error) string {
	t.Helper()
	config, err := pgx.ParseConfig(s.URL(database))
	if err != nil {
		t.Fatal(err)
	}
	network, address := "tcp", net.JoinHostPort(config.Host, fmt.Sprint(config.Port))
	if strings.HasPrefix(config.Host, "/") {
		network, address = "unix", fmt.Sprintf("%s/.s.PGSQL.%d", config.Host, config.Port)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer client.Close()
				server, err := net.Dial(network, address)
				if err != nil {
					return
				}
				defer server.Close()
				(&statements{client: client, server: server, check: check, status: 'I'}).run()
			})
		}
	})
	at := url.URL{Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Host: listener.Addr().String(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return at.String()
}

// statements is one session.
type statements struct {
	client, server net.Conn
	check          func(string) error

	ours bool // begun by package postgres, and not by a program of PostgreSQL

	mu     sync.Mutex // of what is written to the client
	status byte       // of the transaction, as the server said last
}

func (s *statements) run() {
	if s.begin() != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer s.client.Close()
		s.answers()
	}()
	s.requests()
	s.server.Close()
	<-done
}

// begin passes on what a session begins with, which has no type, and refuses encryption.
func (s *statements) begin() error {
	for {
		head := make([]byte, 8)
		if _, err := io.ReadFull(s.client, head); err != nil {
			return err
		}
		rest := make([]byte, binary.BigEndian.Uint32(head)-8)
		if _, err := io.ReadFull(s.client, rest); err != nil {
			return err
		}
		if code := binary.BigEndian.Uint32(head[4:]); code == 80877103 || code == 80877104 { // TLS, GSSAPI
			if _, err := s.client.Write([]byte{'N'}); err != nil {
				return err
			}
			continue
		}
		s.ours = strings.Contains(string(rest), "\x00replication\x00") && strings.Contains(string(rest), "\x00cofre\x00")
		_, err := s.server.Write(append(head, rest...))
		return err
	}
}

func message(r io.Reader) (kind byte, all []byte, err error) {
	head := make([]byte, 5)
	if _, err := io.ReadFull(r, head); err != nil {
		return 0, nil, err
	}
	rest := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
	_, err = io.ReadFull(r, rest)
	return head[0], append(head, rest...), err
}

func (s *statements) answers() {
	for {
		kind, m, err := message(s.server)
		if err != nil {
			return
		}
		s.mu.Lock()
		if kind == 'Z' {
			s.status = m[5]
		}
		_, err = s.client.Write(m)
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// requests passes on what the client sends. A statement is a simple query, or all that is sent up to a Sync.
func (s *statements) requests() {
	inside, refused := false, false
	for {
		kind, m, err := message(s.client)
		if err != nil {
			return
		}
		// What every session of package postgres is told first, and no other.
		s.ours = s.ours || kind == 'Q' && strings.Contains(string(m), "set_config('statement_timeout'")
		switch {
		case !s.ours:
		case kind == 'Q':
			if s.check(text(m[5:])) != nil {
				if s.refuse() != nil {
					return
				}
				continue
			}
		case kind == 'P' && !inside, kind == 'B' && !inside:
			inside, refused = true, s.check(text(m[5:])) != nil
		}
		if refused {
			if kind != 'S' {
				continue
			}
			if inside, refused = false, false; s.refuse() != nil {
				return
			}
			continue
		}
		if kind == 'S' {
			inside = false
		}
		if _, err := s.server.Write(m); err != nil {
			return
		}
	}
}

func text(b []byte) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(string(b), "\x00", " ")), " ")
}

// refuse answers a statement with an error.
func (s *statements) refuse() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fields := "SERROR\x00VERROR\x00C" + sqlstate + "\x00M" + ErrInjected.Error() + "\x00\x00"
	m := binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+len(fields)))
	m = append(m, fields...)
	m = append(m, 'Z', 0, 0, 0, 5, s.status)
	_, err := s.client.Write(m)
	return err
}
