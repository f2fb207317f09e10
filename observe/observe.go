// Package observe brings events to those who follow them: several observers at once, a file of JSON lines, a log, and a ring that
// keeps the newest for whoever subscribes.
//
// It decides nothing and filters nothing. Use cases begin a Run, so that each event carries the id of the execution that it is
// of, and a run that failed is an event too. Read run.go first, then ring.go.
package observe

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
)

// Tee tells every event to each observer, in their order.
func Tee(observers ...cofre.Observer) cofre.Observer {
	return cofre.ObserverFunc(func(e cofre.Event) {
		if e.At.IsZero() {
			e.At = time.Now() // the same for all
		}
		for _, o := range observers {
			o.Observe(e)
		}
	})
}

// Lines writes one JSON document for each event, but progress within a task: a line is a fact that stays true. The first error
// of writing is kept, and nothing is written after it.
type Lines struct {
	mu  sync.Mutex
	enc *json.Encoder
	err error
}

// NewLines writes to w, one Write for each event.
func NewLines(w io.Writer) *Lines {
	enc := json.NewEncoder(cofre.PrintableJSON(w))
	enc.SetEscapeHTML(false)
	return &Lines{enc: enc}
}

// line is an event with the text of its error.
type line struct {
	cofre.Event
	Error string `json:"error,omitempty"`
}

// Observe writes an event.
func (l *Lines) Observe(e cofre.Event) {
	if e.Type == cofre.TypeTaskProgress {
		return
	}
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.At = e.At.UTC()
	text := line{Event: e}
	if e.Err != nil {
		text.Error = cofre.OneLine(e.Err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = l.enc.Encode(text)
	}
}

// Err says whether everything was written.
//
// Errors: the first of writing.
func (l *Lines) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Log tells a logger every event but progress: facts and notes as information, warnings and findings as warnings, and a run or
// task that failed as an error.
func Log(to *slog.Logger) cofre.Observer {
	return cofre.ObserverFunc(func(e cofre.Event) {
		if e.Type == cofre.TypeTaskProgress {
			return
		}
		level := slog.LevelInfo
		attrs := []slog.Attr{}
		add := func(key, value string) {
			if value != "" {
				attrs = append(attrs, slog.String(key, value))
			}
		}
		add("run", string(e.Run))
		add("source", e.Source.Label())
		add("point", string(e.Point))
		add("task", e.Task)
		add("text", e.Text)
		switch f := e.Fact.(type) {
		case cofre.RunEnded:
			add("kind", string(f.Kind))
			add("code", string(f.Code))
			add("error", f.Message)
			add("hint", f.Hint)
			if level = slog.LevelError; f.Code == cofre.CodeOK {
				level = slog.LevelInfo
			} else if f.Code == cofre.CodePartial {
				level = slog.LevelWarn
			}
		case cofre.RunBegan:
			add("kind", string(f.Kind))
		case cofre.FindingMade:
			add("check", f.Finding.Check)
			add("object", f.Finding.Object)
			add("finding", f.Finding.What)
			level = slog.LevelWarn
		}
		if e.Type == cofre.TypeWarning {
			level = slog.LevelWarn
		}
		if e.Err != nil {
			add("error", cofre.OneLine(e.Err))
			level = slog.LevelError
		}
		to.LogAttrs(context.Background(), level, string(e.Type), attrs...)
	})
}
