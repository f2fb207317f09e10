// Package vouching says of what a store holds whether somebody with the password has written it.
//
// A seal with the repository's key says so of a file as a whole. What has none is proven by decryption, content by content, which takes
// longer (decrypt.go). Raise proves all of it that way, and seals it under the key; from then on seals without it are not believed
// (raise.go), and each machine that has seen so remembers it (memory.go). Before a point is published, what it takes over from others
// before is looked at, if it was written again since it was sealed (doubt.go).
package vouching
