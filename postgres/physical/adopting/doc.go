// Package adopting makes a restored copy the original: its WAL is archived, and the settings end that kept it from acting. An
// adoption that was interrupted anywhere is done again.
package adopting
