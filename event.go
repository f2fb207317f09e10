package cofre

import "time"

// Event is a typed fact about work under way. Use cases and adapters emit events; progress bars, logs,
// metrics and notifications are observers of the same events, so they cannot disagree.
type Event struct {
	At     time.Time `json:"at"`
	Run    RunID     `json:"run,omitempty"` // the execution that it is of
	Type   EventType `json:"type"`
	Source SourceID  `json:"source"`
	Point  PointID   `json:"point,omitempty"`
	Task   string    `json:"task,omitempty"` // the stretch of work: "dump trustlayer", "upload", "verify"
	Item   string    `json:"item,omitempty"` // what is at hand: a table, a file
	Done   int64     `json:"done,omitempty"` // bytes or items, since Task began
	Total  int64     `json:"total,omitempty"`
	Text   string    `json:"text,omitempty"` // for TypeWarning and TypeNote: a sentence for a person
	Err    error     `json:"-"`
	Unit   Unit      `json:"unit,omitempty"`

	Messages Messages `json:"messages,omitempty"` // of Text and Task
	Fact     Fact     `json:"fact,omitempty"`     // what happened, if it is more than progress, a warning or a note
}

// EventType says what kind of fact an event is.
type EventType string

// The events. A task begins, progresses any number of times, and ends; Err is set on an end that failed.
const (
	TypeTaskBegan    EventType = "task_began"
	TypeTaskProgress EventType = "task_progress"
	TypeTaskEnded    EventType = "task_ended"
	TypeWarning      EventType = "warning"
	TypeNote         EventType = "note"
	TypePublished    EventType = "published"
)

// Unit is what Done and Total count.
type Unit string

// The units of progress.
const (
	UnitBytes Unit = "bytes"
	UnitItems Unit = "items"
)

// Observer is told events as they happen. It must not block, and may be called by several goroutines.
type Observer interface {
	Observe(Event)
}

// ObserverFunc makes a function an Observer.
type ObserverFunc func(Event)

// Observe calls f.
func (f ObserverFunc) Observe(e Event) { f(e) }

// Discard is the observer that forgets everything.
var Discard Observer = ObserverFunc(func(Event) {})
