package runs

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
)

// Log is what one run did, as its events told it.
type Log struct {
	Run          cofre.RunID    `json:"run"`
	Kind         cofre.RunKind  `json:"kind"`
	What         string         `json:"what,omitempty"`
	Within       cofre.RunID    `json:"within,omitempty"`
	Installation string         `json:"installation"`
	By           cofre.Actor    `json:"actor"`
	Point        cofre.PointID  `json:"point,omitempty"`
	BeganAt      time.Time      `json:"began_at"`
	EndedAt      time.Time      `json:"ended_at"`
	Took         time.Duration  `json:"took_ns"`
	Code         cofre.Code     `json:"code"`
	Message      string         `json:"message,omitempty"` // of the error
	Hint         string         `json:"hint,omitempty"`
	Messages     cofre.Messages `json:"messages,omitempty"` // of message and hint

	Steps      []Step          `json:"steps"`
	Components []Component     `json:"components"` // that were captured
	Warnings   []cofre.Message `json:"warnings"`
	Notes      []cofre.Message `json:"notes"`
	Findings   []cofre.Finding `json:"findings"`
	Hooks      []cofre.HookRan `json:"hooks"`
	// LeftOut is how many of these it does not have, because a log is bounded.
	LeftOut int `json:"left_out,omitempty"`
}

// Step is one stretch of work.
type Step struct {
	Source  cofre.SourceID `json:"source"`
	Task    cofre.Message  `json:"task"`
	BeganAt time.Time      `json:"began_at"`
	Took    time.Duration  `json:"took_ns"`
	Done    int64          `json:"done"`
	Total   int64          `json:"total,omitempty"`
	Unit    cofre.Unit     `json:"unit,omitempty"`
	Ended   bool           `json:"ended"` // or it was cut off with the run
	Error   string         `json:"error,omitempty"`
}

// Speed is bytes a second, or 0 if the step did not count bytes.
func (s Step) Speed() int64 {
	if s.Unit != cofre.UnitBytes || s.Took <= 0 {
		return 0
	}
	return int64(float64(s.Done) / s.Took.Seconds())
}

// Component is what a run captured.
type Component struct {
	Kind    cofre.Kind    `json:"kind"`
	Name    string        `json:"name"`
	Entries int64         `json:"entries"`
	Bytes   int64         `json:"bytes"`
	Stored  int64         `json:"new_bytes"`
	Took    time.Duration `json:"took_ns"`
	Partial bool          `json:"partial,omitempty"`
}

// Bounds of a log: what is left out is counted. Steps that failed and warnings may go a little further than the rest.
const (
	roomOfLog  = 192 << 10
	roomOfTrip = 64 << 10
	longText   = 2 << 10
)

// Collector makes a log of events. It may be told by several goroutines.
type Collector struct {
	mu    sync.Mutex
	log   Log
	open  map[task]*Step // those that have begun, and not ended
	used  int
	ended bool
}

type task struct {
	source cofre.SourceID
	name   string
}

// Collect begins a log with the event by which a run began.
func Collect(e cofre.Event, began cofre.RunBegan) *Collector {
	return &Collector{open: map[task]*Step{}, log: Log{
		Run: e.Run, Kind: began.Kind, What: began.What, Within: began.Within, Installation: e.Source.Installation, By: began.By, Point: e.Point, BeganAt: e.At.UTC(),
	}}
}

// Observe takes an event of the run.
func (c *Collector) Observe(e cofre.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	if c.log.Point == "" {
		c.log.Point = e.Point
	}
	if e.Source.Installation != "" {
		c.log.Installation = e.Source.Installation
	}
	switch e.Type {
	case cofre.TypeTaskBegan, cofre.TypeTaskProgress, cofre.TypeTaskEnded:
		c.step(e)
	case cofre.TypeWarning:
		add(c, &c.log.Warnings, short(e.Messages.Of(e.Text)), true)
	case cofre.TypeNote:
		add(c, &c.log.Notes, short(e.Messages.Of(e.Text)), false)
	}
	c.fact(e)
}

func (c *Collector) fact(e cofre.Event) {
	switch f := e.Fact.(type) {
	case cofre.ComponentCaptured:
		of := f.Component
		add(c, &c.log.Components, Component{of.Kind, of.Name, of.Entries, of.Bytes, of.Stored, of.EndedAt.Sub(of.StartedAt), of.Partial}, false)
	case cofre.FindingMade:
		add(c, &c.log.Findings, f.Finding, true)
	case cofre.HookRan:
		add(c, &c.log.Hooks, f, false)
	case cofre.RunEnded:
		c.end(e, f)
	}
}

func (c *Collector) step(e cofre.Event) {
	id := task{e.Source, e.Task}
	s := c.open[id]
	if s == nil {
		s = &Step{Source: e.Source, Task: e.Messages.Of(e.Task), BeganAt: e.At.UTC()}
		c.open[id] = s
	}
	s.Took, s.Done, s.Total, s.Unit = e.At.Sub(s.BeganAt), max(s.Done, e.Done), max(s.Total, e.Total), e.Unit
	if e.Type != cofre.TypeTaskEnded {
		return
	}
	s.Ended = true
	if e.Err != nil {
		s.Error = cut(cofre.OneLine(e.Err))
	}
	delete(c.open, id)
	add(c, &c.log.Steps, *s, s.Error != "")
}

func (c *Collector) end(e cofre.Event, f cofre.RunEnded) {
	for _, s := range c.open {
		s.Took = e.At.Sub(s.BeganAt)
		add(c, &c.log.Steps, *s, true)
	}
	c.ended = true
	c.log.EndedAt, c.log.Took, c.log.Code = e.At.UTC(), f.Took, f.Code
	c.log.Message, c.log.Hint = cut(f.Message), cut(f.Hint)
	if len(f.Message)+len(f.Hint) < longText {
		c.log.Messages = f.Messages
	}
}

// Log is what was collected until now.
func (c *Collector) Log() Log {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log
}

// add takes what there is room for.
func add[T any](c *Collector, to *[]T, v T, matters bool) {
	text, err := json.Marshal(v)
	room := roomOfLog
	if matters {
		room += roomOfTrip
	}
	if err != nil || c.used+len(text) > room {
		c.log.LeftOut++
		return
	}
	c.used += len(text)
	*to = append(*to, v)
}

// short is a message that is not too long for a log.
func short(m cofre.Message) cofre.Message {
	if len(m.Text) <= longText {
		return m
	}
	return cofre.Verbatim(cut(m.Text))
}

func cut(text string) string {
	if len(text) <= longText {
		return text
	}
	end := longText
	for end > 0 && text[end]&0xC0 == 0x80 { // in the middle of a letter
		end--
	}
	return text[:end] + " …"
}
