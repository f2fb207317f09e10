// Package postgres reaches a PostgreSQL server, says what it is, and finds the client programs that suit it.
//
// It captures nothing and restores nothing: that is the work of the packages below it. Read connect.go first,
// then tools.go.
package postgres
