package standing

import (
	"hash/maphash"
	"maps"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/status"
)

// Unseen is how long a repository that shows no change is not opened: what was done to an object behind its name is found then.
const Unseen = 10 * time.Minute

// Memory is what one process saw in a repository when it opened it last, so that looking at it again costs no derivation of a key. It holds no key. The zero
// Memory has seen nothing.
type Memory struct {
	mu     sync.Mutex
	opened *Opened // nil if it is not to be gone by
	why    map[cofre.RunID]status.Why
	looked look
	at     time.Time
}

// look is what shows from outside that something has changed: the names of what is stored, without WAL, and the journal.
type look struct {
	others     uint64
	checkpoint string
}

var seed = maphash.MakeSeed()

// recall takes what was seen, if that is how it is. Whatever could not be read is no reason to believe so.
func (g *gathering) recall() bool {
	m := g.seen
	if m.opened == nil || g.floorErr != nil || g.journalErr != nil || g.now.Sub(m.at) >= Unseen || g.now.Before(m.at) || m.looked != g.look() {
		m.opened = nil
		return false
	}
	own := *m.opened
	g.opened, g.why, g.recalled = &own, maps.Clone(m.why), true
	return true
}

// remember keeps what was opened, if nothing was in the way.
func (g *gathering) remember() {
	m := g.seen
	if m == nil || g.recalled || g.openErr != nil || g.floorErr != nil || g.journalErr != nil {
		return
	}
	own := *g.opened
	own.Vault = nil // it is closed
	m.opened, m.why, m.looked, m.at = &own, maps.Clone(g.why), g.look(), g.now
}

func (g *gathering) look() look { return look{g.floor.others, g.checkpoint} }
