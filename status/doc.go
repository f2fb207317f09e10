// Package status says how an installation stands: of each source to when it can be restored right now and how much would be lost, what failed and why, what is
// proven and when, what is due, what is in the way, and one verdict, the worst of all.
//
// It is pure: a function of configuration, catalog, journal, archived WAL and the time (Input), so that the command line, metrics, a console and a report cannot
// disagree. What could not be read is in the input, too (Unknown): it is never taken for good, and never hides what is known.
//
// Read Of first, then Status, then source.go.
package status
