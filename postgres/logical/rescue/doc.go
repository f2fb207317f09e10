// Package rescue brings back one table of a component that package logical captured, reading nothing else: as a table of its own
// (table.go), whole if it was dropped (whole.go), or merged with the live one by primary key (merge.go, apply.go).
//
// It is not a restore of a database: nothing is staged under another name, all of it is one transaction. Read table.go first.
package rescue
