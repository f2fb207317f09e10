package cofre

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Message is a sentence for a person: a code that never changes its meaning, arguments with names, and the English text. Other
// languages are rendered from the code and the arguments, where a person reads them (internal/language); programs
// read the code.
//
// A value that holds sentences as texts (a Plan, a Problem, an Event) has the Messages of those texts beside them.
type Message struct {
	Code string `json:"code,omitempty"` // "catalog.not_found"; "" if these words are nobody's to translate: a command, what a server said
	Args Args   `json:"args,omitempty"`
	Text string `json:"text"` // in English

	block bool // see Block
}

// Args are the arguments of a message by their names. A value is a string, an int64, a float64, a bool, a time.Time, an error
// or a Message of its own.
type Args map[string]any

// CountArg is the argument that a sentence made by SayN is counted by.
const CountArg = "n"

// Say makes a message of a code and the sentence in English, in which {{.name}} stands for the argument of that name. Both are
// written where they are used, as literals, so that a sentence on the screen is found by grep; the test of the messages
// reads them there. Arguments are pairs of a name and a value:
//
//	cofre.Say("store.folder.missing", "make the folder with: mkdir -p {{.path}}", "path", dir)
func Say(code, english string, pairs ...any) Message {
	args := arguments(pairs)
	return Message{Code: code, Args: args, Text: fill(english, args)}
}

// SayN is Say for a sentence that depends on a number: one is for 1, many for every other. The number is the argument n.
func SayN(code string, n int, one, many string, pairs ...any) Message {
	english := many
	if n == 1 {
		english = one
	}
	args := arguments(append([]any{CountArg, n}, pairs...))
	return Message{Code: code, Args: args, Text: fill(english, args)}
}

// Verbatim makes a message of words that are the same in every language: a command, a path, what a server said.
func Verbatim(text string) Message { return Message{Text: text} }

// Block makes a message of words of our own that have lines, and keep them.
func Block(text string) Message { return Message{Text: text, block: true} }

// Shown is the message in English. Words that are no sentence of ours came from outside, perhaps: they have no lines of their own, and no control
// characters.
func (m Message) Shown() string {
	if m.Code == "" && !m.block {
		return Printable(m.Text)
	}
	return m.Text
}

// SayError makes a message of what an error says.
func SayError(err error) Message { return Say("error.said", "{{.error}}", "error", err) }

// List makes one message of several, with commas between. Zero messages are passed over.
func List(items ...Message) Message {
	return joined(items, func(first, rest Message) Message {
		return Say("list.items", "{{.first}}, {{.rest}}", "first", first, "rest", rest)
	})
}

// Series is List with semicolons, for items that have commas of their own.
func Series(items ...Message) Message {
	return joined(items, func(first, rest Message) Message {
		return Say("list.series", "{{.first}}; {{.rest}}", "first", first, "rest", rest)
	})
}

func joined(items []Message, pair func(first, rest Message) Message) (all Message) {
	for _, m := range slices.Backward(items) {
		switch {
		case m.IsZero():
		case all.IsZero():
			all = m
		default:
			all = pair(m, all)
		}
	}
	return all
}

// String is the message in English.
func (m Message) String() string { return m.Text }

// IsZero reports whether there is nothing to say.
func (m Message) IsZero() bool { return m.Code == "" && m.Text == "" }

// UnmarshalJSON reads a message, or a text of a version that had no codes.
//
// Errors: those of package json.
func (m *Message) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		*m = Message{}
		return json.Unmarshal(data, &m.Text)
	}
	type plain Message
	return json.Unmarshal(data, (*plain)(m))
}

// MarshalJSON writes errors as their text.
//
// Errors: those of package json, if a value cannot be written.
func (a Args) MarshalJSON() ([]byte, error) {
	plain := make(map[string]any, len(a))
	for name, v := range a {
		if err, ok := v.(error); ok {
			v = OneLine(err)
		}
		plain[name] = v
	}
	return json.Marshal(plain)
}

