package language

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Entry is one sentence of a catalogue. Its files are PO files of gettext, which translators and their tools know.
type Entry struct {
	Context     string   // the code of a message; "help" for a text of the help, which its English names
	ID          string   // the English, as it stands in the code
	PluralID    string   // the English for every number but 1, if the sentence depends on one
	Translation []string // as many as there are forms: one, or that of 1 (and 0, in Portuguese) and that of the others
	Places      []string // the packages that say it
}

// HelpContext is the context of the texts of the help.
const HelpContext = "help"

// Forms is how many translations the entry needs.
func (e Entry) Forms() int {
	if e.PluralID != "" {
		return 2
	}
	return 1
}

// Translated reports whether no form is missing.
func (e Entry) Translated() bool {
	return len(e.Translation) == e.Forms() && !slices.Contains(e.Translation, "")
}

// ParsePO reads one file of a catalogue. The header, whose ID is empty, is no entry.
//
// Errors: one that quotes the line that is of no PO file.
func ParsePO(text string) ([]Entry, error) {
	var all []Entry
	var e Entry
	var field *string
	end := func() {
		if e.ID != "" {
			all = append(all, e)
		}
		e, field = Entry{}, nil
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" {
			end()
			continue
		}
		if places, ok := strings.CutPrefix(line, "#: "); ok {
			e.Places = strings.Fields(places)
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		keyword, quoted, _ := strings.Cut(line, " ")
		switch {
		case keyword == "msgctxt":
			field = &e.Context
		case keyword == "msgid":
			field = &e.ID
		case keyword == "msgid_plural":
			field = &e.PluralID
		case strings.HasPrefix(keyword, "msgstr"):
			e.Translation = append(e.Translation, "")
			field = &e.Translation[len(e.Translation)-1]
		default:
			quoted = line // a text goes on
		}
		said, err := strconv.Unquote(quoted)
		if err != nil || field == nil {
			return nil, fmt.Errorf("line %d of the catalogue: not of a PO file: %s", n, line)
		}
		*field += said
	}
	end()
	return all, nil
}

// header says what Poedit, msgfmt and others need to know.
const header = `# The Portuguese of cofre. The English is in the code, where it is used; make golden brings new sentences here, with an empty
# msgstr, and takes away those that nothing says any more. docs/contributing/messages.md says how.
msgid ""
msgstr ""
"Language: pt_BR\n"
"MIME-Version: 1.0\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Content-Transfer-Encoding: 8bit\n"
"Plural-Forms: nplurals=2; plural=(n > 1);\n"
`

// FileOf is the name of the file of a catalogue in which an entry of a context stands: what is before the first dot of a code is its
// area, and each area has a file; so has the help.
func FileOf(context string) string {
	area, _, _ := strings.Cut(context, ".")
	return area + ".po"
}

// ReadCatalogue reads every file of a catalogue, in the order of their names.
//
// Errors: those of files; those of ParsePO, and that an entry stands in another file than its own, with the name of the
// file.
func ReadCatalogue(files fs.FS) ([]Entry, error) {
	names, err := fs.Glob(files, "*.po")
	if err != nil {
		return nil, err
	}
	var all []Entry
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		entries, err := ParsePO(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, e := range entries {
			if FileOf(e.Context) != name {
				return nil, fmt.Errorf("%s: %s belongs into %s", name, e.Context, FileOf(e.Context))
			}
		}
		all = append(all, entries...)
	}
	return all, nil
}

// WriteCatalogue writes the files of a catalogue into a folder, and removes those in which nothing stands any more.
//
// Errors: those of the operating system.
func WriteCatalogue(dir string, entries []Entry) error {
	byFile := map[string][]Entry{}
	for _, e := range entries {
		byFile[FileOf(e.Context)] = append(byFile[FileOf(e.Context)], e)
	}
	old, err := filepath.Glob(filepath.Join(dir, "*.po"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if byFile[filepath.Base(path)] == nil {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	for name, of := range byFile {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(FormatPO(of)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// FormatPO writes a file of a catalogue: its entries by context, then by their English.
func FormatPO(entries []Entry) string {
	entries = slices.Clone(entries)
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.Context, b.Context), strings.Compare(a.ID, b.ID))
	})
	var b strings.Builder
	b.WriteString(header)
	for _, e := range entries {
		b.WriteByte('\n')
		if len(e.Places) > 0 {
			b.WriteString("#: " + strings.Join(e.Places, " ") + "\n")
		}
		writeField(&b, "msgctxt", e.Context)
		writeField(&b, "msgid", e.ID)
		if e.PluralID == "" {
			writeField(&b, "msgstr", form(e, 0))
			continue
		}
		writeField(&b, "msgid_plural", e.PluralID)
		for i := range e.Forms() {
			writeField(&b, fmt.Sprintf("msgstr[%d]", i), form(e, i))
		}
	}
	return b.String()
}

func form(e Entry, i int) string {
	if i < len(e.Translation) {
		return e.Translation[i]
	}
	return ""
}

// writeField writes a text of several lines with a line each.
func writeField(b *strings.Builder, keyword, text string) {
	lines := strings.SplitAfter(text, "\n")
	if len(lines) > 1 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) > 1 {
		lines = append([]string{""}, lines...)
	}
	for i, line := range lines {
		if i == 0 {
			b.WriteString(keyword + " ")
		}
		b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(line) + "\"\n")
	}
}
