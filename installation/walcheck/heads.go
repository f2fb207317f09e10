package walcheck

import (
	"context"
	"slices"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// heads finds segments that were the newest when a recovery point was published, and that are gone or others by now: whoever takes the newest WAL away
// leaves no gap. Those of points before the promised window may have expired, and a person may know of one.
//
// Errors: the store's.
func (c *check) heads(ctx context.Context, l *look, inv *wal.Inventory) error {
	if l.copy != "" {
		return nil // points speak of the repository
	}
	seen := map[cofre.WALHead]bool{}
	for _, p := range c.Points {
		if p.PublishedAt.Before(c.Since) {
			continue
		}
		for _, h := range p.WAL {
			if h.System != inv.SystemID || seen[h] {
				continue
			}
			seen[h] = true
			if err := l.head(ctx, inv, p.ID, h); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *look) head(ctx context.Context, inv *wal.Inventory, point cofre.PointID, h cofre.WALHead) error {
	s, err := pgdata.ParseSegment(h.Segment, inv.SegmentSize)
	known := cofre.GapError{Timeline: h.Timeline, From: h.Segment, To: h.Segment}
	if err != nil || slices.ContainsFunc(inv.Acknowledged, func(a wal.Acknowledgement) bool { return a.Covers(known) }) {
		return nil
	}
	object := wal.ObjectName(inv.SystemID, s.File(inv.SegmentSize))
	if !inv.Segments[s] {
		l.find(lacking(object, cofre.Say("verify.wal_head_gone", "segment {{.segment}} was there when recovery point {{.point}} was published, and is not any more: it was taken away, and perhaps what came after it", "segment", h.Segment, "point", point)))
		return nil
	}
	said, err := wal.ReadSaid(ctx, l.store, nil, object)
	if err == nil && said.Digest != "" && said.Digest != h.Digest {
		l.find(lacking(object, cofre.Say("verify.wal_head_other", "segment {{.segment}} is another than the one that was there when recovery point {{.point}} was published", "segment", h.Segment, "point", point)))
	}
	return err
}
