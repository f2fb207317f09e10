package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// Copy is another repository that the same WAL is archived to.
type Copy struct {
	URL string
	// Open opens its store and unlocks its key.
	Open func(context.Context) (cofre.Store, Identity, error)

	once sync.Once
	from *Fetcher
	// instead is set on the first copy once the repository could not be reached while segments are fetched ahead: those
	// after it come from here at once.
	instead atomic.Bool
}

// fetcher opens the copy, once.
func (c *Copy) fetcher(ctx context.Context, f *Fetcher) *Fetcher {
	c.once.Do(func() {
		st, id, err := c.Open(ctx)
		if err != nil {
			err = fmt.Errorf("copy %s: %w", c.URL, err)
		}
		c.from = &Fetcher{Store: st, Identity: id, Unusable: err, System: f.System}
	})
	return c.from
}

// fromAny brings a file's content from the repository or, where that does not have it or cannot give it, from the
// first copy that does.
//
// That a file is absent is believed only of all of them together: who cannot be asked may have it. So with a
// repository that is down recovery goes on for as long as the others have what it asks for, and stops where they end
// instead of ending there. A repository that is gone for good is taken out of the configuration.
//
// Errors: ErrAbsent only where every repository says so and one of them knows the system; where one cannot be asked,
// its error; those of Fetch.
func (f *Fetcher) fromAny(ctx context.Context, system cofre.SystemID, name string) ([]byte, error) {
	if len(f.Copies) == 0 {
		if f.Unusable != nil {
			return nil, f.Unusable
		}
		return f.read(ctx, system, name)
	}
	all := []*Fetcher{{Store: f.Store, Identity: f.Identity, Unusable: f.Unusable, System: f.System}}
	var failed, absent []error
	// Whole files first: the beginning of a segment in one repository must not stand for the whole one in another.
	for i := 0; ; i++ {
		if i > 0 {
			if i > len(f.Copies) {
				break
			}
			all = append(all, f.Copies[i-1].fetcher(ctx, f))
		}
		one := all[i]
		one.Whole = true
		content, err := one.readUsable(ctx, system, name)
		switch {
		case err == nil:
			if f.Warn != nil && len(failed) > 0 {
				f.Warn(fmt.Sprintf("%s came from the copy %s, for: %v", name, one.Store.URL(), errors.Join(failed...)))
			}
			return content, nil
		case errors.Is(err, ErrAbsent), errors.Is(err, errNoWAL):
			absent = append(absent, err)
		default:
			failed = append(failed, err)
		}
	}
	if len(failed) > 0 {
		err := failed[0]
		if len(absent) > 0 || len(failed) > 1 {
			err = fmt.Errorf("no repository has it, and not all could be asked: %w", joined(failed))
		}
		hint := "a repository that is gone for good is to be taken out of the configuration: what it alone may have is then given up"
		if cofre.Hint(failed[0]) != "" {
			hint = cofre.Hint(failed[0]) + "; " + hint
		}
		return nil, cofre.WithHint(err, "%s", hint)
	}
	if !f.Whole {
		content, err := furthest(ctx, all, system, name)
		if err != nil || content != nil {
			return content, err
		}
	}
	for _, err := range absent {
		if errors.Is(err, ErrAbsent) {
			return nil, err
		}
	}
	return nil, absent[0] // none of them knows the system
}

// joined is errors.Join without the errors that would say that a file is absent: there are none among them.
func joined(errs []error) error {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return &several{text: strings.Join(texts, "; "), errs: errs}
}

type several struct {
	text string
	errs []error
}

func (s *several) Error() string   { return s.text }
func (s *several) Unwrap() []error { return s.errs }

// readUsable is read, unless the repository could not be opened.
func (f *Fetcher) readUsable(ctx context.Context, system cofre.SystemID, name string) ([]byte, error) {
	if f.Unusable != nil {
		return nil, f.Unusable
	}
	return f.read(ctx, system, name)
}

// whole brings an object that is there as a whole, for prefetching: from the first repository that gives it.
//
// Errors: the first that is not cofre.ErrNotFound; that, where no repository has it.
func (f *Fetcher) whole(ctx context.Context, system cofre.SystemID, name, object string) ([]byte, error) {
	first := cofre.ErrNotFound
	from := func(one *Fetcher) ([]byte, error) {
		if one.Unusable != nil {
			return nil, one.Unusable
		}
		content, err := open(ctx, one.Store, one.Identity, object, maxSegment)
		if err == nil {
			err = checkContent(system, name, content)
		}
		return content, err
	}
	for i := range len(f.Copies) + 1 {
		one := f
		if i > 0 {
			one = f.Copies[i-1].fetcher(ctx, f)
		} else if len(f.Copies) > 0 && f.Copies[0].instead.Load() {
			continue
		}
		content, err := from(one)
		if err == nil {
			return content, nil
		}
		if i == 0 && len(f.Copies) > 0 && errors.Is(err, cofre.ErrUnreachable) {
			f.Copies[0].instead.Store(true)
		}
		if errors.Is(first, cofre.ErrNotFound) {
			first = err
		}
	}
	return nil, first
}

// furthest is the beginning of a segment that reaches furthest of those that the repositories have; nil where none
// has one.
func furthest(ctx context.Context, all []*Fetcher, system cofre.SystemID, name string) ([]byte, error) {
	if !pgdata.IsSegmentName(name) {
		return nil, nil
	}
	var best []byte
	for _, f := range all {
		content, err := f.unfinished(ctx, system, name)
		if err != nil {
			return nil, err
		}
		if content != nil && (best == nil || recordsReach(content) > recordsReach(best)) {
			best = content
		}
	}
	return best, nil
}
