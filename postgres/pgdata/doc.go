// Package pgdata reads and writes the on-disk formats of PostgreSQL 13 to 18: pg_control, backup_label,
// tablespace_map, the backup manifest, WAL segment names, WAL pages and records, timeline history, data pages.
//
// It is pure: bytes in, values out. It opens no file and talks to no server, so everything here can be fuzzed,
// and the planner can use it. It knows only little-endian clusters with 8 KiB blocks of WAL, which is what every
// PostgreSQL that is packaged for amd64 and arm64 writes.
//
// Read control.go first for whole clusters, wal_name.go and record.go for WAL.
package pgdata
