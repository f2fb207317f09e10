package testkit

import (
	"bufio"
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
)

// Mailbox is a server of mail that takes everything, without TLS.
type Mailbox struct {
	Address string // HOST:PORT

	mu      sync.Mutex
	letters []string
}

// SMTP starts a server of mail, which ends with the test. It refuses what RFC 5321 refuses: letters that are not ASCII, as it offers no 8BITMIME, and commands in the wrong order.
func SMTP(t testing.TB) *Mailbox {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &Mailbox{Address: l.Addr().String()}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { defer c.Close(); m.talk(textproto.NewReader(bufio.NewReader(c)), c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	return m
}

// Letters are those that were taken, with their headers.
func (m *Mailbox) Letters() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]string{}, m.letters...)
}

func (m *Mailbox) talk(r *textproto.Reader, c net.Conn) {
	say := func(line string) { fmt.Fprintf(c, "%s\r\n", line) }
	say("220 testkit ESMTP")
	from, to := "", 0
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		switch word := strings.ToUpper(line); {
		case strings.HasPrefix(word, "EHLO"), strings.HasPrefix(word, "HELO"):
			say("250 testkit")
		case strings.HasPrefix(word, "MAIL FROM:<"):
			from, to = line, 0
			say("250 ok")
		case strings.HasPrefix(word, "RCPT TO:<") && from != "":
			to++
			say("250 ok")
		case word == "DATA" && to > 0:
			say("354 go on")
			lines, err := r.ReadDotLines()
			if err != nil {
				return
			}
			text := strings.Join(lines, "\n")
			if strings.ContainsFunc(text, func(r rune) bool { return r > 126 }) {
				say("554 8 bits were not offered")
				continue
			}
			m.mu.Lock()
			m.letters = append(m.letters, text)
			m.mu.Unlock()
			from = ""
			say("250 taken")
		case word == "QUIT":
			say("221 bye")
			return
		default:
			say("503 not now")
		}
	}
}
