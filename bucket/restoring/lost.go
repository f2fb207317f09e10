package restoring

import (
	"context"
	"errors"
	"path"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/bucket/spill"
)

// What a component says of itself may be lost, too: which objects a shard has, the settings of buckets, the folders. All that is known
// without it is restored, and it is named.

// isLost tells what is lost from what cannot be reached, and from what was never captured.
func isLost(err error) bool {
	var lost *lostError
	return errors.As(err, &lost) || errors.Is(err, cofre.ErrCorrupt)
}

// leaveLost names something that the repository has lost.
func (t *Target) leaveLost(what cofre.Message, err error) {
	t.leave(what, asCaptured(), (&lostError{err}).Message())
	t.unknown = errors.Join(t.unknown, err)
}

// readBuckets reads the buckets that were captured. If that is lost, they are those that have objects, and their settings are as they
// are found: those of a bucket that is missing are none, which opens it to nobody.
func (t *Target) readBuckets(ctx context.Context, tree cofre.Tree) ([]bucket.Bucket, error) {
	captured, err := bucket.ReadBuckets(ctx, tree)
	if !isLost(err) {
		return captured, err
	}
	t.leaveLost(cofre.Say("bucket.all_settings", "the settings of all buckets, and buckets without objects"), err)
	err = t.eachShard(ctx, tree, true, func(_ string, held map[string][]bucket.Indexed) error {
		for _, xs := range held {
			if id := xs[0].Bucket; !slices.ContainsFunc(captured, func(b bucket.Bucket) bool { return b.ID == id }) {
				captured = append(captured, bucket.Bucket{ID: id})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	have, err := t.cfg.To.Buckets(ctx)
	if err != nil {
		return nil, err
	}
	for i, b := range captured {
		if at := slices.IndexFunc(have, func(h bucket.Bucket) bool { return h.ID == b.ID }); at >= 0 {
			captured[i] = have[at]
		}
	}
	return captured, nil
}

// shardsOf are the shards of a component, also if what says so is lost: each has a folder.
func (t *Target) shardsOf(ctx context.Context, tree cofre.Tree) ([]string, bucket.Shards, error) {
	s, err := bucket.ReadShards(ctx, tree)
	if !isLost(err) {
		return spill.Shards(s.Digits), s, err
	}
	var names []string
	for e, err := range tree.List(ctx, bucket.ShardsDir) {
		if err != nil {
			return nil, s, err
		}
		names = append(names, path.Base(e.Path))
	}
	return names, bucket.Shards{}, nil
}

// passes goes on without the index of a shard that is lost, and names it once. What another point lacks is looked for elsewhere.
func (t *Target) passes(own bool, shard string, s bucket.Shards, err error) bool {
	if !isLost(err) {
		return false
	}
	if own && !t.blind[shard] {
		if t.blind == nil {
			t.blind = map[string]bool{}
		}
		t.blind[shard] = true
		what := cofre.Say("bucket.shard_lost", "objects whose names are lost, of shard {{.shard}}", "shard", shard)
		if n := int(s.Digests[shard].Objects); n > 0 {
			what = cofre.SayN("bucket.shard_lost_n", n, "1 object whose name is lost, of shard {{.shard}}", "{{.n}} objects whose names are lost, of shard {{.shard}}", "shard", shard)
		}
		t.leaveLost(what, err)
	}
	return true
}

// refuseBlind refuses to delete what is extra if nobody knows all that was captured, and to restore nothing at all.
func (t *Target) refuseBlind(plan *cofre.Plan) error {
	if len(t.blind) == 0 {
		return nil
	}
	if t.cfg.DeleteExtra {
		plan.Refuse(cofre.Say("bucket.blind_delete", "the names of captured objects are lost, and objects would be deleted because they are not known"), cofre.Say("bucket.blind_keep", "leave --delete-extra out"))
	}
	if t.counts.wanted == 0 && t.cfg.ForDatabase == nil {
		return t.unknown
	}
	return nil
}
