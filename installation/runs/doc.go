// Package runs remembers each run: that it has begun, in the state directory of its host, and step by step what it did, in an encrypted object of
// the repository, its log. With the entries of the journal that makes the list of all runs, also of those that failed before they reached the
// repository, and of those that were killed.
//
// A mark (mark.go) costs the repository nothing. While its process lives, it is locked; of a process that was killed it stays, without the lock, and
// the next run of the same host tells the journal. A log (log.go) is made of events, and bounded.
//
// Read Log first, then Mark, then History, which puts runs together and is pure.
package runs
