package fetch

import (
	"context"
	"fmt"
	"iter"
	"sync"

	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/recovery"
	"github.com/trustlayer/cofre/postgres/wal"
)

// Scan reads moments out of archived WAL for the planner; what the repository cannot give, out of its copies.
func (f *Fetcher) Scan(ctx context.Context, inv *wal.Inventory) recovery.Scan {
	return func(segments []pgdata.Segment, span recovery.Span) iter.Seq2[recovery.Found, error] {
		return func(yield func(recovery.Found, error) bool) {
			walk := recovery.NewWalk(inv.SegmentSize, span, yield)
			ahead, stop := f.readAhead(ctx, inv, segments)
			defer stop()
			for content := range ahead {
				if content.err != nil {
					yield(recovery.Found{}, content.err)
					return
				}
				if !walk.Segment(content.bytes) {
					break
				}
			}
			walk.End()
		}
	}
}

type read struct {
	bytes []byte
	err   error
}

// readAhead reads segments in order, a few before they are asked for. The reader calls stop when it wants no more.
func (f *Fetcher) readAhead(ctx context.Context, inv *wal.Inventory, segments []pgdata.Segment) (<-chan read, func()) {
	ctx, cancel := context.WithCancel(ctx)
	// Copies are opened by whoever needs them first: of them one segment is read at a time.
	queue := make(chan chan read, scanAhead)
	out := make(chan read)
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(queue)
		for _, s := range segments {
			one := make(chan read, 1)
			select {
			case queue <- one:
			case <-ctx.Done():
				return
			}
			bring := func() {
				name := s.File(inv.SegmentSize)
				content, err := f.readOrBeginning(ctx, inv, s, name)
				switch {
				case err != nil && wal.Damaging(err):
					err = &recovery.UnreadableError{Segment: s, Err: err}
				case err != nil:
					err = fmt.Errorf("scan segment %s: %w", name, err)
				}
				one <- read{content, err}
			}
			if len(f.Copies) > 0 {
				bring()
				continue
			}
			wg.Go(bring)
		}
	})
	wg.Go(func() {
		defer close(out)
		for one := range queue {
			select {
			case out <- <-one:
			case <-ctx.Done():
				return
			}
		}
	})
	return out, func() { cancel(); wg.Wait() }
}

func (f *Fetcher) readOrBeginning(ctx context.Context, inv *wal.Inventory, s pgdata.Segment, name pgdata.WALName) ([]byte, error) {
	if !inv.Segments[s] && len(f.Copies) == 0 {
		content, err := f.first().beginning(ctx, inv.SystemID, name)
		if err != nil || content != nil {
			return content, err
		}
		// Streaming has completed it since the list was read.
	}
	got := f.ask(ctx, inv.SystemID, name)
	return got.content, got.err
}

// scanAhead is how many segments are read while the records of one are looked at: reading is waiting if the
// repository is far, and decrypting if it is near.
const scanAhead = 3
