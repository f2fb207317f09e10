package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/kopia/kopia/repo/blob"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/epochs"
	"github.com/trustlayer/cofre/repository/seal"
)

// Storage is Kopia's storage on a cofre.Store. It seals what passes through it.
type Storage struct {
	blob.DefaultProviderImplementation

	Store  cofre.Store
	Naming Naming
	Seals  *seal.Sealer
	Cache  *IndexCache // nil for a folder
	// Indexes is what the library is shown of them.
	Indexes *epochs.View

	// creating refuses to replace the format, so that of two inits at once one wins.
	Creating bool

	mu       sync.Mutex
	markers  map[blob.ID]bool  // session markers that were written here and not deleted
	spares   map[blob.ID]int64 // that are read in the place of a damaged blob, with their sizes
	held     map[blob.ID][]byte
	failures int   // how many writes have failed
	failure  error // the last of them
}

// storageType is the name under which Kopia's registry knows blobs. It is in no file that stays.
const storageType = "cofre"

type storageOptions struct{}

type blobsKey struct{}

// With returns a context in which Kopia finds b when it opens a repository.
func With(ctx context.Context, b *Storage) context.Context {
	return context.WithValue(ctx, blobsKey{}, b)
}

// Register tells Kopia of the storage type. Kopia finds storage by a name in a connection file; ours comes
// through the context instead, so that no credential is ever in a file.
var Register = sync.OnceFunc(func() {
	blob.AddSupportedStorage(storageType, storageOptions{}, func(ctx context.Context, _ *storageOptions, _ bool) (blob.Storage, error) {
		b, ok := ctx.Value(blobsKey{}).(*Storage)
		if !ok {
			return nil, errors.New("the repository was opened without its store")
		}
		return b, nil
	})
})

// New is the storage on a store. It asks the store for nothing yet.
func New(s cofre.Store) *Storage {
	return &Storage{Store: impatient{s}, Naming: namingFor(s.URL()), Seals: &seal.Sealer{Store: s}, Indexes: &epochs.View{}, markers: map[blob.ID]bool{}}
}

// PutBlob stores a blob, durably, and has it sealed.
//
// Errors: blob.ErrBlobAlreadyExists, blob.ErrUnsupportedPutBlobOption; the store's.
func (b *Storage) PutBlob(ctx context.Context, id blob.ID, data blob.Bytes, opts blob.PutOptions) error {
	if opts.HasRetentionOptions() || !opts.SetModTime.IsZero() {
		return fmt.Errorf("put blob %s: %w", id, blob.ErrUnsupportedPutBlobOption)
	}
	name := b.Naming.Name(id)
	reader := data.Reader()
	defer reader.Close()
	put := b.Store.Replace
	if opts.DoNotRecreate || b.Creating {
		put = b.Store.Create
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
		o, err := b.Store.Stat(ctx, name)
		if errors.Is(err, cofre.ErrNotFound) {
			// An index that was written as one with others since, after a long sleep: the library finds that out by itself.
			o.ModifiedAt, err = time.Now(), nil
		}
		if err != nil {
			return err
		}
		*opts.GetModTime = o.ModifiedAt
	}
	return nil
}

func (b *Storage) putSealed(ctx context.Context, id blob.ID, name string, reader io.Reader, write func() error) error {
	if IsMarker(id) {
		// Markers come and go with every flush; what is in them is authenticated to the last byte.
		b.mu.Lock()
		b.markers[id] = true
		b.mu.Unlock()
		return write()
	}
	sum, size, err := seal.HashOf(reader)
	if err != nil {
		return err
	}
	r := seal.Record{State: seal.Stored, Size: size, Hash: sum, Name: name}
	if isIndex(id) {
		return b.Seals.Around(ctx, r, write)
	}
	if err := write(); err != nil {
		return err
	}
	b.Seals.Add(r)
	return nil
}

