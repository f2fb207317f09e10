package wal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/pgdata"
)

// CheckSegments reads back everything that a store holds of WAL, of every system, and compares it with its digest, its
// name, its system and its size. What is missing between what is there it does not say: StatusOf does.
//
// Errors: the store's, where it cannot be asked.
func CheckSegments(ctx context.Context, st cofre.Store, id Identity) ([]cofre.Finding, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var mu sync.Mutex
	var found []cofre.Finding
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for o, err := range st.List(ctx, "wal/") {
		if err != nil {
			stop(fmt.Errorf("list WAL of %s: %w", st.URL(), err))
			break
		}
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			switch err := checkObject(ctx, st, id, o.Name); {
			case err == nil, errors.Is(err, cofre.ErrNotFound): // it has expired, or was joined with others
			case errors.Is(err, cofre.ErrCorrupt), errors.Is(err, cofre.ErrWrongKey), errors.Is(err, cofre.ErrRefused):
				mu.Lock()
				defer mu.Unlock()
				found = append(found, cofre.Finding{Check: string(cofre.LevelContent), Kind: cofre.KindCluster, Object: o.Name, What: err.Error()})
			default:
				stop(err)
			}
		})
	}
	wg.Wait()
	slices.SortFunc(found, func(a, b cofre.Finding) int { return strings.Compare(a.Object, b.Object) })
	return found, context.Cause(ctx)
}

// checkObject reads one object back. What is not ours, a later version's perhaps, is left alone.
func checkObject(ctx context.Context, st cofre.Store, id Identity, object string) error {
	var system cofre.SystemID
	text, rest, _ := strings.Cut(strings.TrimPrefix(object, "wal/"), "/")
	if system.UnmarshalText([]byte(text)) != nil {
		return nil
	}
	_, name, ok := strings.Cut(rest, "/")
	if !ok || strings.HasPrefix(rest, "gaps/") {
		return nil
	}
	if _, p, ok := parsePart(name); ok {
		content, err := open(ctx, st, id, object, maxSegment)
		if err == nil && int64(len(content)) != p.to-p.from {
			err = fmt.Errorf("it holds %d bytes: %w", len(content), cofre.ErrCorrupt)
		}
		return err
	}
	if _, err := pgdata.ParseWALName(name); err != nil {
		return nil
	}
	content, err := open(ctx, st, id, object, maxSegment)
	if err != nil {
		return err
	}
	return checkContent(system, name, content)
}
