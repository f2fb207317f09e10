// Package sources makes of a configuration what is captured, and leads to the servers and stores that it names, for captures and restores. Each source is
// opened when it is needed. Read All first.
package sources

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/backup"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/supabase"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/files"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/logical/dump"
	"github.com/trustlayer/cofre/postgres/physical/basebackup"
)

// Options say how sources are captured. The zero value is as configured.
type Options struct {
	Jobs        int           // things read at once; 0 is as configured
	LockTimeout time.Duration // for a lock on a table; 0 is as configured
	AllowEmpty  bool          // takes a storage for empty though the last backup found objects in it
}

// maxJobs is how many things are read at once if nobody said: beyond it a database is disturbed more than a
// backup is sped up.
const maxJobs = 4

// ClusterName names the only cluster source of a configuration.
const ClusterName = "cluster"

// Parallel is how many things are done at once: as asked for, or as many as there are CPUs, up to maxJobs.
func Parallel(jobs int) int {
	if jobs > 0 {
		return jobs
	}
	return min(runtime.NumCPU(), maxJobs)
}

// PointChecks are the checks between the components of one point.
func PointChecks() []cofre.PointCheck {
	return []cofre.PointCheck{bucket.Closure{Rows: supabase.DatabaseRows}}
}

// Configured lists the kinds that the configuration has a section for.
func Configured(cfg *config.Config) []cofre.Kind {
	var kinds []cofre.Kind
	for _, s := range []struct {
		kind cofre.Kind
		has  bool
	}{
		{cofre.KindDatabase, cfg.Database != nil},
		{cofre.KindCluster, cfg.Cluster != nil},
		{cofre.KindStorage, cfg.Storage != nil},
		{cofre.KindConfig, cfg.Files != nil},
	} {
		if s.has {
			kinds = append(kinds, s.kind)
		}
	}
	return kinds
}

// All names the sources of the kinds asked for, or of all that are configured. Each is opened when it is needed,
// so that a secret that cannot be read, or a storage that is down, stands in the way of its own source alone.
//
// Errors: cofre.ErrConfig if a kind is asked for that is not configured, or nothing is.
func All(cfg *config.Config, kinds []cofre.Kind, o Options) ([]cofre.Source, error) {
	have := Configured(cfg)
	if len(kinds) == 0 {
		kinds = have
	}
	if len(kinds) == 0 {
		return nil, cofre.WithHint(cofre.Fail(cofre.Say("backup.nothing", "nothing to back up"), cofre.ErrConfig), cfg.Hint(
			cofre.Say("sources.add_any", "add a section database, cluster, storage or config to the configuration"),
			cofre.Say("sources.set_any", "set DB_HOST, or SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY")))
	}
	var made []cofre.Source
	for _, kind := range slices.Compact(slices.Sorted(slices.Values(kinds))) {
		if !slices.Contains(have, kind) {
			return nil, cofre.WithHint(cofre.Fail(cofre.Say("backup.not_configured", "back up {{.kind}}: it is not configured", "kind", kind), cofre.ErrConfig), cfg.Adding(kind))
		}
		made = append(made, backup.Opening(ID(cfg, kind), func(ctx context.Context) (cofre.Source, error) {
			return source(ctx, cfg, kind, o)
		}))
	}
	return made, nil
}

// ID is what a configured source of a kind is called.
func ID(cfg *config.Config, kind cofre.Kind) cofre.SourceID {
	id := cofre.SourceID{Installation: cfg.Name, Kind: kind, Name: string(kind)}
	switch kind {
	case cofre.KindDatabase:
		id.Name = postgres.Config{URL: cfg.Database.URL}.DatabaseName()
	case cofre.KindCluster:
		id.Name = ClusterName
	case cofre.KindStorage:
		id.Name = StorageName
	}
	return id
}

func source(ctx context.Context, cfg *config.Config, kind cofre.Kind, o Options) (cofre.Source, error) {
	switch kind {
	case cofre.KindDatabase:
		return databaseSource(cfg, o)
	case cofre.KindCluster:
		return Cluster(ctx, cfg, o)
	case cofre.KindStorage:
		return storageSource(ctx, cfg, o)
	case cofre.KindConfig:
		return configSource(cfg)
	}
	return nil, cofre.WithHint(cofre.Fail(cofre.Say("backup.cannot", "this version cannot capture {{.kind}}", "kind", kind), cofre.ErrConfig), cofre.Say("sources.remove", "remove the section {{.kind}}", "kind", kind))
}