// FailedSince returns how many writes have failed, and the last error if that is more than seen. Kopia keeps
// the error of a write in the background to itself until the object is whole, and a dump may be a terabyte.
//
// Errors: that one.
func (b *Storage) FailedSince(seen int) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures > seen {
		return b.failures, b.failure
	}
	return b.failures, nil
}

// GetBlob reads a blob or a part of it.
//
// Errors: blob.ErrBlobNotFound, blob.ErrInvalidRange; the store's.
func (b *Storage) GetBlob(ctx context.Context, id blob.ID, offset, length int64, output blob.OutputBuffer) error {
	output.Reset()
	if done, err := b.fromHeld(id, offset, length, output); done {
		return err
	}
	whole := isIndex(id) && offset == 0 && length < 0
	if whole {
		if data, ok := b.Cache.get(id); ok {
			_, err := output.Write(data)
			return err
		}
	}
	r, err := b.Store.Open(ctx, b.From(id), offset, length)
	if err != nil {
		err = b.notFound(id, err)
		if isIndex(id) && errors.Is(err, blob.ErrBlobNotFound) {
			fail(ctx, err) // others have deleted it since it was listed
		}
		return err
	}
	defer r.Close()
	limited := &io.LimitedReader{R: r, N: LargestBlob + 1}
	if whole && b.Cache != nil {
		data, err := io.ReadAll(limited)
		if err == nil && limited.N == 0 {
			err = tooLarge(id)
		}
		if err != nil {
			return err
		}
		b.Cache.put(id, data)
		_, err = output.Write(data)
		return err
	}
	buffer := seal.CopyBuffers.Get().(*[]byte)
	defer seal.CopyBuffers.Put(buffer)
	if _, err := io.CopyBuffer(struct{ io.Writer }{output}, struct{ io.Reader }{limited}, *buffer); err != nil {
		return err
	}
	if limited.N == 0 {
		return tooLarge(id)
	}
	if err := blob.EnsureLengthExactly(output.Length(), length); err != nil {
		return err
	}
	return takeTurn(ctx)
}

func tooLarge(id blob.ID) error {
	return fmt.Errorf("blob %s: larger than %d bytes: %w", id, LargestBlob, cofre.ErrCorrupt)
}

// GetMetadata describes a blob.
//
// Errors: blob.ErrBlobNotFound; the store's.
func (b *Storage) GetMetadata(ctx context.Context, id blob.ID) (blob.Metadata, error) {
	o, err := b.Store.Stat(ctx, b.From(id))
	if err != nil {
		return blob.Metadata{}, b.notFound(id, err)
	}
	return blob.Metadata{BlobID: id, Length: o.Size, Timestamp: o.ModifiedAt}, nil
}

// notFound gives a missing blob Kopia's own condition.
func (b *Storage) notFound(id blob.ID, err error) error {
	if errors.Is(err, cofre.ErrNotFound) {
		return fmt.Errorf("blob %s: %w", id, blob.ErrBlobNotFound)
	}
	return err
}

// ListBlobs calls f with every blob whose id begins with prefix; of indexes, with what the library is shown.
//
// Errors: of f, which end the list; the store's.
func (b *Storage) ListBlobs(ctx context.Context, prefix blob.ID, f func(blob.Metadata) error) error {
	if strings.HasPrefix(string(prefix), epochs.Prefix) {
		shown, err := b.Indexes.Shown(ctx, prefix, b.List)
		for _, m := range shown {
			if err := f(m); err != nil {
				return err
			}
		}
		return err
	}
	for m, err := range b.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if err := f(m); err != nil {
			return err
		}
	}
	return nil
}

