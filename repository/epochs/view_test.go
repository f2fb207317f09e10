package epochs_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"

	"github.com/kopia/kopia/repo/blob"

	"github.com/trustlayer/cofre/repository/epochs"
)

func listOf(ids ...blob.ID) epochs.List {
	return func(context.Context, blob.ID) iter.Seq2[blob.Metadata, error] {
		return func(yield func(blob.Metadata, error) bool) {
			for _, id := range ids {
				if !yield(blob.Metadata{BlobID: id}, nil) {
					return
				}
			}
		}
	}
}

func shown(t *testing.T, v *epochs.View, prefix blob.ID, list epochs.List) (ids []blob.ID) {
	t.Helper()
	all, err := v.Shown(t.Context(), prefix, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		ids = append(ids, m.BlobID)
	}
	slices.Sort(ids)
	return ids
}

// TestNamesHideNothing: whatever names are planted, a reader is shown each index once, and no epoch that a library could not count to.
func TestNamesHideNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		there  []blob.ID
		marker blob.ID // that is shown; "" for none
	}{
		"nothing":                               {nil, ""},
		"one epoch":                             {[]blob.ID{"xn0_a", "xn0_b"}, ""},
		"the next is marked":                    {[]blob.ID{"xn0_a", "xe1"}, "xe1"},
		"written as one":                        {[]blob.ID{"xs0_a", "xn0_a", "xn1_a", "xn2_a", "xe1", "xe2"}, "xe2"},
		"written as one of many":                {[]blob.ID{"xr0_7_a", "xn8_a", "xn9_a", "xe8", "xe9"}, "xe9"},
		"the markers are taken away":            {[]blob.ID{"xs0_a", "xn1_a", "xn2_a"}, "xe2"},
		"a marker of far away":                  {[]blob.ID{"xn0_a", "xe9", "xe99999999999999999999", "xe5000000"}, ""},
		"one in the place of all":               {[]blob.ID{"xn0_a", "xr0_99999_b", "xe9"}, ""},
		"one in the place of less than nothing": {[]blob.ID{"xn0_a", "xr0_-1_b", "xr5_0_b"}, ""},
		"one of no epoch":                       {[]blob.ID{"xn0_a", "xn_b", "xnfoo_b", "xn00_b", "xn-1_b", "xr0_b", "x", "xs", "xw999999999999"}, ""},
		"one of an epoch far away":              {[]blob.ID{"xn0_a", "xn60000_b", "xs60000_b"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var v epochs.View
			list := listOf(tt.there...)
			marker := shown(t, &v, "xe", list)
			if got := slices.Concat(marker, []blob.ID{""})[0]; got != tt.marker {
				t.Errorf("marker %q, want %q", got, tt.marker)
			}
			now := 0
			if len(marker) > 0 {
				now = epochs.Number(marker[0])
			}
			var read []blob.ID
			for _, prefix := range []blob.ID{"xs", "xr", "xw"} {
				read = append(read, shown(t, &v, prefix, list)...)
			}
			for epoch := 0; epoch <= now+1; epoch++ {
				read = append(read, shown(t, &v, blob.ID("xn"+string(rune('0'+epoch))+"_"), list)...)
			}
			slices.Sort(read)
			want := slices.DeleteFunc(slices.Clone(tt.there), epochs.IsMarker)
			slices.Sort(want)
			if !slices.Equal(read, want) {
				t.Errorf("shown %v, want %v", read, want)
			}
		})
	}
}

// TestNamesCountWhereTheyMustBeSane: whoever goes by names is shown none that no library can have written.
func TestNamesCountWhereTheyMustBeSane(t *testing.T) {
	var v epochs.View
	list := listOf("xr0_7_a", "xr0_-1_a", "xr0_99999_a", "xr9_8_a", "xn8_a", "xn9_a", "xs7_a", "xs8_a", "xe8", "xe9", "xe77")
	defer v.ByName()()
	if got := shown(t, &v, "xr", list); !slices.Equal(got, []blob.ID{"xr0_7_a"}) {
		t.Errorf("of many: %v", got)
	}
	if got := shown(t, &v, "xs", list); !slices.Equal(got, []blob.ID{"xs7_a"}) {
		t.Errorf("of one: %v", got)
	}
	if got := shown(t, &v, "xe", list); !slices.Equal(got, []blob.ID{"xe9"}) {
		t.Errorf("markers: %v", got)
	}
}

func TestWhatCannotBeReadIsPassedOver(t *testing.T) {
	var v epochs.View
	list := listOf("xn0_a", "xn0_b", "xe1")
	bad, outside := errors.New("bad"), errors.New("outside")
	read := func(_ context.Context, id blob.ID) error {
		if id == "xn0_b" {
			return bad
		}
		return nil
	}
	isOutside := func(err error) bool { return errors.Is(err, outside) }
	for _, want := range []int{1, 0} { // the second time it is known
		if n, err := v.PassOver(t.Context(), list, read, isOutside); n != want || err != nil {
			t.Fatalf("found %d, %v, want %d", n, err, want)
		}
	}
	_ = shown(t, &v, "xe", list)
	if got := shown(t, &v, "xn0_", list); !slices.Equal(got, []blob.ID{"xn0_a"}) || v.Passed()["xn0_b"] != "bad" {
		t.Errorf("shown %v, passed over %v", got, v.Passed())
	}
	if _, err := v.PassOver(t.Context(), list, func(context.Context, blob.ID) error { return outside }, isOutside); !errors.Is(err, outside) {
		t.Errorf("a store that is gone: %v", err)
	}
}

// FuzzNames: no name has a library count to what no machine can.
func FuzzNames(f *testing.F) {
	for _, name := range []string{"xe9", "xr0_99_a", "xr0_-1_a", "xn0_a", "xs3_a", "x", "xe18446744073709551616"} {
		f.Add(name, "xn0_a", "xr1_2_b")
	}
	f.Fuzz(func(t *testing.T, a, b, c string) {
		list := listOf(blob.ID("x"+a), blob.ID("x"+b), blob.ID("x"+c))
		for _, byName := range []bool{false, true} {
			var v epochs.View
			if byName {
				defer v.ByName()()
			}
			for _, id := range shown(t, &v, "xe", list) {
				if n := epochs.Number(id); n < 0 || n > 1<<14 {
					t.Errorf("epoch %s", id)
				}
			}
			for _, id := range shown(t, &v, "xr", list) {
				if first, end := epochs.Range(id); first < 0 || first > end {
					t.Errorf("range %s", id)
				}
			}
		}
	})
}
