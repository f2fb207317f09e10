package installation

import (
	"cmp"
	"context"
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/walorigin"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// AdmitOptions say whom the repositories are to believe. The zero value asks whom they do.
type AdmitOptions struct {
	Fingerprints []string
	Revoke       bool // instead of admitting them
	Require      bool // nothing else is believed from now on
}

// Admit has the repository and every copy believe what keys sign, and says whom they believe then. What was changed is in the journal. With an error, what
// could be reached was changed, and is said.
//
// Errors: cofre.ErrFindings if the journal of the repository is known to be cut back, or another; those of package walorigin.
func (w WAL) Admit(ctx context.Context, o AdmitOptions) ([]walorigin.Keys, error) {
	var failed error
	if o.Require || len(o.Fingerprints) > 0 {
		failed = w.admit(ctx, o)
	}
	if failed != nil && !errors.Is(failed, cofre.ErrUnreachable) {
		return nil, failed
	}
	all, err := walorigin.List(ctx, w.in.cfg)
	return all, cmp.Or(failed, err)
}

func (w WAL) admit(ctx context.Context, o AdmitOptions) (err error) {
	end := w.in.begin(ctx, cofre.RunAdmit, aboutCluster())
	defer func() { err = end(err) }()
	if _, err := w.in.writing(ctx); err != nil {
		w.in.warn(cofre.Say("journal.run_not_written", "the journal does not say that this ran: {{.cause}}", "cause", err))
	}
	if err := w.in.mayWrite(); err != nil {
		return err
	}
	_, unheard := w.in.hear(ctx) // what was said before is said again, and not what somebody has made of it since
	w.in.notHeard(unheard)
	var changed []cofre.WALOriginChanged
	switch {
	case o.Require:
		changed, err = walorigin.Require(ctx, w.in.cfg, w.baseBackups(ctx))
	case o.Revoke:
		changed, err = walorigin.Revoke(ctx, w.in.cfg, o.Fingerprints, w.baseBackups(ctx))
	default:
		changed, err = walorigin.Admit(ctx, w.in.cfg, o.Fingerprints)
	}
	for _, c := range changed {
		cofre.Tell(w.in.observer, c)
	}
	return err
}

// baseBackups are those of every installation. A key is revoked also if nobody can read them, which is said: WAL behind a gap then counts for nothing.
func (w WAL) baseBackups(ctx context.Context) []recovery.BaseBackup {
	backups, err := w.readBaseBackups(ctx)
	if err != nil {
		w.in.warn(cofre.Say("origin.no_backups", "the base backups cannot be read, so that nothing behind a gap in the WAL counts as older than this: {{.cause}}", "cause", err))
	}
	return backups
}

func (w WAL) readBaseBackups(ctx context.Context) ([]recovery.BaseBackup, error) {
	repo, err := w.in.reading(ctx)
	if err != nil {
		return nil, err
	}
	cat, err := catalog.Read(ctx, repo)
	if err != nil {
		return nil, err
	}
	backups, _, err := physical.BaseBackups(cat.List(catalog.Want{}))
	return backups, err
}
