// Package wal brings WAL into a store and back: segments that archive_command hands over, those that package wal/stream
// receives from a replication slot, and all of them again for restore_command.
//
// An archived file is one plain object, wal/SYSTEM/TIMELINE/NAME: zstd, then age for the recipient of the
// repository. Archiving needs the recipient alone, which is public, and opens no repository; age -d and zstd -d
// read it without cofre. Objects are created, never replaced: equal bytes are accepted again, others refused.
//
//	archive_command ──▶ Archive ──┐
//	                              ├──▶ wal/SYSTEM/TIMELINE/SEGMENT ──▶ package fetch ──▶ restore_command
//	package stream ──▶ Sequence ──┘                                └──▶ ReadInventory ──▶ postgres/recovery
//
// What can be reached from what is archived is decided in postgres/recovery; this package lists what there is. Packages check and
// probe prove it: one reads everything back, the other sends a mark from the server through all of it.
//
// Read package sealed first (what an object is), then archive.go.
package wal
