package seal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
)

const (
	// sealReaders is how many seals are read at once: each is small, and on S3 each costs a round trip.
	sealReaders = 8
	// mendAfter is how old the first seal of a pair must be before its second is taken for never written: the
	// index between the two takes its writer seconds.
	mendAfter = 10 * time.Minute
	// largestNote bounds what is read of a note that anybody who may write to the store could have made: half a million files.
	largestNote = 64 << 20
	// pairPatience is how long verify waits for the second seal of a pair whose writer may be at it right now.
	pairPatience = 600 * time.Millisecond
)

// Ledger is what all seals together say. What a seal with the key says holds against all others, and once one says so, nothing else counts.
type Ledger struct {
	Records  map[string]Record // by name in the store; stored or announced
	Removed  map[string]bool   // what was removed on purpose, and is not there or is about to go
	Problems []Problem         // with the seals themselves
	Raised   bool              // seals without the key are not believed
	Said     bool              // by a seal that is there
	Unkeyed  []string          // the seals without the key, by name
	Damaged  []string          // those that are none
	Keyed    int               // how many have it
	// Half are second seals that are not there, though what they are to confirm is, as the first one says: whoever writes them is at it, or was killed, or the
	// storage has lost them. Nothing else is lost with them, and Mend writes them.
	Half []string
}

// Problem is something wrong with one object of the store.
type Problem struct{ Name, What string }

// ReadLedger reads every seal. What is wrong with one of them is a problem of the ledger. With a nil key it tells of decay, and believes
// whoever has written a seal. raised says that the repository is known to be: seals that say so may have been taken away.
//
// Errors: of the store.
func ReadLedger(ctx context.Context, st cofre.Store, key Key, raised bool) (*Ledger, error) {
	for tries := 1; ; tries++ {
		l, vanished, err := readLedger(ctx, st, key, raised)
		if err != nil || !vanished || tries == readAgain {
			return l, err
		}
	}
}

// readAgain is how often seals are listed that vanish before they are read: somebody writes them as one at that moment.
const readAgain = 5

func readLedger(ctx context.Context, st cofre.Store, key Key, raised bool) (l *Ledger, vanished bool, err error) {
	var names []string
	for o, err := range st.List(ctx, Prefix) {
		if err != nil {
			return nil, false, err
		}
		names = append(names, o.Name)
	}
	seals := make([]Seal, len(names))
	l = &Ledger{Records: map[string]Record{}, Removed: map[string]bool{}, Raised: raised}
	err = eachSeal(ctx, st, key, names, func(i int, s Seal, err error) {
		vanished = vanished || errors.Is(err, cofre.ErrNotFound)
		if err != nil {
			l.Problems = append(l.Problems, Problem{names[i], fmt.Sprintf("the seal is damaged: %v", err)})
		}
		seals[i] = s
	})
	if err != nil {
		return nil, false, fmt.Errorf("read seals: %w", err)
	}
	damaged := map[string]bool{}
	for _, p := range l.Problems {
		damaged[p.Name] = true
	}
	for i, s := range seals {
		if l.Said = l.Said || s.Raised; s.Keyed {
			l.Keyed++
		} else if damaged[names[i]] {
			l.Damaged = append(l.Damaged, names[i])
		} else {
			l.Unkeyed = append(l.Unkeyed, names[i])
		}
	}
	l.Raised = l.Raised || l.Said
	for i, name := range names { // a first is listed right before its second
		if pair, ok := strings.CutSuffix(name, secondOfPair); ok && (i == 0 || names[i-1] != pair+firstOfPair) {
			seals[i].doubt()
		}
	}
	l.take(seals, key)
	slices.SortFunc(l.Problems, func(a, b Problem) int { return strings.Compare(a.Name, b.Name) })
	// Seals that were written as one pair are removed one by one.
	l.Problems = slices.DeleteFunc(l.Problems, func(p Problem) bool { return l.Removed[p.Name] })
	if err := l.lonePairs(ctx, st, names, seals, damaged); err != nil {
		return nil, false, err
	}
	return l, vanished, nil
}

// doubt takes what a second seal confirms for announced: its first is not there, so that it may be of a writer that slept while others mended the pair, wrote it as one
// with others, and removed what it confirms.
func (s *Seal) doubt() {
	for i := range s.Records {
		if s.Records[i].State == Stored {
			s.Records[i].State = Announced
		}
	}
}

