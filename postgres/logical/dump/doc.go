// Package dump captures one PostgreSQL database: the table of contents is pg_dump's own, the data of each table is copied in parallel
// under one exported snapshot straight into the repository, and what was counted as it passed is stored beside it.
//
// It is not pg_dump: it writes no schema of its own making. Read capture.go first, then toc.go, locks.go, tables.go and blobs.go in
// the order in which a capture comes by; session.go reads the rows of one connection, fingerprint.go what the catalogs say, globals.go
// the roles, which no snapshot holds. doctor.go looks at what stands in the way.
package dump
