// Package settings writes what a restored cluster is told by its configuration, and takes it away again: where its recovery ends,
// and that as a copy it acts on nothing and lets nobody in (decision 0016).
//
// Read settings.go first: which file is written, and how each part of it ends. quarantine.go has the settings that stay until the
// copy is adopted.
package settings
