// Package pgrestore understands what pg_restore says while it runs: what is harmless, what one statement failed with, and what ends all.
package pgrestore

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/pattern"
)

// harmless lists what pg_restore may say without the restore having failed, each with the reason. A message
// that is neither context nor on this list fails the restore: pg_restore itself goes on after an error and
// ends with "errors ignored", over a database whose policies are missing.
var harmless = []struct {
	pattern func() *regexp.Regexp
	command string // what the failed command must begin with; empty is any
	why     cofre.Message
	code    string // SQLSTATE of the error
}{
	{
		pattern.Lazy(`unrecognized configuration parameter "(transaction_timeout|default_table_access_method|idle_in_transaction_session_timeout|row_security)"`), "SET ",
		cofre.Say("database.harmless_parameter", "the programs are newer than the server; the parameter only guards the session"), "42704",
	},
	{pattern.Lazy(`schema "public" already exists`), "CREATE SCHEMA public", cofre.Say("database.harmless_there", "every new database has it"), "42P06"},
	{pattern.Lazy(`language "plpgsql" already exists`), "CREATE ", cofre.Say("database.harmless_there", "every new database has it"), "42710"},
	{pattern.Lazy(`must be owner of extension `), "COMMENT ON EXTENSION", cofre.Say("database.harmless_comment", "the comment on an extension that the server brought; only a superuser may write it"), "42501"},
	{pattern.Lazy(`(?s)database "[^"]*" has a collation version mismatch`), "", cofre.Say("database.harmless_collation", "indexes are built again with the collation of this server"), ""},
	{pattern.Lazy(`wal_level is insufficient to publish logical changes`), "", cofre.Say("database.harmless_publication", "the publication is there; the server's setting decides whether it can be used"), ""},
	{pattern.Lazy(`subscription was created, but is not connected|tables were not subscribed`), "", cofre.Say("database.harmless_subscription", "subscriptions are restored disabled, as pg_dump writes them"), ""},
}

// Message is one thing that pg_restore or the server said, with its continuation lines.
type Message struct {
	Text    string
	Command string // the statement that it is about, if it is known
}

// String is the message with the beginning of its statement.
func (m Message) String() string {
	if m.Command == "" {
		return m.Text
	}
	c := strings.Join(strings.Fields(m.Command), " ")
	if len(c) > 200 {
		c = strings.ToValidUTF8(c[:200], "") + "…"
	}
	return m.Text + " (command: " + c + ")"
}

// Listener is pg_restore's standard error. It calls Unknown once, at the first message that is not understood and
// after which the restore has no sense, and Passed for each statement that failed and that it can do without.
type Listener struct {
	Unknown func(Message)
	Known   func(m Message, why cofre.Message)
	Passed  func(m Message, dumpID int) bool // reports whether the restore can do without
	// Ask carries a statement out once more, to no effect, and returns the SQLSTATE of the error. It is nil if the server speaks
	// English, which only a superuser can have it do.
	Ask      func(command string) string
	Parallel bool // several entries at once

	mu       sync.Mutex
	line     []byte
	current  []string
	entry    int // the dump id of the entry that pg_restore is at; 0 before the first
	errors   int // those after which it went on
	reported bool
}

// context lines say where pg_restore is, and end a message.
var contextLine = pattern.Lazy(`^pg_restore: (while (INITIALIZING|PROCESSING TOC|FINALIZING):|from TOC entry )`)

// entryLine names the entry that the next messages are about, once for all of them.
var entryLine = pattern.Lazy(`^pg_restore: from TOC entry (\d+);`)

var ignoredCount = pattern.Lazy(`^pg_restore: warning: errors ignored on restore: (\d+)`)

// serverLine begins what the server says besides errors, which libpq prints as it is.
var serverLine = pattern.Lazy(`^(WARNING|NOTICE|INFO|LOG|DEBUG):  `)

// Write takes what pg_restore says next, in parts of any size. It never fails.
func (l *Listener) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line = append(l.line, p...)
	for {
		i := bytes.IndexByte(l.line, '\n')
		if i < 0 {
			return len(p), nil
		}
		l.take(string(l.line[:i]))
		l.line = append(l.line[:0], l.line[i+1:]...)
	}
}

// WentOn reports whether there were errors, and all of them were harmless or passed.
func (l *Listener) WentOn() bool { return l.errors > 0 && !l.reported }

// End judges the last message. Nothing is written afterwards.
func (l *Listener) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.line) > 0 {
		l.take(string(l.line))
		l.line = nil
	}
	l.judge()
}

