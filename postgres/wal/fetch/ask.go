package fetch

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Copy is another repository that the same WAL is archived to.
type Copy struct {
	URL string
	// Open opens its store and unlocks its key.
	Open func(context.Context) (cofre.Store, wal.Identity, error)

	once sync.Once
	at   place
	// instead is set on the first copy once the repository could not be reached while segments are fetched ahead: those
	// after it come from here at once.
	instead atomic.Bool
}

// place opens the copy, once.
func (c *Copy) place(ctx context.Context) place {
	c.once.Do(func() {
		st, id, err := c.Open(ctx)
		if err != nil {
			err = fmt.Errorf("copy %s: %w", c.URL, err)
		}
		c.at = place{st, id.Delivering(), err}
	})
	return c.at
}

// first is the repository.
func (f *Fetcher) first() place { return place{f.Store, f.Identity.Delivering(), f.Unusable} }

// places are the repository and its copies, each opened when it is its turn.
func (f *Fetcher) places(ctx context.Context) iter.Seq[place] {
	return func(yield func(place) bool) {
		if !yield(f.first()) {
			return
		}
		for _, c := range f.Copies {
			if !yield(c.place(ctx)) {
				return
			}
		}
	}
}

// ask brings a file from the repository or, if that does not have it or cannot give it, from the first copy that does.
// A whole file comes first: the beginning of a segment in one repository must not stand for the whole one in another.
//
// That a file is absent is believed only of all of them together: one that cannot be asked may have it. So with a
// repository that is down recovery goes on for as long as the others have what it asks for, and stops where they end
// instead of ending there. A repository that is gone for good is taken out of the configuration.
func (f *Fetcher) ask(ctx context.Context, system cofre.SystemID, name pgdata.WALName) reply {
	var told []reply
	for p := range f.places(ctx) {
		r := p.ask(ctx, system, name)
		if r.answer == Delivered {
			if failed := without(told, saysNothing); f.Warn != nil && len(failed) > 0 {
				f.Warn(cofre.Say("wal.from_copy", "{{.file}} came from the copy {{.repository}}, because of: {{.error}}", "file", name, "repository", p.store.URL(), "error", errors.Join(errorsOf(failed)...)))
			}
			return r
		}
		told = append(told, r)
	}
	r := together(told)
	if r.answer != Absent || f.Whole || name.Kind != pgdata.WALSegment {
		return r
	}
	content, err := f.beginning(ctx, system, name)
	switch {
	case err != nil:
		return unknown(err)
	case content != nil:
		return reply{answer: Delivered, content: content}
	}
	return r
}

// saysNothing reports whether a reply is no reason to ask on: the file is not there, or no WAL of the system is.
func saysNothing(r reply) bool { return r.answer == Absent || r.foreign }

// together is what the replies of all repositories say of a file that none of them has. One that holds no WAL of the
// system has no say unless it is the only one.
func together(told []reply) reply {
	failed := without(told, saysNothing)
	doubt := without(failed, func(r reply) bool { return r.answer == Gap })
	switch {
	case len(told) == 1:
		return told[0]
	case len(doubt) > 0:
		err := failed[0].err
		if len(told) > len(failed) || len(failed) > 1 {
			err = fmt.Errorf("no repository has it, and not all could be asked: %w", joined(errorsOf(failed)))
		}
		hint := cofre.Say("wal.repository_gone", "take a repository that is gone for good out of the configuration: what it alone may have is then given up")
		if first := cofre.HintOf(failed[0].err); !first.IsZero() {
			hint = cofre.Series(first, hint)
		}
		return unknown(cofre.WithHint(err, hint))
	case len(failed) > 0:
		return failed[0]
	}
	for _, r := range told {
		if r.answer == Absent {
			return r
		}
	}
	return told[0] // none of them knows the system
}

func without(all []reply, drop func(reply) bool) []reply {
	var kept []reply
	for _, r := range all {
		if !drop(r) {
			kept = append(kept, r)
		}
	}
	return kept
}

func errorsOf(replies []reply) []error {
	var errs []error
	for _, r := range replies {
		errs = append(errs, r.err)
	}
	return errs
}

// joined is errors.Join on one line.
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

// beginning is the beginning of a segment that reaches furthest of those that the repositories have; nil if none
// has one.
func (f *Fetcher) beginning(ctx context.Context, system cofre.SystemID, name pgdata.WALName) ([]byte, error) {
	var best []byte
	for p := range f.places(ctx) {
		content, err := p.beginning(ctx, system, name)
		if err != nil {
			return nil, err
		}
		best = further(best, content)
	}
	return best, nil
}

// whole brings a file for fetching ahead: from the first repository that gives it.
//
// Errors: the first that is not cofre.ErrNotFound; that, if no repository has it.
func (f *Fetcher) whole(ctx context.Context, system cofre.SystemID, name pgdata.WALName) ([]byte, error) {
	first := cofre.ErrNotFound
	primary := true
	for p := range f.places(ctx) {
		isPrimary := primary
		primary = false
		if isPrimary && len(f.Copies) > 0 && f.Copies[0].instead.Load() {
			continue
		}
		content, err := []byte(nil), p.unusable
		if err == nil {
			content, err = wal.Read(ctx, p.store, p.identity, system, name)
		}
		if err == nil {
			return content, nil
		}
		if isPrimary && len(f.Copies) > 0 && errors.Is(err, cofre.ErrUnreachable) {
			f.Copies[0].instead.Store(true)
		}
		if errors.Is(first, cofre.ErrNotFound) {
			first = err
		}
	}
	return nil, first
}
