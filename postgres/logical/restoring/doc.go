// Package restoring makes a database of a component that package logical captured: under a staged name, compared there with
// what was captured, and given its name by one rename.
//
// It is not pg_restore: that program makes the definitions, and this package brings the rows, judges what the program says, and
// proves the copy. Read target.go first, then preflight.go, load.go, check.go and publish.go; lost.go has what is done about
// rows that the repository has lost.
package restoring
