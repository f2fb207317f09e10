// Package restoring brings a component of a cluster to a data directory: every file but pg_control, each block compared with what
// was captured, synced, with the settings that it is recovered by; and then pg_control, by rename, as the last act.
//
// It starts no server: package recovering does. Read target.go first, then plan.go, which looks and decides, and stage.go, which alone
// writes, in the directory that lock.go has claimed; made_spaces.go has the tablespaces that the WAL will create.
package restoring