func (l *Listener) take(line string) {
	if strings.HasPrefix(line, "pg_restore: ") || serverLine().MatchString(line) {
		l.judge()
		if at := entryLine().FindStringSubmatch(line); at != nil {
			l.entry, _ = strconv.Atoi(at[1])
		}
		if contextLine().MatchString(line) {
			return
		}
	}
	if len(l.current) < 1000 { // a failed command may be a megabyte long
		l.current = append(l.current, line)
	}
}

func (l *Listener) judge() {
	lines := l.current
	l.current = nil
	if len(lines) == 0 {
		return
	}
	text, command, _ := strings.Cut(strings.Join(lines, "\n"), "\nCommand was: ")
	m := Message{strings.TrimSpace(text), strings.TrimSpace(command)}
	if n := ignoredCount().FindStringSubmatch(m.Text); n != nil {
		// In parallel, pg_restore counts each entry as failed that a worker does after one that was.
		if n[1] == fmt.Sprint(l.errors) || l.Parallel && l.errors > 0 {
			return // those that were on the list
		}
		l.report(m)
		return
	}
	if m.Text == "" || strings.HasPrefix(m.Text, "NOTICE:") || strings.HasPrefix(m.Text, "INFO:") || strings.HasPrefix(m.Text, "LOG:") || strings.HasPrefix(m.Text, "DEBUG:") {
		return
	}
	for _, h := range harmless {
		if strings.HasPrefix(m.Command, h.command) && (h.pattern().MatchString(m.Text) || l.isSame(m, h.command, h.code)) {
			if strings.HasPrefix(m.Text, "pg_restore: error:") {
				l.errors++
			}
			l.Known(m, h.why)
			return
		}
	}
	// The statement was carried out. Whether the copy is what was captured is compared.
	if strings.HasPrefix(m.Text, "WARNING:  ") {
		l.Known(m, cofre.Say("database.harmless_warning", "the server carried the statement out; what came of it is compared"))
		return
	}
	if l.Ask != nil && noticeOfServer().MatchString(m.Text) {
		l.Known(m, cofre.Say("database.harmless_notice", "the server said it in its own language, of a statement that it carried out"))
		return
	}
	if !l.reported && l.Passed != nil && m.isStatement() && !l.isEnd(m) && l.Passed(m, l.entry) {
		l.errors++
		return
	}
	l.report(m)
}

// isSame reports whether an error in words that are not known has the SQLSTATE of one that is. The commands are small, and
// change nothing if they fail.
func (l *Listener) isSame(m Message, command, code string) bool {
	if l.Ask == nil || code == "" || !strings.HasPrefix(m.Text, "pg_restore: error: ") {
		return false
	}
	if command == "CREATE " && !languageCommand().MatchString(m.Command) {
		return false
	}
	return l.Ask(m.Command) == code
}

// isEnd reports whether a statement failed, in words that are not known, for a reason for which every other one would fail as well.
//
// Source: PostgreSQL, src/backend/utils/errcodes.txt, classes 08 (connection), 53 (resources), 57 (operator), 58 (system).
func (l *Listener) isEnd(m Message) bool {
	if l.Ask == nil {
		return false
	}
	switch code := l.Ask(m.Command); {
	case code == "57014": // canceled: of this one statement
		return false
	case code == AskingLost:
		return true
	default:
		return len(code) == 5 && slices.Contains([]string{"08", "53", "57", "58"}, code[:2])
	}
}

// AskingLost is the answer of Ask if the server could not be asked any more.
const AskingLost = "08006"

var languageCommand = pattern.Lazy(`^CREATE (OR REPLACE )?(TRUSTED )?(PROCEDURAL )?LANGUAGE "?plpgsql"?;$`)

// noticeOfServer begins what the server says besides errors, in any language, which libpq prints as it is: AVISO:  …
var noticeOfServer = pattern.Lazy(`^\p{L}[\p{L} ]*:  `)

// isStatement reports whether the server refused one statement and goes on with the next: not if the connection is
// gone, or the disk full, after which every other one would fail.
func (m Message) isStatement() bool {
	if m.Command == "" || !strings.HasPrefix(m.Text, "pg_restore: error: could not execute query: ") {
		return false
	}
	for _, end := range []string{"server closed the connection", "terminating connection", "no connection to the server", "connection to server was lost", "SSL SYSCALL", "No space left on device", "could not extend file", "out of memory", "out of shared memory"} {
		if strings.Contains(m.Text, end) {
			return false
		}
	}
	return true
}

func (l *Listener) report(m Message) {
	if !l.reported {
		l.reported = true
		l.Unknown(m)
	}
}
