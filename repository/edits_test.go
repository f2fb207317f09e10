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
	switch rng.IntN(12) {
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
	case 6:
		to := f.plausible(rng)
		f.write(to, f.read(other))
		return "copy " + other + " to " + to
	case 7:
		to := f.plausible(rng)
		f.write(to, noise(byte(rng.IntN(256)), rng.IntN(1<<12)))
		return "junk in " + to
	case 8:
		f.write(name, f.read(other))
		f.write(other, b)
		return "swap " + name + " and " + other
	case 9:
		f.write(name, append(b, make([]byte, 1<<20)...))
		return "enlarge " + name
	case 10:
		to := f.plausible(rng)
		f.write(to, b)
		if err := f.st.Delete(f.t.Context(), name); err != nil {
			f.t.Fatal(err)
		}
		return "rename " + name + " to " + to
	default:
		f.seal([]seal.Record{{State: seal.Removed, Name: name}})
		if err := f.st.Delete(f.t.Context(), name); err != nil {
			f.t.Fatal(err)
		}
		return "delete and seal as removed " + name
	}
}

// plausible is a name that means something to this program or to the library.
func (f forger) plausible(rng *rand.Rand) string {
	n := []int{0, 1, 2, 9, 99, 4096, 1 << 20}[rng.IntN(7)]
	id := fmt.Sprintf("%016x%016x-s%016x147-c1", rng.Uint64(), rng.Uint64(), rng.Uint64())
	return []string{
		fmt.Sprintf("xe%d", n), fmt.Sprintf("xw%d", n), fmt.Sprintf("xn%d_%s", n, id), fmt.Sprintf("xs%d_%s", n, id), fmt.Sprintf("xr0_%d_%s", n, id), fmt.Sprintf("xr%d_%d_%s", n, n-1, id),
		"q" + id, "p" + id, "s" + id, "n" + id, "_log_" + id, "kopia.maintenance", "cofre/spare/x" + id, "cofre/publishing/" + id, "cofre/capturing/" + id + "/1", "cofre/prune/announced/" + id,
		seal.Prefix + id, "cofre/damage/" + id, "lease/catalog/" + id, "lease/prune/000000000001", "cofre/proven/" + id,
	}[rng.IntN(21)]
}

// TestEditsAreHarmlessOrNamed: after any one edit of the storage, without the password, either everything restores, or a verification, or the error of opening, says
// that something is wrong, and a backup does not make it worse. COFRE_SOAK is how many edits are tried, COFRE_SEED which.
func TestEditsAreHarmlessOrNamed(t *testing.T) {
	edits := 12
	if n, err := strconv.Atoi(os.Getenv("COFRE_SOAK")); err == nil {
		edits = n
	}
	first, _ := strconv.ParseUint(os.Getenv("COFRE_SEED"), 10, 64)
	s, r := onMemory(t)
	h := &history{store: s, want: map[cofre.PointID]map[string][]byte{}}
	h.add(t, r, map[string][]byte{"a": noise(1, 1<<16), "b": []byte("b")})
	h.add(t, r, map[string][]byte{"a": noise(1, 1<<16), "c": noise(2, 1<<15)})
	before := s.State()
	for seed := range uint64(edits) {
		s.Restore(before)
		did := forger{t, s}.edit(rand.New(rand.NewPCG(first+seed, 37)))
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
		if seed%10 == 0 {
			f := &holding{files: map[string][]byte{"new": noise(byte(seed), 1<<12)}}
			if p, err := f.backup(t, r); err == nil {
				if got, err := readPath(t, r, p.Components[0].Root, "new"); err != nil || !slices.Equal(got, f.files["new"]) {
					t.Errorf("%s: a backup that went well does not restore: %v", did, err)
				}
			}
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
