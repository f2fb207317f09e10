package fingerprint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
)

// reader reads a fingerprint object by object.
type reader struct {
	br         *bufio.Reader
	major      int
	kind       string
	attributes []attribute
	object     object
	more       bool // object holds one of the kind
	ended      bool
	last       string
}

// object is one line: a name and the values of the kind's attributes, of which nil is SQL's NULL.
type object struct {
	name   string
	values []*string
}

// newReader reads the first line.
//
// Errors: cofre.ErrCorrupt if r holds no fingerprint, or one of a later form.
func newReader(r io.Reader) (*reader, error) {
	f := &reader{br: bufio.NewReaderSize(r, 64<<10)}
	line, err := f.line()
	if err != nil {
		return nil, err
	}
	major, ok := strings.CutPrefix(line, magic)
	if f.major, err = strconv.Atoi(major); !ok || err != nil {
		return nil, fmt.Errorf("read the fingerprint: its first line is %.80q: %w", line, cofre.ErrCorrupt)
	}
	if line, err = f.line(); err != nil {
		return nil, err
	}
	return f, f.take(line)
}

func (f *reader) line() (string, error) {
	s, err := f.br.ReadString('\n')
	if errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the fingerprint: it ends early: %w", cofre.ErrCorrupt)
	}
	if err != nil {
		return "", fmt.Errorf("read the fingerprint: %w", err)
	}
	return s[:len(s)-1], nil
}

// take puts a line where it belongs: it ends the fingerprint, begins a kind, or is an object.
func (f *reader) take(line string) error {
	f.more = false
	switch {
	case line == endMark:
		f.ended, f.kind = true, ""
		return nil
	case strings.HasPrefix(line, kindMark):
		f.kind, f.attributes = parseKind(line)
		f.last = ""
		return nil
	}
	fields := strings.Split(line, "\t")
	if f.kind == "" || len(fields) != len(f.attributes)+1 {
		return fmt.Errorf("read the fingerprint: %.80q is no object of the %s: %w", line, f.kind, cofre.ErrCorrupt)
	}
	f.object = object{name: *decode(fields[0]), values: make([]*string, len(fields)-1)}
	for i, v := range fields[1:] {
		f.object.values[i] = decode(v)
	}
	if f.object.name < f.last {
		return fmt.Errorf("read the fingerprint: %s comes after %s: %w", f.object.name, f.last, cofre.ErrCorrupt)
	}
	f.last, f.more = f.object.name, true
	return nil
}

// next goes to the next object of the kind; more says whether there was one.
func (f *reader) next() error {
	line, err := f.line()
	if err != nil {
		return err
	}
	return f.take(line)
}

// nextKind goes to the next kind, or to the end.
func (f *reader) nextKind() error {
	for kind := f.kind; !f.ended && f.kind == kind; {
		if err := f.next(); err != nil {
			return err
		}
	}
	return nil
}

// decode reads one value of COPY text.
//
// Source: PostgreSQL, src/backend/commands/copyto.c, CopyAttributeOutText.
func decode(s string) *string {
	if s == `\N` {
		return nil
	}
	if !strings.Contains(s, `\`) {
		return &s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			i++
			if at := strings.IndexByte("bfnrtv", s[i]); at >= 0 {
				c = "\b\f\n\r\t\v"[at]
			} else {
				c = s[i]
			}
		}
		b.WriteByte(c)
	}
	text := b.String()
	return &text
}
