// Package lease gives one process at a time the right to do one kind of thing to a repository: to capture a source, to prune, to
// stream from a slot. It works across machines, on every store that can create an object only if it is absent.
//
// A lease is a row of numbered objects, lease/NAME/000000000012, its generations. Whoever creates the next one has the lease: of several
// at once the store lets one win. A holder renews by creating the next one itself, gives back by creating one that says so, and commits,
// right before it does what it took the lease for, by creating one that says what. Nothing is ever overwritten. So every takeover and
// every commit of one lease stand in one order, which no clock makes and nobody can go behind: once somebody else has taken the lease,
// no commit of the holder before succeeds any more, however long it slept.
//
// A lease that its holder has not renewed for its term may be taken over. Its age is the difference of two times of the store: of its
// newest generation, and of an object that is created now. A holder knows that it is still within its term by the clock of its machine
// that also counts while the machine sleeps, from before its last renewal was sent. No two clocks are compared.
//
// Read Acquire first. What it holds against is in model_test.go: answers that are late, lost, or come twice, pauses, and leaps of the
// store's clock.
package lease
