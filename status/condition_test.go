package status_test

import (
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/status"
)

// A hold that ends is said in time, and no longer when it has ended, or never does.
func TestHoldsThatEnd(t *testing.T) {
	in := well()
	for id, left := range map[string]time.Duration{"soon": 3 * 24 * time.Hour, "later": 30 * 24 * time.Hour, "over": -time.Hour} {
		in.Holds = append(in.Holds, cofre.Hold{ID: id, Point: "b", Until: now.Add(left)})
	}
	in.Holds = append(in.Holds, cofre.Hold{ID: "ever", Point: "b"})
	if s := status.Of(in); len(s.Ending) != 1 || s.Ending[0].ID != "soon" || s.Verdict != status.OK {
		t.Errorf("%+v", s.Ending)
	}
}
