package runs

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
)

// WhatOf is the What of a backup: the kinds that it was asked for; "" if it was everything that is configured.
func WhatOf(kinds []cofre.Kind) string {
	var all []string
	for _, k := range kinds {
		all = append(all, string(k))
	}
	return strings.Join(all, ",")
}

// IsOf reports whether a backup was to capture a kind.
func IsOf(what string, kind cofre.Kind) bool {
	return what == "" || slices.Contains(strings.Split(what, ","), string(kind))
}

// Failing is which backups failed as a whole, and were not made good: each kind of source by itself, since a backup of one says nothing of another. The zero value
// knows of none.
type Failing struct {
	since     map[cofre.Kind]time.Time
	newest    map[cofre.Kind]journal.Body
	published map[cofre.Kind]time.Time
	// waiting are publications of which nobody has asked which kinds they are of: of ten thousand in a row, most never matter.
	waiting []publication
}

// publication is what counts of one: when it was, and what says which kinds it is of.
type publication struct {
	at    time.Time
	facts json.RawMessage
}

// Take takes the next entry of the journal of an installation. One that was told later counts for the kinds of which nothing was published since; what was called
// off, kept waiting by another, or killed once it had published, is no failure.
func (f *Failing) Take(b journal.Body) {
	if f.since == nil {
		f.since, f.newest, f.published = map[cofre.Kind]time.Time{}, map[cofre.Kind]journal.Body{}, map[cofre.Kind]time.Time{}
	}
	switch b.Event {
	case journal.EventPublished:
		f.waiting = append(f.waiting, publication{b.At, b.Facts})
		if len(f.since) > 0 {
			f.settle()
		}
	case journal.EventFailed:
		var facts FailedFacts
		if json.Unmarshal(b.Facts, &facts) != nil || facts.Kind != cofre.RunBackup || facts.Published || b.Code == cofre.CodeInterrupted || b.Code == cofre.CodeLocked {
			return
		}
		f.settle()
		for _, k := range cofre.Kinds() {
			if !IsOf(facts.What, k) || facts.Later && !b.At.After(f.published[k]) {
				continue
			}
			if f.since[k].IsZero() && b.Code != cofre.CodeNoSpace {
				f.since[k] = b.At
			}
			f.newest[k] = b
		}
	}
}

// settle takes the publications that wait, the newest first: of each kind, it is the one that counts.
func (f *Failing) settle() {
	seen := map[cofre.Kind]bool{}
	for _, p := range slices.Backward(f.waiting) {
		if !slices.ContainsFunc(cofre.Kinds(), func(k cofre.Kind) bool { return !seen[k] }) {
			break
		}
		for _, k := range p.kinds() {
			if seen[k] {
				continue
			}
			seen[k] = true
			delete(f.since, k)
			delete(f.newest, k)
			f.published[k] = p.at
		}
	}
	f.waiting = nil
}

// kinds are those that a point has. An entry that does not say has all of them.
func (p publication) kinds() []cofre.Kind {
	var facts struct {
		Components []struct {
			Kind cofre.Kind `json:"kind"`
		} `json:"components"`
	}
	if json.Unmarshal(p.facts, &facts) != nil || len(facts.Components) == 0 {
		return cofre.Kinds()
	}
	var kinds []cofre.Kind
	for _, c := range facts.Components {
		kinds = append(kinds, c.Kind)
	}
	return kinds
}

// Since is when the first backup of a kind failed after the last that was published; zero if none did. One that failed for want of room does not count: if nothing could go
// because of it, it would fail for ever.
func (f *Failing) Since(kind cofre.Kind) time.Time { return f.since[kind] }

// Newest is the newest entry of a failure that was not made good for one of these kinds.
func (f *Failing) Newest(kinds []cofre.Kind) (newest journal.Body, ok bool) {
	for _, k := range kinds {
		if b, failed := f.newest[k]; failed && (!ok || b.At.After(newest.At)) {
			newest, ok = b, true
		}
	}
	return newest, ok
}

// MadeGood reports whether each of these kinds that a backup was to capture was published after a moment.
func (f *Failing) MadeGood(what string, at time.Time, kinds []cofre.Kind) bool {
	f.settle()
	for _, k := range kinds {
		if IsOf(what, k) && !f.published[k].After(at) {
			return false
		}
	}
	return true
}
