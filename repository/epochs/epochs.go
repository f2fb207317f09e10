// Package epochs says which of a repository's indexes the library is shown, and into which epoch it writes.
//
// Kopia numbers epochs, and takes one index in the place of others by what its name says: xs5_… in the place of all of epoch 5, xr0_9_… in the place of
// ten epochs, and a file named xe7 makes 7 the epoch that is written into. Nothing authenticates a name. Whoever holds the storage could hide every index behind a copy of
// an old one, or have the library count to a number that no machine can.
//
// So a reader is shown all of the indexes that there are, each for itself (View): what they name together is the same, whether some take the place of others or not,
// because of two entries of one content the newer counts in whatever file it is. What cannot be decrypted is passed over, and named. Only pruning, which writes
// indexes as one, goes by names (ByName), and only by those that a seal under the key vouches for. Read names.go first, then view.go.
package epochs
