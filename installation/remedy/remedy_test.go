package remedy_test

import (
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/remedy"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/verify"
)

// Each kind of what was found has its way on, whatever else was found; what helps against none of it is not said.
func TestEachKindOfFindingHasItsWayOn(t *testing.T) {
	gone := cofre.Finding{Check: journal.Check, Object: "20260101T000000Z-aaaa"}
	pack := cofre.Finding{Check: "content", Object: "p/abc.f"}
	seal := cofre.Finding{Check: "content", Object: "cofre/seals/x-a"}
	segment := cofre.Finding{Check: "content", Object: "wal/7/00000001/000000010000000000000003"}
	key := cofre.Finding{Check: "content", Object: wal.IdentityObject}
	const acknowledge, backUp, reseal, known, lost = "cofre journal acknowledge", "cofre backup stores afresh", "cofre seal", "cofre wal acknowledge 000000010000000000000003", "cofre kit --restore"
	ways := []string{acknowledge, backUp, reseal, known, lost}
	for _, c := range []struct {
		found []cofre.Finding
		want  []string
	}{
		{[]cofre.Finding{gone}, []string{acknowledge}},
		{[]cofre.Finding{gone, gone, pack}, []string{acknowledge, backUp}},
		{[]cofre.Finding{pack, gone, seal}, []string{acknowledge, backUp, reseal}},
		{[]cofre.Finding{seal}, []string{reseal}},
		{[]cofre.Finding{segment}, []string{known}},
		{[]cofre.Finding{segment, gone}, []string{known, acknowledge}},
		{[]cofre.Finding{seal, key}, []string{reseal, lost}},
	} {
		way := remedy.Of(&verify.Result{Findings: c.found}, "repo").Text
		for _, w := range ways {
			wanted := false
			for _, x := range c.want {
				wanted = wanted || x == w
			}
			if strings.Contains(way, w) != wanted {
				t.Errorf("%v: %q is said: %v, want %v, in: %s", c.found, w, !wanted, wanted, way)
			}
		}
	}
}
