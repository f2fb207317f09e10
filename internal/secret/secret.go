// Package secret holds values that must never be printed, and reads them by reference.
//
// It is not a vault: a Value keeps its text in memory, and only Reveal gives it out.
package secret

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
)

const redacted = "[redacted]"

// Value is a secret. Every way of printing it, JSON and slog among them, yields [redacted]; the zero Value is
// an absent secret.
type Value struct{ text string }

// New makes a secret of a text.
func New(text string) Value { return Value{text} }

// Reveal returns the text. Callers pass it on to what needs it (an environment, a protocol) and print it nowhere.
func (v Value) Reveal() string { return v.text }

// IsZero reports whether there is no secret.
func (v Value) IsZero() bool { return v.text == "" }

func (v Value) String() string               { return redacted }
func (v Value) GoString() string             { return redacted }
func (v Value) Format(f fmt.State, _ rune)   { fmt.Fprint(f, redacted) }
func (v Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (v Value) LogValue() slog.Value         { return slog.StringValue(redacted) }

// Read resolves a reference: env:NAME or file:PATH. A file's trailing line end is not part of the secret.
// A text without one of these prefixes is refused, so that a secret written into a configuration by mistake is
// noticed, and the error does not repeat it.
//
// Errors: one that names the reference, never the secret.
func Read(ref string, getenv func(string) string) (Value, error) {
	switch scheme, rest, _ := strings.Cut(ref, ":"); {
	case scheme == "env" && rest != "":
		text := getenv(rest)
		if text == "" {
			return Value{}, fmt.Errorf("environment variable %s is not set", rest)
		}
		return New(text), nil
	case scheme == "file" && rest != "":
		b, err := os.ReadFile(rest)
		if err != nil {
			var pe *fs.PathError
			if errors.As(err, &pe) {
				err = pe.Err
			}
			return Value{}, fmt.Errorf("secret file %s: %w", rest, err)
		}
		text := strings.TrimRight(string(b), "\r\n")
		if text == "" {
			return Value{}, fmt.Errorf("secret file %s is empty", rest)
		}
		return New(text), nil
	}
	return Value{}, errors.New("a secret must be a reference, env:NAME or file:PATH, never the secret itself")
}
