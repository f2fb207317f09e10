package main

import (
	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
)

type restoreStorageCommand struct {
	restoreOptions
	installation.Storage
}

func newRestoreStorageCommand(a *app) *cobra.Command {
	var c restoreStorageCommand
	cmd := &cobra.Command{
		Use:   "storage POINT",
		Short: "Bring back objects and their buckets",
		Long: `Bring back the objects of a recovery point into the configured storage, with content type, cache control and
metadata; into a folder also with mode, owner, time and extended attributes. What is missing is brought back and compared
first. Objects and settings of buckets that differ from what was captured are left and named, and the exit code is 3;
--replace replaces them, and --delete-extra deletes objects that were not captured. What is replaced or deleted is kept:
next to a folder, otherwise in a new private bucket. What the place cannot hold, the plan says before.

  cofre restore storage latest --dry-run
  cofre restore storage latest --bucket evidence --prefix 2026/
  cofre restore storage latest --to-bucket evidence-before
  cofre restore storage latest --for-database   # after the database was restored to an earlier time

If the configured database is the storage's own, owners and times of the objects are set in it as well.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.KeepIn != "" && c.NoKeep {
				return edge.UsageError(cmd, cofre.Fail(cofre.Say("usage.keep_excludes", "--keep-in and --no-keep exclude each other")))
			}
			c.Point = args[0]
			return a.restore(cmd.Context(), restored(c.Storage), c.restoreOptions)
		},
	}
	c.addFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&c.Buckets, "bucket", nil, "only this `BUCKET`, may be repeated")
	f.StringVar(&c.Prefix, "prefix", "", "only objects whose names begin with `PREFIX`")
	f.StringVar(&c.Object, "object", "", "only the object of this `NAME`")
	f.StringVar(&c.ToBucket, "to-bucket", "", "into another `BUCKET`")
	f.StringVar(&c.ToPrefix, "to-prefix", "", "`PREFIX` to put before each name")
	f.BoolVar(&c.Replace, "replace", false, "replace objects that exist with other bytes or metadata")
	f.BoolVar(&c.DeleteExtra, "delete-extra", false, "delete objects that were not captured")
	f.StringVar(&c.KeepIn, "keep-in", "", "keep what is replaced or deleted in this `BUCKET`, which exists")
	f.BoolVar(&c.NoKeep, "no-keep", false, "keep nothing of what is replaced or deleted")
	f.BoolVar(&c.ForDatabase, "for-database", false, "exactly the objects that the configured database names, in the versions it names")
	f.IntVarP(&c.Jobs, "jobs", "j", 0, "`N` objects at once (default 8)")
	return cmd
}
