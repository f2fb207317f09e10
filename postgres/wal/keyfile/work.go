//go:build !testing

package keyfile

// workFactor is how hard the password is to guess from the identity: scrypt of 2^16, as Kopia takes for the same
// password in the same repository, so that neither is the easier one. age's own 2^18 takes 256 MB of memory, most
// of what a whole restore may use; this takes 64 MB.
//
// Source: kopia, internal/crypto/pb_key_deriver_scrypt.go (scrypt-65536-8-1); filippo.io/age, scrypt.go.
const workFactor = 16
