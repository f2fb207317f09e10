package repository

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/compression"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot/snapshotfs"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/repository/directory"
	"github.com/trustlayer/cofre/repository/seal"
	"github.com/trustlayer/cofre/repository/trouble"
)

// Facts of measurement behind these numbers: docs/decisions/0001-kopia-as-a-library.md.
const (
	streamSplitter = "DYNAMIC-1M-BUZHASH" // finds equal stretches of a dump wherever they moved to
	pagesSplitter  = "FIXED-128K"         // 1.6 times less stored than 1 MiB if pages change here and there
	wideSplitter   = "FIXED-1M"           // up to a seventh less stored if they do not
	finePiece      = 64 << 10             // if pages change all over; Kopia has no splitter for it
	streamAsync    = 2                    // pieces of one stream hashed and compressed at once

	// flushEvery is how much of a capture a crash can cost: what was flushed is found again by the next one.
	flushEvery = 30 * time.Second
	// closeTimeout bounds the flush of a session that was given up.
	closeTimeout = 10 * time.Second
)

var errEnded = errors.New("the session has ended")

// session is one capture. Its objects become visible to nobody before a point is published that names its root.
type session struct {
	repo   *Repository
	writer repo.DirectRepositoryWriter
	source cofre.SourceID
	comp   compression.Name
	stored atomic.Int64
	// failures is how many writes of the repository had failed when the session began.
	failures int

	stopFlushing context.CancelFunc
	flushing     sync.WaitGroup

	mu     sync.Mutex
	tree   *directory.Builder
	failed error // of a flush in the background: nothing can be finished after it
	ended  bool
}

// Begin starts a capture.
//
// Errors: ErrReadOnly; ErrCorrupt if the indexes cannot be read; those of the store; the error of ctx.
func (r *Repository) Begin(ctx context.Context, source cofre.SourceID) (cofre.Session, error) {
	what := fmt.Sprintf("begin the capture of %s %s", source.Kind, source.Name)
	if r.config.ReadOnly {
		return nil, fmt.Errorf("%s: repository %s was opened to read: %w", what, r.URL(), cofre.ErrReadOnly)
	}
	// What a capture that was killed, here or elsewhere, has flushed is known from now on and not stored again.
	if err := r.refresh(ctx); err != nil {
		return nil, trouble.Of(what, err)
	}
	if err := seal.Mend(ctx, r.store, r.blobs.Seals.Key); err != nil {
		return nil, trouble.Of(what, err)
	}
	s := &session{repo: r, source: source, comp: compression.Name(r.config.compression()), tree: directory.NewBuilder()}
	s.failures, _ = r.blobs.FailedSince(0)
	// The writer outlives this call; what it does is bounded by the contexts of the calls that use it.
	_, w, err := r.kopia.NewDirectWriter(context.WithoutCancel(ctx), repo.WriteSessionOptions{
		Purpose:  "capture " + string(source.Kind) + " " + source.Name,
		OnUpload: func(n int64) { s.stored.Add(n) },
	})
	if err != nil {
		return nil, trouble.Of(what, err)
	}
	w.ContentManager().DisableIndexRefresh()
	s.writer = w
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stopFlushing = stop
	s.flushing.Go(func() { s.flushNowAndThen(background) })
	r.captures.Begin(ctx, r.store)
	return s, nil
}

func (s *session) flushNowAndThen(ctx context.Context) {
	tick := time.NewTicker(s.repo.flushEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.repo.flush(ctx, s.writer); err != nil && ctx.Err() == nil {
			s.mu.Lock()
			s.failed = trouble.Of("flush", err)
			s.mu.Unlock()
			return
		}
	}
}

// usable reports why nothing more can be written, if so.
func (s *session) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, failure := s.repo.blobs.FailedSince(s.failures)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return errEnded
	}
	if s.failed == nil && failure != nil {
		s.failed = trouble.Of("store", failure)
	}
	return s.failed
}

// Put stores a file.
func (s *session) Put(ctx context.Context, e cofre.Entry, r io.Reader) (cofre.Entry, error) {
	put := func() (cofre.Entry, error) {
		if !e.Mode.IsRegular() {
			return e, errors.New("only a regular file has bytes")
		}
		if err := directory.CheckPath(e.Path); err != nil {
			return e, err
		}
		id, size, err := s.write(ctx, e.Path, e.Layout, r)
		if err != nil {
			return e, err
		}
		if e.Size >= 0 && e.Size != size {
			return e, fmt.Errorf("%d bytes were promised and %d came", e.Size, size)
		}
		e.Object, e.Size = cofre.ObjectID(id.String()), size
		return e, s.addFile(e)
	}
	e, err := put()
	if err != nil {
		return e, fmt.Errorf("put %q: %w", e.Path, err)
	}
	return e, nil
}

