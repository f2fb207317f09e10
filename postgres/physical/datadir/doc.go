// Package datadir is what is known of a data directory on disk by all who write to it or start its server: the names of the files
// that cofre adds, pg_control read while a server may be writing it, whose the directory is, and how its server is started.
//
// It knows nothing of components, and connects to nothing.
package datadir
