package seal

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
)

// Sealer collects what was written and writes it down in seals.
type Sealer struct {
	Store cofre.Store
	// Key is nil as long as nobody knows it. Raised has its seals say that those without it are not believed.
	Key    Key
	Raised bool

	mu      sync.Mutex
	pending []Record
	last    time.Time
}

// Add takes a record to be sealed with the next index, or by Flush.
func (s *Sealer) Add(r Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, r)
}

// Around seals an index and every pack that is pending, and calls write between the two seals of the pair.
//
// A crash before write leaves an announcement of a blob that never came, which verify passes over. A crash
// after write leaves a first seal without its second; Mend makes it good. Whoever slept so long between the two that somebody else has
// mended the pair goes on if the seal that is there says the same, and says it in a new pair if it does not: it was mended before the index was there.
//
// Errors: of write, and of the store; what was pending stays so if the first seal could not be written.
func (s *Sealer) Around(ctx context.Context, index Record, write func() error) error {
	s.mu.Lock()
	pending := s.pending
	s.pending = nil
	s.mu.Unlock()

	s.date(ctx, pending)
	announce := index
	announce.State = Announced
	first, second := Names(s.now())
	if err := s.write(ctx, first, append(pending[:len(pending):len(pending)], announce)); err != nil {
		s.restore(pending)
		return err
	}
	// What others say from now on of the index that they see holds against this.
	again, confirmed := Names(s.now())
	if err := write(); err != nil {
		return err
	}
	err := s.write(ctx, second, []Record{index})
	if !errors.Is(err, cofre.ErrExists) {
		return err
	}
	if same, err := s.said(ctx, second, []Record{index}); same || err != nil {
		return err
	}
	if err := s.write(ctx, again, []Record{index}); err != nil {
		return err
	}
	return s.write(ctx, confirmed, nil)
}

// Flush seals what is pending outside of any index: the format, and what was removed.
//
// Errors: of the store; what was pending stays so.
func (s *Sealer) Flush(ctx context.Context) error {
	s.mu.Lock()
	none := len(s.pending) == 0
	s.mu.Unlock()
	if none {
		return nil
	}
	return s.Write(ctx)
}

// Write is Flush also if nothing is pending: a seal may say something by itself.
//
// Errors: as of Flush.
func (s *Sealer) Write(ctx context.Context) error {
	s.mu.Lock()
	pending := s.pending
	s.pending = nil
	s.mu.Unlock()
	s.date(ctx, pending)
	first, second := Names(s.now())
	err := s.write(ctx, first, pending)
	if err == nil {
		err = s.write(ctx, second, nil)
	}
	if errors.Is(err, cofre.ErrExists) {
		err = nil // somebody has mended the pair, whose first seal says all of it
	}
	if err != nil {
		s.restore(pending)
	}
	return err
}

// Follow has the seals from now on sort after every one that there is, whatever the clock of who wrote it: what they say is removed
// must hold against it.
//
// Errors: of the store.
func (s *Sealer) Follow(ctx context.Context) error {
	var newest time.Time
	for o, err := range s.Store.List(ctx, Prefix) {
		if err != nil {
			return err
		}
		name := strings.TrimPrefix(o.Name, Prefix)
		if at, err := time.Parse(TimeLayout, name[:min(len(name), len(TimeLayout))]); err == nil && at.After(newest) {
			newest = at
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if newest.After(s.last) {
		s.last = newest
	}
	return nil
}

// Forget drops what is pending: whoever was to write it down died.
func (s *Sealer) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = nil
}

func (s *Sealer) restore(pending []Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(pending, s.pending...)
}

// date gives what was written the time of the store, as far as that says it: what is written again later has a later one. It costs one request for
// many packs.
func (s *Sealer) date(ctx context.Context, pending []Record) {
	for _, last := range slices.Backward(pending) {
		if last.State != Stored || s.Key == nil {
			continue
		}
		o, err := s.Store.Stat(ctx, last.Name)
		if err != nil || o.ChangedAt.IsZero() {
			return // the clock of this machine does, too
		}
		for i := range pending {
			pending[i].At = o.ChangedAt
		}
		return
	}
}

func (s *Sealer) write(ctx context.Context, name string, records []Record) error {
	text := Seal{At: time.Now(), Records: records, Raised: s.Raised}.EncodeAs(name, s.Key)
	return s.Store.Create(ctx, name, bytes.NewReader(text), int64(len(text)))
}

// said reports whether the seal of a name is one that this sealer could have written, of these records.
//
// Errors: of the store.
func (s *Sealer) said(ctx context.Context, name string, records []Record) (bool, error) {
	there, err := readSeal(ctx, s.Store, s.Key, name)
	if errors.Is(err, errSeal) || errors.Is(err, cofre.ErrNotFound) {
		return false, nil
	}
	same := there.Keyed == (s.Key != nil) && slices.EqualFunc(there.Records, records, func(a, b Record) bool {
		return a.State == b.State && a.Size == b.Size && a.Hash == b.Hash && a.Name == b.Name
	})
	return same, err
}

// now never returns the same instant twice: of two records of one name the later seal holds.
func (s *Sealer) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !now.After(s.last) {
		now = s.last.Add(time.Nanosecond)
	}
	s.last = now
	return now
}
