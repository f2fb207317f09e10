package walorigin

import (
	"bytes"
	"context"
	"iter"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
	"github.com/trustlayer/cofre/postgres/wal/origin"
	"github.com/trustlayer/cofre/postgres/wal/sealed"
	"github.com/trustlayer/cofre/store"
)

// growing is a store to which somebody archives while it is listed.
type growing struct {
	cofre.Store
	grow func()
}

func (g *growing) List(ctx context.Context, prefix string) iter.Seq2[cofre.StoredObject, error] {
	return func(yield func(cofre.StoredObject, error) bool) {
		for o, err := range g.Store.List(ctx, prefix) {
			if !yield(o, err) {
				return
			}
		}
		if grow := g.grow; grow != nil {
			g.grow = nil
			grow()
		}
	}
}

// What a host archives while a revocation reads what there is counts too; and what lies where nobody reads it does not.
func TestWhatComesWhileItIsListed(t *testing.T) {
	t.Parallel()
	st, err := store.Open(t.Context(), store.Config{URL: filepath.Join(t.TempDir(), "repository"), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	key, err := origin.Host(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const system = cofre.SystemID(7)
	put := func(object string) {
		t.Helper()
		b, err := sealed.Seal(identity.Recipient(), sealed.Contents{Object: object, Digest: sealed.DigestOf(identity.Recipient().String(), object, nil), Sign: key.Sign}, sealed.Compress(nil, 1))
		if err == nil {
			err = st.Create(t.Context(), object, bytes.NewReader(b), int64(len(b)))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := origin.Admit(t.Context(), st, system, "secret", key.Public(), "h", "ana"); err != nil {
		t.Fatal(err)
	}
	now, err := origin.ReadRecords(t.Context(), st, system)
	if err != nil {
		t.Fatal(err)
	}
	first, second := "000000010000000000000001", "000000010000000000000002"
	put("wal/7/00000001/" + first)
	put("wal/7/00000001/" + first + ".parts/x\n" + second)
	put("wal/7/00000001/00000001x/" + second)
	put("wal/7/00000001/" + first + ".found/broken-" + second)
	k := Keys{System: system, store: &growing{Store: st, grow: func() { put("wal/7/00000001/" + second) }}, set: origin.NewSet(system, "secret", now, nil)}
	all := there{size: wal.UsualSegment, starts: map[pgdata.Segment]bool{}}
	if err := k.list(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	signed := func(f file) bool { return f.by == key.Public().ID() }
	before, files := all.older(signed)
	sums := all.sums(signed)
	if before["00000001"] != second || len(files) != 0 || len(sums) != 2 || sums[first] == "" || sums[second] == "" {
		t.Errorf("before %v, files %v, sums %v", before, files, sums)
	}
}
