package repository

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/repo/blob"

	"github.com/trustlayer/cofre"
)

// blobs is Kopia's storage on a cofre.Store. It seals what passes through it.
type blobs struct {
	blob.DefaultProviderImplementation

	store  cofre.Store
	naming naming
	seals  *sealer
	cache  *indexCache // nil for a folder

	// compacting lets Kopia compact its manifests, which it otherwise does whenever it reads sixteen of them: a
	// command that only looks must not write.
	compacting atomic.Bool

	// creating refuses to replace the format, so that of two inits at once one wins.
	creating bool

	mu       sync.Mutex
	markers  map[blob.ID]bool  // session markers that were written here and not deleted
	spares   map[blob.ID]int64 // that are read in the place of a damaged blob, with their sizes
	failures int               // how many writes have failed
	failure  error             // the last of them
}

// storageType is the name under which Kopia's registry knows blobs. It is in no file that stays.
const storageType = "cofre"

type storageOptions struct{}

type blobsKey struct{}

// register tells Kopia of the storage type. Kopia finds storage by a name in a connection file; ours comes
// through the context instead, so that no credential is ever in a file.
var register = sync.OnceFunc(func() {
	blob.AddSupportedStorage(storageType, storageOptions{}, func(ctx context.Context, _ *storageOptions, _ bool) (blob.Storage, error) {
		b, ok := ctx.Value(blobsKey{}).(*blobs)
		if !ok {
			return nil, errors.New("the repository was opened without its store")
		}
		return b, nil
	})
})

func newBlobs(s cofre.Store) *blobs {
	return &blobs{store: impatient{s}, naming: namingFor(s.URL()), seals: &sealer{store: s}, markers: map[blob.ID]bool{}}
}

// PutBlob stores a blob, durably, and has it sealed.
func (b *blobs) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, opts blob.PutOptions) error {
	if opts.HasRetentionOptions() || !opts.SetModTime.IsZero() {
		return fmt.Errorf("put blob %s: %w", id, blob.ErrUnsupportedPutBlobOption)
	}
	name := b.naming.name(id)
	reader := data.Reader()
	defer reader.Close()
	put := b.store.Replace
	if opts.DoNotRecreate || b.creating {
		put = b.store.Create
	}
	write := func() error {
		if _, err := reader.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := put(ctx, name, reader, int64(data.Length())); err != nil {
			return err
		}
		return b.putSpare(ctx, id, data)
	}
	if err := b.putSealed(ctx, id, name, reader, write); err != nil {
		if errors.Is(err, cofre.ErrExists) {
			return fmt.Errorf("put blob %s: %w", id, blob.ErrBlobAlreadyExists)
		}
		if ctx.Err() == nil {
			b.mu.Lock()
			b.failures++
			b.failure = err
			b.mu.Unlock()
		}
		return err
	}
	if opts.GetModTime != nil {
		o, err := b.store.Stat(ctx, name)
		if err != nil {
			return err
		}
		*opts.GetModTime = o.ModifiedAt
	}
	return nil
}

func (b *blobs) putSealed(ctx context.Context, id blob.ID, name string, reader io.Reader, write func() error) error {
	if isMarker(id) {
		// Markers come and go with every flush; what is in them is authenticated to the last byte.
		b.mu.Lock()
		b.markers[id] = true
		b.mu.Unlock()
		return write()
	}
	sum, size, err := hashOf(reader)
	if err != nil {
		return err
	}
	r := record{State: stored, Size: size, Hash: sum, Name: name}
	if isIndex(id) {
		return b.seals.around(ctx, r, write)
	}
	if err := write(); err != nil {
		return err
	}
	b.seals.add(r)
	return nil
}

// failedSince returns how many writes have failed, and the last error where that is more than seen. Kopia keeps
// the error of a write in the background to itself until the object is whole, and a dump may be a terabyte.
func (b *blobs) failedSince(seen int) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > seen {
		return b.failures, b.failure
	}
	return b.failures, nil
}

// GetBlob reads a blob or a part of it.
func (b *blobs) GetBlob(ctx context.Context, id blob.ID, offset, length int64, output blob.OutputBuffer) error {
	output.Reset()
	whole := isIndex(id) && offset == 0 && length < 0
	if whole {
		if data, ok := b.cache.get(id); ok {
			_, err := output.Write(data)
			return err
		}
	}
	r, err := b.store.Open(ctx, b.from(id), offset, length)
	if err != nil {
		return b.notFound(id, err)
	}
	defer r.Close()
	if whole && b.cache != nil {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		b.cache.put(id, data)
		_, err = output.Write(data)
		return err
	}
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	if _, err := io.CopyBuffer(struct{ io.Writer }{output}, struct{ io.Reader }{r}, *buffer); err != nil {
		return err
	}
	if err := blob.EnsureLengthExactly(output.Length(), length); err != nil {
		return err
	}
	return takeTurn(ctx)
}

// GetMetadata describes a blob.
func (b *blobs) GetMetadata(ctx context.Context, id blob.ID) (blob.Metadata, error) {
	o, err := b.store.Stat(ctx, b.from(id))
	if err != nil {
		return blob.Metadata{}, b.notFound(id, err)
	}
	return blob.Metadata{BlobID: id, Length: o.Size, Timestamp: o.ModifiedAt}, nil
}

