package installation

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/walorigin"
)

// AdmitOptions say whom the repositories are to believe. The zero value asks whom they do.
type AdmitOptions struct {
	Fingerprints []string
	Revoke       bool // instead of admitting them
	Require      bool // nothing else is believed from now on
}

// Admit has the repository and every copy believe what keys sign, and says whom they believe then. What was changed is in the journal.
//
// Errors: cofre.ErrFindings if the journal of the repository is known to be cut back, or another; those of package walorigin.
func (w WAL) Admit(ctx context.Context, o AdmitOptions) ([]walorigin.Keys, error) {
	if o.Require || len(o.Fingerprints) > 0 {
		if err := w.admit(ctx, o); err != nil {
			return nil, err
		}
	}
	return walorigin.List(ctx, w.in.cfg)
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
	var changed []cofre.WALOriginChanged
	switch {
	case o.Require:
		changed, err = walorigin.Require(ctx, w.in.cfg)
	case o.Revoke:
		changed, err = walorigin.Revoke(ctx, w.in.cfg, o.Fingerprints)
	default:
		changed, err = walorigin.Admit(ctx, w.in.cfg, o.Fingerprints)
	}
	for _, c := range changed {
		cofre.Tell(w.in.observer, c)
	}
	return err
}
