package walorigin

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// held is a repository that holds files, each as NAME=KEY, or NAME if nobody has signed it.
func held(t *testing.T, files ...string) there {
	t.Helper()
	all := there{size: 16 << 20, starts: map[pgdata.Segment]bool{}}
	for _, text := range files {
		as, by, _ := strings.Cut(text, "=")
		name, err := pgdata.ParseWALName(strings.TrimSuffix(strings.Split(as, "/")[0], ".parts"))
		if err != nil {
			t.Fatal(err)
		}
		all.files = append(all.files, file{name: name, as: as, by: by})
	}
	return all
}

func seg(tli, number int) string { return fmt.Sprintf("%08X%08X%08X", tli, number/256, number%256) }

// What a record takes for older than itself is what the key has signed and somebody archived, not what a name says that anybody can plant.
func TestWhatIsOlderThanARecord(t *testing.T) {
	t.Parallel()
	run := func(from, to int, by string) (names []string) {
		for i := from; i <= to; i++ {
			names = append(names, seg(1, i)+"="+by)
		}
		return names
	}
	for _, c := range []struct {
		what   string
		files  []string
		start  int // of a base backup
		last   string
		others []string
	}{
		{"all of it", run(3, 9, "k"), 0, seg(1, 9), nil},
		{"over the end of a file number", run(250, 260, "k"), 0, seg(1, 260), nil},
		{"of another key behind it", append(run(3, 5, "k"), run(6, 9, "other")...), 0, seg(1, 5), nil},
		{"a name far ahead that nobody has signed", append(run(3, 5, "k"), seg(1, 255)), 0, seg(1, 5), nil},
		{"one that the key has signed", append(run(3, 5, "k"), seg(1, 255)+"=k"), 0, seg(1, 5), nil},
		{"behind a gap, where a base backup starts", append(run(3, 5, "k"), run(8, 9, "k")...), 8, seg(1, 9), nil},
		{"the beginning of a segment, by another key", append(run(3, 5, "k"), seg(1, 6)+".partial=other"), 0, seg(1, 5), nil},
		{"the beginning of a segment", append(run(3, 5, "k"), seg(1, 6)+".parts/00000000-00002000=k"), 0, seg(1, 5), []string{seg(1, 6) + ".parts/00000000-00002000"}},
		{"beginnings far ahead", append(run(3, 5, "k"), seg(1, 99)+".parts/00000000-00002000=k"), 0, seg(1, 5), nil},
		{"histories", append([]string{"00000002.history=k", "00000003.history=other"}, run(3, 5, "k")...), 0, seg(1, 5), []string{"00000002.history"}},
		{"nothing of it", run(3, 5, "other"), 0, "", nil},
	} {
		all := held(t, c.files...)
		if c.start != 0 {
			all.starts[pgdata.SegmentAt(1, cofre.LSN(c.start)<<24, all.size)] = true
		}
		before, others := all.older(func(f file) bool { return f.by == "k" })
		if before["00000001"] != c.last || !slices.Equal(others, c.others) {
			t.Errorf("%s: %v and %v, want %s and %v", c.what, before, others, c.last, c.others)
		}
	}
}

// A record that lists what anybody has planted would be one that nobody reads.
func TestARecordListsABoundedNumberOfFiles(t *testing.T) {
	t.Parallel()
	all := there{size: 16 << 20}
	for i := range 3 * mostFiles {
		name, err := pgdata.ParseWALName(fmt.Sprintf("%08X.history", i+2))
		if err != nil {
			t.Fatal(err)
		}
		all.files = append(all.files, file{name: name, as: name.String()})
	}
	if _, files := all.older(func(file) bool { return true }); len(files) != mostFiles || files[0] != "00000002.history" {
		t.Errorf("%d files, the first %s", len(files), files[0])
	}
}
