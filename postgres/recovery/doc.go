// Package recovery decides how a cluster is recovered to a target: from which base backup, along which timeline,
// with which WAL, and whether that ends where it was asked to. It is pure: what it cannot know without reading
// WAL it asks a Scan for, and no byte is moved.
//
//	base backups, WAL, target ──▶ Recover ──▶ Recovery, or *cofre.GapError, or *cofre.UnreachableError
//	base backups, WAL         ──▶ Windows ──▶ what can be reached, and the gaps
//
// It never falls back: a target that cannot be reached exactly is an error that names what can.
//
// Read wal.go first: the way from segment to segment across timelines is where recoveries go wrong.
package recovery