func (s *session) addFile(e cofre.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return errEnded
	}
	return s.tree.AddFile(e)
}

// write stores what r yields as one object.
func (s *session) write(ctx context.Context, what string, layout cofre.Layout, r io.Reader) (object.ID, int64, error) {
	if err := s.usable(ctx); err != nil {
		return object.EmptyID, 0, err
	}
	options := object.WriterOptions{Description: what, Compressor: s.comp, MetadataCompressor: s.comp, Splitter: streamSplitter, AsyncWrites: streamAsync}
	switch layout {
	case cofre.LayoutFacts:
		options.Prefix = directory.FactsPrefix
	case cofre.LayoutPages:
		options.Splitter, options.AsyncWrites = pagesSplitter, 0
	case cofre.LayoutWidePages:
		options.Splitter, options.AsyncWrites = wideSplitter, 0
	case cofre.LayoutFinePages:
		options.Splitter, options.AsyncWrites = pagesSplitter, 0
		return s.writeFine(ctx, what, options, r)
	}
	w := s.writer.NewObjectWriter(ctx, options)
	defer w.Close()
	size, err := s.copy(ctx, w, r)
	if err != nil {
		return object.EmptyID, size, err
	}
	id, err := w.Result()
	if err != nil {
		return object.EmptyID, size, trouble.Of("store", err)
	}
	return id, size, nil
}

// writeFine cuts what r yields into pieces smaller than any of Kopia's splitters does. Each is an object of its own
// until their list makes one of them.
func (s *session) writeFine(ctx context.Context, what string, options object.WriterOptions, r io.Reader) (object.ID, int64, error) {
	buffer := seal.CopyBuffers.Get().(*[]byte)
	defer seal.CopyBuffers.Put(buffer)
	var pieces []object.IndirectObjectEntry
	for {
		if err := s.usable(ctx); err != nil {
			return object.EmptyID, lengthOf(pieces), err
		}
		n, readErr := fill(*buffer, r)
		for b := (*buffer)[:n]; len(b) > 0; {
			piece := b[:min(finePiece, len(b))]
			b = b[len(piece):]
			id, err := s.writePiece(ctx, options, piece)
			if err != nil {
				return object.EmptyID, lengthOf(pieces), trouble.Of("store", err)
			}
			pieces = append(pieces, object.IndirectObjectEntry{Start: lengthOf(pieces), Length: int64(len(piece)), Object: id})
		}
		if readErr == nil {
			continue
		}
		if readErr != io.EOF {
			return object.EmptyID, lengthOf(pieces), readErr
		}
		size := lengthOf(pieces)
		text, err := s.writePieces(ctx, what, pieces)
		if err != nil {
			return object.EmptyID, size, err
		}
		id, err := object.ParseID(text)
		return id, size, err
	}
}

// fill reads until b is full, or to an error of r, its end too. io.ReadFull would not tell the end of r from r being
// cut off: both are then io.ErrUnexpectedEOF.
func fill(b []byte, r io.Reader) (n int, err error) {
	for n < len(b) && err == nil {
		var m int
		m, err = r.Read(b[n:])
		n += m
	}
	return n, err
}

func (s *session) writePiece(ctx context.Context, options object.WriterOptions, b []byte) (object.ID, error) {
	w := s.writer.NewObjectWriter(ctx, options)
	defer w.Close()
	if _, err := w.Write(b); err != nil {
		return object.EmptyID, err
	}
	return w.Result()
}

// copy tells an error of the source from one of the repository: only the latter is explained.
func (s *session) copy(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	buffer := seal.CopyBuffers.Get().(*[]byte)
	defer seal.CopyBuffers.Put(buffer)
	var size int64
	for {
		if err := s.usable(ctx); err != nil {
			return size, err
		}
		n, readErr := r.Read(*buffer)
		size += int64(n)
		if n > 0 {
			if _, err := w.Write((*buffer)[:n]); err != nil {
				return size, trouble.Of("store", err)
			}
		}
		if readErr == io.EOF {
			return size, nil
		}
		if readErr != nil {
			return size, readErr
		}
	}
}

