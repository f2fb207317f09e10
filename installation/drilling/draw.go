package drilling

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/catalog"
)

// Random is the point of a drill that is drawn by the hash of the newest checkpoint of the journal, so that nobody chooses one that is known to do well.
const Random = "random"

// Draw chooses one of the points that hold a component whole, by the hash of the checkpoint. Without a journal, which is cofre.ErrNotFound of
// checkpoint, it is chance, and drawn is empty.
//
// Errors: cofre.ErrNotFound if no point does; those of checkpoint.
func Draw(cat *catalog.Catalog, want catalog.Want, checkpoint func() (string, error)) (point, drawn string, err error) {
	var among []cofre.PointID
	for p := range cat.List(want) {
		if c, ok := p.Component(want.Kind, want.Name); ok && !c.Partial {
			among = append(among, p.ID)
		}
	}
	if len(among) == 0 {
		_, err := cat.Find(catalog.Latest, want) // which says why
		return catalog.Latest, "", err
	}
	drawn, err = checkpoint()
	by := drawn
	if errors.Is(err, cofre.ErrNotFound) {
		by, drawn, err = rand.Text(), "", nil
	}
	return string(among[place(by, len(among))]), drawn, err
}

// place is one of n by the hash of a text: anybody who has the text can see that nobody else has chosen.
func place(by string, n int) int {
	sum := sha256.Sum256([]byte(by))
	return int(binary.BigEndian.Uint64(sum[:8]) % uint64(n))
}
