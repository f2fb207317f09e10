// Package demo shows a newcomer the whole of cofre on real things: it makes an installation like TrustLayer's
// in a PostgreSQL server of its own, and has the product's own commands back it up, lose it, restore it, and go back
// to a moment before a second disaster. Each time it compares what came back with what there was, by its own means:
// no code of a capture or a restore says that it was right.
//
// It is neither a test nor a benchmark, and leaves nothing behind. Read demo.go first, which is the story; then
// installation.go and rows.go (what is made), database_print.go and files_print.go (what is compared), moment.go
// (the last act).
package demo