// Add takes a directory or a symbolic link.
func (s *session) Add(ctx context.Context, e cofre.Entry) error {
	add := func() error {
		if err := directory.CheckPath(e.Path); err != nil {
			return err
		}
		if e.IsDir() {
			if err := s.usable(ctx); err != nil {
				return err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.tree.AddDir(e, nil)
		}
		if !e.IsLink() {
			return errors.New("only a directory or a symbolic link has no bytes")
		}
		// Kopia keeps the target of a link as an object.
		id, size, err := s.write(ctx, e.Path, cofre.LayoutStream, strings.NewReader(e.Link))
		if err != nil {
			return err
		}
		e.Object, e.Size = cofre.ObjectID(id.String()), size
		return s.addFile(e)
	}
	if err := add(); err != nil {
		return fmt.Errorf("add %q: %w", e.Path, err)
	}
	return nil
}

// Reuse takes an entry whose object is in the repository.
func (s *session) Reuse(ctx context.Context, e cofre.Entry) error {
	reuse := func() error {
		if err := directory.CheckPath(e.Path); err != nil && !(e.Path == "" && e.IsDir()) {
			return err
		}
		if err := s.usable(ctx); err != nil {
			return err
		}
		id, err := object.ParseID(string(e.Object))
		if err != nil {
			return fmt.Errorf("object %q: %w", e.Object, cofre.ErrNotFound)
		}
		if !e.IsDir() {
			if e.Size, err = s.sizeOf(ctx, id, e.Size); err != nil {
				return err
			}
			return s.addFile(e)
		}
		if !snapshotfs.IsDirectoryID(id) {
			return fmt.Errorf("object %q is not that of a directory: %w", e.Object, cofre.ErrNotFound)
		}
		reader, err := s.writer.OpenObject(ctx, id)
		if err != nil {
			return trouble.NotFound("object "+string(e.Object), err)
		}
		defer reader.Close()
		summary, err := directory.ReadSummary(reader)
		if err != nil {
			return trouble.Of("read directory "+string(e.Object), err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.tree.AddDir(e, &summary)
	}
	if err := reuse(); err != nil {
		return fmt.Errorf("reuse %q: %w", e.Path, err)
	}
	return nil
}

// sizeOf proves that the first content of an object is there and returns the object's size. known is believed
// for an object of many contents, whose list would have to be read; publish proves all of them anyway.
func (s *session) sizeOf(ctx context.Context, id object.ID, known int64) (int64, error) {
	first := id
	for {
		inner, ok := first.IndexObjectID()
		if !ok {
			break
		}
		first = inner
	}
	cid, _, _ := first.ContentID()
	info, err := s.writer.ContentInfo(ctx, cid)
	if err != nil {
		return 0, trouble.NotFound("object "+id.String(), err)
	}
	if info.Deleted {
		// Garbage collection has marked it; what holds it may be gone at any moment.
		return 0, fmt.Errorf("object %s is about to be pruned: %w", id, cofre.ErrNotFound)
	}
	if first == id {
		return int64(info.OriginalLength), nil
	}
	if known > 0 {
		return known, nil
	}
	entries, err := s.pieces(ctx, id)
	if err != nil {
		return 0, err
	}
	return lengthOf(entries), nil
}

// pieces returns the contents an object is made of.
func (s *session) pieces(ctx context.Context, id object.ID) ([]object.IndirectObjectEntry, error) {
	if inner, ok := id.IndexObjectID(); ok {
		entries, err := object.LoadIndexObject(ctx, s.writer.ContentManager(), inner)
		if err != nil {
			return nil, trouble.NotFound("object "+id.String(), err)
		}
		return entries, nil
	}
	cid, _, _ := id.ContentID()
	info, err := s.writer.ContentInfo(ctx, cid)
	if err != nil {
		return nil, trouble.NotFound("object "+id.String(), err)
	}
	return []object.IndirectObjectEntry{{Length: int64(info.OriginalLength), Object: id}}, nil
}

func lengthOf(pieces []object.IndirectObjectEntry) int64 {
	if len(pieces) == 0 {
		return 0
	}
	last := pieces[len(pieces)-1]
	return last.Start + last.Length
}

// Store stores an object that is in no tree yet.
func (s *session) Store(ctx context.Context, layout cofre.Layout, r io.Reader) (cofre.ObjectID, int64, error) {
	id, size, err := s.write(ctx, "part", layout, r)
	if err != nil {
		return "", size, fmt.Errorf("store: %w", err)
	}
	return cofre.ObjectID(id.String()), size, nil
}

// Concat takes the concatenation of objects as a file. It writes a list of their contents, as Kopia's own
// ConcatenateObjects does, but reads none of them: Kopia reads each small part to learn its length.
func (s *session) Concat(ctx context.Context, e cofre.Entry, parts []cofre.ObjectID) (cofre.Entry, error) {
	concat := func() (cofre.Entry, error) {
		if !e.Mode.IsRegular() {
			return e, errors.New("only a regular file has bytes")
		}
		if err := directory.CheckPath(e.Path); err != nil {
			return e, err
		}
		if err := s.usable(ctx); err != nil {
			return e, err
		}
		var all []object.IndirectObjectEntry
		for _, part := range parts {
			id, err := object.ParseID(string(part))
			if err != nil {
				return e, fmt.Errorf("part %q: %w", part, cofre.ErrNotFound)
			}
			pieces, err := s.pieces(ctx, id)
			if err != nil {
				return e, err
			}
			start := lengthOf(all)
			for _, p := range pieces {
				if p.Length > 0 {
					p.Start += start
					all = append(all, p)
				}
			}
		}
		size := lengthOf(all)
		if e.Size >= 0 && e.Size != size {
			return e, fmt.Errorf("%d bytes were promised and the parts have %d", e.Size, size)
		}
		id, err := s.writePieces(ctx, e.Path, all)
		if err != nil {
			return e, err
		}
		e.Object, e.Size = cofre.ObjectID(id), size
		return e, s.addFile(e)
	}
	e, err := concat()
	if err != nil {
		return e, fmt.Errorf("concatenate %q: %w", e.Path, err)
	}
	return e, nil
}

func (s *session) writePieces(ctx context.Context, path string, pieces []object.IndirectObjectEntry) (string, error) {
	switch len(pieces) {
	case 0:
		id, _, err := s.write(ctx, path, cofre.LayoutStream, bytes.NewReader(nil))
		return id.String(), err
	case 1:
		return pieces[0].Object.String(), nil
	}
	w := s.writer.NewObjectWriter(ctx, object.WriterOptions{Description: "LIST(" + path + ")", Prefix: directory.IndirectPrefix, Compressor: s.comp, MetadataCompressor: s.comp})
	defer w.Close()
	err := json.NewEncoder(w).Encode(struct {
		Stream  string                       `json:"stream"`
		Entries []object.IndirectObjectEntry `json:"entries"`
	}{directory.IndirectStream, pieces})
	if err != nil {
		return "", trouble.Of("store the list of parts", err)
	}
	id, err := w.Result()
	if err != nil {
		return "", trouble.Of("store the list of parts", err)
	}
	return "I" + id.String(), nil
}

// Finish writes the directories and makes everything durable.
func (s *session) Finish(ctx context.Context) (cofre.Content, error) {
	finish := func() (cofre.Content, error) {
		if err := s.usable(ctx); err != nil {
			return cofre.Content{}, err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = true
		root, summary, err := s.tree.Write(ctx, s.writer, s.comp)
		if err != nil {
			return cofre.Content{}, trouble.Of("write directories", err)
		}
		s.tree = nil
		if err := s.repo.flush(ctx, s.writer); err != nil {
			return cofre.Content{}, trouble.Of("flush", err)
		}
		return cofre.Content{
			Root: cofre.ObjectID(root.String()), Entries: directory.EntriesBelow(summary), Bytes: summary.TotalFileSize, Stored: s.stored.Load(),
		}, nil
	}
	c, err := finish()
	if err != nil {
		return cofre.Content{}, fmt.Errorf("finish the capture of %s %s: %w", s.source.Kind, s.source.Name, err)
	}
	return c, nil
}

// Close releases the session. If it was given up before Finish, what it has written is flushed, so that the
// next capture of the same bytes need not store them again; that this fails is no error of giving up. A store that
// has just failed is not waited for once more.
func (s *session) Close(ctx context.Context) error {
	s.stopFlushing()
	s.flushing.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writer == nil {
		return nil
	}
	_, failure := s.repo.blobs.FailedSince(s.failures)
	if !s.ended && s.failed == nil && failure == nil {
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		_ = s.repo.flush(bounded, s.writer)
	}
	s.ended, s.tree = true, nil
	err := s.writer.Close(ctx)
	s.writer = nil
	if err != nil {
		return trouble.Of("close session", err)
	}
	return nil
}
