// Package logical is the component of one PostgreSQL database, a directory-format archive whose table of contents is pg_dump's own:
// what was recorded of it, and how it is read. What is made of it, and where it comes from, is in the packages below:
//
//	dump        a database into a component, under one exported snapshot
//	restoring   a database, under a staged name, out of a component
//	rescue      one table, in place or merged with the live one
//	export      files for programs that know nothing of cofre
//
// None of the four sees another. Read facts.go first, then component.go, selection.go (a part of an archive), archived.go (one table
// of it), readable.go (rows of which pieces are lost) and load.go (rows on their way into a server).
package logical
