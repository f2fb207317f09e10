package stamp_test

import (
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/trustlayer/cofre/internal/stamp"
)

func TestNew(t *testing.T) {
	at := time.Date(2026, 11, 26, 4, 5, 6, 7_000_000, time.FixedZone("", -3*3600))
	form := regexp.MustCompile(`^20261126t070506z_007[a-z2-9]{3}$`)
	seen := map[string]bool{}
	for range 20 {
		s := stamp.New(at)
		if !form.MatchString(s) {
			t.Fatal(s)
		}
		seen[s] = true
	}
	if len(seen) < 19 {
		t.Errorf("%d stamps of 20 differ", len(seen))
	}
	stamps := []string{stamp.New(at), stamp.New(at.Add(time.Millisecond)), stamp.New(at.Add(time.Second)), stamp.New(at.Add(24 * time.Hour))}
	if !slices.IsSorted(stamps) {
		t.Errorf("not in the order of time: %q", stamps)
	}
}
