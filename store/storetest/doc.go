// Package storetest has stores for tests: one in memory, with the clock that a test gives it, and one through which every request of
// another store goes, so that a test can lose it, count it, hold it up, or have it carried out twice.
package storetest
