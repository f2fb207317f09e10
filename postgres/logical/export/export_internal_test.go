package export

import (
	"bufio"
	"bytes"
	"errors"
	"testing"

	"github.com/trustlayer/cofre"
)

// However rows arrive, none ends the data of its table early, and what is a server's own passes.
func TestRowsEndWithTheirTable(t *testing.T) {
	for text, whole := range map[string]bool{
		"":                              true,
		"1\t2\n":                        true,
		"1\\.\n\\N\n":                   true,
		"\\\\.\n":                       true, // the value \.
		"\n\n":                          true,
		"\\.\n":                         false,
		"1\n\\.\n\\! touch /tmp/x\n":    false,
		"1\n\\.\r\n\\! touch /tmp/x\n":  false,
		"1\n\\.2\n":                     false, // a server of before 18 takes it for a broken end
		"1\n2":                          false,
		"\\! touch /tmp/x\n":            true, // a row, as psql reads it
		"1\n\n\\.\nDROP TABLE t;\n":     false,
		"12345678901234567890\n\\.\n\n": false,
	} {
		for _, size := range []int{1, 2, 3, 5, 1 << 10} {
			var out bytes.Buffer
			w := &copyLines{w: &out}
			var err error
			for b := []byte(text); len(b) > 0 && err == nil; {
				n := min(size, len(b))
				_, err = w.Write(b[:n])
				b = b[n:]
			}
			if err == nil {
				err = w.end()
			}
			if (err == nil) != whole || err != nil && !errors.Is(err, cofre.ErrCorrupt) {
				t.Errorf("%q by %d bytes: %v", text, size, err)
			}
			if whole && out.String() != text {
				t.Errorf("%q by %d bytes: %q was written", text, size, out.String())
			}
		}
	}
}

// Of what pg_restore writes only its own two lines go.
func TestOnlyTheLinesOfPgRestoreGo(t *testing.T) {
	for text, want := range map[string]string{
		"--\n-- d\n--\n\n\\restrict K1\n\nSELECT 1;\n\\unrestrict K1\n":      "--\n-- d\n--\n\n\nSELECT 1;\n",
		"--\n-- d\n--\n\n\\restrict K1\n\\unrestrict other\n\\restrict o\nx": "--\n-- d\n--\n\n\\unrestrict other\n\\restrict o\nx",
		"1\n2\n3\n4\n5\n6\n7\n8\n9\n\\restrict late\n\\unrestrict late\n":    "1\n2\n3\n4\n5\n6\n7\n8\n9\n\\restrict late\n\\unrestrict late\n",
		"":                "",
		"\\unrestrict \n": "\\unrestrict \n",
	} {
		for _, size := range []int{1, 7, 1 << 10} {
			var out bytes.Buffer
			w := &within{w: &out}
			for b := []byte(text); len(b) > 0; {
				n := min(size, len(b))
				if _, err := w.Write(b[:n]); err != nil {
					t.Fatal(err)
				}
				b = b[n:]
			}
			if err := w.end(); err != nil || out.String() != want {
				t.Errorf("%q by %d bytes: %q, %v", text, size, out.String(), err)
			}
		}
	}
}

func TestFormulasAreDefused(t *testing.T) {
	for field, want := range map[string]string{
		"=1+1": "'=1+1", "+cmd|' /C calc'!A0": "'+cmd|' /C calc'!A0", "-2+3": "'-2+3", "@SUM(A1)": "'@SUM(A1)",
		"\tx": "'\tx", "\r=1": "\"'\r=1\"", "\n=1": "\"'\n=1\"", "＝1": "'＝1",
		"=\"a\",b": "\"'=\"\"a\"\",b\"",
		"-5":       "-5", "+5.25": "+5.25", "-1e-7": "-1e-7", "1=1": "1=1", "": `""`, "a@b": "a@b", "'x": "'x",
	} {
		var out bytes.Buffer
		w := &csvWriter{Writer: bufio.NewWriter(&out), spreadsheet: true}
		w.field([]byte(field))
		if err := w.Flush(); err != nil || out.String() != want {
			t.Errorf("%q becomes %q, %v, want %q", field, out.String(), err, want)
		}
		if changed := want != field && field != ""; (w.defused == 1) != changed {
			t.Errorf("%q: %d counted", field, w.defused)
		}
	}
}
