// Package language renders messages for the person who reads them: in English, which is in the code, or in Brazilian
// Portuguese, from the catalogue, the files of pt_BR. It is for the edge, where something is shown; packages below say cofre.Say and know no
// language.
//
// Read cofre.Message first, then speaker.go.
package language

import (
	"fmt"
	"strings"

	"github.com/trustlayer/cofre"
)

// Language is one that cofre speaks, as a tag of BCP 47.
type Language string

// The languages.
const (
	English    Language = "en"
	Portuguese Language = "pt-BR"
)

// Parse reads the name of a language that a person typed: en, pt-BR, pt_BR, pt.
//
// Errors: ErrConfig, with the names that are known.
func Parse(name string) (Language, error) {
	switch strings.ToLower(strings.ReplaceAll(name, "_", "-")) {
	case "en", "en-us", "en-gb":
		return English, nil
	case "pt", "pt-br":
		return Portuguese, nil
	}
	return English, cofre.WithHint(
		cofre.Fail(cofre.Say("language.unknown", `language "{{.name}}" is not known`, "name", name), cofre.ErrConfig),
		cofre.Say("language.use", "use en or pt-BR"))
}

// FromEnvironment is the language of a locale: the first of LC_ALL, LC_MESSAGES and LANG that is set counts, as for every program.
// It is English for what is not spoken here.
func FromEnvironment(getenv func(string) string) Language {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		locale := getenv(name)
		if locale == "" {
			continue
		}
		if l, _, _ := strings.Cut(locale, "."); strings.EqualFold(l, "pt") || strings.HasPrefix(strings.ToLower(l), "pt_") {
			return Portuguese
		}
		return English
	}
	return English
}

// String is the tag.
func (l Language) String() string { return string(l) }

// Set makes a Language a flag.
//
// Errors: those of Parse.
func (l *Language) Set(name string) error {
	parsed, err := Parse(name)
	if err != nil {
		return fmt.Errorf("%w", err)
	}
	*l = parsed
	return nil
}