// take takes what seals say, in the order of their names, which is that of their making: of two records of a name the later one holds.
// Those with the key come last: they hold against all others.
func (l *Ledger) take(seals []Seal, key Key) {
	for _, keyed := range []bool{false, true} {
		for _, s := range seals {
			if s.Keyed != keyed || !keyed && l.Raised && key != nil {
				continue
			}
			for _, rec := range s.Records {
				if l.Removed[rec.Name] = rec.State == Removed; rec.State == Removed {
					delete(l.Records, rec.Name)
					continue
				}
				l.Records[rec.Name] = rec
			}
		}
	}
	if !l.Raised || key == nil {
		return
	}
	for _, name := range l.Unkeyed {
		l.Problems = append(l.Problems, Problem{name, "is no seal that somebody with the password has written, and is not believed"})
	}
}

// eachSeal reads seals, several at once, and calls do with each, one at a time, or with what is wrong with it.
//
// Errors: of the store.
func eachSeal(ctx context.Context, st cofre.Store, key Key, names []string, do func(i int, s Seal, err error)) error {
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(sealReaders)
	for i, name := range names {
		group.Go(func() error {
			s, err := readSeal(groupCtx, st, key, name)
			if err != nil && (IsOutside(err) || groupCtx.Err() != nil) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			do(i, s, err)
			return nil
		})
	}
	return group.Wait()
}

// lonePairs finds seals whose other half is gone. A first seal holds all that its pair says: without the second it is whole as long as what it announces is as
// it says, or never came.
func (l *Ledger) lonePairs(ctx context.Context, st cofre.Store, names []string, seals []Seal, damaged map[string]bool) error {
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	for i, name := range names {
		if l.Removed[name] {
			continue
		}
		if pair, ok := strings.CutSuffix(name, secondOfPair); ok {
			if there[pair+firstOfPair] {
				continue
			}
			late, err := l.late(ctx, st, seals[i])
			if err != nil {
				return err
			}
			if !late {
				l.Problems = append(l.Problems, Problem{pair + firstOfPair, "the seal is missing"})
			}
			continue
		}
		second := strings.TrimSuffix(name, firstOfPair) + secondOfPair
		if there[second] {
			continue
		}
		if damaged[name] {
			l.Problems = append(l.Problems, Problem{second, "the seal is missing"})
			continue
		}
		if err := l.firstAlone(ctx, st, second, seals[i]); err != nil {
			return err
		}
	}
	return nil
}

// late reports whether a second seal without its first confirms only what others have sealed since, or removed. See doubt.
//
// Errors: of the store.
func (l *Ledger) late(ctx context.Context, st cofre.Store, second Seal) (bool, error) {
	for _, rec := range second.Records {
		if l.Records[rec.Name].State == Stored {
			continue
		}
		if _, err := st.Stat(ctx, rec.Name); err == nil {
			return false, nil
		} else if !errors.Is(err, cofre.ErrNotFound) {
			return false, err
		}
	}
	return len(second.Records) > 0, nil
}

// firstAlone looks at what the first seal of a pair announces in the place of the second, which is not there.
func (l *Ledger) firstAlone(ctx context.Context, st cofre.Store, second string, first Seal) error {
	for _, rec := range first.Records {
		if rec.State != Announced || l.Removed[rec.Name] {
			continue
		}
		what, err := Check(ctx, st, rec)
		switch {
		case err != nil:
			return err
		case what == missing:
			return nil // its capture was killed before it wrote that, or is about to: nothing refers to it
		case what != "":
			l.Problems = append(l.Problems, Problem{second, fmt.Sprintf("the seal is missing, and what it confirms is not what was announced: %s %s", rec.Name, what)})
			return nil
		}
	}
	comes, err := awaitSecond(ctx, st, second, first.At)
	if !comes && err == nil {
		l.Half = append(l.Half, second)
	}
	return err
}

