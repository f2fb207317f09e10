package largepages

import "testing"

func TestMake(t *testing.T) {
	for _, n := range []int{0, 1, 4096, page - 1, page, 3*page + 5} {
		b := Make(n)
		if len(b) != n {
			t.Errorf("%d bytes of %d", len(b), n)
		}
		for i := range b {
			if b[i] != 0 {
				t.Fatalf("byte %d of %d is not zero", i, n)
			}
			b[i] = 1
		}
	}
	Ready(page)
}
