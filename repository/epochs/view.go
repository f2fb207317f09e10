package epochs

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/repo/blob"
)

// List yields the files whose names begin with a prefix.
type List func(context.Context, blob.ID) iter.Seq2[blob.Metadata, error]

// View is what the library is shown of the indexes. The zero View shows all of them.
type View struct {
	mu     sync.Mutex
	all    map[int][]blob.Metadata // by the epoch that they are shown in
	passed map[blob.ID]string      // over, and why
	left   map[blob.ID]bool        // out
	none   bool
	byName bool
}

// Shown lists what the library asks for, which are names that begin with x.
//
// Errors: those of list.
func (v *View) Shown(ctx context.Context, prefix blob.ID, list List) ([]blob.Metadata, error) {
	asked := string(prefix)
	marker := strings.HasPrefix(asked, MarkerPrefix)
	if marker || v.isByName() {
		there, err := v.look(ctx, list)
		if err != nil {
			return nil, err
		}
		if v.isByName() {
			return byName(there, prefix), nil
		}
		return v.take(there), nil
	}
	epoch := Number(prefix)
	if !strings.HasPrefix(asked, NewPrefix) || epoch < 0 {
		return nil, nil // as if nothing were in the place of anything
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all[epoch], nil
}

// look lists the files that are not passed over.
func (v *View) look(ctx context.Context, list List) (there []blob.Metadata, err error) {
	for m, err := range list(ctx, Prefix) {
		if err != nil {
			return nil, err
		}
		v.mu.Lock()
		_, over := v.passed[m.BlobID]
		over = over || v.none || v.left[m.BlobID]
		v.mu.Unlock()
		if !over {
			there = append(there, m)
		}
	}
	return there, nil
}

// take sorts indexes by the epochs that they are shown in, and returns the marker of the epoch that is written into. One that is in the place of others, and one of an
// epoch that the library does not look at, is shown in the first.
func (v *View) take(there []blob.Metadata) []blob.Metadata {
	now := current(there)
	all := map[int][]blob.Metadata{}
	for _, m := range there {
		epoch := 0
		if strings.HasPrefix(string(m.BlobID), NewPrefix) {
			if n := Number(m.BlobID); n > 0 && n <= now+1 {
				epoch = n
			}
		}
		if !IsMarker(m.BlobID) {
			all[epoch] = append(all[epoch], m)
		}
	}
	v.mu.Lock()
	v.all = all
	v.mu.Unlock()
	return marker(there, now)
}

// marker is that of an epoch. It is made up if it is not there: somebody may have taken it away.
func marker(there []blob.Metadata, epoch int) []blob.Metadata {
	if epoch == 0 {
		return nil
	}
	id := blob.ID(MarkerPrefix + strconv.Itoa(epoch))
	if i := slices.IndexFunc(there, func(m blob.Metadata) bool { return m.BlobID == id }); i >= 0 {
		return there[i : i+1]
	}
	return []blob.Metadata{{BlobID: id, Timestamp: time.Unix(0, 0)}}
}

// current is the epoch that is written into: the last of those from the first on that all have indexes, or the next if it is marked.
func current(there []blob.Metadata) int {
	has, marked := map[int]int{}, map[int]bool{} // the last epoch of the indexes that begin with one
	for _, m := range there {
		n := Number(m.BlobID)
		if n < 0 {
			continue
		}
		switch string(m.BlobID)[:2] {
		case MarkerPrefix:
			marked[n] = true
		case NewPrefix, SinglePrefix:
			has[n] = max(has[n], n)
		case RangePrefix:
			if first, end := Range(m.BlobID); first <= end && end-first < longest {
				has[n] = max(has[n], end)
			}
		}
	}
	next := 0
	for {
		end, ok := has[next]
		if !ok {
			break
		}
		next = end + 1
	}
	if next > 0 && !marked[next] {
		next--
	}
	return next
}

// unsettled is how many of the newest epochs are never read from one index.
//
// Source: kopia v0.22.3, internal/epoch, numUnsettledEpochs.
const unsettled = 2

// byName are the files as they are, but for names that no library can have written.
func byName(there []blob.Metadata, prefix blob.ID) []blob.Metadata {
	now := current(there)
	if strings.HasPrefix(string(prefix), MarkerPrefix) {
		return marker(there, now)
	}
	return slices.DeleteFunc(there, func(m blob.Metadata) bool {
		first, end, replaces := Replaces(m.BlobID)
		return !strings.HasPrefix(string(m.BlobID), string(prefix)) || Number(m.BlobID) < 0 || replaces && (first < 0 || first > end || end > now-unsettled)
	})
}

func (v *View) isByName() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.byName
}

// ByName has names count until it is undone.
func (v *View) ByName() (undo func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.byName = true
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.byName = false
	}
}

// Leave leaves out some indexes until it is undone.
func (v *View) Leave(ids map[blob.ID]bool) (undo func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.left = maps.Clone(ids)
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.left = nil
	}
}

// Passed are the indexes that are passed over, and why.
func (v *View) Passed() map[blob.ID]string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return maps.Clone(v.passed)
}

// Without shows no index at all until it is undone.
func (v *View) Without() (undo func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.none = true
	return func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.none = false
	}
}

// PassOver finds the indexes that cannot be read, and passes over them from now on. It returns how many there are that were shown before.
//
// Errors: those of list; of read, for which outside reports that they are not the index's.
func (v *View) PassOver(ctx context.Context, list List, read func(context.Context, blob.ID) error, outside func(error) bool) (found int, err error) {
	for m, err := range list(ctx, Prefix) {
		if err != nil {
			return 0, err
		}
		if IsMarker(m.BlobID) {
			continue
		}
		err = read(ctx, m.BlobID)
		if err != nil && (outside(err) || ctx.Err() != nil) {
			return 0, fmt.Errorf("read index %s: %w", m.BlobID, err)
		}
		v.mu.Lock()
		_, before := v.passed[m.BlobID]
		switch {
		case err == nil:
			delete(v.passed, m.BlobID)
		case !before:
			found++
			if v.passed == nil {
				v.passed = map[blob.ID]string{}
			}
			v.passed[m.BlobID] = err.Error()
		}
		v.mu.Unlock()
	}
	return found, nil
}
