// Package restoring brings a component of a cluster to a data directory: every file but pg_control, each block compared with what
// was captured, synced, with the settings that it is recovered by; and then pg_control, by rename, as the last act.
//
// It starts no server: package recovering does. Read target.go first, which plans, then stage.go, which writes; made_spaces.go has
// the tablespaces that the WAL will create.
package restoring
