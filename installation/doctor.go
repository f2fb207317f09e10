package installation

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/doctor"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/observe"
	"github.com/trustlayer/cofre/postgres"
)

// Doctor looks at everything that a backup needs: the configuration, each repository and copy, and every source, each by
// itself, so that one that cannot be reached hides nothing of the others. Nothing is changed. What stands in the way is not
// OK, and its hint is the command, SQL or line that changes it.
//
// Errors: one that says how many things are to be changed, if there are any.
func (in *Installation) Doctor(ctx context.Context) (looked []cofre.Diagnosis, err error) {
	end := in.begin(ctx, cofre.RunDoctor, observe.About{})
	defer func() { end(err) }()
	open := func(ctx context.Context, r config.Repository) (cofre.Repository, error) {
		return openOne(ctx, in.cfg, r, toRead)
	}
	if in.cfg.Cluster != nil && in.cfg.Cluster.WAL != "" {
		_, _ = in.hear(ctx) // what is wrong with the repository is a diagnosis
	}
	wrong := 0
	for _, d := range (doctor.Examination{Config: in.cfg, Open: open, Journal: lookAtJournal}).Look(ctx) {
		looked = append(looked, d)
		cofre.Tell(in.observer, cofre.Diagnosed{Diagnosis: d})
		if !d.OK {
			wrong++
		}
	}
	if wrong > 0 {
		err = cofre.Fail(cofre.SayN("doctor.to_change", wrong, "1 thing to change", "{{.n}} things to change"))
	}
	return looked, err
}

// ServerMajor asks the configured server for its major version.
//
// Errors: cofre.ErrConfig if none is configured; those of postgres.Connect.
func (in *Installation) ServerMajor(ctx context.Context) (int, error) {
	to, err := sources.Server(in.cfg, "")
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
// Errors: cofre.ErrConfig without a storage; those of bucket.CheckProvider; cofre.ErrFindings, with the report, if a check fails.
func (in *Installation) CheckProvider(ctx context.Context, id string) (report bucket.ProviderReport, err error) {
	end := in.begin(ctx, cofre.RunCheckProvider, observe.About{Of: cofre.SourceID{Kind: cofre.KindStorage, Name: sources.StorageName}})
	defer func() { end(err) }()
	to, err := sources.Store(ctx, in.cfg)
	if err != nil {
		return bucket.ProviderReport{}, err
	}
	report, err = bucket.CheckProvider(ctx, to, id)
	if err == nil && !report.OK() {
		err = fmt.Errorf("check %s: %w", report.Store.URL, cofre.ErrFindings)
	}
	return report, err
}
