package installation

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/backup"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/installation/sources"
	"github.com/trustlayer/cofre/installation/walorigin"
	"github.com/trustlayer/cofre/observe"
)

// BackupOptions says what is captured and how. Its zero value captures everything that is configured, as configured.
type BackupOptions struct {
	Kinds       []cofre.Kind  // nil is everything that the configuration has
	Jobs        int           // things read at once; 0 is as configured, or the number of CPUs up to 4
	LockTimeout time.Duration // for a lock on a table; 0 is as configured
	AllowEmpty  bool          // takes a storage for empty though the last backup found objects in it
}

// Backup captures into one recovery point and publishes it, between the hooks of the configuration. The point is returned with an
// error too, if it was published.
//
// Errors: cofre.ErrConfig if a kind is not configured; cofre.ErrPartial with the point, if a source could not be captured; those
// of the repository, of backup.Run and of the hooks.
func (in *Installation) Backup(ctx context.Context, o BackupOptions) (_ *cofre.RecoveryPoint, err error) {
	end := in.begin(ctx, cofre.RunBackup, observe.About{What: runs.WhatOf(o.Kinds)})
	defer func() { err = end(err) }()
	repo, req, err := in.toBackup(ctx, o)
	if err != nil {
		return nil, err
	}
	known, warn, tell := walorigin.OwnKeys(in.cfg), func(m cofre.Message) { in.warn(m) }, func(f cofre.Fact) { cofre.Tell(in.observer, f) }
	if err := walorigin.Attend(ctx, in.cfg, warn, tell); err != nil {
		return nil, err
	}
	if copies := in.cfg.Copies; len(copies) > 0 {
		// A promise of the file that this does not keep is not passed over in silence.
		in.warn(cofre.Say("backup.copies", "this version brings only WAL to copies: the recovery point will be in {{.repository}}, and not in {{.copies}}", "repository", in.cfg.Repository.URL, "copies", urlsOf(copies)))
	}
	var point *cofre.RecoveryPoint
	ran, err := in.hooks().Run(ctx, "before_backup", in.cfg.Hooks.BeforeBackup)
	if err != nil && ran == 0 {
		return nil, err // nothing was done that is to be undone
	}
	if err == nil {
		point, err = backup.Run(ctx, repo, req)
		walorigin.AttendAgain(ctx, in.cfg, known, warn, tell)
	}
	return point, in.hooks().After(ctx, "after_backup", in.cfg.Hooks.AfterBackup, err)
}

// capture is Backup without hooks.
func (in *Installation) capture(ctx context.Context, o BackupOptions) (_ *cofre.RecoveryPoint, err error) {
	end := in.begin(ctx, cofre.RunBackup, observe.About{What: runs.WhatOf(o.Kinds)})
	defer func() { err = end(err) }()
	repo, req, err := in.toBackup(ctx, o)
	if err != nil {
		return nil, err
	}
	return backup.Run(ctx, repo, req)
}

// toBackup opens the repository to write, and makes the request of a backup.
func (in *Installation) toBackup(ctx context.Context, o BackupOptions) (cofre.Repository, backup.Request, error) {
	repo, err := in.writing(ctx)
	if err != nil {
		return nil, backup.Request{}, err
	}
	if in.book != nil {
		// What cannot be looked at now the next verification looks at.
		if cat, err := in.catalog(ctx, repo); err == nil {
			_ = in.looker(repo).Newest(in.book.Recent(ctx), cat.List(catalog.Want{}))
		}
	}
	req, err := in.backupRequest(o)
	req.Named = func(ctx context.Context, d cofre.Damage) cofre.Damage { return loss.Damage(ctx, repo, d) }
	return repo, req, err
}

// PlanBackup says what Backup would do, and does nothing.
//
// Errors: those of the repository and of backup.Plan; cofre.ErrConfig as of Backup.
func (in *Installation) PlanBackup(ctx context.Context, o BackupOptions) (*cofre.Plan, error) {
	repo, err := in.reading(ctx)
	if err != nil {
		return nil, err
	}
	req, err := in.backupRequest(o)
	if err != nil {
		return nil, err
	}
	req.Observer = cofre.Discard
	return backup.Plan(ctx, repo, req)
}

func (in *Installation) backupRequest(o BackupOptions) (backup.Request, error) {
	captured, err := sources.All(in.cfg, o.Kinds, sources.Options{Jobs: o.Jobs, LockTimeout: o.LockTimeout, AllowEmpty: o.AllowEmpty})
	if err != nil {
		return backup.Request{}, err
	}
	host, err := os.Hostname()
	if err != nil {
		return backup.Request{}, fmt.Errorf("read the name of this machine: %w", err)
	}
	return backup.Request{
		Installation: in.cfg.Name, Sources: captured, Checks: sources.PointChecks(), Jobs: sources.Parallel(o.Jobs),
		Observer: in.observer, Host: host, Version: in.Version, WAL: walorigin.Heads(in.cfg, in.warn),
	}, nil
}

func urlsOf(repositories []config.Repository) string {
	urls := make([]string, len(repositories))
	for i, r := range repositories {
		urls[i] = r.URL
	}
	return strings.Join(urls, ", ")
}
