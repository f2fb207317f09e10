package edge

import (
	"io"
	"unicode/utf8"

	"github.com/trustlayer/cofre"
)

// printable writes as cofre.PrintableLines does. It keeps back the beginning of a character until the rest of it comes.
type printable struct {
	to   io.Writer
	kept []byte
}

// Write never says that less was written than it was given, unless its writer failed.
func (w *printable) Write(p []byte) (int, error) {
	all := append(w.kept, p...)
	whole := len(all)
	for back := 1; back < utf8.UTFMax && back <= len(all); back++ {
		if utf8.RuneStart(all[len(all)-back]) {
			if !utf8.FullRune(all[len(all)-back:]) {
				whole = len(all) - back
			}
			break
		}
	}
	w.kept = append([]byte(nil), all[whole:]...)
	if whole == 0 {
		return len(p), nil
	}
	if _, err := io.WriteString(w.to, cofre.PrintableLines(string(all[:whole]))); err != nil {
		return 0, err
	}
	return len(p), nil
}
