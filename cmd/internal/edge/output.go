package edge

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"

	"golang.org/x/term"

	"github.com/trustlayer/cofre/internal/pattern"
)

// errOutput says that what a command had to say could not be written.
var errOutput = errors.New("write the output")

// output is stdout or stderr, as a person sees it: what came from outside acts on no terminal. It remembers the first write that
// failed, since what prints a table looks at no error: whoever reads the result must not take half of it, or none, for all.
type output struct {
	raw   *remembering
	shown printable
}

func newOutput(w io.Writer) *output {
	o := &output{raw: &remembering{Writer: w}}
	o.shown.to = o.raw
	return o
}

func (o *output) Write(p []byte) (int, error) { return o.shown.Write(p) }

// remembering is a writer that fails once it has failed.
type remembering struct {
	io.Writer
	err error
}

func (o *remembering) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.Writer.Write(p)
	o.err = err
	return n, err
}

// Raw is what a stream of an App writes to: for data, which stays as it is, and for bars, which draw with control characters.
func Raw(stream io.Writer) io.Writer {
	if o, ok := stream.(*output); ok {
		return o.raw
	}
	return stream
}

// Printable is a stream on which nothing that came from outside acts.
func Printable(stream io.Writer) io.Writer { return &printable{to: stream} }

// IsTerminal reports whether a stream of an App is a terminal.
func IsTerminal(stream any) bool {
	f, ok := file(stream)
	return ok && term.IsTerminal(int(f.Fd()))
}

func file(stream any) (*os.File, bool) {
	if o, ok := stream.(*output); ok {
		stream = o.raw.Writer
	}
	f, ok := stream.(*os.File)
	return f, ok
}

// command is one that ends a sentence, to be pasted.
var command = pattern.Lazy(`^(.*?[^ ]): ((?:(?:/[^ ]+/)?(?:cofre|cofre-wal)|psql|pg_ctl|pg_restore|pg_dump|createdb|dropdb|pg_checksums|kopia|rm|mkdir|chgrp|chown|chmod|df|ps|sudo|ALTER|CREATE|SELECT|GRANT|DROP|REINDEX|COMMIT) .*)$`)

// Say writes one line for a person. On a terminal that is narrower it breaks between words and goes on under its text; a
// command that ends it has a line of its own, whole, so that it can be pasted. Elsewhere it stays one line, as
// logs and grep want it.
func Say(w io.Writer, lead, text string) { SayWithin(w, TerminalWidth(w), lead, text) }

// SayWithin is Say for a terminal of so many columns; 0 is none.
func SayWithin(w io.Writer, columns int, lead, text string) {
	if columns == 0 || len([]rune(lead+text)) <= columns || strings.Contains(text, "\n") {
		fmt.Fprintln(w, lead+text)
		return
	}
	if m := command().FindStringSubmatch(text); m != nil {
		fmt.Fprintf(w, "%s:\n  %s\n", Hang(lead, m[1], columns-1), m[2])
		return
	}
	fmt.Fprintln(w, Hang(lead, text, columns))
}

// SayCommand writes a command after a word such as next. On a terminal that is too narrow for both it has a line of its own.
func SayCommand(w io.Writer, word, command string) {
	if columns := TerminalWidth(w); columns > 0 && len([]rune(word+": "+command)) > columns {
		word += ":\n "
	} else {
		word += ":"
	}
	fmt.Fprintln(w, word+" "+command)
}

// TerminalWidth is how many columns a stream has, if it is a terminal, or else 0: what goes to a file or a log keeps its lines.
func TerminalWidth(stream any) int {
	f, ok := file(stream)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns < 20 {
		return helpWidth
	}
	return columns
}

// Width is how many columns a terminal has, 80 if it does not say.
func Width(stream any) int {
	if columns := TerminalWidth(stream); columns > 0 {
		return columns
	}
	return helpWidth
}

// noNulls returns v with every nil slice and map made empty, at any depth: in JSON a list that has nothing is [] and an
// object that has nothing {}, so that whoever reads it need not ask first. Fields that omit what is empty still do.
func noNulls(v any) any {
	if v == nil {
		return nil
	}
	return filled(reflect.ValueOf(v)).Interface()
}

func filled(v reflect.Value) reflect.Value {
	if v.CanInterface() {
		if _, ok := v.Interface().(interface{ MarshalJSON() ([]byte, error) }); ok {
			return v
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		p := reflect.New(v.Type().Elem())
		p.Elem().Set(filled(v.Elem()))
		return p
	case reflect.Interface:
		if v.IsNil() {
			return v
		}
		i := reflect.New(v.Type()).Elem()
		i.Set(filled(v.Elem()))
		return i
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v // bytes are a text in JSON
		}
		s := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			s.Index(i).Set(filled(v.Index(i)))
		}
		return s
	case reflect.Map:
		m := reflect.MakeMapWithSize(v.Type(), v.Len())
		for key, value := range v.Seq2() {
			m.SetMapIndex(key, filled(value))
		}
		return m
	case reflect.Struct:
		s := reflect.New(v.Type()).Elem()
		s.Set(v) // what is not exported comes along
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				s.Field(i).Set(filled(v.Field(i)))
			}
		}
		return s
	}
	return v
}
