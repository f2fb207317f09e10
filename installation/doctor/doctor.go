// Package doctor looks at everything that a backup needs, and changes nothing. Read Examination.Look first.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/custody"
	"github.com/trustlayer/cofre/installation/room"
	"github.com/trustlayer/cofre/installation/sealing"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/installation/walorigin"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/internal/words"
	"github.com/trustlayer/cofre/notify"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/store"
)

// Examination is what is looked at, and how what is above this package is reached.
type Examination struct {
	Config  *config.Config
	Open    func(context.Context, config.Repository) (cofre.Repository, error) // opens the repository or a copy, to read
	Journal func(context.Context, *config.Config) cofre.Diagnosis              // compares the journal with what this machine has seen of it
}

// Look looks at the configuration, each repository and copy, the journal, and every source, each by itself, so that one that cannot be
// reached hides nothing of the others. What stands in the way is not OK, and its hint is the command, SQL or line that changes it.
func (e Examination) Look(ctx context.Context) []cofre.Diagnosis {
	cfg := e.Config
	looked := append([]cofre.Diagnosis{lookAtConfig(cfg)}, custody.Look(cfg)...)
	for i, r := range cfg.Repositories() {
		looked = append(looked, e.lookAtRepository(ctx, i, r))
	}
	looked = append(looked, e.Journal(ctx, cfg))
	looked = append(looked, notify.Examine(cfg)...)
	looked = append(looked, lookAtArchiver(ctx, cfg)...)
	looked = append(looked, lookAtSources(ctx, cfg)...)
	if cfg.Cluster != nil && cfg.Cluster.WAL != "" {
		looked = append(looked, lookAtWAL(ctx, cfg)...)
	}
	return looked
}

func lookAtConfig(cfg *config.Config) cofre.Diagnosis {
	from := cofre.Verbatim(cfg.Path)
	if cfg.Path == "" {
		from = cofre.Say("doctor.environment", "the environment")
	}
	detail := cofre.Say("doctor.configured", "{{.from}}, installation {{.name}}", "from", from, "name", cfg.Name)
	if unused := cfg.Unused(); len(unused) > 0 {
		detail = cofre.Say("doctor.unused_keys", "{{.configured}}; this version reads these keys and does not act on them: {{.keys}}", "configured", detail, "keys", strings.Join(unused, ", "))
	}
	return cofre.NewDiagnosis(cofre.Say("doctor.configuration", "configuration"), true, detail, cofre.Message{})
}

// lookAtRepository opens the repository, which is the first, or a copy, and looks for the key that WAL needs.
func (e Examination) lookAtRepository(ctx context.Context, i int, r config.Repository) cofre.Diagnosis {
	cfg := e.Config
	subject := cofre.Say("doctor.repository", "repository")
	if i > 0 {
		subject = cofre.Verbatim(fmt.Sprintf("copies[%d]", i-1))
	}
	repo, err := e.Open(ctx, r)
	if err != nil {
		return failed(subject, err)
	}
	stats, err := repo.Stats(ctx)
	if err != nil {
		return failed(subject, errors.Join(err, repo.Close(ctx)))
	}
	detail, err := sealing.Detail(ctx, repo, cofre.SayN("doctor.stats", stats.Points, "{{.url}}, 1 recovery point, {{.size}} in {{.blobs}}, {{.encryption}}", "{{.url}}, {{.n}} recovery points, {{.size}} in {{.blobs}}, {{.encryption}}", "url", stats.URL, "size", words.Size(stats.StoredBytes),
		"blobs", cofre.SayN("doctor.blobs", int(stats.StoredBlobs), "1 blob", "{{.n}} blobs"), "encryption", stats.Encryption))
	last, lastErr := room.LastStored(ctx, repo)
	if err = errors.Join(err, lastErr, repo.Close(ctx)); err != nil {
		return failed(subject, err)
	}
	archive := walstore.ArchiveOf(ctx, cfg, r)
	st := archive.Store
	_, err = archive.Find(ctx)
	if err == nil && cfg.Cluster != nil && cfg.Cluster.WAL != "" {
		err = wal.Readable(ctx, st, walstore.Unlock(ctx, cfg, r, st))
	}
	if err == nil {
		err = store.Probe(ctx, st)
	}
	if err == nil {
		err = store.Writable(ctx, r.URL)
	}
	var free int64
	if err == nil {
		free, err = room.For(ctx, st, last)
	}
	if err != nil {
		return failed(subject, err)
	}
	if free >= 0 {
		detail = cofre.List(detail, cofre.Say("doctor.room_left", "{{.size}} free", "size", words.Size(free)))
	}
	if i > 0 {
		detail = cofre.Say("doctor.wal_alone", "{{.stats}}; WAL is archived to it too, and this version brings no recovery points", "stats", detail)
	}
	return cofre.NewDiagnosis(subject, true, detail, cofre.Message{})
}

