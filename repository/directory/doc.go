// Package directory writes and reads directories as Kopia stores them, entry by entry and in little memory: a bucket may have a
// million objects in one folder.
//
// Read table.go, the entries of one directory in memory, then directory.go, the format, and builder.go, the tree of a capture.
package directory
