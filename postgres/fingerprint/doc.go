// Package fingerprint reads what the system catalogs say of one database, and compares two such readings.
//
// A fingerprint is every object that pg_dump writes, by the name that a person would type, with what it is:
// definition, owner, privileges by meaning, validation, state. It is read by the same queries on the database that
// is captured, inside the capture's snapshot, and on the copy that is restored, so that what a comparison expects is
// never derived from the text of a dump. It is not a dump: nothing can be made from it. It holds no rows, no
// values of sequences, no passwords, and of options of foreign servers a hash only.
//
// Reading and comparing are streams: a database of 100,000 tables takes no more memory than one of ten. Read
// kinds.go first, which is the table of everything that is read, then write.go and compare.go.
package fingerprint
