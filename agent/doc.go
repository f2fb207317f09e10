// Package agent does, by itself, what a configuration says is to be done and when: backups of each source, expiry, pruning and verification by their
// schedules, WAL streaming, and a commit now and then on a server whose WAL is archived. It is what cofre serve runs.
//
// It decides nothing that package due does not decide, and does nothing that an installation does not do. It keeps no state: what ran is read from
// the repository, so that it goes on after it was killed, and starts elsewhere. Each job has a goroutine of its own while it runs, so that
// one that hangs delays no other.
//
// Read Run, then loop.go, then job.go; hands.go is the installation as the agent sees it.
package agent
