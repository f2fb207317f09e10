package fingerprint

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
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

	// renamed, if not nil, gives objects the names by which they are compared. A kind is then read whole, into queue,
	// and the line that ends it is kept.
	renamed func(string) string
	queue   []object
	ending  string
}

// object is one line: a name and the values of the kind's attributes, of which nil is SQL's NULL.
type object struct {
	name   string
	values []*string
}

// newReader reads the first line.
//
// Errors: cofre.ErrCorrupt if r holds no fingerprint, or one of a later form.
func newReader(r io.Reader, renamed func(string) string) (*reader, error) {
	f := &reader{br: bufio.NewReaderSize(r, 64<<10), renamed: renamed}
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
		if f.renamed != nil {
			return f.rename()
		}
		return nil
	}
	if err := f.parse(line); err != nil {
		return err
	}
	if f.object.name < f.last {
		return fmt.Errorf("read the fingerprint: %s comes after %s: %w", f.object.name, f.last, cofre.ErrCorrupt)
	}
	f.last, f.more = f.object.name, true
	return nil
}

// parse reads the line of an object.
func (f *reader) parse(line string) error {
	fields := strings.Split(line, "\t")
	if f.kind == "" || len(fields) != len(f.attributes)+1 {
		return fmt.Errorf("read the fingerprint: %.80q is no object of the %s: %w", line, f.kind, cofre.ErrCorrupt)
	}
	f.object = object{name: *decode(fields[0]), values: make([]*string, len(fields)-1)}
	for i, v := range fields[1:] {
		f.object.values[i] = decode(v)
	}
	return nil
}

// rename reads the objects of a kind and gives them their other names.
func (f *reader) rename() error {
	for {
		line, err := f.line()
		if err != nil {
			return err
		}
		if line == endMark || strings.HasPrefix(line, kindMark) {
			f.ending = line
			break
		}
		if err := f.parse(line); err != nil {
			return err
		}
		f.object.name = f.renamed(f.object.name)
		for i, v := range f.object.values {
			if v != nil && !f.attributes[i].places() {
				text := f.renamed(*v)
				f.object.values[i] = &text
			}
		}
		f.queue = append(f.queue, f.object)
	}
	slices.SortFunc(f.queue, func(a, b object) int { return strings.Compare(a.name, b.name) })
	return nil
}

// next goes to the next object of the kind; more says whether there was one.
func (f *reader) next() error {
	if len(f.queue) > 0 {
		f.object, f.queue, f.more = f.queue[0], f.queue[1:], true
		return nil
	}
	if line := f.ending; line != "" {
		f.ending = ""
		return f.take(line)
	}
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