// List yields every blob whose id begins with prefix. An error of the store ends the list.
//
// Errors: the store's.
func (b *Storage) List(ctx context.Context, prefix blob.ID) iter.Seq2[blob.Metadata, error] {
	return func(yield func(blob.Metadata, error) bool) {
		spares := b.SpareSizes()
		for id, size := range spares {
			if strings.HasPrefix(string(id), string(prefix)) && !yield(blob.Metadata{BlobID: id, Length: size, Timestamp: time.Unix(0, 0)}, nil) {
				return
			}
		}
		for _, names := range b.Naming.prefixes(prefix) {
			for o, err := range b.Store.List(ctx, names) {
				if err != nil {
					yield(blob.Metadata{}, err)
					return
				}
				id, ok := b.Naming.ID(o.Name)
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

// DeleteBlob removes a blob, and has it said first that this was on purpose. The marker of a session is left by who may not delete, until
// somebody prunes who may: it stops nobody.
//
// Errors: the store's; the blob is there as long as it is not said that it was removed.
func (b *Storage) DeleteBlob(ctx context.Context, id blob.ID) error {
	name := b.Naming.Name(id)
	if !IsMarker(id) {
		b.Seals.Add(seal.Record{State: seal.Removed, Name: name})
		if err := b.Seals.Flush(ctx); err != nil {
			return err
		}
	}
	if err := b.Store.Delete(ctx, name); err != nil && !(IsMarker(id) && errors.Is(err, cofre.ErrDenied)) {
		return err
	}
	if HasSpare(id) {
		if err := b.Store.Delete(ctx, SpareName(id)); err != nil {
			return err
		}
	}
	b.mu.Lock()
	delete(b.markers, id)
	b.mu.Unlock()
	return nil
}

// Remove removes blobs and their spares, and has it said first, once for all of them, that this was on purpose.
//
// Errors: the store's; none is removed before it is said.
func (b *Storage) Remove(ctx context.Context, ids []blob.ID) error {
	if err := b.Seals.Follow(ctx); err != nil {
		return err
	}
	for _, id := range ids {
		b.Seals.Add(seal.Record{State: seal.Removed, Name: b.Naming.Name(id)})
	}
	if err := b.Seals.Flush(ctx); err != nil {
		return err
	}
	for _, id := range ids {
		if err := b.Store.Delete(ctx, b.Naming.Name(id)); err != nil {
			return err
		}
		if !HasSpare(id) {
			continue
		}
		if err := b.Store.Delete(ctx, SpareName(id)); err != nil {
			return err
		}
	}
	return nil
}

// PutText stores a blob that is only there.
//
// Errors: those of PutBlob.
func (b *Storage) PutText(ctx context.Context, id blob.ID, text string) error {
	return b.PutBlob(ctx, id, textBytes(text), blob.PutOptions{})
}

type textBytes string

func (t textBytes) Length() int { return len(t) }

func (t textBytes) Reader() io.ReadSeekCloser { return textReader{strings.NewReader(string(t))} }

func (t textBytes) WriteTo(w io.Writer) (int64, error) {
	return strings.NewReader(string(t)).WriteTo(w)
}

type textReader struct{ *strings.Reader }

func (textReader) Close() error { return nil }

// DropMarkers removes the session markers of captures that did not end well. It is best effort: a marker that
// stays tells Kopia's own collection to leave the blobs of that session alone for some days.
func (b *Storage) DropMarkers(ctx context.Context) {
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

// Forget drops what was known of writes that failed and of markers: whoever wrote them died.
func (b *Storage) Forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.markers, b.failures, b.failure = map[blob.ID]bool{}, 0, nil
}

// GetCapacity is not asked by anything this package uses.
//
// Errors: always blob.ErrNotAVolume.
func (b *Storage) GetCapacity(context.Context) (blob.Capacity, error) {
	return blob.Capacity{}, blob.ErrNotAVolume
}

// IsReadOnly keeps Kopia from writing manifests as one whenever it reads sixteen of them: a command that only looks must not write.
// Nothing else in the library asks.
func (b *Storage) IsReadOnly() bool { return true }

// ConnectionInfo names the storage type. It holds no address and no credential.
func (b *Storage) ConnectionInfo() blob.ConnectionInfo {
	return blob.ConnectionInfo{Type: storageType, Config: &storageOptions{}}
}

// DisplayName is the address, without credentials.
func (b *Storage) DisplayName() string { return b.Store.URL() }

var _ blob.Storage = (*Storage)(nil)
