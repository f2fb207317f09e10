// Package basebackup captures a cluster as a component: it reads the files of the data directory in place, or has the server send
// them, and makes sure of the WAL without which they are of no use.
//
//	begin a backup on one held session · read the files, several at once · pg_control last · end the backup ·
//	prove that the WAL in between is kept · facts, and PostgreSQL's own manifest
//
// Read source.go first, which chooses between the two ways: capture.go, with scan.go, exclude.go, read.go and pieces.go, reads in
// place; protocol.go, with incremental.go, lets the server send. running.go holds the backup that the server knows of, wal.go and
// own.go prove its WAL, drops.go and configuration.go ask for what the files do not say. doctor.go looks at what stands in the way.
package basebackup
