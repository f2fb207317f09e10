package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/language"
	"github.com/trustlayer/cofre/status"
)

// The kinds of messages.
const (
	KindTrouble = "trouble" // something is wrong
	KindClear   = "clear"   // something is over, and nothing else is told
	KindDigest  = "digest"
	KindTest    = "test"
)

// Notice is what one message says, before it is put into a language.
type Notice struct {
	Kind         string
	Installation string
	Host         string
	At           time.Time
	Batch        Batch
	Status       *status.Status // of a digest; nil if none could be computed
	Open         []Condition    // of a digest: what is wrong
}

// mostLines is how many conditions one message names.
const mostLines = 20

// Letter writes a notice in a language.
func (n Notice) Letter(l language.Language) Letter {
	say := language.For(l)
	w := &writer{say: say}
	switch n.Kind {
	case KindDigest:
		n.digest(w)
	case KindTest:
		w.line(cofre.Say("notify.test", "this is a test: what is wrong is told here"))
	default:
		n.batch(w)
	}
	w.gap()
	w.line(cofre.Say("notify.foot", "from {{.host}} at {{.at}}; how all stands: cofre status", "host", n.Host, "at", n.At))
	letter := Letter{Title: say.Say(n.title()), Text: strings.TrimRight(w.b.String(), "\n")}
	letter.Document = n.document(letter, l)
	return letter
}

func (n Notice) title() cofre.Message {
	what := cofre.Say("notify.test_title", "a test of notifications")
	switch n.Kind {
	case KindDigest:
		what = cofre.Say("notify.unknown_state", "nobody knows how it stands")
		if n.Status != nil {
			what = verdict(n.verdict())
		}
	case KindClear:
		what = cofre.SayN("notify.over", len(n.Batch.Over), "1 thing is well again", "{{.n}} things are well again")
		if len(n.Batch.Over) == 1 {
			what = cofre.Say("notify.over_one", "well again: {{.what}}", "what", named(n.Batch.Over[0].Condition))
		}
	case KindTrouble:
		told := append(append([]Entry{}, n.Batch.New...), n.Batch.Still...)
		what = cofre.SayN("notify.wrong", len(told), "1 thing is wrong", "{{.n}} things are wrong")
		if len(told) == 1 {
			what = named(told[0].Condition)
		}
	}
	return cofre.Say("notify.title", "cofre, {{.installation}}: {{.what}}", "installation", n.Installation, "what", what)
}

// verdict is that of a digest: the worst of what the status says, and of what is wrong that no status knows.
func (n Notice) verdict() status.Verdict {
	worst := n.Status.Verdict
	for _, c := range n.Open {
		worst = status.Worst(worst, c.Verdict)
	}
	return worst
}

// verdict is a verdict as a sentence.
func verdict(v status.Verdict) cofre.Message {
	if err := v.Err(); err != nil {
		for _, m := range cofre.MessagesOf(err) {
			return m
		}
	}
	return cofre.Say("notify.well", "all is well")
}

// named is a condition with its source.
func named(c Condition) cofre.Message {
	if c.Source == "" {
		return c.What
	}
	return cofre.Say("notify.of_source", "{{.source}}: {{.what}}", "source", c.Source, "what", c.What)
}

type writer struct {
	say *language.Speaker
	b   strings.Builder
}

func (w *writer) line(m cofre.Message) { fmt.Fprintln(&w.b, w.say.Say(m)) }

func (w *writer) gap() {
	if w.b.Len() > 0 {
		w.b.WriteString("\n")
	}
}

// list writes a line for each, as long as there is room for left more, and then how many there are besides.
func list[T any](w *writer, left *int, all []T, line func(T)) {
	for i, e := range all {
		if *left--; *left < 0 {
			w.line(cofre.SayN("notify.more", len(all)-i, "and 1 more", "and {{.n}} more"))
			return
		}
		line(e)
	}
}

// wrong writes what is wrong, and what to do about it.
func (w *writer) wrong(what, next cofre.Message) {
	w.line(what)
	w.line(cofre.Say("notify.next", "  what to do: {{.next}}", "next", next))
}

