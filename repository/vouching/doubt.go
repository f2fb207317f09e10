package vouching

import (
	"context"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/coverage"
	"github.com/trustlayer/cofre/repository/seal"
)

// soon is how much later than the seal says a pack may have been written: several are written at once.
const soon = time.Minute

// Doubts finds, of packs that a point takes over from before, those that are not as they were sealed. A pack that was not written since it was
// sealed is taken to be; one that was, is read back, unless it was read back since. What is found whole is remembered, so that a repository
// that was copied to another place is read once. objects are the packs.
//
// Without a ledger that believes only seals under the key nothing is looked at: whoever writes to the store would write the seals too.
//
// Errors: those of the store; that of ctx.
func Doubts(ctx context.Context, st cofre.Store, key coverage.Sealer, l *seal.Ledger, objects map[blob.ID]cofre.StoredObject) (map[blob.ID]string, error) {
	bad := map[blob.ID]string{}
	if !l.Raised {
		return bad, nil
	}
	var read *coverage.Ledger
	for id, o := range objects {
		rec, sealed := l.Records[o.Name]
		if !sealed || !rec.Keyed {
			bad[id] = "has no seal that somebody with the password has written"
			continue
		}
		if o.Size == rec.Size && !o.ChangedAt.After(rec.At.Add(soon)) {
			continue
		}
		if read == nil {
			var err error
			if read, err = coverage.Open(ctx, st, key, coverage.Options{Window: coverage.UsualWindow}); err != nil {
				return nil, err
			}
		}
		proof := cofre.ReadBack{StoredObject: o, Part: cofre.Part{What: cofre.PartPoints}, Hash: rec.Evidence()}
		if !read.At(proof).IsZero() {
			continue
		}
		what, err := seal.Check(ctx, st, rec)
		if err != nil {
			return nil, err
		}
		if read.Note(ctx, proof, what == ""); what != "" {
			bad[id] = what
		}
	}
	if read != nil {
		_ = read.Save(ctx) // the next one reads them again
	}
	return bad, nil
}
