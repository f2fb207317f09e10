package fingerprint

import "testing"

func TestByOwnerAlone(t *testing.T) {
	for _, c := range []struct {
		want, got string
		alone     bool
	}{
		{`a=EXECUTE r=EXECUTE`, `b=EXECUTE r=EXECUTE`, true},
		{`"a b"=INSERT "a b"=SELECT r=SELECT`, `b=INSERT b=SELECT r=SELECT`, true},
		{`a=INSERT a=SELECT b=SELECT* r=SELECT`, `b=INSERT b=SELECT r=SELECT`, true}, // b had been granted some
		{`b=INSERT b=SELECT r=SELECT`, `b=INSERT b=SELECT`, false},                   // a grant is lost
		{`a=SELECT r=SELECT`, `b=INSERT b=SELECT r=SELECT`, false},
		{`a=SELECT r=SELECT`, `b=SELECT x=SELECT`, false},
		{`a=SELECT`, `PUBLIC=SELECT b=SELECT`, false}, // it is open to more
		{`a=SELECT`, `PUBLIC=SELECT`, false},
		{`none`, `b=SELECT`, false},
	} {
		if got := byOwnerAlone(c.want, c.got); got != c.alone {
			t.Errorf("%s, and %s: %t", c.want, c.got, got)
		}
	}
}
