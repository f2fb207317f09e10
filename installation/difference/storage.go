package difference

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"path"
	"reflect"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/words"
)

// storageChanges compares two captures of buckets by what was recorded of each object. Shards that are equal are not read.
func storageChanges(ctx context.Context, before, after cofre.Tree) ([]Change, error) {
	was, err := buckets(ctx, before)
	if err != nil {
		return nil, err
	}
	is, err := buckets(ctx, after)
	if err != nil {
		return nil, err
	}
	changes := compare(cofre.Say("difference.bucket", "bucket"), was, is, func(b bucket.Bucket) string { return cmp.Or(b.Name, b.ID) }, bucketChange)
	objectsWere, objectsAre, err := objectsThatDiffer(ctx, before, after)
	if err != nil {
		return nil, err
	}
	return append(changes, compare(cofre.Say("difference.stored_object", "object"), objectsWere, objectsAre, func(x bucket.Indexed) string { return x.Path() }, objectChange)...), nil
}

func buckets(ctx context.Context, t cofre.Tree) ([]bucket.Bucket, error) {
	all, err := bucket.ReadBuckets(ctx, t)
	if errors.Is(err, cofre.ErrNotFound) {
		err = nil
	}
	return all, err
}

func bucketChange(x, y bucket.Bucket) cofre.Message {
	if reflect.DeepEqual(x, y) {
		return cofre.Message{}
	}
	return cofre.Say("difference.settings", "settings")
}

// objectsThatDiffer reads the indexes of the shards that are not the same in both: all of them, if objects are spread over other shards.
func objectsThatDiffer(ctx context.Context, before, after cofre.Tree) (was, is []bucket.Indexed, err error) {
	shardsWere, err := shards(ctx, before)
	if err != nil {
		return nil, nil, err
	}
	shardsAre, err := shards(ctx, after)
	if err != nil {
		return nil, nil, err
	}
	same := func(shard string) bool { return shardsWere[shard] != "" && shardsWere[shard] == shardsAre[shard] }
	if was, err = indexed(ctx, before, shardsWere, same); err == nil {
		is, err = indexed(ctx, after, shardsAre, same)
	}
	return was, is, err
}

// shards are the objects of the repository that hold them, by name.
func shards(ctx context.Context, t cofre.Tree) (map[string]cofre.ObjectID, error) {
	all := map[string]cofre.ObjectID{}
	for e, err := range t.List(ctx, bucket.ShardsDir) {
		if errors.Is(err, cofre.ErrNotFound) {
			break // no objects
		}
		if err != nil {
			return nil, err
		}
		all[path.Base(e.Path)] = e.Object
	}
	return all, nil
}

func indexed(ctx context.Context, t cofre.Tree, shards map[string]cofre.ObjectID, same func(string) bool) (all []bucket.Indexed, err error) {
	for _, shard := range slices.Sorted(maps.Keys(shards)) {
		if same(shard) {
			continue
		}
		for x, err := range bucket.ReadShard(ctx, t, shard) {
			if err != nil {
				return nil, err
			}
			if !x.Superseded {
				all = append(all, x)
			}
		}
	}
	return all, nil
}

func objectChange(x, y bucket.Indexed) cofre.Message {
	switch why := y.Why(); {
	case x.Missing != y.Missing && y.Missing == "":
		return cofre.Say("difference.captured", "captured now, {{.size}}", "size", words.Size(y.Size))
	case x.Missing != y.Missing, x.Suspect != y.Suspect && y.Suspect != "":
		return why
	case x.SHA256 != y.SHA256:
		return cofre.Say("difference.content", "content {{.change}}", "change", arrow(words.Size(x.Size), words.Size(y.Size)))
	}
	if d := bucket.Differing(x.Object, y.Object, false); !d.IsZero() {
		return d
	}
	return bucket.DifferingTags(x.Object, y.Object)
}