// UnmarshalJSON reads arguments back: numbers that are whole as int64, objects as messages.
//
// Errors: those of package json.
func (a *Args) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*a = make(Args, len(raw))
	for name, text := range raw {
		var whole int64
		if json.Unmarshal(text, &whole) == nil {
			(*a)[name] = whole
			continue
		}
		if len(text) > 0 && text[0] == '{' {
			var m Message
			if err := json.Unmarshal(text, &m); err != nil {
				return err
			}
			(*a)[name] = m
			continue
		}
		var v any
		if err := json.Unmarshal(text, &v); err != nil {
			return err
		}
		(*a)[name] = v
	}
	return nil
}

// Messages are the messages of the texts that stand beside them.
type Messages []Message

// Of returns the message of a text. A text that no message was made for is one without a code.
func (ms Messages) Of(text string) Message {
	for _, m := range ms {
		if m.Text == text {
			return m
		}
	}
	return Verbatim(text)
}

// with adds what has a code, once.
func (ms Messages) with(added ...Message) Messages {
	for _, m := range added {
		if m.Code != "" && ms.Of(m.Text).Code == "" {
			ms = append(ms, m)
		}
	}
	return ms
}

// arguments makes Args of pairs. A name without a value, or a name that is none, is a mistake of our own code, which the test
// of the messages finds; it is shown and not hidden.
func arguments(pairs []any) Args {
	if len(pairs) == 0 {
		return nil
	}
	args := make(Args, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok || i+1 == len(pairs) {
			panic(fmt.Sprintf("cofre: internal error: arguments of a message: %v", pairs))
		}
		args[name] = argument(pairs[i+1])
	}
	return args
}

// argument is a value of one of the few types that are written to JSON and rendered in every language.
func argument(v any) any {
	switch v := v.(type) {
	case Message, string, bool, int64, float64, time.Time, error:
		return v
	case Teller:
		return v.Message()
	case int:
		return int64(v)
	case fmt.Stringer:
		return v.String()
	}
	switch r := reflect.ValueOf(v); {
	case r.IsValid() && r.CanInt():
		return r.Int()
	case r.IsValid() && r.CanUint():
		return int64(r.Uint())
	case r.IsValid() && r.Kind() == reflect.String:
		return r.String()
	}
	return fmt.Sprint(v)
}

// ArgText is an argument as it is written into a sentence in English. Times are RFC 3339, in UTC. A text came from outside, perhaps: it
// has no lines of its own, and no control characters.
func ArgText(v any) string {
	switch v := v.(type) {
	case string:
		return Printable(v)
	case Message:
		return v.Shown()
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case error:
		return OneLine(v)
	}
	return fmt.Sprint(v)
}

// CountText writes a number with its thousands apart, by what a language puts between them. Four digits stay together.
func CountText(n int64, between string) string {
	text := strconv.FormatInt(n, 10)
	first := len(strings.TrimPrefix(text, "-"))
	if first < 5 {
		return text
	}
	sign := text[:len(text)-first]
	text = text[len(sign):]
	parts := []string{}
	for ; len(text) > 3; text = text[:len(text)-3] {
		parts = append(parts, text[len(text)-3:])
	}
	parts = append(parts, text)
	slices.Reverse(parts)
	return sign + strings.Join(parts, between)
}

// fill puts arguments into a sentence. What they hold is not looked at again.
func fill(english string, args Args) string {
	if len(args) == 0 {
		return english
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(english, "{{.")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, _ := strings.Cut(rest, "}}")
		if n, ok := args[name].(int64); ok && name == CountArg {
			b.WriteString(CountText(n, ","))
		} else {
			b.WriteString(ArgText(args[name]))
		}
		english = after
	}
}

// Teller is an error, or another value, that is a sentence of its own.
type Teller interface{ Message() Message }

// condition is one of the errors that a caller asks for with errors.Is. Its text is a message.
type condition struct{ message Message }

func conditionOf(m Message) error { return &condition{m} }

func (c *condition) Error() string    { return c.message.Text }
func (c *condition) Message() Message { return c.message }

