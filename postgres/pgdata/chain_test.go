package pgdata_test

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

const chainSegment = 1 << 20

func fixtureSegments(t testing.TB, dir string) [][]byte {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "wal", "*.gz"))
	var all [][]byte
	for _, f := range files {
		all = append(all, read(t, f))
	}
	return all
}

func TestNeighboursFollowOneAnotherAndOthersDoNot(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int, dir string) {
		segments := fixtureSegments(t, dir)
		var chains []pgdata.Chain
		for i, b := range segments {
			c := pgdata.ChainOf(b, chainSegment)
			if c.Break != 0 || c.First == 0 || c.Last == 0 {
				t.Errorf("segment %d: %+v", i, c)
			}
			chains = append(chains, c)
		}
		for i := range len(chains) {
			for j := range len(chains) {
				why := chains[i].Follows(chains[j])
				if follows := j == i+1; follows != (why == "") {
					t.Errorf("segment %d after %d: %q", j, i, why)
				}
			}
		}
	})
}

// A byte that changed anywhere within a record ends the walk at that record or before it, in a segment and across
// segments, and what was passed on before is what was there.
func TestChainWalkerNeverPassesDamage(t *testing.T) {
	eachMajor(t, func(t *testing.T, major int, dir string) {
		segments := fixtureSegments(t, dir)
		whole := slices.Concat(segments...)
		h, err := pgdata.ParseWALPage(whole)
		if err != nil {
			t.Fatal(err)
		}
		type span struct{ start, end cofre.LSN }
		records := func(b []byte) (all []span, w *pgdata.Walker) {
			w = pgdata.NewWalker(chainSegment)
			for page := range slices.Chunk(b, pgdata.WALPageSize) {
				w.Page(page, func(r pgdata.Record) bool { all = append(all, span{r.Start, r.End}); return true })
			}
			return all, w
		}
		want, _ := records(whole)
		seed := rand.Uint64()
		rnd := rand.New(rand.NewPCG(seed, 1))
		for range 400 {
			victim := rnd.IntN(len(want))
			s := want[victim]
			at := s.start + cofre.LSN(rnd.Uint64N(uint64(s.end-s.start)))
			if uint64(at)%pgdata.WALPageSize < 40 {
				continue // a page's header within the record
			}
			b := slices.Clone(whole)
			b[at-h.Address] ^= 1 << rnd.IntN(8)
			got, w := records(b)
			end, ended := w.End()
			if !ended || end > s.start || w.Why() == "" {
				t.Fatalf("seed %d: damage at %s in the record at %s: ended %v at %s: %q", seed, at, s.start, ended, end, w.Why())
			}
			if len(got) > victim || !slices.Equal(got, want[:len(got)]) {
				t.Fatalf("seed %d: damage at %s in the record at %s: %d records passed, not a beginning of those that were there", seed, at, s.start, len(got))
			}
			// The segment by itself, or its neighbours, say so too.
			n := int(at-h.Address) / chainSegment
			c := pgdata.ChainOf(b[n*chainSegment:][:chainSegment], chainSegment)
			startsBefore := s.start < h.Address+cofre.LSN(n*chainSegment)
			crosses := s.end > h.Address+cofre.LSN((n+1)*chainSegment)
			seen := c.Break != 0
			if !seen && c.Open == s.start {
				// A length that grew makes the record reach into the next segment, which does not go on with it.
				seen = n+1 == len(segments) || c.Follows(pgdata.ChainOf(b[(n+1)*chainSegment:][:chainSegment], chainSegment)) != ""
			}
			if !seen && !startsBefore && !crosses {
				t.Fatalf("seed %d: damage at %s in the record at %s is not seen in segment %d: %+v", seed, at, s.start, n, c)
			}
		}
	})
}
