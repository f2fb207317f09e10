// Package bucket captures and restores buckets of objects: Supabase Storage, S3 and folders, over one small
// contract, Store, that bucket/supabase, bucket/s3 and bucket/dir fulfil.
//
// A capture in ten lines. The inventory (Source.rows) comes from the dumped storage.objects where a database was
// captured in the same run, else from SQL, else from the store's own listing. It is never held whole: rows are
// dealt into shards by the hash of bucket and name and kept in a temporary file (spill). A shard whose rows have
// the digest of last time is taken over with one Reuse of its directory. In the others each row whose version or
// etag stands in the last component is reused without being read, and the rest is streamed into the repository
// while its SHA-256 and MD5 are computed; size and etag must match. What cannot be read is retried, then named in
// the shard's index and in the facts, and the component is partial: nothing is missing silently.
//
// A restore writes what is absent (Target.Stage), compares what it reads back (Check), and only then replaces and
// deletes what it was told to (Publish), after that was kept. What is otherwise and stays is named (Outcome.Left). What a
// place cannot hold of an object, Store.Fit says before, and everything else is compared. Closure is the check that a captured database and a captured storage
// belong together.
//
// The package knows no service and no protocol; it never imports an adapter of another family, and the little it
// reads from a database component it reads from that component's documented files. Read store.go first, then
// capture.go, restore.go with restore_*.go, and closure.go. The format is in docs/formats/storage-component.md.
package bucket
