package expiry

import (
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
)

// Hidden refuses to decide what goes by a catalog that may lack points: what stays depends on which there are, and the WAL that a hidden base backup needs would go as well.
//
// Errors: cofre.ErrCorrupt, with what cannot be read.
func Hidden(cat *catalog.Catalog) error {
	if cat == nil || cat.Lacks() == nil {
		return nil
	}
	why := cat.Lacks()
	return cofre.WithHint(cofre.Fail(cofre.Say("expire.hidden", "nothing expires, because recovery points may be hidden"), why), cofre.HintOf(why))
}
