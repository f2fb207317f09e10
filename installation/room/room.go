// Package room says whether a repository has room for another backup.
package room

import (
	"context"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/words"
)

// LastStored is what the newest point added to the repository.
//
// Errors: as of cofre.Repository.Points.
func LastStored(ctx context.Context, repo cofre.Repository) (int64, error) {
	var last int64
	for p, err := range repo.Points(ctx) {
		if err != nil {
			return 0, err
		}
		last = 0
		for _, c := range p.Components {
			last += c.Stored
		}
	}
	return last, nil
}

// leastRoom is the room that a repository has at least, in bytes: two segments of WAL.
const leastRoom = 32 << 20

// For says how much space is free, -1 if the store does not say, and that it is not enough for another backup of
// the size of the last.
//
// Errors: cofre.ErrDiskFull if it is not enough; those of the store.
func For(ctx context.Context, st cofre.Store, last int64) (int64, error) {
	free, err := st.Free(ctx)
	if need := max(last, leastRoom); err == nil && free >= 0 && free < need {
		err = cofre.WithHint(cofre.Fail(cofre.Say("doctor.little_room", "{{.free}} are free in {{.path}}, and the next backup may need {{.needed}}", "free", words.Size(free), "path", st.URL(), "needed", words.Size(need)), cofre.ErrDiskFull),
			cofre.Say("doctor.room", "make room: df -h {{.path}}", "path", st.URL()))
	}
	return free, err
}
