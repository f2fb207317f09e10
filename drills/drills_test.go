package drills_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/drills"
	"github.com/trustlayer/cofre/journal"
)

// made is a drill of so many bytes: a server that starts in a second, and steps that take fixed and bytes/rate seconds.
func made(bytes int64, fixed, rate, noise float64) drills.Drill {
	seconds := (fixed + float64(bytes)/rate) * noise
	return drills.Drill{DrilledFacts: journal.DrilledFacts{Kind: cofre.KindDatabase, Depth: cofre.DrilledEverything, Bytes: bytes, Steps: map[cofre.DrillStage]int64{
		cofre.DrillServer: 1000, cofre.DrillRestore: int64(seconds * 700), cofre.DrillCompare: int64(seconds * 300), cofre.DrillAsk: 60_000,
	}}}
}

// The third drill takes what was predicted, within a quarter, however sizes grow or shrink, on a machine whose own times differ by five percent: of two thousand, ten may
// not, those that shrink to a third.
func TestTheThirdDrillIsPredicted(t *testing.T) {
	tried, missed := 0, 0
	random := rand.New(rand.NewPCG(1, 2))
	for _, fixed := range []float64{0, 0.5, 5, 60} {
		for _, sizes := range [][3]float64{{1, 1, 1}, {1, 1.01, 1.02}, {1, 1.1, 1.2}, {1, 1.2, 1.5}, {1, 2, 3}, {1, 2, 4}, {1, 5, 6}, {3, 2, 1}, {1, 3, 1}, {10, 1, 10}} {
			for range 50 {
				var all []drills.Drill
				for _, s := range sizes {
					all = append(all, made(int64(s*float64(1<<30)), fixed, 50<<20, 0.95+0.1*random.Float64()))
				}
				wrong, p, ok := drills.Error(all)
				if tried++; math.Abs(wrong) > 0.25 {
					missed++
				}
				if !ok || math.Abs(wrong) > 0.35 || p.Of != 2 {
					t.Errorf("fixed %gs, sizes %v: %.0f %% wrong", fixed, sizes, 100*wrong)
				}
			}
		}
	}
	if missed > tried/200 {
		t.Errorf("%d of %d are predicted by more than a quarter wrong", missed, tried)
	}
}

// A drill that is red, or that restored nothing, says nothing of how long a recovery takes; nor does one that never was.
func TestWhatIsNoMeasurement(t *testing.T) {
	if _, ok := drills.Predict(nil, 1); ok {
		t.Error("of nothing")
	}
	red, nothing := made(1<<30, 0, 50<<20, 1), made(1<<30, 0, 50<<20, 1)
	red.Findings, nothing.Depth = 1, ""
	if _, ok := drills.Predict([]drills.Drill{red, nothing}, 1<<30); ok {
		t.Error("of a red one")
	}
	well := made(1<<30, 0, 50<<20, 1)
	if p, ok := drills.Predict([]drills.Drill{red, well, nothing}, 2<<30); !ok || p.Of != 1 || p.Took < 37*time.Second || p.Took > 43*time.Second {
		t.Errorf("%+v", p)
	}
	if _, _, ok := drills.Error([]drills.Drill{well, red}); ok {
		t.Error("the error of a red one")
	}
	if p, ok := drills.Predict([]drills.Drill{made(0, 3, 1, 1), made(0, 3, 1, 1)}, 1<<40); !ok || p.Took != 4*time.Second {
		t.Errorf("of empty ones: %+v", p)
	}
	if p, ok := drills.Predict([]drills.Drill{made(1<<20, 9, 50<<20, 1), made(9<<20, 0, 50<<20, 1)}, 1<<20); !ok || p.Took <= 0 {
		t.Errorf("larger and faster: %+v", p)
	}
}

// Old drills are of another machine: after five newer ones nothing of them is left.
func TestOldDrillsAreForgotten(t *testing.T) {
	all := []drills.Drill{made(1<<30, 0, 1<<20, 1), made(2<<30, 0, 1<<20, 1)}
	for range 5 {
		all = append(all, made(1<<30, 0, 100<<20, 1))
	}
	if p, _ := drills.Predict(all, 1<<30); p.Took > 12*time.Second || p.Of != 5 {
		t.Errorf("%+v", p)
	}
}
