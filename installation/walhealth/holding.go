package walhealth

import (
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Held is what one repository holds of one system's WAL.
type Held struct {
	URL       string
	Inventory *wal.Inventory
	Err       error // why it could not be asked
}

// Compared says what each of several repositories holds, and what of it another has and it has not; nil of one alone.
func Compared(all []Held) (holdings []wal.Holding) {
	if len(all) < 2 {
		return nil
	}
	var there []*wal.Inventory
	for _, h := range all {
		if h.Err == nil {
			there = append(there, h.Inventory)
		}
	}
	together := wal.Together(there...)
	for _, h := range all {
		o := wal.Holding{URL: h.URL, Err: h.Err}
		if h.Err == nil {
			o.Segments, o.NewestAt, o.Missing = len(h.Inventory.Segments), h.Inventory.NewestAt, wal.Spans(wal.Missing(h.Inventory, together), h.Inventory.SegmentSize)
			o.Damaged = h.Inventory.Unreadable()
		} else {
			o.Error = cofre.OneLine(h.Err)
		}
		holdings = append(holdings, o)
	}
	return holdings
}
