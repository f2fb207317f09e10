// Package export writes a component that package logical captured as files for programs that know nothing of cofre: a directory for
// pg_restore, a script for psql, a table for a spreadsheet.
//
// It contacts no server. Read export.go first; order.go has the order in which a script without definitions loads.
package export