// lookAtWAL looks for WAL that is known to be damaged. It reads no segment: what is missing, and what follows what, cofre wal status says.
func lookAtWAL(ctx context.Context, cfg *config.Config) []cofre.Diagnosis {
	subject := cofre.Say("doctor.archived_wal", "cluster: archived WAL")
	var looked []cofre.Diagnosis
	for _, r := range cfg.Repositories() {
		damaged, err := damagedWAL(ctx, cfg, r)
		switch {
		case err != nil:
			looked = append(looked, failed(subject, err))
		case len(damaged) > 0:
			looked = append(looked, cofre.NewDiagnosis(subject, false,
				cofre.SayN("doctor.wal_damaged", len(damaged), "1 file is damaged in {{.url}}: {{.first}}", "{{.n}} files are damaged in {{.url}}, the first {{.first}}", "url", r.URL, "first", damaged[0].Name),
				cofre.Say("doctor.wal_mend", "cofre backup cluster stores afresh what the server or a copy still has; cofre wal status says which moments can be recovered meanwhile")))
		}
	}
	looked = append(looked, walorigin.Diagnose(ctx, cfg)...)
	if len(looked) == 0 {
		looked = append(looked, cofre.NewDiagnosis(subject, true,
			cofre.Say("doctor.wal_undamaged", "nothing is known to be damaged; which moments can be recovered, and whether all segments are there, is not examined here: cofre wal status"), cofre.Message{}))
	}
	return looked
}

// damagedWAL is what is known to be damaged of the WAL in a repository, without what a person knows of.
func damagedWAL(ctx context.Context, cfg *config.Config, r config.Repository) ([]wal.Damage, error) {
	st, systems, unlock, err := walstore.Systems(ctx, cfg, r)
	if err != nil {
		return nil, err
	}
	var all []wal.Damage
	for _, system := range systems {
		damaged, err := wal.KnownDamage(ctx, st, system, unlock)
		if err != nil {
			return nil, err
		}
		all = append(all, slices.DeleteFunc(damaged, func(d wal.Damage) bool { return d.Acknowledged })...)
	}
	return all, nil
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
			looked = append(looked, failed(cofre.Verbatim("cluster: archive_command"), err))
		}
	}
	return looked
}

// serverUser is the owner of the data directory, if that is on this machine.
func serverUser(ctx context.Context, c *config.Cluster) (int, bool) {
	dir := c.DataDirectory
	if dir == "" {
		server, err := sources.ServerOf(c.URL, c.Password)
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
	for _, kind := range sources.Configured(cfg) {
		made, err := sources.All(cfg, []cofre.Kind{kind}, sources.Options{})
		if err != nil {
			looked = append(looked, failed(cofre.Verbatim(string(kind)), err))
			continue
		}
		for _, s := range made {
			c, ok := s.(cofre.Checker)
			if !ok {
				continue
			}
			found, err := c.Doctor(ctx)
			if err != nil {
				found = append(found, failed(cofre.Verbatim(string(kind)), err))
			}
			for _, d := range found {
				looked = append(looked, ofKind(d, kind))
			}
		}
	}
	return looked
}

// ofKind is a diagnosis whose subject names its kind.
func ofKind(d cofre.Diagnosis, kind cofre.Kind) cofre.Diagnosis {
	if strings.HasPrefix(d.Subject, string(kind)) {
		return d
	}
	subject := cofre.Say("doctor.of_kind", "{{.kind}}: {{.subject}}", "kind", kind, "subject", d.Messages.Of(d.Subject))
	return cofre.NewDiagnosis(subject, d.OK, d.Messages.Of(d.Detail), d.Messages.Of(d.Hint))
}

func failed(subject cofre.Message, err error) cofre.Diagnosis {
	return cofre.NewDiagnosis(subject, false, cofre.SayError(err), cofre.HintOf(err))
}
