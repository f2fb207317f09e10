// Package stream receives WAL from a physical replication slot and archives it: whole segments, and in between the
// beginning of the one that is being written, so that the loss of the host costs seconds.
//
//	server ──▶ Receiver ──▶ Spool (a folder of this host) ──▶ Shipper ──▶ archive     one Shipper for each archive
//
// The Receiver speaks the replication protocol and writes into the Spool. The server keeps its WAL until the Receiver
// tells it that it is flushed: synced in the Spool, or, with Synchronous, stored in every archive. A Shipper brings what
// the Spool holds into its archive, at its own pace; a segment leaves the Spool when every archive has it.
//
// Run ties them together, through restarts and failovers of the server and outages of the stores. What an archive holds,
// and how the segments in it hang together, is package wal's.
//
// Read spool.go first, then shipper.go; receiver.go and position.go speak with the server.
package stream
