package count_test

import (
	"testing"

	"github.com/trustlayer/cofre/internal/count"
)

func TestOf(t *testing.T) {
	for n, want := range map[int64]string{0: "0 objects", 1: "1 object", 2: "2 objects", -1: "-1 objects"} {
		if got := count.Of(n, "object"); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
