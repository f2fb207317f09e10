package cofre_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/trustlayer/cofre"
)

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"relatório – 2026.pdf":             "relatório – 2026.pdf",
		"a\x1b[2K\rlevel reached: content": `a\x1b[2K\rlevel reached: content`,
		"two\nlines\tand a tab":            `two\nlines\tand a tab`,
		"\u009b31m":                        `\u009b31m`,
		"\x9b31m":                          `\x9b31m`,
		"fdp.\u202egpj":                    `fdp.\u202egpj`,
		"\x7f\x00":                         `\x7f\x00`,
		"日本\u2028語":                        `日本\u2028語`,
		"a\u200fb\u061c":                   `a\u200fb\u061c`,
	} {
		if got := cofre.Printable(s); got != want {
			t.Errorf("%q is written %q, want %q", s, got, want)
		}
	}
	if got := cofre.PrintableLines("a\n\tb\x1bc\r\n"); got != "a\n\tb\\x1bc\\r\n" {
		t.Errorf("%q", got)
	}
}

func TestPrintableJSON(t *testing.T) {
	name := "fdp.\u202egpj \u009b31m \x7f \u2066\x1b[2K\r\n relatório 日本 \U0001f980"
	var b bytes.Buffer
	enc := json.NewEncoder(cofre.PrintableJSON(&b))
	enc.SetIndent("", "  ")
	if err := enc.Encode(map[string]string{"name": name}); err != nil {
		t.Fatal(err)
	}
	const want = `{
  "name": "fdp.\u202egpj \u009b31m \u007f \u2066\u001b[2K\r\n relatório 日本 🦀"
}
`
	if b.String() != want {
		t.Errorf("%q is written %q", name, b.String())
	}
	var back map[string]string
	if err := json.Unmarshal(b.Bytes(), &back); err != nil || back["name"] != name {
		t.Errorf("%q came back as %q, %v", name, back["name"], err)
	}
}

// Words of others draw no line of their own, whether they are an argument, a message that is one, all that is said, or the label of a source.
func TestWordsOfOthersStayOnOneLine(t *testing.T) {
	t.Parallel()
	const name, want = "db\nlevel reached: content", `db\nlevel reached: content`
	for what, got := range map[string]string{
		"argument": cofre.Say("test.kept", "{{.name}}", "name", name).Text,
		"message":  cofre.Say("test.kept", "{{.name}}", "name", cofre.Verbatim(name)).Text,
		"all":      cofre.Verbatim(name).Shown(),
	} {
		if got != want {
			t.Errorf("%s: %q", what, got)
		}
	}
	if got := (cofre.SourceID{Kind: cofre.KindDatabase, Name: name}).Label(); got != "database "+want {
		t.Errorf("label: %q", got)
	}
	if got := cofre.Verbatim(name).Text; got != name {
		t.Errorf("what a program reads: %q", got)
	}
	if got := cofre.Say("test.kept", "{{.kit}}", "kit", cofre.Block("two\nlines")).Text; got != "two\nlines" {
		t.Errorf("words of our own: %q", got)
	}
}
