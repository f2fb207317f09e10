package installation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/store"
)

// Doctor looks at everything that a backup needs: the configuration, each repository and copy, and every source, each by
// itself, so that one that cannot be reached hides nothing of the others. Nothing is changed. What stands in the way is not
// OK, and its hint is the command, SQL or line that changes it.
func (in *Installation) Doctor(ctx context.Context) []cofre.Diagnosis {
	cfg := in.cfg
	looked := []cofre.Diagnosis{lookAtConfig(cfg)}
	for i, r := range cfg.Repositories() {
		looked = append(looked, lookAtRepository(ctx, cfg, i, r))
	}
	looked = append(looked, lookAtArchiver(ctx, cfg)...)
	looked = append(looked, lookAtSources(ctx, cfg)...)
	if cfg.Cluster != nil && cfg.Cluster.WAL != "" {
		looked = append(looked, cofre.Diagnosis{
			Subject: "cluster: archived WAL", OK: true,
			Detail: "which moments can be recovered, and whether segments follow one another, was not looked at: cofre wal status",
		})
	}
	return looked
}

// ServerMajor asks the configured server for its major version.
//
// Errors: cofre.ErrConfig if none is configured; those of postgres.Connect.
func (in *Installation) ServerMajor(ctx context.Context) (int, error) {
	to, err := restoreServer(in.cfg, "")
	if err != nil {
		return 0, err
	}
	conn, err := postgres.Connect(ctx, to)
	if err != nil {
		return 0, cofre.WithHint(err, cofre.Say("doctor.version", "or name the version: cofre doctor --print-grants 15"))
	}
	server, err := postgres.ReadServer(ctx, conn)
	return server.Version.Major(), errors.Join(err, postgres.Close(ctx, conn))
}

// CheckProvider tries whether the configured storage does what backups and restores need of it, in a bucket that exists,
// below a prefix of its own that is emptied in the end.
//
// Errors: cofre.ErrConfig without a storage; those of bucket.CheckProvider. A check that fails is in the report.
func (in *Installation) CheckProvider(ctx context.Context, id string) (bucket.ProviderReport, error) {
	to, err := openStore(ctx, in.cfg)
	if err != nil {
		return bucket.ProviderReport{}, err
	}
	return bucket.CheckProvider(ctx, to, id)
}

func lookAtConfig(cfg *config.Config) cofre.Diagnosis {
	from := cfg.Path
	if from == "" {
		from = "the environment"
	}
	detail := fmt.Sprintf("%s, installation %s", from, cfg.Name)
	if unused := cfg.Unused(); len(unused) > 0 {
		detail += "; read, and not acted on by this version: " + strings.Join(unused, ", ")
	}
	return cofre.Diagnosis{Subject: "configuration", OK: true, Detail: detail}
}

// lookAtRepository opens the repository, which is the first, or a copy, and looks for the key that WAL needs.
func lookAtRepository(ctx context.Context, cfg *config.Config, i int, r config.Repository) cofre.Diagnosis {
	d := cofre.Diagnosis{Subject: "repository"}
	if i > 0 {
		d.Subject = fmt.Sprintf("copies[%d]", i-1)
	}
	repo, err := openOne(ctx, cfg, r, toRead)
	if err != nil {
		return failed(d.Subject, err)
	}
	stats, err := repo.Stats(ctx)
	if err != nil {
		return failed(d.Subject, errors.Join(err, repo.Close(ctx)))
	}
	last, err := lastStored(ctx, repo)
	if err = errors.Join(err, repo.Close(ctx)); err != nil {
		return failed(d.Subject, err)
	}
	st, err := walstore.Open(ctx, r)
	if err == nil {
		_, err = wal.Archive{Store: st}.Find(ctx)
	}
	if err == nil {
		err = store.Probe(ctx, st)
	}
	var free int64
	if err == nil {
		free, err = roomFor(ctx, st, last)
	}
	if err != nil {
		return failed(d.Subject, err)
	}
	d.OK, d.Detail = true, fmt.Sprintf("%s, %s, %s in %s, %s", stats.URL, words.Plural(stats.Points, "recovery point"), words.Size(stats.StoredBytes), words.Plural(int(stats.StoredBlobs), "blob"), stats.Encryption)
	if free >= 0 {
		d.Detail += ", " + words.Size(free) + " free"
	}
	if i > 0 {
		d.Detail += "; WAL is archived to it too, and this version brings no recovery points"
	}
	return d
}

