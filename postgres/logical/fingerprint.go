package logical

import (
	"context"
	"errors"
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/fingerprint"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// HasFingerprint reports whether a component has a fingerprint, and, if it must be, one with which a part can be compared.
//
// Errors: those of the tree; cofre.ErrCorrupt if a part is asked for, and the file is no fingerprint.
func HasFingerprint(ctx context.Context, tree cofre.Tree, part bool) (ok bool, err error) {
	_, err = tree.Stat(ctx, FingerprintFile)
	if errors.Is(err, cofre.ErrNotFound) {
		return false, nil
	}
	if err != nil || !part {
		return err == nil, err
	}
	r, err := tree.Open(ctx, FingerprintFile)
	if err != nil {
		return false, fmt.Errorf("open %s: %w", FingerprintFile, err)
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return fingerprint.HasPlaces(r)
}

// ArchivePlaces has the entries of an archive by the places of their objects.
func ArchivePlaces(toc *pgarchive.TOC) map[string]*pgarchive.Entry {
	at := make(map[string]*pgarchive.Entry, len(toc.Entries))
	for i := range toc.Entries {
		switch e := &toc.Entries[i]; {
		case e.OID == "0" || e.OID == "":
		case e.CatalogOID == "0":
			at[fingerprint.AtEntry(e.Desc, e.OID)] = e
		default:
			at[fingerprint.At(e.CatalogOID, e.OID)] = e
		}
	}
	return at
}
