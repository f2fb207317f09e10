package installation

import (
	"context"

	"github.com/trustlayer/cofre/installation/walorigin"
)

// AdmitOptions say whom the repositories are to believe. The zero value asks whom they do.
type AdmitOptions struct {
	Fingerprints []string
	Revoke       bool // instead of admitting them
	Require      bool // nothing else is believed from now on
}

// Admit has the repository and every copy believe what keys sign, and says whom they believe then.
//
// Errors: those of package walorigin.
func (w WAL) Admit(ctx context.Context, o AdmitOptions) ([]walorigin.Keys, error) {
	var err error
	switch {
	case o.Require:
		err = walorigin.Require(ctx, w.in.cfg)
	case o.Revoke:
		err = walorigin.Revoke(ctx, w.in.cfg, o.Fingerprints)
	default:
		err = walorigin.Admit(ctx, w.in.cfg, o.Fingerprints)
	}
	if err != nil {
		return nil, err
	}
	return walorigin.List(ctx, w.in.cfg)
}
