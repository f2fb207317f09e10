package repository_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/backup"
	"github.com/trustlayer/cofre/internal/testkit"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/store"
)

// holding is a source of files that reads again only those that are not as they were in the previous component, by
// modification time, as the sources of data directories and buckets do.
type holding struct {
	files map[string][]byte
	told  []string
	done  func() // called when everything is captured, before it is finished
}

func (h *holding) ID() cofre.SourceID {
	return cofre.SourceID{Installation: "trustlayer", Kind: cofre.KindConfig, Name: "config"}
}

func holdingTime(b []byte) time.Time {
	sum := int64(len(b))
	for _, c := range b {
		sum = sum*31 + int64(c)
	}
	return time.Unix(0, sum&(1<<60-1))
}

func (h *holding) Capture(ctx context.Context, c *cofre.Capture) (cofre.Captured, error) {
	for path, b := range h.files {
		e := cofre.Entry{Path: path, Mode: 0o600, Size: int64(len(b)), ModTime: holdingTime(b)}
		if c.PreviousTree != nil {
			if was, err := c.PreviousTree.Stat(ctx, path); err == nil && was.ModTime.Equal(e.ModTime) && was.Size == e.Size {
				if err := c.Session.Reuse(ctx, was); err != nil {
					return cofre.Captured{}, err
				}
				continue
			}
		}
		if _, err := c.Session.Put(ctx, e, bytes.NewReader(b)); err != nil {
			return cofre.Captured{}, err
		}
	}
	if h.done != nil {
		h.done()
	}
	return cofre.Captured{}, nil
}

func (h *holding) backup(t testing.TB, r cofre.Repository) (*cofre.RecoveryPoint, error) {
	t.Helper()
	h.told = nil
	return backup.Run(t.Context(), r, backup.Request{
		Installation: "trustlayer", Sources: []cofre.Source{h}, Host: "host", Version: "test",
		Observer: cofre.ObserverFunc(func(e cofre.Event) {
			if e.Text != "" {
				h.told = append(h.told, e.Text)
			}
		}),
	})
}

// history is a repository of several points, and what each must give back.
type history struct {
	config repository.Config
	store  cofre.Store
	want   map[cofre.PointID]map[string][]byte
	latest map[string][]byte
}

func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func newHistory(t testing.TB, c repository.Config) *history {
	t.Helper()
	r := create(t, c)
	h := &history{config: c, want: map[cofre.PointID]map[string][]byte{}}
	var err error
	if h.store, err = store.Open(t.Context(), store.Config{URL: c.URL, AccessKey: c.AccessKey, SecretKey: c.SecretKey}); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"a/noise": noise(1, 2<<20), "a/small": []byte("small"), "empty": {}, "d/e/f": bytes.Repeat([]byte("text "), 50_000)}
	h.add(t, r, files)
	files["b/other"] = noise(2, 1<<20)
	h.add(t, r, files)
	files["b/third"] = []byte("the third")
	h.add(t, r, files)
	return h
}

func (h *history) add(t testing.TB, r cofre.Repository, files map[string][]byte) *holding {
	t.Helper()
	s := &holding{files: files}
	p, err := s.backup(t, r)
	if err != nil {
		t.Fatalf("back up: %v (told %q)", err, s.told)
	}
	h.latest = map[string][]byte{}
	for path, b := range files {
		h.latest[path] = bytes.Clone(b)
	}
	h.want[p.ID] = h.latest
	return s
}

// blobs are the names of Kopia's blobs, by their first letter.
func (h *history) blobs(t testing.TB, letter string) []string {
	t.Helper()
	var found []string
	for o, err := range h.store.List(t.Context(), letter) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, o.Name)
	}
	return found
}

