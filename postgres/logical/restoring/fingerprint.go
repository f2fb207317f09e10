package restoring

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/fingerprint"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/pgarchive"
)

// hasFingerprint reports whether the catalogs of the copy can be compared with those of the source: the component
// has a fingerprint, and the copy is to hold every definition.
func (t *Target) hasFingerprint(ctx context.Context) (bool, error) {
	if !t.wantsFingerprint() || t.hasLost(lostCatalogs) {
		return false, nil
	}
	_, err := t.tree.Stat(ctx, logical.FingerprintFile)
	if errors.Is(err, cofre.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// wantsFingerprint reports whether the copy is to hold every definition.
func (t *Target) wantsFingerprint() bool {
	return !t.sel.Partial && t.sel.Sections[pgarchive.SectionPreData] && t.sel.Sections[pgarchive.SectionPostData]
}

// catalogs compares what the catalogs say of the copy with what they said of the source, object by object.
func (c *checker) catalogs(ctx context.Context) (err error) {
	captured, err := c.tree.Open(ctx, logical.FingerprintFile)
	if err != nil {
		return fmt.Errorf("open %s: %w", logical.FingerprintFile, err)
	}
	defer func() { err = errors.Join(err, captured.Close()) }()
	conn, err := logical.Connect(ctx, c.RowsOn(c.o.Server.With(c.staged)), nil)
	if err != nil {
		return err
	}
	defer postgres.Close(ctx, conn)
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			return fingerprint.Write(ctx, tx.Conn(), w)
		})
		_ = w.CloseWithError(err)
		written <- err
	}()
	result, err := fingerprint.Compare(captured, r, c.leftOut(), func(d fingerprint.Difference) error {
		c.proof.Checks = append(c.proof.Checks, cofre.Checked{What: d.Name, Want: d.Want, Got: d.Got, Accepted: cmp.Or(d.Lost, c.leftOutReason(d.Name), c.lostReason(d.Name))})
		return nil
	})
	_ = r.CloseWithError(io.ErrClosedPipe)
	if werr := <-written; werr != nil && !errors.Is(werr, io.ErrClosedPipe) {
		err = werr
	}
	if err != nil {
		return fmt.Errorf("compare the catalogs: %w", err)
	}
	for _, k := range result.Kinds {
		if k.Difference == 0 && k.Want > 0 { // those that differ are named, each for itself
			c.add(k.Kind, fmt.Sprint(k.Want), fmt.Sprint(k.Want))
		}
	}
	if between := result.Between; between[0] != 0 {
		c.obs.Observe(cofre.Event{Type: cofre.TypeNote, Task: "check catalogs", Text: fmt.Sprintf(
			"PostgreSQL %d and %d print expressions and definitions each in its own way: their texts were not compared, everything else was", between[0], between[1])})
	}
	return nil
}

// leftOut is what the restore was asked to leave out, or has said that it does.
func (c *checker) leftOut() fingerprint.Options {
	o := fingerprint.Options{
		NoOwner: c.o.NoOwner, NoPrivileges: c.o.NoPrivileges, NoData: !c.sel.Sections[pgarchive.SectionData],
		Except: map[string]bool{},
	}
	for _, s := range c.Facts.Database.Settings {
		if s.Role != "" && !c.server.roles[s.Role] {
			for _, role := range []string{s.Role, pgarchive.Quote(s.Role)} { // the server quotes what needs it
				o.Except["setting "+s.Name+" of role "+role] = true
			}
		}
	}
	return o
}