// lastStored is what the newest point added to the repository.
func lastStored(ctx context.Context, repo cofre.Repository) (int64, error) {
	var last int64
	for p, err := range repo.Points(ctx) {
		if err != nil {
			return 0, err
		}
		last = 0
		for _, c := range p.Components {
			last += c.Stored
		}
	}
	return last, nil
}

// leastRoom is the room that a repository has at least, in bytes: two segments of WAL.
const leastRoom = 32 << 20

// roomFor says how much space is free, -1 where the store does not say, and that it is not enough for another backup of
// the size of the last.
func roomFor(ctx context.Context, st cofre.Store, last int64) (int64, error) {
	free, err := st.Free(ctx)
	if need := max(last, leastRoom); err == nil && free >= 0 && free < need {
		err = cofre.WithHint(fmt.Errorf("%s are free in %s, and the next backup may need %s: %w", words.Size(free), st.URL(), words.Size(need), cofre.ErrDiskFull),
			cofre.Say("doctor.room", "make room: df -h {{.path}}", "path", st.URL()))
	}
	return free, err
}

// lookAtArchiver looks whether the server, which calls archive_command as its own user, may write into the folders of the
// repositories, if it is on this machine.
func lookAtArchiver(ctx context.Context, cfg *config.Config) []cofre.Diagnosis {
	if cfg.Cluster == nil || cfg.Cluster.WAL != config.WALArchive {
		return nil
	}
	uid, ok := serverUser(ctx, cfg.Cluster)
	if !ok {
		return nil
	}
	var looked []cofre.Diagnosis
	for _, r := range cfg.Repositories() {
		if err := store.WritableBy(r.URL, uid); err != nil {
			looked = append(looked, failed("cluster: archive_command", err))
		}
	}
	return looked
}

// serverUser is the owner of the data directory, if that is on this machine.
func serverUser(ctx context.Context, c *config.Cluster) (int, bool) {
	dir := c.DataDirectory
	if dir == "" {
		server, err := serverOf(c.URL, c.Password)
		if err != nil {
			return 0, false
		}
		conn, err := postgres.Connect(ctx, server)
		if err != nil {
			return 0, false
		}
		defer func() { _ = postgres.Close(ctx, conn) }()
		found, err := postgres.ReadServer(ctx, conn)
		if err != nil {
			return 0, false
		}
		dir = found.DataDir
	}
	info, err := os.Stat(dir)
	if dir == "" || err != nil {
		return 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return int(st.Uid), ok
}

// lookAtSources asks each source by itself: one that cannot be reached hides nothing of the others.
func lookAtSources(ctx context.Context, cfg *config.Config) []cofre.Diagnosis {
	var looked []cofre.Diagnosis
	for _, kind := range configured(cfg) {
		made, err := sources(cfg, []cofre.Kind{kind}, BackupOptions{})
		if err != nil {
			looked = append(looked, failed(string(kind), err))
			continue
		}
		for _, s := range made {
			c, ok := s.(cofre.Checker)
			if !ok {
				continue
			}
			found, err := c.Doctor(ctx)
			if err != nil {
				found = append(found, failed(string(kind), err))
			}
			for _, d := range found {
				if !strings.HasPrefix(d.Subject, string(kind)) {
					d.Subject = string(kind) + ": " + d.Subject
				}
				looked = append(looked, d)
			}
		}
	}
	return looked
}

func failed(subject string, err error) cofre.Diagnosis {
	return cofre.Diagnosis{Subject: subject, Detail: cofre.OneLine(err), Hint: cofre.Hint(err)}
}
