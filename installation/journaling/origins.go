package journaling

import (
	"encoding/json"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/journal"
	"github.com/trustlayer/cofre/postgres/wal"
)

// OriginSealed is what an entry has sealed of a change of whose WAL a repository believes.
type OriginSealed struct {
	Repository string `json:"repository"`
	Host       string `json:"host"`
	By         string `json:"by"`
	Name       string `json:"name,omitempty"`   // of the record
	Record     string `json:"record,omitempty"` // as the repository holds it; empty in an entry of before, and of one that is far too long
}

// longestRecord is how many bytes a record may have that an entry takes with it: that of a revocation names one list for 1,024 segments.
const longestRecord = 1 << 19

func sealedOrigin(f cofre.WALOriginChanged) OriginSealed {
	s := OriginSealed{Repository: f.Repository, Host: f.Host, By: f.By}
	if len(f.Record) <= longestRecord {
		s.Name, s.Record = f.Name, string(f.Record)
	}
	return s
}

// Origins is what a journal says of whose WAL is believed, and of gaps in it that a person knows.
type Origins struct {
	Changes      []OriginChange
	Acknowledged map[cofre.SystemID][]wal.Acknowledgement // in the repository itself; without who and why, which is sealed
}

// OriginChange is one entry of it.
type OriginChange struct {
	journal.OriginFacts
	Number int64
	Sealed string // what OriginSealed says is read by it
}

// Take takes an entry.
func (o *Origins) Take(e journal.Numbered) {
	switch e.Body.Event {
	case journal.EventOrigin:
		c := OriginChange{Number: e.Number, Sealed: e.Body.Sealed}
		if json.Unmarshal(e.Body.Facts, &c.OriginFacts) == nil {
			o.Changes = append(o.Changes, c)
		}
	case journal.EventAcknowledged:
		var f struct {
			System cofre.SystemID `json:"system_identifier"`
			From   string         `json:"from"`
			To     string         `json:"to"`
		}
		if json.Unmarshal(e.Body.Facts, &f) != nil {
			return
		}
		if a, err := wal.Known(f.From, f.To); err == nil {
			if o.Acknowledged == nil {
				o.Acknowledged = map[cofre.SystemID][]wal.Acknowledgement{}
			}
			o.Acknowledged[f.System] = append(o.Acknowledged[f.System], a)
		}
	}
}
