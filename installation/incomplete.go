package installation

import (
	"fmt"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
)

// incomplete says what somebody has to know who is given p for ref: that newer points were passed over, and why, and
// what p itself is known not to hold. Nothing is said of a point that is what it seems.
func incomplete(cat *catalog.Catalog, ref string, p cofre.RecoveryPoint, want catalog.Want) []string {
	var told []string
	if ref == catalog.Latest {
		for _, n := range cat.Newer(p, want) {
			text := fmt.Sprintf("latest is %s: the newer point %s does not hold %s whole: %s", p.ID, n.Point, named(n), n.Why)
			if n.Held {
				text += fmt.Sprintf("; to take it as it is, give %s in place of latest", n.Point)
			}
			told = append(told, text)
		}
	}
	for _, n := range catalog.Lacking(p, want) {
		if n.Held {
			told = append(told, fmt.Sprintf("recovery point %s does not hold %s whole: %s", p.ID, named(n), n.Why))
		}
	}
	return told
}

// named is a source as a person calls it.
func named(n catalog.Incomplete) string {
	if n.Name == string(n.Kind) {
		return n.Name
	}
	return string(n.Kind) + " " + n.Name
}