// failure is an error whose own words are a message. Its causes stay what they are.
type failure struct {
	message Message
	causes  []error
}

// Fail makes an error of a sentence and what it wraps: a condition, a cause. Its text is that of fmt.Errorf("…: %w: %w"), and a
// person who reads another language reads the sentence and the condition in it.
func Fail(m Message, because ...error) error { return &failure{m, because} }

func (f *failure) Error() string {
	text := f.message.Text
	for _, c := range f.causes {
		text += ": " + c.Error()
	}
	return text
}

func (f *failure) Message() Message { return f.message }
func (f *failure) Unwrap() []error  { return f.causes }

// MessagesOf are the messages in the chain of an error, from the outside in, its hint first: what it says, and its conditions.
func MessagesOf(err error) Messages {
	if err == nil {
		return nil
	}
	var all Messages
	var visit func(error)
	visit = func(err error) {
		if t, ok := err.(Teller); ok { //nolint:errorlint // each link of the chain is looked at by itself
			all = all.with(t.Message())
		}
		switch w := err.(type) { //nolint:errorlint // as above
		case interface{ Unwrap() error }:
			if inner := w.Unwrap(); inner != nil {
				visit(inner)
			}
		case interface{ Unwrap() []error }:
			for _, inner := range w.Unwrap() {
				visit(inner)
			}
		}
	}
	all = all.with(HintOf(err))
	visit(err)
	return all
}

// NewPlan is a plan without steps.
func NewPlan(title Message) *Plan {
	return &Plan{Title: title.Text, Messages: Messages(nil).with(title)}
}

// Note adds what the operator should know.
func (p *Plan) Note(m Message) {
	p.Notes = append(p.Notes, m.Text)
	p.Messages = p.Messages.with(m)
}

// Refuse adds what forbids the restore, and what to do about it, which may be the zero message.
func (p *Plan) Refuse(what, hint Message) { p.Problems = append(p.Problems, NewProblem(what, hint)) }

// Do adds a step. Its detail may be the zero message.
func (p *Plan) Do(verb, object, detail Message) {
	p.Steps = append(p.Steps, NewStep(verb, object, detail))
}

// NewProblem is a problem with its messages.
func NewProblem(what, hint Message) Problem {
	return Problem{What: what.Text, Hint: hint.Text, Messages: Messages(nil).with(what, hint)}
}

// NewStep is a step with its messages.
func NewStep(verb, object, detail Message) Step {
	return Step{Verb: verb.Text, Object: object.Text, Detail: detail.Text, Messages: Messages(nil).with(verb, object, detail)}
}

// NewDiagnosis is what doctor says of a subject. A diagnosis that is not OK has a hint.
func NewDiagnosis(subject Message, ok bool, detail, hint Message) Diagnosis {
	return Diagnosis{Subject: subject.Text, OK: ok, Detail: detail.Text, Hint: hint.Text, Messages: Messages(nil).with(subject, detail, hint)}
}

// Saying is the finding with what is wrong.
func (f Finding) Saying(what Message) Finding {
	f.What, f.Messages = what.Text, Messages(nil).with(what)
	return f
}

// Saying is the event with its sentence.
func (e Event) Saying(m Message) Event {
	e.Text, e.Messages = m.Text, slices.Clone(e.Messages).with(m)
	return e
}

// Warn adds something that the operator should know though the capture is whole.
func (c *Captured) Warn(m Message) {
	c.Warnings = append(c.Warnings, m.Text)
	c.Messages = c.Messages.with(m)
}

// NewChecked is what was compared, with its messages.
func NewChecked(what, want, got Message, ok bool) Checked {
	return Checked{What: what.Text, Want: want.Text, Got: got.Text, OK: ok, Messages: Messages(nil).with(what, want, got)}
}

// Doing is the event with the name of its stretch of work.
func (e Event) Doing(task Message) Event {
	e.Task, e.Messages = task.Text, slices.Clone(e.Messages).with(task)
	return e
}
