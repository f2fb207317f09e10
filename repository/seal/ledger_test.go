package seal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/store"
	"github.com/trustlayer/cofre/store/storetest"
)

// kept is a folder of objects and the seals over them, whose requests fail as a test says.
type kept struct {
	t    *testing.T
	dir  string
	st   cofre.Store
	fail func(verb storetest.Verb, name string) error
}

func keep(t *testing.T) *kept {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Config{URL: dir, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	k := &kept{t: t, dir: dir}
	k.st = storetest.Before(st, func(verb storetest.Verb, name string) error {
		if k.fail == nil {
			return nil
		}
		return k.fail(verb, name)
	})
	return k
}

// put stores an object, and returns the record that seals it.
func (k *kept) put(name, text string) Record {
	k.t.Helper()
	if err := k.st.Replace(k.t.Context(), name, strings.NewReader(text), int64(len(text))); err != nil {
		k.t.Fatal(err)
	}
	return Record{State: Stored, Size: int64(len(text)), Hash: blake3.Sum256([]byte(text)), Name: name}
}

func (k *kept) drop(name string) {
	k.t.Helper()
	if err := k.st.Delete(k.t.Context(), name); err != nil {
		k.t.Fatal(err)
	}
}

// seal writes a seal of its own name.
func (k *kept) seal(name string, s Seal) {
	k.t.Helper()
	text := s.Encode()
	if err := k.st.Replace(k.t.Context(), name, bytes.NewReader(text), int64(len(text))); err != nil {
		k.t.Fatal(err)
	}
}

// age makes an object as old as the first seal of a pair whose second will not come any more.
func (k *kept) age(name string) {
	k.t.Helper()
	at := time.Now().Add(-mendAfter - time.Minute)
	if err := os.Chtimes(filepath.Join(k.dir, name), at, at); err != nil {
		k.t.Fatal(err)
	}
}

func (k *kept) ledger() *Ledger {
	k.t.Helper()
	l, err := ReadLedger(k.t.Context(), k.st, nil, false)
	if err != nil {
		k.t.Fatal(err)
	}
	return l
}

// seals are the names of the seals, in their order.
func (k *kept) seals() (names []string) {
	k.t.Helper()
	for o, err := range k.st.List(k.t.Context(), Prefix) {
		if err != nil {
			k.t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	return names
}

// announced is an index as the first seal of its pair names it.
func announced(r Record) Record {
	r.State = Announced
	return r
}

// TestAnIndexIsSealedAround: before the index is written its packs are sealed and it is announced; after that it is sealed too.
func TestAnIndexIsSealedAround(t *testing.T) {
	k := keep(t)
	s := &Sealer{Store: k.st}
	pack := k.put("p1", "a pack")
	s.Add(pack)
	index := Record{State: Stored, Size: 8, Hash: blake3.Sum256([]byte("an index")), Name: "x1"}
	if err := s.Around(t.Context(), index, func() error {
		if l := k.ledger(); !reflect.DeepEqual(l.Records, map[string]Record{"p1": pack, "x1": announced(index)}) || len(l.Problems) != 0 {
			t.Errorf("when the index is written the seals say %+v", l)
		}
		k.put("x1", "an index")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if l := k.ledger(); !reflect.DeepEqual(l.Records, map[string]Record{"p1": pack, "x1": index}) || len(l.Problems) != 0 {
		t.Errorf("the seals say %+v", l)
	}
	if err := s.Flush(t.Context()); err != nil || len(k.seals()) != 2 {
		t.Errorf("a flush of nothing: %v, %v", err, k.seals())
	}
	s.Add(Record{State: Removed, Name: "p1"})
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := k.ledger(); !reflect.DeepEqual(l.Records, map[string]Record{"x1": index}) || len(l.Problems) != 0 {
		t.Errorf("after a pack was removed the seals say %+v", l)
	}
}

// TestWhoeverSleptBetweenTwoSealsGoesOn: another has mended the pair, before or after the index was written. The index is sealed in the end.
func TestWhoeverSleptBetweenTwoSealsGoesOn(t *testing.T) {
	for _, key := range []Key{nil, Key(bytes.Repeat([]byte{7}, 32))} {
		for name, mended := range map[string]string{"before the index": "first", "after the index": "index", "a flush": ""} {
			k := keep(t)
			s := &Sealer{Store: k.st, Key: key}
			pack := k.put("p1", "a pack")
			s.Add(pack)
			mend := func() {
				k.age(k.seals()[0])
				if err := Mend(t.Context(), k.st, key); err != nil {
					t.Fatal(err)
				}
			}
			index := Record{State: Stored, Size: 8, Hash: blake3.Sum256([]byte("an index")), Name: "x1"}
			sleep := false
			k.fail = func(op storetest.Verb, name string) error {
				if op == storetest.Create && strings.HasSuffix(name, secondOfPair) && sleep {
					sleep = false
					mend()
				}
				return nil
			}
			err := func() error {
				if mended == "" {
					sleep = true
					return s.Flush(t.Context())
				}
				return s.Around(t.Context(), index, func() error {
					if sleep = mended == "index"; !sleep {
						mend()
					}
					k.put("x1", "an index")
					return nil
				})
			}()
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			l, err := ReadLedger(t.Context(), k.st, key, key != nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Records["x1"]; mended != "" && (got.State != Stored || got.Hash != index.Hash || got.Keyed != (key != nil)) {
				t.Errorf("%s: the index is %+v", name, got)
			}
			if got := l.Records["p1"]; got.Hash != pack.Hash || len(l.Problems) != 0 || len(l.Half) != 0 || len(l.Removed) != 0 && l.Removed["x1"] {
				t.Errorf("%s: the seals say %+v", name, l)
			}
		}
	}
}

// TestNothingSealedIsForgotten: what could not be sealed stays pending, in its order, and an index is not written without its seal.
func TestNothingSealedIsForgotten(t *testing.T) {
	full := errors.New("full")
	for name, c := range map[string]struct {
		do     func(*Sealer) error
		fails  string
		writes int
	}{
		"first seal of an index": {func(s *Sealer) error {
			return s.Around(t.Context(), Record{State: Stored, Name: "x"}, func() error { t.Error("the index was written without its seal"); return nil })
		}, firstOfPair, 0},
		"the index": {func(s *Sealer) error {
			return s.Around(t.Context(), Record{State: Stored, Name: "x"}, func() error { return full })
		}, "", 1},
		"second seal of an index": {func(s *Sealer) error {
			return s.Around(t.Context(), Record{State: Stored, Name: "x"}, func() error { return nil })
		}, secondOfPair, 1},
		"first seal of a flush":  {func(s *Sealer) error { return s.Flush(t.Context()) }, firstOfPair, 0},
		"second seal of a flush": {func(s *Sealer) error { return s.Flush(t.Context()) }, secondOfPair, 1},
	} {
		k := keep(t)
		s := &Sealer{Store: k.st}
		want := k.put("p1", "new")
		s.Add(Record{State: Removed, Name: "p1"})
		s.Add(want)
		k.fail = func(op storetest.Verb, name string) error {
			if op == storetest.Create && c.fails != "" && strings.HasSuffix(name, c.fails) {
				return full
			}
			return nil
		}
		if err := c.do(s); !errors.Is(err, full) {
			t.Errorf("%s: %v, want that the store is full", name, err)
		}
		k.fail = nil
		if n := len(k.seals()); n != c.writes {
			t.Errorf("%s: %d seals were written, want %d", name, n, c.writes)
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := k.ledger().Records["p1"]; got != want {
			t.Errorf("%s: afterwards the seals say %+v, want %+v", name, got, want)
		}
	}
}

func TestSealsOfOneInstantAreInOrder(t *testing.T) {
	s := &Sealer{last: time.Now().Add(time.Hour)} // a clock that stands
	_, last := Names(s.last)
	for range 100 {
		first, second := Names(s.now())
		if first <= last || second <= first {
			t.Fatalf("%s and %s come after %s", first, second, last)
		}
		last = second
	}
}

func TestReadLedgerNamesWhatIsWrongWithSeals(t *testing.T) {
	const pair = Prefix + "20260101T000000.000000000Z-a"
	old := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		make func(*kept)
		want []string // names of seals
		half []string
	}{
		"a whole pair": {func(k *kept) {
			k.seal(pair+firstOfPair, Seal{At: old})
			k.seal(pair+secondOfPair, Seal{At: old})
		}, nil, nil},
		"a damaged one": {func(k *kept) {
			k.put(pair+firstOfPair, "cofre seals 1\n")
			k.seal(pair+secondOfPair, Seal{At: old})
		}, []string{pair + firstOfPair}, nil},
		"no first": {func(k *kept) { k.seal(pair+secondOfPair, Seal{At: old}) }, []string{pair + firstOfPair}, nil},
		"no first, and what it confirms is there": {func(k *kept) {
			k.seal(pair+secondOfPair, Seal{At: old, Records: []Record{k.put("x", "index")}})
		}, []string{pair + firstOfPair}, nil},
		"no first, and what it confirms was removed long ago": {func(k *kept) {
			k.seal(pair+secondOfPair, Seal{At: old, Records: []Record{{State: Stored, Name: "x"}}})
		}, nil, nil},
		"no second, of nothing announced": {func(k *kept) {
			k.seal(pair+firstOfPair, Seal{At: old})
		}, nil, []string{pair + secondOfPair}},
		"no second, and its index is there": {func(k *kept) {
			k.seal(pair+firstOfPair, Seal{At: old, Records: []Record{announced(k.put("x", "index"))}})
		}, nil, []string{pair + secondOfPair}},
		"no second, and its index is another": {func(k *kept) {
			k.seal(pair+firstOfPair, Seal{At: old, Records: []Record{announced(k.put("x", "index"))}})
			k.put("x", "other")
		}, []string{pair + secondOfPair}, nil},
		"no second, and a damaged first": {func(k *kept) { k.put(pair+firstOfPair, "cofre seals 1\n") }, []string{pair + firstOfPair, pair + secondOfPair}, nil},
		"no second, and its index never came": {func(k *kept) {
			k.seal(pair+firstOfPair, Seal{At: old, Records: []Record{k.put("p", "pack"), {State: Announced, Name: "x"}}})
		}, nil, nil},
	} {
		k := keep(t)
		c.make(k)
		var got []string
		l := k.ledger()
		for _, p := range l.Problems {
			got = append(got, p.Name)
		}
		if !reflect.DeepEqual(got, c.want) || !reflect.DeepEqual(l.Half, c.half) {
			t.Errorf("%s: problems with %v and half of %v, want %v and %v", name, got, l.Half, c.want, c.half)
		}
		if rec, ok := l.Records["x"]; ok && rec.State != Announced && len(got)+len(l.Half) > 0 {
			t.Errorf("%s: %+v is taken for written", name, rec)
		}
	}
}

// TestASecondSealIsWaitedFor: a writer may be between the two seals right now.
func TestASecondSealIsWaitedFor(t *testing.T) {
	k := keep(t)
	first, second := Names(time.Now())
	k.seal(first, Seal{At: time.Now(), Records: []Record{announced(k.put("x", "index"))}})
	asked := 0
	k.fail = func(op storetest.Verb, name string) error {
		if op == storetest.Stat && name == second {
			if asked++; asked == 2 {
				k.seal(second, Seal{At: time.Now()})
			}
		}
		return nil
	}
	if l := k.ledger(); len(l.Problems) != 0 || len(l.Half) != 0 {
		t.Errorf("%+v, %v, and its writer was at it", l.Problems, l.Half)
	}
	k.drop(second)
	asked = 2
	if l := k.ledger(); len(l.Problems) != 0 || !reflect.DeepEqual(l.Half, []string{second}) {
		t.Errorf("%+v, %v, want that half of it is sealed", l.Problems, l.Half)
	}
}

// TestAStoreThatCannotBeAskedIsNoFinding: neither a problem of what is stored, nor nothing.
func TestAStoreThatCannotBeAskedIsNoFinding(t *testing.T) {
	k := keep(t)
	first, _ := Names(time.Now())
	k.seal(first, Seal{At: time.Now().Add(-time.Hour), Records: []Record{announced(k.put("x", "index"))}})
	k.age(first)
	rec := k.put("p", "pack")
	for _, op := range []storetest.Verb{storetest.List, storetest.Open, storetest.Stat} {
		k.fail = func(o storetest.Verb, _ string) error {
			if o == op {
				return cofre.ErrUnreachable
			}
			return nil
		}
		if l, err := ReadLedger(t.Context(), k.st, nil, false); !errors.Is(err, cofre.ErrUnreachable) {
			t.Errorf("%s: the ledger is %+v, %v", op, l, err)
		}
		if op == storetest.Stat {
			continue
		}
		if err := Mend(t.Context(), k.st, nil); !errors.Is(err, cofre.ErrUnreachable) {
			t.Errorf("%s: mended: %v", op, err)
		}
		if what, err := Check(t.Context(), k.st, rec); op == storetest.Open && (what != "" || !errors.Is(err, cofre.ErrUnreachable)) {
			t.Errorf("checked: %q, %v", what, err)
		}
	}
	k.fail = func(op storetest.Verb, name string) error {
		if op == storetest.Open && name == "x" || op == storetest.Create {
			return cofre.ErrUnreachable
		}
		return nil
	}
	if err := Mend(t.Context(), k.st, nil); !errors.Is(err, cofre.ErrUnreachable) || len(k.seals()) != 1 {
		t.Errorf("mended what could not be read: %v, %v", err, k.seals())
	}
}

func TestCheck(t *testing.T) {
	k := keep(t)
	rec := k.put("p", "a pack")
	broken := errors.New("i/o error")
	for want, change := range map[string]func(){
		"":                          func() {},
		"is missing":                func() { k.drop("p") },
		"has 7 bytes and 6 were":    func() { k.put("p", "a pack!") },
		"does not hold the bytes":   func() { k.put("p", "a pock") },
		"cannot be read: i/o error": func() { k.fail = func(storetest.Verb, string) error { return broken } },
	} {
		k.put("p", "a pack")
		change()
		what, err := Check(t.Context(), k.st, rec)
		k.fail = nil
		if err != nil || !strings.HasPrefix(what, want) || want == "" && what != "" {
			t.Errorf("%q, %v, want %q", what, err, want)
		}
	}
}

// TestMendMakesAPairWhole: with what the store holds, and with nothing if that is not what was announced.
func TestMendMakesAPairWhole(t *testing.T) {
	for name, c := range map[string]struct {
		make func(k *kept, first, second string)
		want []Record // of the second seal; nil: none is written
	}{
		"its index is there": {func(k *kept, first, _ string) {
			k.seal(first, Seal{Records: []Record{k.put("p", "pack"), announced(k.put("x", "index"))}})
		}, []Record{{State: Stored, Size: 5, Hash: blake3.Sum256([]byte("index")), Name: "x"}}},
		"its index never came": {func(k *kept, first, _ string) {
			k.seal(first, Seal{Records: []Record{k.put("p", "pack"), {State: Announced, Size: 5, Name: "x"}}})
		}, []Record{{State: Removed, Name: "x"}}},
		"its index is another": {func(k *kept, first, _ string) {
			k.seal(first, Seal{Records: []Record{announced(k.put("x", "index"))}})
			k.put("x", "index of another kind")
		}, nil},
		"it is damaged": {func(k *kept, first, _ string) { k.put(first, "no seal") }, nil},
		"it is young": {func(k *kept, first, _ string) {
			k.seal(first, Seal{Records: []Record{announced(k.put("x", "index"))}})
		}, nil},
	} {
		k := keep(t)
		first, second := Names(time.Now())
		c.make(k, first, second)
		if name != "it is young" {
			k.age(first)
		}
		if err := Mend(t.Context(), k.st, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got, err := readSeal(t.Context(), k.st, nil, second)
		if c.want == nil {
			if !errors.Is(err, cofre.ErrNotFound) {
				t.Errorf("%s: a second seal %+v, %v", name, got, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got.Records, c.want) {
			t.Errorf("%s: the second seal says %+v, %v, want %+v", name, got.Records, err, c.want)
		}
		l := k.ledger()
		if len(l.Problems) != 0 || (l.Records["x"] == Record{}) == (c.want[0].State == Stored) {
			t.Errorf("%s: afterwards the seals say %+v", name, l)
		}
	}
}

func TestMendLeavesWholePairsAndTheWorkOfOthers(t *testing.T) {
	k := keep(t)
	first, second := Names(time.Now())
	k.seal(first, Seal{Records: []Record{announced(k.put("x", "index"))}})
	k.age(first)
	whole := Seal{At: time.Unix(5, 0).UTC()}
	k.fail = func(op storetest.Verb, name string) error {
		if op == storetest.Create {
			k.seal(second, whole) // another mends at the same time, and is first
		}
		return nil
	}
	for range 2 {
		if err := Mend(t.Context(), k.st, nil); err != nil {
			t.Fatal(err)
		}
		if got, err := readSeal(t.Context(), k.st, nil, second); err != nil || !got.At.Equal(whole.At) {
			t.Errorf("the second seal is %+v, %v, want what another wrote", got, err)
		}
		k.fail = func(op storetest.Verb, name string) error {
			if op == storetest.Create {
				t.Errorf("a pair that is whole is mended: %s", name)
			}
			return nil
		}
	}
}
