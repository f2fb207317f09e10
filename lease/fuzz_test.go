package lease_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/lease"
)

// one is a store of one object, whatever name is asked for.
type one struct {
	cofre.Store

	name, content string
}

func (s one) List(_ context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		if strings.HasPrefix(s.name, prefix) {
			yield(cofre.StoredObject{Name: s.name, Size: int64(len(s.content))}, nil)
		}
	}
}

func (s one) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(s.content)), nil
}

// FuzzNewest: what lies where leases do is one, or is damaged, or is none: it is never taken for another generation than its name says.
func FuzzNewest(f *testing.F) {
	f.Add("lease/prune/000000000007", `{"nonce":"a","host":"h","pid":1,"at":"2026-11-27T12:00:00Z","for":"prune","term":60}`)
	f.Add("lease/prune/000000000007", `{"term":-9223372036854775808,"released":true}`)
	f.Add("lease/prune/-00000000007", `{}`)
	f.Add("lease/prune/999999999999999999999", `null`)
	f.Fuzz(func(t *testing.T, name, content string) {
		generation, r, err := lease.Newest(t.Context(), one{name: name, content: content}, "prune")
		switch {
		case err != nil && !errors.Is(err, cofre.ErrCorrupt):
			t.Errorf("%q: %v", name, err)
		case generation < 0, generation > 0 && !strings.HasPrefix(name, "lease/prune/"), err == nil && generation == 0 && r != (lease.Record{}):
			t.Errorf("%q is generation %d, %+v", name, generation, r)
		}
	})
}
