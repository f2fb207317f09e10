package repository_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zeebo/blake3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/repository/seal"
)

// edit changes one thing of a repository as somebody does who knows the formats, and not the password. It says what it did.
func (f forger) edit(rng *rand.Rand) string {
	names := f.names("")
	name, other := names[rng.IntN(len(names))], names[rng.IntN(len(names))]
	b := f.read(name)
	switch rng.IntN(7) {
	case 0:
		if err := f.st.Delete(f.t.Context(), name); err != nil {
			f.t.Fatal(err)
		}
		return "delete " + name
	case 1:
		f.write(name, b[:rng.IntN(len(b)+1)])
		return "cut " + name
	case 2:
		if len(b) > 0 {
			b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
		}
		f.write(name, b)
		return "flip a bit of " + name
	case 3:
		f.write(name, f.read(other))
		return "put " + other + " into " + name
	case 4:
		to := name[:len(name)-min(6, len(name)-1)] + fmt.Sprintf("%06x", rng.IntN(1<<24))
		f.write(to, b)
		return "copy " + name + " to " + to
	case 5:
		junk := []byte(fmt.Sprint(rng.Uint64()))
		f.write(name, junk)
		f.seal([]seal.Record{{State: seal.Stored, Size: int64(len(junk)), Hash: blake3.Sum256(junk), Name: name}})
		return "destroy and seal " + name
	default:
		f.seal([]seal.Record{{State: seal.Removed, Name: name}})
		if err := f.st.Delete(f.t.Context(), name); err != nil {
			f.t.Fatal(err)
		}
		return "delete and seal as removed " + name
	}
}

// TestEditsAreHarmlessOrNamed: after any one edit of the storage, without the password, either everything restores, or a verification, or the error of opening, says
// that something is wrong. COFRE_SOAK is how many edits are tried.
func TestEditsAreHarmlessOrNamed(t *testing.T) {
	edits := 12
	if n, err := strconv.Atoi(os.Getenv("COFRE_SOAK")); err == nil {
		edits = n
	}
	s, r := onMemory(t)
	h := &history{store: s, want: map[cofre.PointID]map[string][]byte{}}
	h.add(t, r, map[string][]byte{"a": noise(1, 1<<16), "b": []byte("b")})
	h.add(t, r, map[string][]byte{"a": noise(1, 1<<16), "c": noise(2, 1<<15)})
	before := s.State()
	for seed := range uint64(edits) {
		s.Restore(before)
		did := forger{t, s}.edit(rand.New(rand.NewPCG(seed, 37)))
		r, err := repository.OpenOn(t.Context(), memoryConfig(t), s)
		if err != nil {
			if cofre.Hint(err) == "" {
				t.Errorf("%s: %v, without a hint", did, err)
			}
			continue
		}
		said, wrong := harm(t, h, r)
		if len(wrong) > 0 && len(said) == 0 {
			t.Errorf("%s: nothing says that %s", did, strings.Join(wrong, "; "))
		}
		_ = r.Close(t.Context())
	}
}

// harm is what a verification says, and what does not restore.
func harm(t *testing.T, h *history, r *repository.Repository) (said, wrong []string) {
	t.Helper()
	missing := maps.Clone(h.want)
	var points []cofre.RecoveryPoint
	for p, err := range r.Points(t.Context()) {
		if err != nil {
			return []string{err.Error()}, nil
		}
		points = append(points, p)
		delete(missing, p.ID)
		for path, want := range h.want[p.ID] {
			if got, err := readPath(t, r, p.Components[0].Root, path); err != nil || !slices.Equal(got, want) {
				wrong = append(wrong, fmt.Sprintf("%s of %s does not restore: %v", path, p.ID, err))
			}
		}
	}
	for id := range missing {
		wrong = append(wrong, fmt.Sprintf("%s is gone", id))
	}
	for f, err := range r.Verify(t.Context(), points, cofre.Verification{Level: cofre.LevelContent}) {
		if err != nil {
			return append(said, err.Error()), wrong
		}
		said = append(said, f.What)
	}
	return said, wrong
}
