// Package bucket captures buckets of objects, over one small contract, Store, that bucket/supabase, bucket/s3 and bucket/dir
// fulfil.
//
// A capture in ten lines. The inventory (Source.rows) comes from a database that was captured in the same run, if it
// names the objects, else from SQL, else from the store's own listing. It is never held whole: rows are
// dealt into shards by the hash of bucket and name and kept in a temporary file (spill). A shard whose rows have
// the digest of last time is taken over with one Reuse of its directory. In the others each row whose version or
// etag stands in the last component is reused without being read, and the rest is streamed into the repository
// while its SHA-256 and MD5 are computed; size and etag must match. What cannot be read is retried, then named in
// the shard's index and in the facts, and the component is partial: nothing is missing silently.
//
// What a place cannot hold of an object, Store.Fit says before; everything else is compared. Closure is the check that a
// captured database and a captured storage belong together. Package bucket/restoring brings a component back.
//
// The package knows no service and no protocol: what stores differ in they say themselves, by Keeps and by optional powers
// (Rowed, Foldered, Keeper, Limiter, Prover, Locker). It never imports an adapter of another family. Read store.go first,
// then capture.go, index.go and closure.go. The format is in docs/formats/storage-component.md.
package bucket
