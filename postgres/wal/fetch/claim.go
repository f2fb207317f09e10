package fetch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// A recovery that ends takes the first timeline whose history restore_command does not have. Numbers that are used without
// an archived history, because a copy was promoted that nobody has adopted, would be taken a second time; so a recovery of
// ours reserves the number in the repository before the server takes it, and answers for what is used with a file that says
// so. The server only looks whether there is one.
//
// Source: PostgreSQL, src/backend/access/transam/timeline.c, findNewestTimeLine and existsTimeLineHistory.

// claim is the content of a reservation: who took the number, for people.
type claim struct {
	Timeline cofre.Timeline `json:"timeline"`
	From     cofre.Timeline `json:"from"`
	At       time.Time      `json:"at"`
	Host     string         `json:"host"`
}

func claimName(system cofre.SystemID, tli cofre.Timeline) string {
	return fmt.Sprintf("%sclaims/%08X", wal.Prefix(system), uint32(tli))
}

// probed answers the question for the history of a timeline above the one that is recovered to: what is archived, a file
// that says that the number is used, or Absent once it is reserved. A repository that may not be written to reserves
// nothing, which Warn is told.
func (f *Fetcher) probed(ctx context.Context, system cofre.SystemID, tli cofre.Timeline) reply {
	taken := reply{answer: Delivered, content: []byte(used)}
	got := f.ask(ctx, system, pgdata.HistoryOf(tli))
	switch {
	case got.answer == Gap, got.answer == Unknown && wal.Damaging(got.err), got.answer == Absent && tli <= f.Used, got.foreign && tli <= f.Used:
		return taken
	case got.answer != Absent && !got.foreign:
		return got
	}
	for p := range f.places(ctx) {
		if p.unusable != nil {
			continue
		}
		switch err := reserve(ctx, p.store, system, claim{Timeline: tli, From: f.Claim, At: time.Now().UTC()}); {
		case errors.Is(err, cofre.ErrExists):
			return taken
		case errors.Is(err, cofre.ErrDenied), errors.Is(err, cofre.ErrReadOnly):
			if f.Warn != nil {
				f.Warn(cofre.Say("wal.not_reserved", "timeline {{.timeline}} is not reserved, and another recovery may take it too: {{.error}}", "timeline", tli, "error", err))
			}
		case err != nil:
			return unknown(err)
		}
	}
	return reply{answer: Absent, err: errAbsent}
}

// reserve creates the object that says that a number is taken.
func reserve(ctx context.Context, st cofre.Store, system cofre.SystemID, c claim) error {
	c.Host, _ = os.Hostname() // a name for people
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	if err := st.Create(ctx, claimName(system, c.Timeline), bytes.NewReader(b), int64(len(b))); err != nil {
		return fmt.Errorf("reserve timeline %d in %s: %w", c.Timeline, st.URL(), err)
	}
	return nil
}

// used is delivered for a timeline that is used and of which no history is archived.
const used = "# this timeline is used; its history is not archived\n"
