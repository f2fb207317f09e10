// Package store keeps plain named objects, durably, in a folder or in a bucket of S3: the floor of a
// repository, and the home of WAL segments.
//
// It knows nothing of what it stores, encrypts nothing and compresses nothing. Opening a store asks nothing of
// it, so that a program which archives one WAL segment pays for one request. Read store.go first.
package store
