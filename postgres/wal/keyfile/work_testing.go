//go:build testing

package keyfile

// workFactor is low, as Kopia's is under the same tag: tests open identities thousands of times.
const workFactor = 10
