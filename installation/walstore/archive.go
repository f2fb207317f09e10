package walstore

import (
	"cmp"
	"context"
	"path/filepath"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres/wal"
)

// ArchiveOptions say how WAL is archived. The zero value observes nothing.
type ArchiveOptions struct {
	// Spool is where it is kept what is known of segments archived ahead; "" is in the folder for caches, or nowhere if this machine
	// has none: a server may run without a home directory.
	Spool    string
	Version  string // of the program, for events
	Observer cofre.Observer
	Warn     func(cofre.Message) // nil: nobody is told what does not keep it from being archived
}

// Archive stores one file of pg_wal in the repository and its copies, as archive_command hands it over with %p. It is a run.
//
// Errors: those of wal.Archiver.Archive.
func Archive(ctx context.Context, cfg *config.Config, path string, o ArchiveOptions) (done wal.Archived, err error) {
	if o.Spool == "" {
		if state, err := cfg.StateFolder(); err == nil {
			o.Spool = filepath.Join(state, "archive", cfg.Name)
		}
	}
	run := observe.Begin(o.Observer, cofre.RunWALArchive, observe.About{
		Of: cofre.SourceID{Installation: cfg.Name, Kind: cofre.KindCluster, Name: string(cofre.KindCluster)},
		By: observe.Here(o.Version), Configuration: cfg.Digest,
	})
	defer func() { run.End(ctx, err) }()
	if o.Warn == nil {
		o.Warn = func(cofre.Message) {}
	}
	archives := Archives(ctx, cfg)
	Signing(cfg, archives, o.Spool, o.Warn)
	archiver := &wal.Archiver{Archives: archives, Spool: o.Spool}
	if done, err = archiver.Archive(ctx, path); err != nil {
		return done, err
	}
	cofre.Tell(run, cofre.WALArchived{System: done.System, File: done.Name, Stored: done.Stored, Ahead: done.Ahead})
	if gap, ok := breakIn(done); ok {
		cofre.Tell(run, gap)
	}
	return done, nil
}

// breakIn is what recovery cannot get past in a file that was archived all the same.
func breakIn(done wal.Archived) (cofre.GapFound, bool) {
	why := cmp.Or(done.Unrelated, "its records end before it does")
	return wal.BreakIn(done.System, done.Name, done.Damaged, why), done.Damaged != 0 || done.Unrelated != ""
}
