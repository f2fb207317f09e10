package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
)

type restoreStorageCommand struct {
	restoreOptions
	buckets     []string
	prefix      string
	object      string
	toBucket    string
	toPrefix    string
	replace     bool
	deleteExtra bool
	keepIn      string
	noKeep      bool
	forDatabase bool
	jobs        int
}

func newRestoreStorageCommand(a *app) *cobra.Command {
	var c restoreStorageCommand
	cmd := &cobra.Command{
		Use:   "storage POINT",
		Short: "Bring back objects and their buckets",
		Long: `Bring back the objects of a recovery point into the configured storage, with content type, cache control and
metadata; into a folder also with mode, owner, time and extended attributes. What is missing is brought back and compared
first. Objects and settings of buckets that are otherwise than captured are left, named, and make the exit code 3;
--replace replaces them, and --delete-extra deletes objects that were not captured. What is replaced or deleted is kept:
beside a folder, otherwise in a new private bucket. What the place cannot hold, the plan says before.

  cofre restore storage latest --dry-run
  cofre restore storage latest --bucket evidence --prefix 2026/
  cofre restore storage latest --to-bucket evidence-before
  cofre restore storage latest --for-database   # after the database was restored to an earlier time

Where the configured database is the storage's own, owners and times of the objects are set in it as well.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.keepIn != "" && c.noKeep {
				return edge.UsageError(cmd, errors.New("--keep-in and --no-keep exclude each other"))
			}
			return a.reading(cmd.Context(), func(ctx context.Context, cfg *config.Config, repo reader) error {
				return c.run(ctx, a, cfg, repo, args[0])
			})
		},
	}
	c.addFlags(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&c.buckets, "bucket", nil, "only this `BUCKET`, may be repeated")
	f.StringVar(&c.prefix, "prefix", "", "only objects whose names begin so")
	f.StringVar(&c.object, "object", "", "only the object of this `NAME`")
	f.StringVar(&c.toBucket, "to-bucket", "", "into another `BUCKET`")
	f.StringVar(&c.toPrefix, "to-prefix", "", "put before each name")
	f.BoolVar(&c.replace, "replace", false, "replace objects that exist with other bytes or metadata")
	f.BoolVar(&c.deleteExtra, "delete-extra", false, "delete objects that were not captured")
	f.StringVar(&c.keepIn, "keep-in", "", "keep what is replaced or deleted in this `BUCKET`, which exists")
	f.BoolVar(&c.noKeep, "no-keep", false, "keep nothing of what is replaced or deleted")
	f.BoolVar(&c.forDatabase, "for-database", false, "exactly the objects that the configured database names, in the versions it names")
	f.IntVarP(&c.jobs, "jobs", "j", 0, "`N` objects at once (default 8)")
	return cmd
}

func (c *restoreStorageCommand) run(ctx context.Context, a *app, cfg *config.Config, repo reader, ref string) error {
	r := restoring{options: c.restoreOptions, kind: cofre.KindStorage, point: ref}
	r.target = func(from installation.Choice) (cofre.Target, error) {
		p, comp := from.Point, from.Component
		store, err := openTarget(ctx, cfg)
		if err != nil {
			return nil, err
		}
		state, err := cfg.StateFolder()
		if err != nil {
			return nil, err
		}
		restore := bucket.Restore{
			Source: cofre.SourceID{Installation: cfg.Name, Kind: cofre.KindStorage, Name: comp.Name}, Point: p.ID, To: store,
			Buckets: c.buckets, Prefix: c.prefix, Object: c.object, ToBucket: c.toBucket, ToPrefix: c.toPrefix,
			Replace: c.replace, DeleteExtra: c.deleteExtra, KeepIn: c.keepIn, NoKeep: c.noKeep, Jobs: c.jobs,
			StateDir: state,
		}
		rows, ok, err := storageRowsOf(cfg)
		if err != nil {
			return nil, err
		}
		if ok {
			restore.FixUp = rows
		}
		if c.forDatabase {
			if !ok {
				return nil, cofre.WithHint(fmt.Errorf("restore for the database: no database of a Supabase storage is configured: %w", cofre.ErrConfig),
					"add the sections database and storage.supabase to the configuration")
			}
			restore.ForDatabase = rows
			if restore.Others, err = otherPoints(ctx, cfg, repo, p, comp); err != nil {
				return nil, err
			}
		}
		return bucket.NewTarget(restore), nil
	}
	switch {
	case c.deleteExtra:
		r.replaces = func(cofre.Component) string { return "replace and delete objects in the storage" + c.keeping() }
	case c.replace:
		r.replaces = func(cofre.Component) string { return "replace objects in the storage" + c.keeping() }
	}
	return a.restore(ctx, cfg, repo, r)
}

func (c *restoreStorageCommand) keeping() string {
	if c.noKeep {
		return " and keep none of them"
	}
	return ""
}

// otherPoints are the storage components of the other points of this installation, newest first.
func otherPoints(ctx context.Context, cfg *config.Config, repo reader, p cofre.RecoveryPoint, comp cofre.Component) ([]bucket.Held, error) {
	cat, err := catalog.Read(ctx, repo)
	if err != nil {
		return nil, err
	}
	var held []bucket.Held
	for other := range cat.List(catalog.Want{Installation: cfg.Name, Kind: cofre.KindStorage, Name: comp.Name}) {
		if c, ok := other.Component(cofre.KindStorage, comp.Name); ok && other.ID != p.ID {
			held = append(held, bucket.Held{Point: other.ID, Open: func(ctx context.Context) (cofre.Tree, error) { return repo.Tree(ctx, c.Root) }})
		}
	}
	slices.Reverse(held)
	return held, nil
}
