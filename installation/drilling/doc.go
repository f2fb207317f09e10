// Package drilling proves that what is captured can be restored, by restoring it: into a server, or a folder, of its own that touches nothing real,
// where it is compared with what was captured, and asked what the configuration asks. Nothing is left of it, also after a kill, unless it was to be kept.
//
// Read Database, then rooms.go.
package drilling
