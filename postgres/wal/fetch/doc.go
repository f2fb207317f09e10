// Package fetch brings archived WAL to restore_command, and to whoever reads it: of one repository, or of the first of several that
// has it whole. Its answer tells PostgreSQL apart what is the end of the WAL and what is a gap, a repository that cannot be asked, or
// damage.
//
// Read fetch.go first; ask.go asks the repositories together, place.go one of them. ahead.go fetches what will be asked for next,
// claim.go answers a server that looks for a free timeline, and scan.go reads segment after segment for postgres/recovery.
package fetch
