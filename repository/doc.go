// Package repository is a cofre.Repository on the Kopia library. It and the packages below it are the library's only importers:
// blob, content, pack, index, manifest and snapshot are Kopia's words and stay in this family.
//
// What it adds to the library, and why:
//
//   - the bytes rest in a cofre.Store (package blobs), because Kopia's own folder storage never calls fsync and its
//     connection file keeps the credentials of S3 in clear;
//   - every blob is sealed (package seal): its hash is kept beside it, so that one changed byte is named, also if
//     Kopia's encryption does not look (verify.go);
//   - directories are written by us (package directory), one entry at a time, so that a million of them fit in memory;
//   - objects are written by our own loop (session.go), several at once, each cut as its content wants, flushed
//     every half minute, so that a killed capture is found again by the next one;
//   - a point is proven before it is published (proof.go, points.go): the manifests of all its components and its
//     own go into one flush, so nobody sees half of it;
//   - what was found damaged is remembered (damage.go), read from its spare (spare.go) or stored afresh (heal.go).
//
// A component is an ordinary Kopia snapshot: stock Kopia lists and restores it. The package runs none of Kopia's
// maintenance and uses none of its retention. docs/formats/repository.md has the format. Read open.go first,
// then session.go and points.go.
package repository
