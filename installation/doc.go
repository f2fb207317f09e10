// Package installation is the product as a library: one installation of PostgreSQL, objects and files, with its repository, as a
// configuration describes it. What a person does by cofre's commands a program does by the methods of Installation: values in,
// values out, and events to an observer. It parses no flags, prints nothing and asks nobody.
//
// Adapters and use cases meet here, and nowhere else: a source made of a configuration (sources.go), the repository opened by it
// (repository.go), and one file for each thing that is done with them.
//
// Read installation.go first, then sources.go and repository.go, then backup.go and restore.go. What PostgreSQL calls for each
// segment of WAL is in walstore, which must stay small.
package installation
