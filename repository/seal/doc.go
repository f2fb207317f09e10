// Package seal says which objects of a store were written, with size and hash of each, and finds those that are no longer so. Without a key
// it tells of decay; with the key that only the password opens also of a forger. It knows nothing of Kopia: its records are of names.
//
// Read seal.go, the text of one seal, and key.go, who wrote it, then sealer.go, which writes them in pairs around what they seal, and ledger.go, which reads
// all of them.
package seal