func databaseSource(cfg *config.Config, o Options) (cofre.Source, error) {
	d := cfg.Database
	server, err := ServerOf(d.URL, d.Password)
	if err != nil {
		return nil, err
	}
	return dump.NewSource(ID(cfg, cofre.KindDatabase), server, dump.Options{
		Jobs: cmp.Or(o.Jobs, d.Jobs), LockTimeout: cmp.Or(o.LockTimeout, d.LockTimeout.Duration),
		RolePasswords: d.RolePasswords, ExcludeTableData: d.ExcludeTableData,
	}), nil
}

// Cluster is the source of the configured cluster, which there must be.
//
// Errors: those of ServerOf; with WAL those of the store, and cofre.ErrWrongKey of one that its archive is in.
func Cluster(ctx context.Context, cfg *config.Config, o Options) (*basebackup.Source, error) {
	c := cfg.Cluster
	server, err := ServerOf(c.URL, c.Password)
	if err != nil {
		return nil, err
	}
	p := basebackup.Config{
		Name: ClusterName, Server: server, DataDirectory: c.DataDirectory, SpreadCheckpoint: c.Checkpoint == config.CheckpointSpread,
		Jobs: cmp.Or(o.Jobs, c.Jobs),
	}
	if c.WAL != "" {
		st, err := walstore.Open(ctx, cfg.Repository)
		if err != nil {
			return nil, err
		}
		archives := walstore.Archives(ctx, cfg)
		for _, a := range archives {
			if _, err := a.Find(ctx); errors.Is(err, cofre.ErrWrongKey) {
				return nil, err // whatever else is wrong with it, the base backup does without
			}
		}
		p.Archive = archive{cfg, st, archives}
		if c.WAL == config.WALStream {
			p.Slot = cmp.Or(c.Slot, "cofre")
		}
	}
	return basebackup.NewSource(cfg.Name, p), nil
}

func configSource(cfg *config.Config) (cofre.Source, error) {
	state, err := cfg.StateFolder()
	if err != nil {
		return nil, err
	}
	c := files.Config{Installation: cfg.Name, Paths: cfg.Files.Paths, Exclude: cfg.Files.Exclude, Never: []files.Never{{Path: state, What: cofre.Say("sources.own_state", "cofre's own state")}}}
	for _, r := range cfg.Repositories() {
		if !r.IsS3() {
			c.Never = append(c.Never, files.Never{Path: r.URL, What: cofre.Say("sources.repository", "the repository")})
		}
	}
	if cfg.Files.Cofre && cfg.Path != "" {
		c.Paths = append(slices.Clone(c.Paths), cfg.Path)
	}
	if cfg.Files.PostgreSQL {
		server, err := Server(cfg, "")
		if err != nil {
			return nil, err
		}
		c.Extra = serverConfiguration(server)
	}
	return files.NewSource(c), nil
}

// serverConfiguration reads the configuration of a PostgreSQL server as files of the folder postgresql.
func serverConfiguration(server postgres.Config) func(context.Context) ([]files.Virtual, error) {
	return func(ctx context.Context) ([]files.Virtual, error) {
		read, err := postgres.ReadConfiguration(ctx, server)
		var found []files.Virtual
		for _, f := range read {
			found = append(found, files.Virtual{Path: "postgresql/" + f.Path, Bytes: f.Bytes})
		}
		return found, err
	}
}

// Server leads to the PostgreSQL server that the configuration names, or to another by URL.
//
// Errors: cofre.ErrConfig if neither is given; those of ServerOf.
func Server(cfg *config.Config, address string) (postgres.Config, error) {
	switch {
	case address != "":
		return postgres.Config{URL: address}, nil
	case cfg.Database != nil:
		return ServerOf(cfg.Database.URL, cfg.Database.Password)
	case cfg.Cluster != nil:
		return ServerOf(cfg.Cluster.URL, cfg.Cluster.Password)
	}
	return postgres.Config{}, cofre.WithHint(cofre.Fail(cofre.Say("sources.no_server", "no server"), cofre.ErrConfig), cfg.Hint(
		cofre.Say("sources.server", "add a section database to the configuration, or give --server URL"),
		cofre.Say("sources.set_server", "set DB_HOST and DB_NAME, or give --server URL")))
}

// ServerOf makes the connection of a URL. Without a configured password the PG* variables and the password file
// count, as for psql.
//
// Errors: cofre.ErrConfig if the password cannot be read.
func ServerOf(address string, password config.Secret) (postgres.Config, error) {
	p, err := password.Read()
	if err != nil {
		return postgres.Config{}, fmt.Errorf("read the database password: %w: %w", cofre.ErrConfig, err)
	}
	return postgres.Config{URL: address, Password: p}, nil
}
