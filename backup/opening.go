package backup

import (
	"context"
	"fmt"
	"sync"

	"github.com/trustlayer/cofre"
)

// Opening is a source that is opened when it is first needed, so that one which cannot be opened ends nothing but its
// own capture. It is tried again at each step: what was down before the database was dumped may be back after it.
func Opening(id cofre.SourceID, open func(context.Context) (cofre.Source, error)) cofre.Source {
	o := &opening{id: id, open: open}
	if id.Kind == cofre.KindStorage {
		return openingStorage{o}
	}
	return o
}

type opening struct {
	id   cofre.SourceID
	open func(context.Context) (cofre.Source, error)

	mu     sync.Mutex
	opened cofre.Source
}

// openingStorage has what storage alone can do, which has to be known before the source can be opened.
type openingStorage struct{ *opening }

var (
	_ cofre.Checker     = (*opening)(nil)
	_ cofre.Preparer    = openingStorage{}
	_ cofre.PartialBase = openingStorage{}
)

func (o *opening) ID() cofre.SourceID { return o.id }

func (o *opening) source(ctx context.Context) (cofre.Source, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.opened != nil {
		return o.opened, nil
	}
	s, err := o.open(ctx)
	if err != nil {
		return nil, err
	}
	if s.ID() != o.id {
		return nil, fmt.Errorf("opened source %v as %v", s.ID(), o.id)
	}
	o.opened = s
	return s, nil
}

func (o openingStorage) TakesPartialBase() bool { return true }

func (o openingStorage) Prepare(ctx context.Context, c *cofre.Capture) error {
	s, err := o.source(ctx)
	if err != nil {
		return err
	}
	if p, ok := s.(cofre.Preparer); ok {
		return p.Prepare(ctx, c)
	}
	return nil
}

func (o *opening) Capture(ctx context.Context, c *cofre.Capture) (cofre.Captured, error) {
	s, err := o.source(ctx)
	if err != nil {
		return cofre.Captured{}, err
	}
	return s.Capture(ctx, c)
}

func (o *opening) Doctor(ctx context.Context) ([]cofre.Diagnosis, error) {
	s, err := o.source(ctx)
	if err != nil {
		return nil, err
	}
	if c, ok := s.(cofre.Checker); ok {
		return c.Doctor(ctx)
	}
	return nil, nil
}
