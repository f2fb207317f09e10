// Package sealed is what one archived file is as an object: zstd frames, encrypted by age for one recipient, with a header that says which file
// it is, how it hangs on to its neighbours, who says so, and what the object itself adds up to. It knows bytes, and no store.
//
//	header   cofre-digest   which file it is            cofre-chain  what its records have to do with the neighbours'
//	         cofre-key      with which key the body is encrypted, of what is signed
//	         cofre-origin   who signed these            cofre-sum    of the header before, and of everything behind it
//	body     zstd frames, which age -d and zstd -d read
//
// Read object.go first (made and read back), then link.go (what the header says), then sums.go (what it proves without a key).
package sealed
