// Package cofre is the vocabulary of cofre, backup and restore software for installations made of a
// PostgreSQL database, object buckets and configuration files.
//
// A Source is captured into a Component; components published together are a RecoveryPoint; a restore
// carries out a Plan towards a Target. Everything that must outlive the machine rests in a Repository.
//
// The two ways through the house, each in one direction:
//
//	capture   cmd → backup → Source.Capture ──entries──▶ Session ──▶ Repository.Publish   (published last)
//	restore   cmd → catalog.Find → Target.Plan → Stage → Check → Publish                   (the rename is last)
//
// This package holds words only: it imports the standard library, does no I/O, and everything else may
// import it. Read point.go first, then source.go, target.go and repository.go, then errors.go.
//
// # Heights
//
// A package imports only packages that are lower than itself; adapters never import one another; use cases
// see the contracts of this package and never an adapter. The architecture test (arch_test.go) holds the
// heights and names the only importer of each guarded library.
package cofre