// notFound gives a missing blob Kopia's own condition.
func (b *blobs) notFound(id blob.ID, err error) error {
	if errors.Is(err, cofre.ErrNotFound) {
		return fmt.Errorf("blob %s: %w", id, blob.ErrBlobNotFound)
	}
	return err
}

// ListBlobs calls f with every blob whose id begins with prefix.
func (b *blobs) ListBlobs(ctx context.Context, prefix blob.ID, f func(blob.Metadata) error) error {
	for m, err := range b.list(ctx, prefix) {
		if err != nil {
			return err
		}
		if err := f(m); err != nil {
			return err
		}
	}
	return nil
}

func (b *blobs) list(ctx context.Context, prefix blob.ID) iter.Seq2[blob.Metadata, error] {
	return func(yield func(blob.Metadata, error) bool) {
		spares := b.spareSizes()
		for id, size := range spares {
			if strings.HasPrefix(string(id), string(prefix)) && !yield(blob.Metadata{BlobID: id, Length: size, Timestamp: time.Unix(0, 0)}, nil) {
				return
			}
		}
		for _, names := range b.naming.prefixes(prefix) {
			for o, err := range b.store.List(ctx, names) {
				if err != nil {
					yield(blob.Metadata{}, err)
					return
				}
				id, ok := b.naming.id(o.Name)
				if _, spare := spares[id]; !ok || spare || len(id) < len(prefix) || id[:len(prefix)] != prefix {
					continue
				}
				if !yield(blob.Metadata{BlobID: id, Length: o.Size, Timestamp: o.ModifiedAt}, nil) {
					return
				}
			}
		}
	}
}

// DeleteBlob removes a blob, and has it said first that this was on purpose.
func (b *blobs) DeleteBlob(ctx context.Context, id blob.ID) error {
	name := b.naming.name(id)
	if !isMarker(id) {
		b.seals.add(record{State: removed, Name: name})
		if err := b.seals.flush(ctx); err != nil {
			return err
		}
	}
	if err := b.store.Delete(ctx, name); err != nil {
		return err
	}
	if hasSpare(id) {
		if err := b.store.Delete(ctx, spareName(id)); err != nil {
			return err
		}
	}
	b.mu.Lock()
	delete(b.markers, id)
	b.mu.Unlock()
	return nil
}

// dropMarkers removes the session markers of captures that did not end well. It is best effort: a marker that
// stays tells Kopia's own collection to leave the blobs of that session alone for some days.
func (b *blobs) dropMarkers(ctx context.Context) {
	b.mu.Lock()
	var left []blob.ID
	for id := range b.markers {
		left = append(left, id)
	}
	b.mu.Unlock()
	for _, id := range left {
		_ = b.DeleteBlob(ctx, id)
	}
}

// GetCapacity is not asked by anything this package uses.
func (b *blobs) GetCapacity(context.Context) (blob.Capacity, error) {
	return blob.Capacity{}, blob.ErrNotAVolume
}

// IsReadOnly keeps Kopia from compacting manifests at any moment but the one that allows it. Nothing else in
// the library asks.
func (b *blobs) IsReadOnly() bool { return !b.compacting.Load() }

// ConnectionInfo names the storage type. It holds no address and no credential.
func (b *blobs) ConnectionInfo() blob.ConnectionInfo {
	return blob.ConnectionInfo{Type: storageType, Config: &storageOptions{}}
}

// DisplayName is the address, without credentials.
func (b *blobs) DisplayName() string { return b.store.URL() }

// sealer collects what was written and writes it down in seals.
type sealer struct {
	store cofre.Store

	mu      sync.Mutex
	pending []record
	last    time.Time
}

func (s *sealer) add(r record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(s.pending, r)
}

// around seals an index and every pack that is pending, and calls write between the two seals of the pair.
//
// A crash before write leaves an announcement of a blob that never came, which verify passes over. A crash
// after write leaves a first seal without its second; mend makes it good.
func (s *sealer) around(ctx context.Context, index record, write func() error) error {
	s.mu.Lock()
	pending := s.pending
	s.pending = nil
	s.mu.Unlock()

	announce := index
	announce.State = announced
	first, second := sealNames(s.now())
	if err := s.write(ctx, first, append(pending[:len(pending):len(pending)], announce)); err != nil {
		s.restore(pending)
		return err
	}
	if err := write(); err != nil {
		return err
	}
	return s.write(ctx, second, []record{index})
}

// flush seals what is pending outside of any index: the format, and what was removed.
func (s *sealer) flush(ctx context.Context) error {
	s.mu.Lock()
	pending := s.pending
	s.pending = nil
	s.mu.Unlock()
	if len(pending) == 0 {
		return nil
	}
	first, second := sealNames(s.now())
	err := s.write(ctx, first, pending)
	if err == nil {
		err = s.write(ctx, second, nil)
	}
	if err != nil {
		s.restore(pending)
	}
	return err
}

func (s *sealer) restore(pending []record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = append(pending, s.pending...)
}

func (s *sealer) write(ctx context.Context, name string, records []record) error {
	text := seal{At: time.Now(), Records: records}.encode()
	return s.store.Create(ctx, name, bytes.NewReader(text), int64(len(text)))
}

// now never returns the same instant twice: of two records of one name the later seal holds.
func (s *sealer) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if !now.After(s.last) {
		now = s.last.Add(time.Nanosecond)
	}
	s.last = now
	return now
}

var _ blob.Storage = (*blobs)(nil)
