// Package due decides of one job whether it is to begin: from its schedule, from what is recorded of its runs, and from the time. It is pure: it
// knows no clock, keeps nothing, and starts nothing, so that an agent that was killed, and one that starts elsewhere, come to the same decision.
//
// A moment at which a job was due is honoured by a run that began then or later, and did its work. However many moments have passed without one, as
// when a machine was off for a week, one run makes them good, and begins at once. What failed is tried again after a pause that doubles. What
// was stopped by a person, or was killed, says nothing against the job, and is begun again.
//
// Read Decide.
package due
