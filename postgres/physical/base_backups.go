package physical

import (
	"fmt"
	"iter"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// BaseBackups lists the base backups of recovery points, in their order, with the size of WAL segments by system.
//
// Errors: those of ParseSummary.
func BaseBackups(points iter.Seq[cofre.RecoveryPoint]) ([]recovery.BaseBackup, map[cofre.SystemID]int64, error) {
	var backups []recovery.BaseBackup
	sizes := map[cofre.SystemID]int64{}
	for p := range points {
		for _, c := range p.Components {
			if c.Kind != cofre.KindCluster {
				continue
			}
			s, err := ParseSummary(c.Facts)
			if err != nil {
				return nil, nil, fmt.Errorf("read the facts of the base backup of %s: %w", p.ID, err)
			}
			sizes[s.SystemID] = s.WALSegmentSize
			backups = append(backups, recovery.BaseBackup{
				Point: p.ID, SystemID: s.SystemID, Timeline: s.Timeline, Start: s.StartLSN, Stop: s.StopLSN,
				StartedAt: s.StartedAt, StoppedAt: s.StoppedAt, Bytes: c.Bytes, OwnWAL: s.WALIncluded, OwnWALOnly: s.OwnWALOnly, ForeignWAL: s.ForeignWAL, WALSigned: s.WALSigned, WALRevoked: s.WALRevoked, Partial: c.Partial, Dropping: s.Dropping,
			})
		}
	}
	return backups, sizes, nil
}
