package dir

import (
	"time"

	"github.com/trustlayer/cofre/internal/traits"
)

// Coarse makes the store believe that its file system keeps times to g, between first and last.
func (s *Store) Coarse(g time.Duration, first, last time.Time) {
	s.place.tried.Do(func() {})
	s.place.traits = traits.Traits{Times: true, Grain: g, First: first, Last: last}
}
