package installation

import (
	"context"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket/restoring"
	"github.com/trustlayer/cofre/catalog"
	"github.com/trustlayer/cofre/installation/loss"
	"github.com/trustlayer/cofre/installation/sources"
)

// Storage says which objects are restored into the configured storage, and how. The zero value brings back what is missing.
type Storage struct {
	Buckets  []string // nil is all
	Prefix   string   // only objects whose names begin with `PREFIX`
	Object   string   // only the object of this name
	ToBucket string   // another bucket
	ToPrefix string   // `PREFIX` to put before each name

	Replace     bool   // objects that exist with other bytes or metadata are replaced, and kept
	DeleteExtra bool   // objects that were not captured are deleted, and kept
	KeepIn      string // an existing bucket to keep in; "" makes one
	NoKeep      bool   // nothing is kept
	ForDatabase bool   // exactly the objects, in the versions, that the configured database names
	Jobs        int    // objects at once; 0 is 8
}

func (Storage) kind() cofre.Kind { return cofre.KindStorage }
func (Storage) called() string   { return "storage" }

func (Storage) instead(_ context.Context, _ *Installation, from loss.Choice) (cofre.PointID, bool) {
	return newestWhole(from)
}

func (s Storage) replaces(cofre.Component) cofre.Message {
	switch {
	case s.DeleteExtra:
		return cofre.Say("replace.storage_delete", "replace and delete objects in the storage")
	case s.Replace:
		return cofre.Say("replace.storage", "replace objects in the storage")
	}
	return cofre.Message{}
}

func (s Storage) target(ctx context.Context, in *Installation, repo reader, from loss.Choice) (cofre.Target, error) {
	p, comp := from.Point, from.Component
	store, err := sources.Target(ctx, in.cfg)
	if err != nil {
		return nil, err
	}
	state, err := in.cfg.StateFolder()
	if err != nil {
		return nil, err
	}
	restore := restoring.Restore{
		Source: cofre.SourceID{Installation: in.cfg.Name, Kind: cofre.KindStorage, Name: comp.Name}, Point: p.ID, To: store,
		Buckets: s.Buckets, Prefix: s.Prefix, Object: s.Object, ToBucket: s.ToBucket, ToPrefix: s.ToPrefix,
		Replace: s.Replace, DeleteExtra: s.DeleteExtra, KeepIn: s.KeepIn, NoKeep: s.NoKeep, Jobs: s.Jobs, StateDir: state,
	}
	rows, ok, err := sources.RowsOf(in.cfg)
	if err != nil {
		return nil, err
	}
	if ok {
		restore.FixUp = rows
	}
	if s.ForDatabase {
		if !ok {
			return nil, cofre.WithHint(cofre.Fail(cofre.Say("restore.no_storage_database", "restore for the database: no database of a Supabase storage is configured"), cofre.ErrConfig),
				in.cfg.Hint(
					cofre.Say("restore.for_database", "add the sections database and storage.supabase to the configuration"),
					cofre.Say("restore.set_for_database", "set DB_HOST, DB_NAME, SUPABASE_URL and SUPABASE_SERVICE_ROLE_KEY")))
		}
		restore.ForDatabase = rows
		restore.Others = otherPoints(repo, from)
	}
	return restoring.NewTarget(restore), nil
}

// otherPoints are the storage components of the other points of this installation, newest first.
func otherPoints(repo reader, from loss.Choice) []restoring.Held {
	var held []restoring.Held
	name := from.Component.Name
	for other := range from.Catalog.List(catalog.Want{Installation: from.Point.Installation, Kind: cofre.KindStorage, Name: name}) {
		if c, ok := other.Component(cofre.KindStorage, name); ok && other.ID != from.Point.ID {
			held = append(held, restoring.Held{Point: other.ID, Open: func(ctx context.Context) (cofre.Tree, error) { return repo.Tree(ctx, c.Root) }})
		}
	}
	slices.Reverse(held)
	return held
}
