package walorigin

import (
	"cmp"
	"context"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/origin"
)

// mostUnsigned is how many segments behind the newest believed one are looked at: whoever may write to the repository can plant more, and not hide what
// was there.
const mostUnsigned = 256

// Heads says which are the newest archived segments of each system in the repository, for a recovery point to carry; of a repository that requires signatures, the
// newest that are signed. What cannot be read is told, and ends nothing.
func Heads(cfg *config.Config, warn func(...cofre.Message)) func(context.Context) []cofre.WALHead {
	if cfg.Cluster == nil || cfg.Cluster.WAL == "" {
		return nil
	}
	return func(ctx context.Context) []cofre.WALHead {
		heads, err := readHeads(ctx, cfg)
		if err != nil {
			warn(cofre.Say("wal.no_head", "the recovery point does not say which WAL was there when it was published: {{.cause}}", "cause", err))
		}
		return heads
	}
}

func readHeads(ctx context.Context, cfg *config.Config) (heads []cofre.WALHead, err error) {
	st, err := walstore.Open(ctx, cfg.Repository)
	if err != nil {
		return nil, err
	}
	found, err := listHeads(ctx, st)
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		var origins *origin.Set
		if f.required {
			id, err := walstore.Unlock(ctx, cfg, cfg.Repository, st)()
			if err == nil {
				origins, err = id.Origins(ctx, f.system)
			}
			if err != nil {
				return heads, err
			}
		}
		h, err := f.newest(ctx, st, origins)
		if err != nil {
			return heads, err
		}
		if h.Segment != "" {
			heads = append(heads, h)
		}
	}
	return heads, nil
}

// candidates are the newest segments of one system, by their names.
type candidates struct {
	system   cofre.SystemID
	required bool
	segments []string
}

// listHeads lists what there is, once.
func listHeads(ctx context.Context, st cofre.Store) ([]*candidates, error) {
	by := map[cofre.SystemID]*candidates{}
	for o, err := range st.List(ctx, "wal/") {
		if err != nil {
			return nil, err
		}
		system, ok := wal.SystemOf(o.Name)
		if !ok {
			continue
		}
		if by[system] == nil {
			by[system] = &candidates{system: system}
		}
		file, err := wal.NameOf(system, o.Name)
		if err != nil {
			continue // nobody reads it there
		}
		c := by[system]
		switch {
		case o.Name == origin.RequiredObject(system):
			c.required = true
		case pgdata.IsSegmentName(file):
			if c.segments = append(c.segments, file); len(c.segments) > 2*mostUnsigned {
				c.segments = slices.Clone(newestOf(c.segments))
			}
		}
	}
	var all []*candidates
	for _, c := range by {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *candidates) int { return cmp.Compare(a.system, b.system) })
	return all, nil
}

// newestOf are the newest of segments, the newest first: of the highest timeline, as its name begins.
func newestOf(segments []string) []string {
	slices.Sort(segments)
	slices.Reverse(segments)
	return segments[:min(len(segments), mostUnsigned)]
}

// newest is the newest segment that says what it holds, and that origins believe if they are given.
func (c *candidates) newest(ctx context.Context, st cofre.Store, origins *origin.Set) (cofre.WALHead, error) {
	for _, segment := range newestOf(c.segments) {
		name, err := pgdata.ParseWALName(segment)
		if err != nil {
			continue
		}
		said, err := wal.ReadSaid(ctx, st, origins, wal.ObjectName(c.system, name))
		if err != nil {
			return cofre.WALHead{}, err
		}
		if said.Digest != "" && (said.Key != "" || origins == nil) {
			return cofre.WALHead{System: c.system, Timeline: name.Timeline, Segment: segment, Digest: said.Digest}, nil
		}
	}
	return cofre.WALHead{}, nil
}
