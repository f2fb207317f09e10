// Package journal remembers what happened to a repository, in order, by whom: points published, runs that failed, verifications, what
// expired and why, holds, restores, drills, gaps, sign-offs. Nothing in it is ever rewritten.
//
// An entry is one JSON document, a statement of in-toto, named by its number and created only if that number is free: several writers get
// one order without a lock, with credentials that may only put, and under Object Lock. Over the entries stands a Merkle tree (RFC 6962, as
// the transparency logs of C2SP and of Go's checksum database have it); after each entry a checkpoint says how many there are and what
// the tree's root is, signed as a note. Whoever keeps one checkpoint, on paper or in a mail, can tell that every later state of the
// journal still begins with what it covers: nothing was dropped, changed, put in another order, or taken back. Neither password nor
// index is needed for that.
//
// Names of tables, objects and other content stay out of entries: they are in an encrypted object, which the entry names by its digest.
//
// Read Entry, then Journal.Append; Verify is what an auditor runs.
package journal
