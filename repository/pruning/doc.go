// Package pruning gives back the bytes that no recovery point refers to, beside captures on any machine. It asks no clock for safety;
// what clocks decide is only how long something is kept that could go.
//
// In the life of a pack that nothing refers to any more:
//
//	mark      its contents are marked as deleted in the index: a capture that comes upon one stores it afresh
//	announce  its name is written down, under cofre/prune/, after the marks are there
//	delete    a later run, a day later, finds that still nothing refers to it, and removes it
//
// A publication says first what it is about to refer to (cofre/publishing/), then reads the indexes and what is announced, copies what
// is marked or announced and what it needs into packs of its own, and then makes its point visible. So either this run sees what the
// publication refers to, and keeps it; or the publication began after this run looked, which was after the announcement, and has seen
// that. It makes no difference how long either sleeps in between. No pack that was announced is ever referred to again, so that a
// deletion that comes late deletes nothing that counts.
//
// A capture that goes on for days says so now and then (capture.go): nothing is deleted that was stored or announced since it began.
//
// Marks have the time of the content that they mark, and one second: what was stored afresh meanwhile wins against them.
//
// Read prune.go first.
package pruning
