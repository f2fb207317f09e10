package spill_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/trustlayer/cofre/bucket/spill"
)

type record struct {
	Bucket, Name string
	N            int
	Text         string
}

// Whatever was added comes back, each record once and in the shard of its object, in the order in which it was added,
// whether it has gone to the file or waits in memory.
func TestWhatIsAddedComesBack(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		s := spill.New(dir)
		defer s.Close()
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z/é]{1,6}`), 1, 5, rapid.ID[string]).Draw(t, "names")
		var bytes, rows int64
		want := map[string][]record{}
		for n := range rapid.IntRange(0, 60).Draw(t, "records") {
			r := record{Bucket: "b", Name: rapid.SampledFrom(names).Draw(t, "name"), N: n}
			// A block holds 8 KiB: records of all sizes around it.
			r.Text = strings.Repeat("x", rapid.SampledFrom([]int{0, 10, 4000, 8100, 8192, 20000}).Draw(t, "length"))
			size := rapid.Int64Range(-1, 100).Draw(t, "size")
			if err := s.Add(r.Bucket, r.Name, size, r); err != nil {
				t.Fatal(err)
			}
			rows, bytes = rows+1, bytes+max(size, 0)
			shard := spill.ShardOf(r.Bucket, r.Name)
			want[shard] = append(want[shard], r)
		}
		if s.Rows != rows || s.Bytes != bytes {
			t.Fatalf("%d rows of %d bytes, want %d of %d", s.Rows, s.Bytes, rows, bytes)
		}
		digits := rapid.IntRange(1, spill.MaxDigits).Draw(t, "digits")
		found := 0
		for _, shard := range spill.Shards(digits) {
			list, err := spill.Records[record](s, shard)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string][]record{}
			for _, r := range list {
				fine := spill.ShardOf(r.Bucket, r.Name)
				if !strings.HasPrefix(fine, shard) {
					t.Fatalf("%s/%s is of shard %s and came with %s", r.Bucket, r.Name, fine, shard)
				}
				got[fine] = append(got[fine], r)
			}
			for fine, list := range got {
				if fmt.Sprint(list) != fmt.Sprint(want[fine]) {
					t.Fatalf("shard %s holds %v, want %v", fine, list, want[fine])
				}
				found += len(list)
			}
		}
		if int64(found) != rows {
			t.Fatalf("%d of %d records came back", found, rows)
		}
	})
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// fill adds more than a block to one shard, so that it must go to the file.
func fill(s *spill.File) error {
	for n := range 4 {
		if err := s.Add("b", "n", 1, record{N: n, Text: strings.Repeat("x", 5000)}); err != nil {
			return err
		}
	}
	return nil
}

func TestWhatCannotBeKeptIsAnError(t *testing.T) {
	missing := spill.New(filepath.Join(t.TempDir(), "missing"))
	if err := fill(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v, want that", err)
	}
	if err := spill.New(t.TempDir()).Add("b", "n", 1, func() {}); err == nil {
		t.Error("kept what has no JSON")
	}
	s := spill.New(t.TempDir())
	if err := fill(s); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	shard := spill.ShardOf("b", "n")
	if got, err := spill.Records[record](s, shard); !errors.Is(err, os.ErrClosed) {
		t.Errorf("read from a file that is closed: %d records, %v, want that it is closed", len(got), err)
	}
	if err := fill(s); !errors.Is(err, os.ErrClosed) {
		t.Errorf("kept in a file that is closed: %v, want that", err)
	}
}

func TestARecordThatIsRefusedEndsTheReading(t *testing.T) {
	s := spill.New(t.TempDir())
	if err := fill(s); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	shard, refused, seen := spill.ShardOf("b", "n"), errors.New("refused"), 0
	err := s.Each(shard, func(json.RawMessage) error {
		if seen++; seen == 2 {
			return refused
		}
		return nil
	})
	if !errors.Is(err, refused) || seen != 2 {
		t.Errorf("%v after %d records, want the refusal after 2", err, seen)
	}
	if got, err := spill.Records[int](s, shard); err == nil {
		t.Errorf("decoded records as what they are not: %v", got)
	}
}

// The beginning of a fine shard's name is its coarse shard's, and both are in the lists.
func TestShards(t *testing.T) {
	for digits, want := range map[int]int{0: 1, 1: 16, 2: 256, 3: 4096} {
		all := spill.Shards(digits)
		distinct := map[string]bool{}
		for _, s := range all {
			distinct[s] = true
		}
		if len(all) != want || len(distinct) != want || digits > 0 && (!distinct[spill.ShardOf("b", "n")[:digits]] || len(all[0]) != digits) {
			t.Errorf("%d shards of %d digits, %d of them distinct, want %d", len(all), digits, len(distinct), want)
		}
	}
	// The parts of a key are told apart.
	if spill.Key("ab", "c") == spill.Key("a", "bc") || spill.Key("a") == spill.Key("a", "") {
		t.Error("different parts have one key")
	}
	if got := spill.Key("b", "n"); len(got) != 64 || !strings.HasPrefix(got, spill.ShardOf("b", "n")) {
		t.Errorf("the shard of b/n is no beginning of its key %s", got)
	}
	// Nothing was kept: no records, nothing to close.
	var none *spill.File
	if got, err := spill.Records[record](none, "0"); got != nil || err != nil || none.Close() != nil || spill.New("").Close() != nil {
		t.Errorf("%v, %v", got, err)
	}
}
