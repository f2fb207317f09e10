// Package seal says which objects of a store were written, with size and hash of each, and finds those that are no longer so. It
// guards against decay, not against a forger, and knows nothing of Kopia: its records are of names.
//
// Read seal.go, the text of one seal, then sealer.go, which writes them in pairs around what they seal, and ledger.go, which reads
// all of them.
package seal
