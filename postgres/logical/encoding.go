package logical

import (
	"cmp"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// Encodings are those of a database, by PostgreSQL's names, whose texts are read as UTF-8 here. Names in another one
// are as they are: in UTF-8 already, or, in SQL_ASCII, in none that is known. Of the others (EUC_TW, EUC_JIS_2004) the server has
// said what the texts of an archive are: see Facts.Texts.
//
// Source: PostgreSQL, documentation, "Supported Character Sets".
var Encodings = map[string]encoding.Encoding{
	"LATIN1": charmap.ISO8859_1, "LATIN2": charmap.ISO8859_2, "LATIN3": charmap.ISO8859_3, "LATIN4": charmap.ISO8859_4, "LATIN5": charmap.ISO8859_9,
	"LATIN6": charmap.ISO8859_10, "LATIN7": charmap.ISO8859_13, "LATIN8": charmap.ISO8859_14, "LATIN9": charmap.ISO8859_15, "LATIN10": charmap.ISO8859_16,
	"ISO_8859_5": charmap.ISO8859_5, "ISO_8859_6": charmap.ISO8859_6, "ISO_8859_7": charmap.ISO8859_7, "ISO_8859_8": charmap.ISO8859_8,
	"KOI8R": charmap.KOI8R, "KOI8U": charmap.KOI8U, "WIN866": charmap.CodePage866, "WIN874": charmap.Windows874,
	"WIN1250": charmap.Windows1250, "WIN1251": charmap.Windows1251, "WIN1252": charmap.Windows1252, "WIN1253": charmap.Windows1253, "WIN1254": charmap.Windows1254,
	"WIN1255": charmap.Windows1255, "WIN1256": charmap.Windows1256, "WIN1257": charmap.Windows1257, "WIN1258": charmap.Windows1258,
	"EUC_JP": japanese.EUCJP, "EUC_KR": korean.EUCKR, "EUC_CN": simplifiedchinese.GBK,
}

// Encoded is a text of a person's in an encoding of PostgreSQL; one that cannot be written in it comes back as it is,
// and nothing has that name.
func Encoded(name, s string) string {
	if e := Encodings[name]; e != nil {
		if b, err := e.NewEncoder().String(s); err == nil {
			return b
		}
	}
	return s
}

// Decoded is a text of an archive in UTF-8.
func Decoded(name, s string) string {
	if e := Encodings[name]; e != nil {
		if u, err := e.NewDecoder().String(s); err == nil {
			return u
		}
	}
	return s
}

// OnlyServersKnow reports whether a database's encoding is one that is not among Encodings and has a way to UTF-8.
func OnlyServersKnow(name string) bool {
	return name != "UTF8" && !postgres.IsBytes(name) && Encodings[name] == nil
}

// Decode is a text of the archive in UTF-8.
func (c *Component) Decode(s string) string {
	for _, t := range c.Facts.Texts {
		if string(t.Raw) == s {
			return t.UTF8
		}
	}
	return Decoded(c.ClientEncoding(), s)
}

// DecodeLines is a script in UTF-8, line by line: one with a name that is no text in the archive's encoding stays as it is.
func (c *Component) DecodeLines(script string) string {
	if len(c.Facts.Texts) == 0 {
		return c.Decode(script)
	}
	var b strings.Builder
	for line := range strings.Lines(script) {
		b.WriteString(c.Decode(line))
	}
	return b.String()
}

// Encode is a text of a person's as the archive has it.
func (c *Component) Encode(s string) string {
	for _, t := range c.Facts.Texts {
		if t.UTF8 == s {
			return string(t.Raw)
		}
	}
	return Encoded(c.ClientEncoding(), s)
}

// EachText calls f with every text of an entry.
func EachText(e *pgarchive.Entry, f func(*string)) {
	for _, s := range []*string{&e.Tag, &e.Defn, &e.Drop, &e.Copy, &e.Namespace, &e.Tablespace, &e.TableAM, &e.Owner} {
		f(s)
	}
}

// InUTF8 returns the component with a table of contents in UTF-8, as the facts are and as people write names, and the
// encoding in which its SQL is then sent. Its rows stay as they are.
func (c Component) InUTF8() (Component, string) {
	name := c.ClientEncoding()
	decode := func(s string) string { return Decoded(name, s) }
	switch {
	case len(c.Facts.Texts) > 0:
		texts := make(map[string]string, len(c.Facts.Texts))
		for _, t := range c.Facts.Texts {
			texts[string(t.Raw)] = t.UTF8
		}
		decode = func(s string) string { return cmp.Or(texts[s], s) }
	case Encodings[name] == nil:
		return c, name
	}
	toc := *c.TOC
	toc.Entries = append([]pgarchive.Entry(nil), c.TOC.Entries...)
	for i := range toc.Entries {
		e := &toc.Entries[i]
		EachText(e, func(s *string) { *s = decode(*s) })
	}
	c.TOC, c.Made = &toc, MadeTables(&toc)
	return c, "UTF8"
}
