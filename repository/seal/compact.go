package seal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
)

// manySeals is how many objects are worth writing them as one pair.
const manySeals = 16

// Compact writes the seals from the oldest on that are whole pairs of before a time, by the clock of the store, as one pair, and deletes
// them: those with a key under it, or the others without it, whichever of the two are many first. The new pair has the name that follows that of the last of them, so that what is later still holds against it. Before it deletes
// a seal the new pair says that it is removed: half a pair that a crash leaves is then no loss, and the next call deletes it. commit is
// asked right before.
//
// It returns how many objects there were, and are. Errors: of commit; of the store. A seal that is damaged, and those after it, stay.
func Compact(ctx context.Context, st cofre.Store, key Key, before time.Time, commit func() error) (were, are int, err error) {
	names, were, err := oldSeals(ctx, st, before)
	if err != nil || len(names) < manySeals {
		return were, were, err
	}
	names, seals, err := wholePairs(ctx, st, key, names)
	names, seals, others := oneKind(names, seals)
	if err != nil || len(names) < manySeals {
		return were, were, err
	}
	last := strings.TrimPrefix(names[len(names)-1], Prefix)
	at, err := time.Parse(TimeLayout, last[:min(len(last), len(TimeLayout))])
	if err != nil {
		return were, were, nil // nobody knows what follows a name that was made by others
	}
	all, err := merged(ctx, st, names, seals, others)
	if err != nil {
		return were, were, err
	}
	if len(Seal{Records: all}.Encode()) > largestNote/2 {
		return were, were, nil // two that are as large as can be read stay two
	}
	if err := commit(); err != nil {
		return were, were, err
	}
	pair := Prefix + at.Add(time.Nanosecond).Format(TimeLayout) + "-" + strings.ToLower(rand.Text()[:8])
	s := Sealer{Store: st}
	if seals[0].Keyed {
		s.Key, s.Raised = key, slices.ContainsFunc(seals, func(s Seal) bool { return s.Raised })
	}
	if err := s.write(ctx, pair+firstOfPair, all); err != nil {
		return were, were, fmt.Errorf("write seals as one: %w", err)
	}
	if err := s.write(ctx, pair+secondOfPair, nil); err != nil {
		return were, were, fmt.Errorf("write seals as one: %w", err)
	}
	are = were + 2
	for _, name := range names {
		if err := st.Delete(ctx, name); err != nil {
			return were, are, err
		}
		are--
	}
	return were, are, nil
}

// oldSeals are the names of the seals up to the first that is not old, and how many there are in all.
func oldSeals(ctx context.Context, st cofre.Store, before time.Time) (names []string, all int, err error) {
	more := true
	for o, err := range st.List(ctx, Prefix) {
		if err != nil {
			return nil, 0, err
		}
		all++
		if more = more && o.ModifiedAt.Before(before); more {
			names = append(names, o.Name)
		}
	}
	return names, all, nil
}

// wholePairs reads seals up to the first that is not whole: it is damaged, or its other half is not there and was not removed on purpose.
func wholePairs(ctx context.Context, st cofre.Store, key Key, names []string) ([]string, []Seal, error) {
	seals, errs := make([]Seal, len(names)), make([]error, len(names))
	err := eachSeal(ctx, st, key, names, func(i int, s Seal, err error) { seals[i], errs[i] = s, err })
	if err != nil {
		return nil, nil, err
	}
	removed, there := map[string]bool{}, map[string]bool{}
	for i, name := range names {
		there[name] = true
		for _, rec := range seals[i].Records {
			if rec.State == Removed && strings.HasPrefix(rec.Name, Prefix) {
				removed[rec.Name] = true
			}
		}
	}
	for i, name := range names {
		if removed[name] {
			continue
		}
		pair := strings.TrimSuffix(strings.TrimSuffix(name, firstOfPair), secondOfPair)
		if errs[i] != nil || !there[pair+firstOfPair] || !there[pair+secondOfPair] {
			return names[:i], seals[:i], nil
		}
	}
	return names, seals, nil
}

// oneKind are the first many seals in a row that all have the key, or all have it not: what others have written is not vouched for by
// writing it under the key. others are the rest.
func oneKind(names []string, seals []Seal) (_ []string, many, others []Seal) {
	for from := 0; from < len(names); {
		to := from
		for to < len(names) && seals[to].Keyed == seals[from].Keyed {
			to++
		}
		if to-from >= manySeals {
			return names[from:to], seals[from:to], slices.Concat(seals[:from], seals[to:])
		}
		from = to
	}
	return nil, nil, nil
}

// merged is what seals say together, and that each of them is removed. What was removed is said for as long as it is there, or another seal, which stays, says that
// it is: without the key, say, of a version of before.
func merged(ctx context.Context, st cofre.Store, names []string, seals, others []Seal) ([]Record, error) {
	records, removed, said := map[string]Record{}, map[string]Record{}, map[string]bool{}
	for _, s := range others {
		for _, rec := range s.Records {
			said[rec.Name] = said[rec.Name] || rec.State != Removed
		}
	}
	for _, s := range seals {
		for _, rec := range s.Records {
			records[rec.Name] = rec
		}
	}
	for name, rec := range records {
		if rec.State != Removed {
			continue
		}
		delete(records, name)
		if said[name] {
			removed[name] = rec
			continue
		}
		_, err := st.Stat(ctx, name)
		switch {
		case err == nil:
			removed[name] = rec
		case !errors.Is(err, cofre.ErrNotFound):
			return nil, err
		}
	}
	for _, name := range names {
		removed[name] = Record{State: Removed, Name: name}
	}
	var all []Record
	for _, by := range []map[string]Record{records, removed} {
		for _, name := range slices.Sorted(maps.Keys(by)) {
			all = append(all, by[name])
		}
	}
	// In the order of their times, which are then written once each.
	slices.SortStableFunc(all, func(a, b Record) int { return a.At.Compare(b.At) })
	return all, nil
}
