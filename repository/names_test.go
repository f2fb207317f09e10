package repository_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository"
	"github.com/trustlayer/cofre/repository/blobs"
	"github.com/trustlayer/cofre/repository/kit"
	"github.com/trustlayer/cofre/repository/pruning"
)

// TestPlantedNamesOfIndexesHideNothing: Kopia counts to numbers that names say, and reads one index in the place of others by its name. Whatever names the storage plants, everything
// restores, a backup goes well, pruning deletes nothing that counts, and a verification names the file.
func TestPlantedNamesOfIndexesHideNothing(t *testing.T) {
	for what, names := range map[string][]string{
		"an epoch of far away":                  {"xe9.f"},
		"an epoch that no machine can count to": {"xe5000000.f", "xe99999999999.f"},
		"one in the place of all that will be":  {"x/r0_/99_HASH"},
		"one in the place of less than nothing": {"x/r0_/-1_HASH"},
		"a chain of them":                       {"x/r0_/4095_HASH", "x/r40/96_8000_HASH", "xe8001.f"},
		"one in the place of an epoch":          {"x/s0_/HASH", "xe2.f"},
		"one of an epoch far away":              {"x/n60/000_HASH"},
		"junk":                                  {"x/n0_/00000000000000000000000000000000-s0123456789abcdef0-c1.f"},
		"a mark of what is deleted":             {"xw9999999999.f"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t, folderConfig(t))
			f := forger{t, h.store}
			old := h.blobs(t, "x/n0_")[0]
			for _, name := range names {
				copied := strings.Contains(name, "HASH")
				name = strings.ReplaceAll(name, "HASH", filepath.Base(old))
				if copied {
					f.write(name, f.read(old))
				} else {
					f.write(name, []byte("epoch-marker"))
				}
			}
			r := reopened(t, h.config)
			h.add(t, r, map[string][]byte{"a": []byte("a")})
			if _, err := r.Prune(t.Context(), false); err != nil {
				t.Errorf("prune: %v", err)
			}
			r = reopened(t, h.config)
			if wrong := h.restores(t, r); len(wrong) > 0 {
				t.Error(wrong)
			}
			if err := r.Unread(t.Context()); err != nil {
				t.Errorf("points may be missing: %v", err)
			}
			if all := found(t, r, cofre.LevelStructure); !mentions(all, strings.TrimSuffix(strings.ReplaceAll(names[0], "HASH", filepath.Base(old)), ".f")) {
				t.Errorf("nothing names it: %v", all)
			}
		})
	}
}

// TestMarkersThatAreTakenAwayHideNothing: after indexes were written as one, the storage takes away what says so.
func TestMarkersThatAreTakenAwayHideNothing(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	r := reopened(t, h.config)
	limits := pruning.Usual
	limits.Index, limits.Young, limits.Grace = 0, 0, 0
	for i := range 12 {
		h.add(t, r, map[string][]byte{"a": noise(byte(i), 1<<10)})
	}
	for range 2 {
		if _, err := repository.PruneWith(t.Context(), r, limits); err != nil {
			t.Fatal(err)
		}
	}
	f := forger{t, h.store}
	if len(f.names("x/s0_")) == 0 {
		t.Fatalf("no index was written as one: %v", f.names("x"))
	}
	for _, name := range f.names("xe") {
		if err := h.store.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 12 {
		r = reopened(t, h.config)
		h.add(t, r, map[string][]byte{"b": noise(byte(i), 1<<10)})
		if _, err := repository.PruneWith(t.Context(), r, limits); err != nil {
			t.Fatal(err)
		}
	}
	if wrong := h.restores(t, reopened(t, h.config)); len(wrong) > 0 {
		t.Error(wrong)
	}
}

// TestAnUnreadableIndexCostsWhatDependsOnIt: an index of which both copies are junk is named, and everything that others name restores. What is pruned by
// what indexes say is refused.
func TestAnUnreadableIndexCostsWhatDependsOnIt(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	f := forger{t, h.store}
	for _, name := range h.blobs(t, "x/n0_") {
		t.Run(name, func(t *testing.T) {
			id, _, _ := strings.Cut(strings.ReplaceAll(name, "/", ""), ".")
			spare := "cofre/spare/" + id
			first, second := f.read(name), f.read(spare)
			f.write(name, []byte("junk"))
			f.write(spare, []byte("junk"))
			t.Cleanup(func() { f.write(name, first); f.write(spare, second) })
			r := reopened(t, h.config)
			if err := r.Unread(t.Context()); !errors.Is(err, cofre.ErrCorrupt) || !strings.Contains(err.Error(), name) || cofre.Hint(err) == "" {
				t.Errorf("%v, want that points may be missing", err)
			}
			if wrong := h.restores(t, r); len(wrong) >= 4+5+6 {
				t.Errorf("nothing restores: %v", wrong)
			}
			if _, err := r.Prune(t.Context(), false); !errors.Is(err, cofre.ErrCorrupt) || !strings.Contains(err.Error(), name) {
				t.Errorf("prune: %v", err)
			}
			if _, err := r.Expire(t.Context(), cofre.Expiry{Point: "20200101T000000Z-aaaa"}); !errors.Is(err, cofre.ErrCorrupt) || !strings.Contains(err.Error(), name) || cofre.Hint(err) == "" {
				t.Errorf("expire: %v", err)
			}
			if all := found(t, r, cofre.LevelStructure); !mentions(all, name) {
				t.Errorf("nothing names it: %v", all)
			}
		})
	}
	if wrong := h.restores(t, reopened(t, h.config)); len(wrong) > 0 {
		t.Error(wrong)
	}
}

// TestAJunkIntentIsNamed: a note that may be of a publication, and that nobody can read, keeps pruning waiting; the error says what to delete.
func TestAJunkIntentIsNamed(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	f := forger{t, h.store}
	name := "cofre/publishing/" + time.Now().UTC().Format("20060102T150405") + ".000000000Z-aaaaaaaa"
	f.write(name, []byte("junk"))
	r := reopened(t, h.config)
	_, err := r.Prune(t.Context(), false)
	if !errors.Is(err, cofre.ErrCorrupt) || !strings.Contains(err.Error(), name) || !strings.Contains(cofre.Hint(err), filepath.Join(h.config.URL, name)) {
		t.Errorf("prune: %v (%s)", err, cofre.Hint(err))
	}
	if err := os.Remove(filepath.Join(h.config.URL, name)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Prune(t.Context(), false); err != nil {
		t.Error(err)
	}
}

// TestTheOtherCopyOfTheFormatCounts: a format that is too large to be one is passed over for its second copy, by whatever opens the repository and by the kit.
func TestTheOtherCopyOfTheFormatCounts(t *testing.T) {
	h := newHistory(t, folderConfig(t))
	want, err := kit.ReadFormat(t.Context(), blobs.New(h.store))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kopia.repository.f", "kopia.blobcfg.f"} {
		if err := os.Remove(filepath.Join(h.config.URL, name)); err != nil {
			t.Fatal(err)
		}
		h.sparse(t, name)
	}
	got, err := kit.ReadFormat(t.Context(), blobs.New(h.store))
	if err != nil || got.Encode() != want.Encode() {
		t.Errorf("the kit has %v, %v", got, err)
	}
	if wrong := h.restores(t, reopened(t, h.config)); len(wrong) > 0 {
		t.Error(wrong)
	}
}
