// Package files captures and restores configuration files and folders as they are: bytes, mode, owner, links,
// times and extended attributes.
//
// A component is the tree below TreeDir, one entry for each file at its own absolute path, and FactsFile, which
// records everything that a tree entry does not hold and the SHA-256 of every file: a restore is compared with it.
// Links are kept as links; a path that leads through a link is captured where it really is, with the link beside
// it. What is unreadable makes the component partial, by name; a socket, a device or a pipe is named in a warning.
//
// It is no backup of whole machines: files are read one by one, hard links become files of their own, and
// nothing is remembered between captures (the repository stores equal bytes once).
//
// Read facts.go first, then source.go (capture), target.go (a restore into a folder) and inplace.go (a restore
// over the files that are there).
package files
