// Package physical is the component of a whole PostgreSQL cluster: one base backup, as the repository holds it and as the catalog
// tells of it. It reads and writes what was recorded, and neither captures nor restores:
//
//	basebackup   the data directory and its tablespaces, as they are on disk while the server goes on writing, into a component
//	restoring    a component to a data directory that no server can start on before it is whole
//	recovering   the server of that directory, privately, until it has reached its recovery target
//	adopting     the copy that this makes becomes the original
//
// What these four stand on:
//
//	datadir      the names and files that they all know in a data directory
//	view         what this process sees of the files that a server names, as one in a container
//	conffile     configuration files with what they include in its place
//	archiving    how a server fares with handing its WAL to an archive
//	settings     what a restored cluster is told: its recovery, and the quarantine that keeps it from acting on others
//
// Which base backup reaches a moment is decided by postgres/recovery, and postgres/wal keeps the archive of the WAL. Read
// component.go first, then the packages in this order.
package physical
