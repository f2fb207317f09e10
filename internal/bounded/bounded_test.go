package bounded_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
)

// TestAll reads what is as long as it may be, and refuses one byte more without reading on.
func TestAll(t *testing.T) {
	if b, err := bounded.All(strings.NewReader("1234"), 4); string(b) != "1234" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	endless := &zeros{}
	if b, err := bounded.All(endless, 4); len(b) != 5 || !errors.Is(err, cofre.ErrCorrupt) {
		t.Errorf("%d bytes, %v: want cofre.ErrCorrupt", len(b), err)
	}
	if endless.gave > 1<<16 {
		t.Errorf("%d bytes were read", endless.gave)
	}
}

type zeros struct{ gave int }

func (z *zeros) Read(b []byte) (int, error) {
	z.gave += len(b)
	return len(b), nil
}
