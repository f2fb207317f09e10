// Package repositorytest has what tests of and with repositories need: a repository in memory for use cases, the
// contract that every cofre.Repository passes, and a fault injector.
//
// Memory keeps the promises of the contract and none of durability; it is not a mock: what it returns is what
// was written. Read memory.go first.
package repositorytest
