package nearest_test

import (
	"testing"

	"github.com/trustlayer/cofre/internal/nearest"
)

func TestWord(t *testing.T) {
	known := []string{"days", "daily", "weekly", "dry-run"}
	for typed, want := range map[string]string{
		"days": "days", "dias": "days", "dayly": "daily", "weeky": "weekly", "dryrun": "dry-run", "monthly": "", "": "", "d": "",
		"a word that is far longer than any other here": "",
	} {
		if got := nearest.Word(typed, known); got != want {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
}
