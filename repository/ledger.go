package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/repo/blob"
	"golang.org/x/sync/errgroup"

	"github.com/trustlayer/cofre"
)

const (
	// sealReaders is how many seals are read at once: each is small, and on S3 each costs a round trip.
	sealReaders = 8
	// mendAfter is how old the first seal of a pair must be before its second is taken for never written: the
	// index between the two takes its writer seconds.
	mendAfter = 10 * time.Minute
	// pairPatience is how long verify waits for the second seal of a pair whose writer may be at it right now.
	pairPatience = 600 * time.Millisecond
)

// ledger is what all seals together say.
type ledger struct {
	records  map[string]record // by name in the store; stored or announced
	problems []problem         // with the seals themselves
}

// problem is something wrong with one object of the store.
type problem struct{ name, what string }

// readLedger reads every seal. Its error is of the store.
func (r *Repository) readLedger(ctx context.Context) (*ledger, error) {
	var names []string
	for o, err := range r.store.List(ctx, sealsPrefix) {
		if err != nil {
			return nil, err
		}
		names = append(names, o.Name)
	}
	seals := make([]seal, len(names))
	l := &ledger{records: map[string]record{}}
	var mu sync.Mutex
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(sealReaders)
	for i, name := range names {
		group.Go(func() error {
			s, err := r.readSeal(groupCtx, name)
			if err != nil && (isOutside(err) || groupCtx.Err() != nil) {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				l.problems = append(l.problems, problem{name, fmt.Sprintf("the seal is damaged: %v", err)})
			}
			seals[i] = s
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("read seals: %w", err)
	}
	// In the order of their names, which is that of their making: of two records of a name the later one holds.
	for _, s := range seals {
		for _, rec := range s.Records {
			if rec.State == removed {
				delete(l.records, rec.Name)
				continue
			}
			l.records[rec.Name] = rec
		}
	}
	slices.SortFunc(l.problems, func(a, b problem) int { return strings.Compare(a.name, b.name) })
	lone, err := r.lonePairs(ctx, names, seals)
	if err != nil {
		return nil, err
	}
	l.problems = append(l.problems, lone...)
	return l, nil
}

// lonePairs finds seals whose other half is gone.
func (r *Repository) lonePairs(ctx context.Context, names []string, seals []seal) ([]problem, error) {
	there := map[string]int{}
	for i, name := range names {
		there[name] = i
	}
	var found []problem
	for i, name := range names {
		if pair, ok := strings.CutSuffix(name, secondOfPair); ok {
			if _, ok := there[pair+firstOfPair]; !ok {
				found = append(found, problem{pair + firstOfPair, "the seal is missing"})
			}
			continue
		}
		pair := strings.TrimSuffix(name, firstOfPair)
		if _, ok := there[pair+secondOfPair]; ok {
			continue
		}
		lost, err := r.secondIsLost(ctx, pair+secondOfPair, seals[i])
		if err != nil {
			return nil, err
		}
		if lost {
			found = append(found, problem{pair + secondOfPair, "the seal is missing, or the capture that was about to write it was killed in that instant"})
		}
	}
	return found, nil
}

// secondIsLost tells a second seal that was lost from one that was never written, because its capture was
// killed before the index that it confirms, or is writing it now.
func (r *Repository) secondIsLost(ctx context.Context, second string, first seal) (bool, error) {
	for _, rec := range first.Records {
		if rec.State != announced {
			continue
		}
		if _, err := r.store.Stat(ctx, rec.Name); errors.Is(err, cofre.ErrNotFound) {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	for deadline := time.Now().Add(pairPatience); ; {
		if _, err := r.store.Stat(ctx, second); err == nil {
			return false, nil
		} else if !errors.Is(err, cofre.ErrNotFound) {
			return false, err
		}
		if time.Since(first.At) > time.Minute || time.Now().After(deadline) {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(pairPatience / 10):
		}
	}
}

func (r *Repository) readSeal(ctx context.Context, name string) (seal, error) {
	text, err := r.readNote(ctx, name)
	if err != nil {
		return seal{}, err
	}
	return parseSeal(text)
}

// readNote reads a small object of the store whole: a seal, or a record of damage.
func (r *Repository) readNote(ctx context.Context, name string) ([]byte, error) {
	body, err := r.store.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// check reads an object and compares it with what was sealed. It returns what is wrong, or "".
func (r *Repository) check(ctx context.Context, rec record) (string, error) {
	body, err := r.store.Open(ctx, rec.Name, 0, -1)
	if errors.Is(err, cofre.ErrNotFound) {
		return "is missing", nil
	}
	if err != nil {
		return unreadable(err)
	}
	defer body.Close()
	sum, size, err := hashOf(body)
	switch {
	case err != nil:
		return unreadable(err)
	case size != rec.Size:
		return fmt.Sprintf("has %d bytes and %d were written", size, rec.Size), nil
	case sum != rec.Hash:
		return "does not hold the bytes that were written", nil
	}
	return "", nil
}

// unreadable makes an error of reading one object a finding, unless it is one of the whole store.
func unreadable(err error) (string, error) {
	if isOutside(err) {
		return "", err
	}
	return fmt.Sprintf("cannot be read: %v", err), nil
}

// damagedMetadata names the files that Kopia cannot be opened without, or lists no points without, and that are
// not as they were written. It is for errors, and answers as well as it can.
func (r *Repository) damagedMetadata(ctx context.Context) []string {
	l, err := r.readLedger(ctx)
	if err != nil {
		return nil
	}
	var damaged []string
	for _, name := range slices.Sorted(maps.Keys(l.records)) {
		rec := l.records[name]
		id, ok := r.blobs.naming.id(name)
		if ok && id[0] == 'p' {
			continue
		}
		what, err := r.check(ctx, rec)
		if err != nil {
			return damaged
		}
		if what != "" && !(rec.State == announced && what == "is missing") {
			damaged = append(damaged, name+" "+what)
		}
	}
	return damaged
}

// mendSeals writes the second seal of a pair whose capture was killed before it could.
func (r *Repository) mendSeals(ctx context.Context) error {
	lone := map[string]bool{}
	for o, err := range r.store.List(ctx, sealsPrefix) {
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
		if err := r.mendPair(ctx, pair); err != nil {
			return fmt.Errorf("mend seal %s: %w", pair, err)
		}
	}
	return nil
}

func (r *Repository) mendPair(ctx context.Context, pair string) error {
	first, err := r.readSeal(ctx, pair+firstOfPair)
	if errors.Is(err, errSeal) {
		return nil // verify reports it
	}
	if err != nil {
		return err
	}
	second := seal{At: time.Now()}
	for _, rec := range first.Records {
		if rec.State != announced {
			continue
		}
		what, err := r.check(ctx, rec)
		switch {
		case err != nil:
			return err
		case what == "":
			rec.State = stored
		case what == "is missing":
			rec = record{State: removed, Name: rec.Name}
		default:
			return nil // verify reports it
		}
		second.Records = append(second.Records, rec)
	}
	text := second.encode()
	err = r.store.Create(ctx, pair+secondOfPair, bytes.NewReader(text), int64(len(text)))
	if errors.Is(err, cofre.ErrExists) {
		return nil
	}
	return err
}

// damagedPacks returns, of the problems, those of packs.
func (r *Repository) damagedPacks(problems []problem) map[blob.ID]string {
	packs := map[blob.ID]string{}
	for _, p := range problems {
		if id, ok := r.blobs.naming.id(p.name); ok && isPack(id) {
			packs[id] = p.what
		}
	}
	return packs
}
