package main

import (
	"cmp"
	"context"

	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/logical/rescue"
)

// runMerge compares a captured table with the live one, shows the difference, and applies it once confirmed.
func (c *restoreTableCommand) runMerge(ctx context.Context, a *app, in *installation.Installation) error {
	merge := &installation.Merge{
		Database: c.Database, Command: c.Table.Command,
		MergeOptions: rescue.MergeOptions{Server: c.Server, Table: c.Table.Table, Preview: c.preview, DeleteExtra: c.delete, Columns: c.columns, Loss: c.Loss},
	}
	compared := false
	c.Approve = func() (bool, error) {
		compared = true
		a.EndProgress()
		return a.ConfirmMerge(ctx, merge.Made(), c.dryRun, c.yes)
	}
	r, err := in.Restore(ctx, merge, c.RestoreOptions)
	a.EndProgress()
	if !compared {
		return err
	}
	return a.ShowMerge(ctx, r.Point, merge.Made(), cmp.Or(err, merge.Made().Incomplete()))
}
