package loss

import (
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
)

// Incomplete says what somebody has to know who is given p for ref: that newer points were passed over, and why, and
// what p itself is known not to hold. Nothing is said of a point that is what it seems.
func Incomplete(cat *catalog.Catalog, ref string, p cofre.RecoveryPoint, want catalog.Want) []cofre.Message {
	var told []cofre.Message
	if ref == catalog.Latest {
		for _, n := range cat.Newer(p, want) {
			passed := cofre.Say("incomplete.passed_over", "latest is {{.point}}: the newer point {{.newer}} does not hold {{.source}} whole: {{.why}}", "point", p.ID, "newer", n.Point, "source", Named(n), "why", n.Messages.Of(n.Why))
			if n.Held {
				passed = cofre.Say("incomplete.take_it", "{{.passed}}; to take it as it is, give {{.newer}} in place of latest", "passed", passed, "newer", n.Point)
			}
			told = append(told, passed)
		}
	}
	for _, n := range catalog.Lacking(p, want) {
		if n.Held {
			told = append(told, cofre.Say("incomplete.point", "recovery point {{.point}} does not hold {{.source}} whole: {{.why}}", "point", p.ID, "source", Named(n), "why", n.Messages.Of(n.Why)))
		}
	}
	return told
}

// Named is a source as a person calls it.
func Named(n catalog.Incomplete) string { return cofre.SourceID{Kind: n.Kind, Name: n.Name}.Label() }
