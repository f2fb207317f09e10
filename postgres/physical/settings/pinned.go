package settings

import (
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// pinned is the target that PostgreSQL is told, which is where the plan ends and not what was asked for: a record's
// position, so that nothing after it acts, and so that WAL which ends before it is an error of the server too, also to
// the end of the WAL. Without a plan it is what was asked for.
//
// Source: PostgreSQL, src/backend/access/transam/xlogrecovery.c, recoveryStopsBefore and recoveryStopsAfter.
func pinned(asked cofre.RecoveryTarget, p *recovery.Recovery) cofre.RecoveryTarget {
	if p == nil {
		return asked
	}
	if p.Consistent {
		return cofre.RecoveryTarget{Immediate: true, Timeline: p.Timeline}
	}
	return cofre.RecoveryTarget{LSN: p.Stop, Timeline: p.Timeline}
}
