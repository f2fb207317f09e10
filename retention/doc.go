// Package retention decides which components of recovery points are kept and which expire, each with its reasons. It is pure: what it
// knows is in its input, and it removes nothing.
//
// The unit is one component of one source, because a dump may go while the storage of the same point stays. The rules of a source are
// those of its configuration (Rules). What they leave may still be kept by what is above every rule: a hold, a component that another
// needs, the last that is whole, the number of proven ones that always stay, a source whose last attempts failed, a clock that cannot
// be trusted. A doubt always keeps.
//
// Age is counted in days on which the source was captured (age.go), so that a source that fails, or a clock that leaps, does not age
// what there is.
//
// Read Decide first, then judge.
package retention
