// Package physical captures and restores a whole PostgreSQL cluster: a base backup, its data directory and
// tablespaces as they are on disk while the server goes on writing, and the WAL that makes them consistent.
//
//	capture   begin a backup on one held session · read the files, several at once · pg_control last ·
//	          end the backup · prove that the WAL in between is kept · facts, PostgreSQL's own manifest
//	restore   bring every file but pg_control to an empty directory · compare each block with what was
//	          captured · sync · recovery settings · pg_control last, by rename
//	recover   start the server privately, wait for the recovery target, say where it stopped
//
// It decides nothing about which base backup reaches a moment: postgres/recovery does. It keeps no WAL archive:
// postgres/wal does. Read component.go first, then source.go and target.go, then recover.go.
package physical