func (h *history) read(t testing.TB, name string) []byte {
	t.Helper()
	body, err := h.store.Open(t.Context(), name, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (h *history) write(t testing.TB, name string, b []byte) {
	t.Helper()
	err := h.store.Delete(t.Context(), name)
	if b != nil && err == nil {
		err = h.store.Replace(t.Context(), name, bytes.NewReader(b), int64(len(b)))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// kinds of damage to one blob. other is another blob of the same kind.
var damages = map[string]func(b, other []byte) []byte{
	"flip the beginning": func(b, _ []byte) []byte { b[len(b)/20] ^= 1; return b },
	"flip the middle":    func(b, _ []byte) []byte { b[len(b)/2] ^= 1; return b },
	"flip the end":       func(b, _ []byte) []byte { b[len(b)-1] ^= 1; return b },
	"truncate":           func(b, _ []byte) []byte { return b[:len(b)/2] },
	"empty":              func([]byte, []byte) []byte { return []byte{} },
	"delete":             func([]byte, []byte) []byte { return nil },
	"swap":               func(_, other []byte) []byte { return other },
	"destroy":            func(b, _ []byte) []byte { return bytes.Repeat([]byte{7}, len(b)) },
}

// restores reads every file of every point that is wanted, and returns what differs.
func (h *history) restores(t testing.TB, r cofre.Repository) []string {
	t.Helper()
	var wrong []string
	there := map[cofre.PointID]bool{}
	for _, p := range points(t, r) {
		there[p.ID] = true
		want, ok := h.want[p.ID]
		if !ok {
			continue
		}
		for path, b := range want {
			got, err := readPath(t, r, p.Components[0].Root, path)
			if err != nil || !bytes.Equal(got, b) {
				wrong = append(wrong, fmt.Sprintf("%s %s: %v", p.ID, path, err))
			}
		}
	}
	for id := range h.want {
		if !there[id] {
			wrong = append(wrong, fmt.Sprintf("%s is not listed", id))
		}
	}
	return wrong
}

func readPath(t testing.TB, r cofre.Repository, root cofre.ObjectID, path string) ([]byte, error) {
	t.Helper()
	tr, err := r.Tree(t.Context(), root)
	if err != nil {
		return nil, err
	}
	f, err := tr.Open(t.Context(), path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

func damageOf(t testing.TB, r *repository.Repository) []cofre.Damage {
	t.Helper()
	d, err := r.Damage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWhatIsDamagedIsStoredAfresh(t *testing.T) {
	for place, config := range places(t) {
		for _, letter := range []string{"p", "q", "x", "kopia."} {
			for what, change := range damages {
				few := what == "flip the middle" || what == "delete"
				if !few && (place == "S3" || letter != "p" && what != "truncate") {
					continue // what differs by place and by letter is not how a blob was damaged
				}
				t.Run(fmt.Sprintf("%s: %s %s", place, what, letter), func(t *testing.T) {
					healed(t, newHistory(t, config(t)), letter, change)
				})
			}
		}
	}
}

// places are a folder and a bucket.
func places(t *testing.T) map[string]func(t *testing.T) repository.Config {
	server := testkit.S3(t)
	n := 0
	return map[string]func(t *testing.T) repository.Config{
		"folder": func(t *testing.T) repository.Config { return folderConfig(t) },
		"S3": func(t *testing.T) repository.Config {
			n++
			return s3Config(t, server, fmt.Sprintf("heal-%d", n))
		},
	}
}

// healed damages every blob of a kind, one after the other: verify, back up from another machine, verify, restore.
func healed(t *testing.T, h *history, letter string, change func(b, other []byte) []byte) {
	all := h.blobs(t, letter)
	if len(all) == 0 {
		t.Fatalf("%d blobs of kind %s", len(all), letter)
	}
	was := map[string][]byte{}
	for _, name := range all {
		was[name] = h.read(t, name)
	}
	for _, i := range slices.Compact([]int{0, len(all) - 1}) {
		name := all[i]
		h.write(t, name, change(bytes.Clone(was[name]), was[all[(i+1)%len(all)]]))
		looking := h.config
		looking.ReadOnly = true
		r := open(t, looking)
		if wrong := h.restores(t, r); letter != "p" && len(wrong) > 0 {
			t.Errorf("%s was damaged, of which there is a second copy:\n%s", name, strings.Join(wrong, "\n"))
		}
		found := findings(t, r, points(t, r), cofre.LevelContent)
		if !slices.Contains(names(found), name) {
			t.Fatalf("%s was damaged, and verification found %+v", name, found)
		}
		if err := r.Close(t.Context()); err != nil {
			t.Fatal(err)
		}

		another := open(t, elsewhere(t, h.config))
		s := h.add(t, another, h.latest)
		if wrong := h.restores(t, another); len(wrong) > 0 {
			t.Errorf("after a backup that followed the damage of %s:\n%s\ntold: %q", name, strings.Join(wrong, "\n"), s.told)
		}
		if d := damageOf(t, another); len(d) > 0 {
			t.Errorf("everything still exists, and is damaged after a backup: %+v", d)
		}
		if found := findings(t, another, points(t, another), cofre.LevelContent); len(found) > 0 {
			t.Errorf("verification after the backup that followed the damage of %s found %+v", name, found)
		}
		if t.Failed() {
			return
		}
	}
}

// elsewhere is the same repository seen by another machine.
func elsewhere(t testing.TB, c repository.Config) repository.Config {
	c.StateDir = t.TempDir()
	return c
}

// Damage that nobody has found: the backup itself proves what it deduplicated against, and captures once more.
func TestABackupHealsWhatItComesUponItself(t *testing.T) {
	for _, what := range []string{"delete", "truncate", "empty"} {
		t.Run(what, func(t *testing.T) {
			h := newHistory(t, folderConfig(t))
			for _, name := range h.blobs(t, "p") {
				h.write(t, name, damages[what](h.read(t, name), nil))
			}
			r := open(t, elsewhere(t, h.config))
			s := h.add(t, r, h.latest)
			if !strings.Contains(strings.Join(s.told, "\n"), "captured once more") {
				t.Errorf("told %q", s.told)
			}
			if wrong := h.restores(t, r); len(wrong) > 0 {
				t.Error(strings.Join(wrong, "\n"))
			}
			// A pack that was cut behind its last content has lost nothing: only a verification sees that.
			findings(t, r, points(t, r), cofre.LevelContent)
			h.add(t, r, h.latest)
			if found := findings(t, r, points(t, r), cofre.LevelContent); len(found) > 0 {
				t.Errorf("verification found %+v", found)
			}
		})
	}
}

// A writer that began before the damage was known must not undo what another has stored afresh, nor publish upon damage.
func TestHealingBesideAnotherMachine(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	other := open(t, elsewhere(t, h.config))
	s := &holding{files: h.latest}
	s.done = func() {
		s.done = nil
		for _, name := range h.blobs(t, "p") {
			h.write(t, name, damages["destroy"](h.read(t, name), nil))
		}
		r := open(t, h.config)
		findings(t, r, points(t, r), cofre.LevelContent)
		// It heals nothing: its own source holds something else.
		h.add(t, r, map[string][]byte{"something": []byte("else")})
	}
	p, err := s.backup(t, other)
	if err != nil {
		t.Fatal(err)
	}
	h.want[p.ID] = s.files
	if wrong := h.restores(t, other); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"), s.told)
	}
	if found := findings(t, other, points(t, other), cofre.LevelContent); len(found) > 0 {
		t.Errorf("verification found %+v", found)
	}
}

// Two machines that know of the same damage heal at the same time.
func TestTwoMachinesHealAtOnce(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	for _, name := range h.blobs(t, "p") {
		h.write(t, name, damages["destroy"](h.read(t, name), nil))
	}
	r := open(t, h.config)
	findings(t, r, points(t, r), cofre.LevelContent)
	machines := []*repository.Repository{open(t, elsewhere(t, h.config)), open(t, elsewhere(t, h.config))}
	var wg sync.WaitGroup
	for _, m := range machines {
		wg.Go(func() {
			s := &holding{files: h.latest}
			if _, err := s.backup(t, m); err != nil {
				t.Errorf("back up: %v", err)
			}
		})
	}
	wg.Wait()
	if wrong := h.restores(t, machines[0]); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
	if found := findings(t, machines[1], points(t, machines[1]), cofre.LevelContent); len(found) > 0 {
		t.Errorf("verification found %+v", found)
	}
}

// What no longer exists at the source is lost, by name, in the points that had it and in no other.
func TestWhatIsGoneAtTheSourceIsNamed(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	for _, name := range h.blobs(t, "p") {
		h.write(t, name, nil)
	}
	r := open(t, h.config)
	findings(t, r, points(t, r), cofre.LevelStructure)
	less := map[string][]byte{}
	for path, b := range h.latest {
		if path != "b/other" {
			less[path] = b
		}
	}
	s := h.add(t, r, less)
	damaged := damageOf(t, r)
	if len(damaged) != 2 {
		t.Fatalf("damaged: %+v", damaged)
	}
	for _, d := range damaged {
		if len(d.Findings) != 1 || d.Findings[0].Object != "b/other" || h.want[d.Point]["b/other"] == nil {
			t.Errorf("damaged: %+v", d)
		}
	}
	if told := strings.Join(s.told, "\n"); !strings.Contains(told, "whole again") || !strings.Contains(told, `"b/other"`) {
		t.Errorf("told %q", s.told)
	}
	found := findings(t, r, points(t, r), cofre.LevelContent)
	if len(found) != 2 || found[0].Object != "b/other" || found[1].Object != "b/other" {
		t.Errorf("verification found %+v", found)
	}
	// The source has it again.
	h.add(t, r, map[string][]byte{"elsewhere": noise(2, 1<<20)})
	if d := damageOf(t, r); len(d) != 0 {
		t.Errorf("damaged: %+v", d)
	}
	if wrong := h.restores(t, r); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
}

// A file that was brought back from a copy counts again, whether or not a backup has acted upon its loss.
func TestWhatWasBroughtBackCountsAgain(t *testing.T) {
	for _, healedBetween := range []bool{false, true} {
		h := newHistory(t, folderConfig(t))
		r := open(t, h.config)
		was := map[string][]byte{}
		for _, name := range h.blobs(t, "p") {
			was[name] = h.read(t, name)
			h.write(t, name, nil)
		}
		findings(t, r, points(t, r), cofre.LevelStructure)
		if healedBetween {
			h.add(t, r, map[string][]byte{"something": []byte("else")})
		}
		if len(damageOf(t, r)) != 3 {
			t.Errorf("damaged: %+v", damageOf(t, r))
		}
		for name, b := range was {
			h.write(t, name, b)
		}
		findings(t, r, points(t, r), cofre.LevelContent)
		h.add(t, r, map[string][]byte{"something": []byte("else again")})
		if d := damageOf(t, r); len(d) != 0 {
			t.Errorf("damaged: %+v", d)
		}
		if wrong := h.restores(t, r); len(wrong) > 0 {
			t.Error(strings.Join(wrong, "\n"))
		}
		if found := findings(t, r, points(t, r), cofre.LevelContent); len(found) > 0 {
			t.Errorf("verification found %+v", found)
		}
	}
}

// A restore that comes upon damage has it remembered, opened to read as it is.
func TestARestoreRemembersDamage(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	for _, name := range h.blobs(t, "p") {
		h.write(t, name, damages["destroy"](h.read(t, name), nil))
	}
	c := h.config
	c.ReadOnly = true
	reading, err := repository.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := h.restores(t, reading); len(wrong) == 0 {
		t.Fatal("everything is destroyed, and reads")
	}
	if err := reading.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := open(t, h.config)
	if d := damageOf(t, r); len(d) != 3 {
		t.Errorf("damaged: %+v", d)
	}
	h.add(t, r, h.latest)
	if wrong := h.restores(t, r); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
}

// What a verification has read and found damaged, one that reads nothing does not call whole, until it was stored afresh.
func TestStructureKnowsWhatWasFoundByReading(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	r := open(t, h.config)
	for _, name := range h.blobs(t, "p") {
		h.write(t, name, damages["flip the middle"](h.read(t, name), nil))
	}
	if found := findings(t, r, points(t, r), cofre.LevelStructure); len(found) > 0 {
		t.Errorf("nobody has read it: %+v", found)
	}
	if found := findings(t, r, points(t, r), cofre.LevelContent); len(found) == 0 {
		t.Fatal("every pack is damaged")
	}
	known := damageOf(t, r)
	for range 2 {
		found := findings(t, open(t, elsewhere(t, h.config)), points(t, r), cofre.LevelStructure)
		if len(known) == 0 || len(found) == 0 {
			t.Errorf("known are %+v, and the structure is called whole", known)
		}
	}
	h.add(t, r, h.latest)
	if found := findings(t, r, points(t, r), cofre.LevelStructure); len(found) > 0 {
		t.Errorf("stored afresh: %+v", found)
	}
}

// dying is a store that ends with the nth write, and does nothing after it.
type dying struct {
	cofre.Store
	left int
	mu   sync.Mutex
}

var errDied = errors.New("the process was killed")

func (s *dying) alive() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left--; s.left < 0 {
		return errDied
	}
	return nil
}

func (s *dying) Create(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.Store.Create(ctx, name, r, size)
}

func (s *dying) Replace(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.Store.Replace(ctx, name, r, size)
}

func (s *dying) Delete(ctx context.Context, name string) error {
	if err := s.alive(); err != nil {
		return err
	}
	return s.Store.Delete(ctx, name)
}

// Killed at any write while it heals, a backup leaves nothing that the next one does not heal.
func TestKilledWhileHealing(t *testing.T) {
	for n := 0; ; n += 3 {
		h := newHistory(t, folderConfig(t))
		all := h.blobs(t, "p")
		h.write(t, all[0], damages["flip the middle"](h.read(t, all[0]), nil))
		h.write(t, all[1], nil)
		r := open(t, h.config)
		findings(t, r, points(t, r), cofre.LevelContent)
		killed := open(t, elsewhere(t, h.config))
		repository.WithStore(killed, func(s cofre.Store) cofre.Store { return &dying{Store: s, left: n} })
		_, err := (&holding{files: h.latest}).backup(t, killed)
		if err != nil && !errors.Is(err, errDied) {
			t.Errorf("killed at write %d: %v", n, err)
		}
		next := open(t, elsewhere(t, h.config))
		h.add(t, next, h.latest)
		if wrong := h.restores(t, next); len(wrong) > 0 {
			t.Errorf("killed at write %d: %s", n, strings.Join(wrong, "\n"))
		}
		for _, f := range findings(t, next, points(t, next), cofre.LevelContent) {
			if !strings.Contains(f.What, "killed in that instant") {
				t.Errorf("killed at write %d: verification found %+v", n, f)
			}
		}
		if err == nil || t.Failed() {
			return
		}
	}
}

// Random damage to random blobs, then a backup of the same content: every point restores.
func TestRandomDamageIsHealed(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 8 {
		h := newHistory(t, folderConfig(t))
		var did []string
		spoil := func(names []string) {
			name := names[rng.IntN(len(names))]
			kinds := slices.Sorted(maps.Keys(damages))
			kind := kinds[rng.IntN(len(kinds))]
			b := h.read(t, name)
			if len(b) == 0 {
				return // it cannot be damaged further
			}
			h.write(t, name, damages[kind](b, bytes.Clone(b[:len(b)/3])))
			did = append(did, kind+" "+name)
		}
		for range 1 + rng.IntN(2) {
			packs := h.blobs(t, "p")
			spoil(packs[:1+rng.IntN(len(packs))])
		}
		spoil(append(h.blobs(t, "q"), h.blobs(t, "x")...))
		c := h.config
		c.ReadOnly = true
		looking := open(t, c)
		findings(t, looking, points(t, looking), cofre.LevelContent)
		r := open(t, elsewhere(t, h.config))
		h.add(t, r, h.latest)
		if wrong := h.restores(t, r); len(wrong) > 0 {
			t.Fatalf("seed %d: %q\n%s", seed, did, strings.Join(wrong, "\n"))
		}
		if found := findings(t, r, points(t, r), cofre.LevelContent); len(found) > 0 {
			t.Fatalf("seed %d: %q: verification found %+v", seed, did, found)
		}
	}
}

// A repository of before anything was kept twice, and before damage was remembered.
func TestARepositoryOfBeforeIsHealed(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	for _, name := range h.blobs(t, "cofre/spare/") {
		h.write(t, name, nil)
	}
	for _, name := range h.blobs(t, "p") {
		h.write(t, name, nil)
	}
	r := open(t, h.config)
	h.add(t, r, h.latest)
	if wrong := h.restores(t, r); len(wrong) > 0 {
		t.Error(strings.Join(wrong, "\n"))
	}
	if found := findings(t, r, points(t, r), cofre.LevelContent); len(found) > 0 {
		t.Errorf("verification found %+v", found)
	}
	if len(h.blobs(t, "cofre/spare/q")) != len(h.blobs(t, "q")) {
		t.Error("not everything is kept twice")
	}
}
