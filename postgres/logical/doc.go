// Package logical captures one PostgreSQL database as a directory-format archive, and reads what a capture left: the table
// of contents is pg_dump's own, the data of each table is copied in parallel under one exported snapshot straight into the
// repository, and what was counted as it passed is stored beside it.
//
// It is not pg_dump: it writes no schema of its own making. It restores nothing: restoring makes a database of a component,
// rescue one table, export files for stock tools; the three build upon what is read here.
//
// Read facts.go first, then capture.go and the files that begin with its name; of the reading side component.go, selection.go
// (a part of an archive), archived.go (one table of it) and load.go (rows on their way into a server).
package logical
