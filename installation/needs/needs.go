// Package needs says what a restore of a point needs that the point does not have by itself.
package needs

import (
	"encoding/json"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/logical"
)

// Of says it of the newest of the points that hold a source: functions that can be called only with a search path.
func Of(points []cofre.RecoveryPoint) func(cofre.RecoveryPoint) []cofre.Finding {
	newest := map[cofre.SourceID]cofre.RecoveryPoint{}
	for _, p := range points {
		for _, c := range p.Components {
			id := cofre.SourceID{Installation: p.Installation, Kind: c.Kind, Name: c.Name}
			if n, ok := newest[id]; !ok || p.StartedAt.After(n.StartedAt) {
				newest[id] = p
			}
		}
	}
	return func(p cofre.RecoveryPoint) []cofre.Finding {
		var found []cofre.Finding
		for _, c := range p.Components {
			if c.Kind != cofre.KindDatabase || newest[cofre.SourceID{Installation: p.Installation, Kind: c.Kind, Name: c.Name}].ID != p.ID {
				continue
			}
			var s logical.Summary
			if json.Unmarshal(c.Facts, &s) != nil {
				continue // of another version: nothing is known
			}
			for _, r := range s.Relies {
				found = append(found, cofre.Finding{Check: "restore", Kind: c.Kind, Object: r.Function}.Saying(
					cofre.Say("verify.relies", "{{.why}}; it is restored with cofre restore database {{.point}} {{.way}}, and ALTER FUNCTION {{.function}} SET search_path = … mends it for good",
						"why", r.Said(), "point", p.ID, "way", s.WayOut(), "function", r.Function)))
			}
		}
		return found
	}
}
