package remedy_test

import (
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/remedy"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/repository/told"
	"github.com/trustlayer/cofre/verify"
)

// Each kind of what was found has its way on, whatever else was found; what helps against none of it is not said.
func TestEachKindOfFindingHasItsWayOn(t *testing.T) {
	gone := cofre.Finding{Check: journal.Check, Object: "20260101T000000Z-aaaa"}
	pack := cofre.Finding{Check: "content", Object: "p/abc.f"}
	seal := cofre.Finding{Check: "content", Object: "cofre/seals/x-a"}
	segment := cofre.Finding{Check: "content", Object: "wal/7/00000001/000000010000000000000003"}
	key := cofre.Finding{Check: "content", Object: wal.IdentityObject}
	format, index, shards := cofre.Finding{Check: "content", Object: "kopia.blobcfg.f"}, cofre.Finding{Check: "content", Object: "x/n0_/abc.f"}, cofre.Finding{Check: "structure", Object: ".shards"}
	revocation := cofre.Finding{Check: "structure", Object: origin.RevokedObject(7, "abc")}.Saying(cofre.Say("wal.record_gone", "gone"))
	gap := wal.Acknowledgement{From: "000000010000000000000003", To: "000000010000000000000004"}
	forgotten := cofre.Finding{Check: "structure", Object: gap.Object(7)}.Saying(gap.GoneMessage(7))
	const again, known2 = "cofre wal admit --revoke", "cofre wal acknowledge 000000010000000000000003 000000010000000000000004 --system 7"
	const without, laidOut = "cofre seal --without-lost", "how the folder is laid out: cofre seal"
	const acknowledge, backUp, reseal, known, lost = "cofre journal acknowledge", "cofre backup stores afresh", "take these seals away, with: cofre seal", "cofre wal acknowledge 000000010000000000000003", "cofre kit --restore"
	ways := []string{acknowledge, backUp, reseal, known + " 000000010000000000000003", lost, without, laidOut, again, known2}
	for _, c := range []struct {
		found []cofre.Finding
		want  []string
	}{
		{[]cofre.Finding{gone}, []string{acknowledge}},
		{[]cofre.Finding{gone, gone, pack}, []string{acknowledge, backUp}},
		{[]cofre.Finding{pack, gone, seal}, []string{acknowledge, backUp, reseal}},
		{[]cofre.Finding{seal}, []string{reseal}},
		{[]cofre.Finding{segment}, []string{known + " 000000010000000000000003"}},
		{[]cofre.Finding{revocation, revocation}, []string{again}},
		{[]cofre.Finding{forgotten}, []string{known2}},
		{[]cofre.Finding{forgotten, revocation, pack}, []string{known2, again, backUp}},
		{[]cofre.Finding{format}, []string{lost}},
		{[]cofre.Finding{index, pack}, []string{without, backUp}},
		{[]cofre.Finding{index.Saying(told.Problem(index.Object, "is missing", false))}, []string{without}},
		{[]cofre.Finding{index.Saying(told.Problem(index.Object, "is missing", true)), format.Saying(told.Problem(format.Object, "is missing", true))}, []string{backUp}},
		{[]cofre.Finding{shards}, []string{laidOut}},
		{[]cofre.Finding{segment, gone}, []string{known + " 000000010000000000000003", acknowledge}},
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
