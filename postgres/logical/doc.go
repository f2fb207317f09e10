// Package logical captures and restores one PostgreSQL database as a directory-format archive: the table of
// contents is pg_dump's own, the data of each table is copied in parallel under one exported snapshot straight
// into the repository, and what was counted as it passed is stored beside it.
//
// It is not pg_dump: it writes no schema of its own making. Read facts.go first, then capture.go and restore.go.
package logical