func (n Notice) batch(w *writer) {
	left := mostLines
	list(w, &left, n.Batch.New, func(e Entry) { w.wrong(named(e.Condition), e.Next) })
	list(w, &left, n.Batch.Still, func(e Entry) {
		w.wrong(cofre.Say("notify.still", "still, since {{.since}}: {{.what}}", "since", e.Since, "what", named(e.Condition)), e.Next)
	})
	list(w, &left, n.Batch.Over, func(e Entry) {
		w.line(cofre.Say("notify.was", "over since {{.at}}: {{.what}}", "at", e.GoneAt, "what", named(e.Condition)))
	})
}

func (n Notice) digest(w *writer) {
	s := n.Status
	if s == nil {
		w.line(cofre.Say("notify.no_status", "the installation could not be looked at, so nobody knows whether anything can be restored"))
	} else {
		w.line(verdict(n.verdict()))
		w.gap()
		for _, of := range s.Sources {
			w.line(standing(of))
		}
	}
	if len(n.Open) > 0 {
		w.gap()
	}
	left := mostLines
	list(w, &left, n.Open, func(c Condition) { w.wrong(named(c), c.Next) })
	if s == nil {
		return
	}
	if c := s.Coverage; c != nil && c.Bytes > 0 {
		w.gap()
		w.line(cofre.Say("notify.covered", "read back within {{.window}}: {{.share}} of what is stored", "window", status.Span(c.Window), "share", fmt.Sprintf("%.0f %%", 100*c.Share)))
	}
	if s.Checkpoint != "" {
		w.gap()
		w.line(cofre.Say("notify.checkpoint", "keep this line where nobody who holds the repository can change it; what was taken back later is found with: cofre journal verify --expect '{{.line}}'", "line", s.Checkpoint))
		w.line(cofre.Verbatim(s.Checkpoint))
	}
}

// standing says of a source what can be restored.
func standing(of status.Source) cofre.Message {
	if of.To.IsZero() {
		return cofre.Say("notify.source_nothing", "{{.source}}: nothing can be restored, as far as is known", "source", of.ID.Label())
	}
	m := cofre.Say("notify.source_to", "{{.source}}: can be restored to {{.to}}, {{.age}} ago; {{.backups}}", "source", of.ID.Label(), "to", of.To, "age", status.Span(of.RPO),
		"backups", cofre.SayN("notify.backups", of.Restorable, "1 backup", "{{.n}} backups"))
	if of.NextDue.IsZero() {
		return m
	}
	return cofre.Say("notify.source_next", "{{.stands}}, the next at {{.next}}", "stands", m, "next", of.NextDue)
}

// document is the notice for programs: docs/formats/notification.md.
func (n Notice) document(l Letter, lang language.Language) []byte {
	type item struct {
		State string    `json:"state"` // new, still, over
		Since time.Time `json:"since,omitzero"`
		Until time.Time `json:"until,omitzero"`
		Condition
		WhatText string `json:"what_text"`
		NextText string `json:"next_text"`
	}
	say := language.For(lang)
	items := []item{}
	add := func(state string, c Condition, since, until time.Time) {
		items = append(items, item{State: state, Since: since, Until: until, Condition: c, WhatText: say.Say(c.What), NextText: say.Say(c.Next)})
	}
	for _, e := range n.Batch.New {
		add("new", e.Condition, e.Since, time.Time{})
	}
	for _, e := range n.Batch.Still {
		add("still", e.Condition, e.Since, time.Time{})
	}
	for _, e := range n.Batch.Over {
		add("over", e.Condition, e.Since, e.GoneAt)
	}
	for _, c := range n.Open {
		add("still", c, time.Time{}, time.Time{})
	}
	d := struct {
		Version      int            `json:"version"`
		Kind         string         `json:"kind"`
		Installation string         `json:"installation"`
		Host         string         `json:"host"`
		At           time.Time      `json:"at"`
		Language     string         `json:"language"`
		Title        string         `json:"title"`
		Text         string         `json:"text"`
		Verdict      status.Verdict `json:"verdict,omitempty"`
		Checkpoint   string         `json:"checkpoint,omitempty"`
		Conditions   []item         `json:"conditions"`
	}{Version: 1, Kind: n.Kind, Installation: n.Installation, Host: n.Host, At: n.At.UTC(), Language: lang.String(), Title: l.Title, Text: l.Text, Conditions: items}
	if n.Status != nil {
		d.Verdict, d.Checkpoint = n.verdict(), n.Status.Checkpoint
	}
	text, err := json.Marshal(d)
	if err != nil {
		panic("notify: internal error: " + err.Error())
	}
	return append(text, '\n')
}
