// Package archiving asks a server how it fares with handing its WAL to an archive: what failed, what waits, since when, and what to
// do about it.
package archiving
