package recovering

import (
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// A server that has no snapshot to serve queries with cannot pause, and promotes itself: nothing else may be said of it.
func TestARecoveryElsewhereSaysWhatTheServerDid(t *testing.T) {
	o := Options{DataDir: "/srv/copy", Plan: &recovery.Recovery{Stop: 100, Reach: 200}}
	for promoted, want := range map[bool]string{true: "has promoted the copy in /srv/copy itself", false: "the copy in /srv/copy is not promoted"} {
		if hint := cofre.Hint(checkReached(o, 300, false, promoted)); !strings.Contains(hint, want) {
			t.Errorf("promoted %t: hint %q", promoted, hint)
		}
	}
}
