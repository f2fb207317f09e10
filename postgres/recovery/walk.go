package recovery

import (
	"iter"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// Scan reads the records of consecutive segments, in order, as one walk, so that records which cross from one
// into the next are seen. It yields every Moment, and with each the start of the last record before the yield;
// after the last segment it yields one Found without a Moment, so that the caller learns how far records go. Changes of a
// database are yielded if it was copied from before: the first after each copy.
// A Walk does all of it but the reading.
//
// Errors: *UnreadableError; those of whatever is read from.
type Scan func(segments []pgdata.Segment, span Span) iter.Seq2[Found, error]

// UnreadableError is what a Scan fails with if what is stored of a segment is damaged, in every place that has it. Any other error
// says nothing of the segment.
type UnreadableError struct {
	Segment pgdata.Segment
	Err     error
}

func (e *UnreadableError) Error() string { return e.Err.Error() }
func (e *UnreadableError) Unwrap() error { return e.Err }

// Span says which records of the segments a walk is about. The zero value is about all of them, whatever they follow.
type Span struct {
	From  cofre.LSN // where the first of them starts; what is before it is not looked at
	Until cofre.LSN // the walk ends with the first record that starts here or later
}

// Found is one finding of a Scan.
type Found struct {
	Moment     pgdata.Moment // Kind is zero on the last Found of a walk
	LastRecord cofre.LSN     // where the last record that was read starts
	Reached    cofre.LSN     // where LastRecord ends, as a server says that has replayed it
	// Before and ReachedBefore are the same of the record before that one; 0 if the walk began with it.
	Before, ReachedBefore cofre.LSN

	// End is set on the last Found of a walk if records ended before their segments did, or if they could not be
	// read any further. Broken says that WAL goes on after it: something is damaged there.
	End    cofre.LSN
	Broken bool
	Why    string // what was found there
}

// Walk reads records out of the bytes of segments, for a Scan.
type Walk struct {
	walker *pgdata.Walker
	until  cofre.LSN
	yield  func(Found, error) bool
	found  Found
	more   bool
	copied map[pgdata.DatabaseDir]bool // and not changed since
}

// NewWalk begins a walk over segments of size bytes that yields what it finds.
func NewWalk(size int64, span Span, yield func(Found, error) bool) *Walk {
	w := &Walk{walker: pgdata.NewWalker(size), until: span.Until, yield: yield, more: true, copied: map[pgdata.DatabaseDir]bool{}}
	if span.From != 0 {
		w.walker = pgdata.WalkFrom(size, span.From)
	}
	return w
}

// Segment takes the next segment, and reports whether the walk wants more.
func (w *Walk) Segment(content []byte) bool {
	for page := range slices.Chunk(content, pgdata.WALPageSize) {
		if !w.more {
			return false
		}
		w.walker.Page(page, w.record)
	}
	return w.more
}

func (w *Walk) record(r pgdata.Record) bool {
	w.found = Found{LastRecord: r.Start, Reached: w.walker.Reached(), Before: w.found.LastRecord, ReachedBefore: w.found.Reached}
	if m, ok := w.moment(r); ok {
		f := w.found
		f.Moment = m
		if !w.yield(f, nil) {
			w.more, w.yield = false, nil
			return false
		}
	}
	w.more = w.until == 0 || r.Start < w.until
	return w.more
}

func (w *Walk) moment(r pgdata.Record) (m pgdata.Moment, ok bool) {
	if m, ok = r.Moment(); ok || len(w.copied) == 0 {
		if m.CopiedFrom != (pgdata.DatabaseDir{}) {
			w.copied[m.CopiedFrom] = true
		}
		return m, ok
	}
	m, ok = r.Change()
	if ok = ok && w.copied[m.Dirs[0]]; ok {
		delete(w.copied, m.Dirs[0])
	}
	return m, ok
}

// End yields the last Found of the walk, if the walk is still wanted.
func (w *Walk) End() {
	if w.yield == nil {
		return
	}
	f := w.found
	if end, ok := w.walker.End(); ok && w.more {
		f.End, f.Broken, f.Why = end, w.walker.Broken(), w.walker.Why()
	}
	w.yield(f, nil)
}