// awaitSecond waits for the second seal of a pair for as long as its writer may be at it right now.
func awaitSecond(ctx context.Context, st cofre.Store, second string, firstAt time.Time) (comes bool, err error) {
	for deadline := time.Now().Add(pairPatience); ; {
		if _, err := st.Stat(ctx, second); err == nil {
			return true, nil
		} else if !errors.Is(err, cofre.ErrNotFound) {
			return false, err
		}
		if time.Since(firstAt) > time.Minute || time.Now().After(deadline) {
			return false, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(pairPatience / 10):
		}
	}
}

func readSeal(ctx context.Context, st cofre.Store, key Key, name string) (Seal, error) {
	text, err := ReadNote(ctx, st, name)
	if err != nil {
		return Seal{}, err
	}
	return ParseAs(name, text, key)
}

// ReadNote reads a small object of the store whole: a seal, or a record of damage.
//
// Errors: cofre.ErrCorrupt if it is larger than one can be; of the store, cofre.ErrNotFound among them.
func ReadNote(ctx context.Context, st cofre.Store, name string) ([]byte, error) {
	return bounded.Read(ctx, st, name, largestNote)
}

// missing is what Check says of an object that is not there.
const missing = "is missing"

// Check reads an object and compares it with what was sealed. It returns what is wrong, or "".
//
// Errors: that the store cannot be asked; see IsOutside.
func Check(ctx context.Context, st cofre.Store, rec Record) (string, error) {
	body, err := st.Open(ctx, rec.Name, 0, -1)
	if errors.Is(err, cofre.ErrNotFound) {
		return missing, nil
	}
	if err != nil {
		return Unreadable(err)
	}
	defer body.Close()
	sum, size, err := HashOf(io.LimitReader(body, rec.Size+1))
	if err == nil && size > rec.Size {
		if o, statErr := st.Stat(ctx, rec.Name); statErr == nil {
			size = o.Size // what is far too large is not read to its end
		}
	}
	switch {
	case err != nil:
		return Unreadable(err)
	case size != rec.Size:
		return fmt.Sprintf("has %d bytes and %d were written", size, rec.Size), nil
	case sum != rec.Hash:
		return "does not hold the bytes that were written", nil
	}
	return "", nil
}

// Unreadable makes an error of reading one object a finding, unless it is one of the whole store.
//
// Errors: that one, for which there is no finding.
func Unreadable(err error) (string, error) {
	if IsOutside(err) {
		return "", err
	}
	return fmt.Sprintf("cannot be read: %v", err), nil
}

// Mend writes the second seal of a pair whose capture was killed before it could, under the key if the first has it.
//
// Errors: of the store.
func Mend(ctx context.Context, st cofre.Store, key Key) error {
	lone := map[string]bool{}
	for o, err := range st.List(ctx, Prefix) {
		if err != nil {
			return err
		}
		if pair, ok := strings.CutSuffix(o.Name, firstOfPair); ok && time.Since(o.ModifiedAt) > mendAfter {
			lone[pair] = true
		} else if pair, ok := strings.CutSuffix(o.Name, secondOfPair); ok {
			delete(lone, pair)
		}
	}
	for pair := range lone {
		if err := mendPair(ctx, st, key, pair); err != nil {
			return fmt.Errorf("mend seal %s: %w", pair, err)
		}
	}
	return nil
}

func mendPair(ctx context.Context, st cofre.Store, key Key, pair string) error {
	first, err := readSeal(ctx, st, key, pair+firstOfPair)
	if errors.Is(err, errSeal) || errors.Is(err, cofre.ErrCorrupt) {
		return nil // verify reports it
	}
	if err != nil {
		return err
	}
	second := Seal{At: time.Now()}
	for _, rec := range first.Records {
		if rec.State != Announced {
			continue
		}
		what, err := Check(ctx, st, rec)
		switch {
		case err != nil:
			return err
		case what == "":
			rec.State = Stored
		case what == missing:
			rec = Record{State: Removed, Name: rec.Name}
		default:
			return nil // verify reports it
		}
		second.Records = append(second.Records, rec)
	}
	if !first.Keyed {
		key = nil // what others have written is not vouched for
	}
	text := second.EncodeAs(pair+secondOfPair, key)
	err = st.Create(ctx, pair+secondOfPair, bytes.NewReader(text), int64(len(text)))
	if errors.Is(err, cofre.ErrExists) {
		return nil
	}
	return err
}
