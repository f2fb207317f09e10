package logical_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/trustlayer/cofre/internal/rowhash"
	"github.com/trustlayer/cofre/postgres/logical"
)

func rowKey(t testing.TB, b byte) *rowhash.Key {
	t.Helper()
	k, err := rowhash.New(bytes.Repeat([]byte{b}, rowhash.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestTallyOfRows(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("evidência ", 500)
	text := "1\tum\n2\tdois\n3\t" + long + "\n\n"
	for name, key := range map[string]*rowhash.Key{"keyed": rowKey(t, 1), "of before": nil} {
		of := func(text string, piece int) *logical.Tally {
			tally := &logical.Tally{Key: key}
			for len(text) > 0 {
				n := min(piece, len(text))
				_, _ = tally.Write([]byte(text[:n]))
				text = text[n:]
			}
			if err := tally.End(); err != nil {
				t.Fatal(err)
			}
			return tally
		}
		want := of(text, len(text)).Sum()
		for piece := 1; piece < 40; piece++ {
			if got := of(text, piece); got.Sum() != want || got.Rows != 4 || got.Bytes != int64(len(text)) {
				t.Errorf("%s, pieces of %d: %+v", name, piece, got)
			}
		}
		if of("\n3\t"+long+"\n2\tdois\n1\tum\n", 7).Sum() != want {
			t.Errorf("%s: the order of rows matters", name)
		}
		for what, other := range map[string]string{
			"changed": strings.Replace(text, "dois", "doze", 1), "twice": text + "2\tdois\n", "removed": strings.Replace(text, "2\tdois\n", "", 1),
			"empty row removed": strings.TrimSuffix(text, "\n"), "one for another": strings.Replace(text, "2\tdois\n", "1\tum\n", 1),
		} {
			if of(other, 11).Sum() == want {
				t.Errorf("%s: %s, and the same sum", name, what)
			}
		}
		// Parts added up as tallies, and as what was recorded of them.
		one, two := of("1\tum\n2\tdois\n", 5), of("3\t"+long+"\n\n", 5)
		f := logical.TableFacts{Rows: 2, RowSum: one.Sum()}
		if err := f.Add(&logical.TableFacts{Rows: 2, RowSum: two.Sum()}, key); err != nil || f.RowSum != want || f.Rows != 4 {
			t.Errorf("%s: added up %+v, %v", name, f, err)
		}
		if one.Merge(two); one.Sum() != want {
			t.Errorf("%s: merged %s", name, one.Sum())
		}
		if err := f.Add(&logical.TableFacts{RowSum: logical.RowSum{Keyed: "x", Checksum: "x"}}, key); err == nil {
			t.Errorf("%s: no sum was taken for one", name)
		}
	}
	keyed, other := &logical.Tally{Key: rowKey(t, 1)}, &logical.Tally{Key: rowKey(t, 2)}
	for _, tally := range []*logical.Tally{keyed, other} {
		_, _ = tally.Write([]byte(text))
	}
	if keyed.Sum() == other.Sum() {
		t.Error("two keys make one sum")
	}
	if keyed.Sum().Comparable((&logical.Tally{}).Sum()) || !keyed.Sum().Comparable(other.Sum()) || (logical.RowSum{}).Comparable(logical.RowSum{}) {
		t.Error("sums of two kinds are compared, or those of one are not")
	}
}
