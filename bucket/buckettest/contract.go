// Package buckettest is the contract that every bucket.Store passes, as a test. The checks are those that
// bucket.CheckProvider runs for a user against a provider of theirs.
package buckettest

import (
	"fmt"
	"testing"

	"github.com/trustlayer/cofre/bucket"
)

// Run runs the contract against a store in which it may make the bucket id, and leaves that bucket empty.
func Run(t *testing.T, s bucket.Store, id string) {
	t.Helper()
	ctx := t.Context()
	limit := int64(100 << 20)
	keeps := s.Describe().Settings
	want := bucket.Bucket{ID: id, Public: keeps.Public}
	if keeps.Limits {
		want.MaxSize = &limit
		want.Types = []string{"image/png", "text/plain"}
	}
	for range 2 { // to make it, and to find it there
		if err := s.Ensure(ctx, want); err != nil {
			t.Fatalf("make bucket %s: %v", id, err)
		}
	}
	got, err := s.Buckets(ctx, id)
	if err != nil {
		t.Fatalf("bucket %s: %v", id, err)
	}
	if b := got[0]; b.ID != id || b.Public != want.Public || fmt.Sprint(b.Types) != fmt.Sprint(want.Types) ||
		(b.MaxSize == nil) != (want.MaxSize == nil) || b.MaxSize != nil && *b.MaxSize != limit {
		t.Errorf("bucket %s has the settings %+v, made with %+v", id, b, want)
	}
	for i, c := range bucket.ProviderChecks() {
		t.Run(c.Name, func(t *testing.T) {
			notes, err := c.Run(t.Context(), s, id, fmt.Sprintf("contract/%d/", i))
			for _, n := range notes {
				t.Log(n)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := bucket.RemovePrefix(ctx, s, id, "contract/"); err != nil {
		t.Errorf("empty bucket %s: %v", id, err)
	}
}
