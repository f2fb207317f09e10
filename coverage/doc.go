// Package coverage remembers which stored objects were read back, so that a verification reads what nobody has read for long, and says how
// much of all was. What it remembers is in the repository, encrypted with a key that the password opens, in objects that are created and
// never replaced. It may be lost: then everything is read again.
//
// A proof is of an object as it was: of its name, size, hash, and of what the store says of when it was written. An object that was written
// again is another one, and due. What decays without the store's knowing is found when it is due again.
//
// In each window every object becomes due once, at a moment of its own, so that a verification each night reads a part of all, and all of them
// read everything (due.go). A proof that is older than the window, or from the future, is none.
//
// Read Ledger first; docs/formats/coverage.md has the format.
package coverage
