package export

import (
	"bufio"
	"bytes"
	"regexp"
)

// csvWriter writes fields as RFC 4180 has them.
type csvWriter struct {
	*bufio.Writer
	spreadsheet bool
	defused     int64 // fields
}

func (w *csvWriter) field(v []byte) {
	if w.spreadsheet && formula(v) {
		v = append([]byte("'"), v...)
		w.defused++
	}
	if len(v) > 0 && !bytes.ContainsAny(v, "\",\r\n") && v[0] != ' ' && v[len(v)-1] != ' ' {
		w.Write(v)
		return
	}
	w.WriteByte('"')
	w.Write(bytes.ReplaceAll(v, []byte(`"`), []byte(`""`)))
	w.WriteByte('"')
}

// formulaStarts are what a field begins with that spreadsheets compute: also in the full width of East Asian scripts.
//
// Source: OWASP, https://owasp.org/www-community/attacks/CSV_Injection
var formulaStarts = []string{"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"}

// number is what begins with a sign and computes nothing.
var number = regexp.MustCompile(`^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?$`)

// formula reports whether a spreadsheet could take a field for one.
func formula(v []byte) bool {
	for _, start := range formulaStarts {
		if bytes.HasPrefix(v, []byte(start)) {
			return !number.Match(v)
		}
	}
	return false
}
