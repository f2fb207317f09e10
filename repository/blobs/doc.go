// Package blobs is Kopia's storage on a cofre.Store: under the names that stock Kopia gives them, durable, sealed as they are
// written, and twice what a repository cannot be read without.
//
// Read blobs.go first; names.go and spare.go say where a blob rests. index_cache.go keeps indexes of a repository on S3 on this
// machine, turn.go and patience.go bound what the library does at once and how long it asks a store that is gone.
package blobs
