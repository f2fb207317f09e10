package language

import (
	"embed"
	"io/fs"
	"regexp"
	"strings"
	"sync"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	tags "golang.org/x/text/language"

	"github.com/trustlayer/cofre"
)

//go:embed pt_BR/*.po
var portuguese embed.FS

// Speaker says messages in one language. The nil Speaker, and the zero one, speak English. It may be used by several goroutines.
type Speaker struct {
	say  *i18n.Localizer
	help map[string]string // by the English
}

// For returns the speaker of a language. A catalogue is read when the first sentence of its language is asked for, and once:
// who reads English pays nothing.
func For(l Language) *Speaker {
	if l == Portuguese {
		return portugueseSpeaker()
	}
	return nil
}

var portugueseSpeaker = sync.OnceValue(func() *Speaker {
	files, err := fs.Sub(portuguese, "pt_BR")
	if err != nil {
		panic("language: internal error: " + err.Error())
	}
	entries, err := ReadCatalogue(files)
	if err != nil {
		panic("language: internal error: " + err.Error()) // the files are part of the program, and a test reads them
	}
	bundle := i18n.NewBundle(tags.English)
	s := &Speaker{help: map[string]string{}}
	for _, e := range entries {
		switch {
		case !e.Translated():
		case e.Context == HelpContext:
			s.help[e.ID] = e.Translation[0]
		default:
			// Portuguese also has a form for whole millions, which reads as that of the others.
			m := &i18n.Message{ID: e.Context, Other: e.Translation[len(e.Translation)-1]}
			if e.PluralID != "" {
				m.One, m.Many = e.Translation[0], m.Other
			}
			if err := bundle.AddMessages(tags.BrazilianPortuguese, m); err != nil {
				panic("language: internal error: " + err.Error())
			}
		}
	}
	s.say = i18n.NewLocalizer(bundle, tags.BrazilianPortuguese.String())
	return s
})

// English reports whether the speaker says messages as they are in the code.
func (s *Speaker) English() bool { return s == nil || s.say == nil }

// Say renders a message. One that the catalogue does not have, of a repository that a later version wrote, say, is in English.
func (s *Speaker) Say(m cofre.Message) string {
	if s.English() || m.Code == "" {
		return m.Shown()
	}
	data := make(map[string]string, len(m.Args))
	for name, v := range m.Args {
		switch v := v.(type) {
		case cofre.Message:
			data[name] = s.Quantity(s.Say(v))
		case error:
			data[name] = s.Error(v)
		default:
			data[name] = s.Quantity(cofre.ArgText(v))
		}
	}
	asked := &i18n.LocalizeConfig{MessageID: m.Code, TemplateData: data}
	if n, ok := m.Args[cofre.CountArg].(int64); ok {
		asked.PluralCount = n
		data[cofre.CountArg] = cofre.CountText(n, ".")
	}
	text, _, err := s.say.LocalizeWithTag(asked)
	if err != nil || text == "" {
		return m.Text
	}
	return text
}

// quantity is a number with a unit, which is no version and no position.
var quantity = regexp.MustCompile(`^[0-9hm]*[0-9]\.[0-9]+( ?[KMGTPE]?i?B(/s)?|ms|s|µs| ?%)$`)

// Quantity writes a number with a unit as the language has it: 1,5 MiB. What is no such number stays as it is.
func (s *Speaker) Quantity(text string) string {
	if s.English() || !quantity.MatchString(text) {
		return text
	}
	return strings.Replace(text, ".", ",", 1)
}

// Text renders a text by the messages that stand beside it.
func (s *Speaker) Text(text string, beside cofre.Messages) string {
	if s.English() {
		return text
	}
	return s.Say(beside.Of(text))
}

// Help renders a text of the help.
func (s *Speaker) Help(english string) string {
	if s.English() {
		return english
	}
	if text, ok := s.help[strings.TrimSpace(english)]; ok {
		return text
	}
	return english
}

// Error renders an error on one line: the messages and conditions in its chain in the language, and every other word of the
// chain, which is of programs and systems, as it is.
func (s *Speaker) Error(err error) string {
	if s.English() {
		return cofre.OneLine(err)
	}
	return cofre.OneLine(said(s.chain(err)))
}

// said is a text as an error, for OneLine.
type said string

func (s said) Error() string { return string(s) }

// chain is the text of an error, in which the texts of what it says and of what it wraps are rendered, from left to right.
func (s *Speaker) chain(err error) string {
	if err == nil {
		return ""
	}
	rest := err.Error()
	var b strings.Builder
	replace := func(english, by string) {
		if english == "" {
			return
		}
		if before, after, ok := strings.Cut(rest, english); ok {
			b.WriteString(before + by)
			rest = after
		}
	}
	if t, ok := err.(cofre.Teller); ok { //nolint:errorlint // each link of the chain is looked at by itself
		replace(t.Message().Text, s.Say(t.Message()))
	}
	switch w := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		if inner := w.Unwrap(); inner != nil {
			replace(inner.Error(), s.chain(inner))
		}
	case interface{ Unwrap() []error }:
		for _, inner := range w.Unwrap() {
			if inner != nil {
				replace(inner.Error(), s.chain(inner))
			}
		}
	}
	return b.String() + rest
}
