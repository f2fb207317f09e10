package repositorytest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
)

// Memory is a cofre.Repository that lives as long as the process. Equal bytes are stored once. Two handles on
// one Memory behave as two processes on one repository.
type Memory struct {
	mu     sync.Mutex
	blobs  map[cofre.ObjectID][]byte   // files and link targets, by hash
	dirs   map[cofre.ObjectID]*listing // directories, by hash of what they list
	points map[cofre.PointID][]byte    // as JSON: what does not survive the format does not survive here
}

// listing is a directory as it is kept: children with Path set to their name alone.
type listing struct {
	children []cofre.Entry // in byte order of names
	entries  int64         // everything below, itself not counted
	bytes    int64
}

var _ cofre.Repository = (*Memory)(nil)

// NewMemory returns an empty repository.
func NewMemory() *Memory {
	return &Memory{
		blobs:  map[cofre.ObjectID][]byte{},
		dirs:   map[cofre.ObjectID]*listing{},
		points: map[cofre.PointID][]byte{},
	}
}

// Begin starts a capture.
func (m *Memory) Begin(ctx context.Context, _ cofre.SourceID) (cofre.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return &memorySession{repo: m, entries: map[string]cofre.Entry{}, parents: map[string]bool{}}, nil
}

// Tree opens a finished capture.
func (m *Memory) Tree(ctx context.Context, root cofre.ObjectID) (cofre.Tree, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, err := m.listing(root); err != nil {
		return nil, err
	}
	return &memoryTree{repo: m, root: root}, nil
}

// Points yields the published points, oldest first.
func (m *Memory) Points(ctx context.Context) iter.Seq2[cofre.RecoveryPoint, error] {
	return func(yield func(cofre.RecoveryPoint, error) bool) {
		m.mu.Lock()
		encoded := slices.Collect(maps.Values(m.points))
		m.mu.Unlock()
		points := make([]cofre.RecoveryPoint, len(encoded))
		for i, b := range encoded {
			if err := json.Unmarshal(b, &points[i]); err != nil {
				yield(cofre.RecoveryPoint{}, err)
				return
			}
		}
		slices.SortFunc(points, func(a, b cofre.RecoveryPoint) int {
			return cmp.Or(a.StartedAt.Compare(b.StartedAt), cmp.Compare(a.ID, b.ID))
		})
		for _, p := range points {
			if err := ctx.Err(); err != nil {
				yield(cofre.RecoveryPoint{}, err)
				return
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// Publish makes p visible if everything it refers to is there.
func (m *Memory) Publish(ctx context.Context, p cofre.RecoveryPoint) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, c := range p.Components {
		for _, f := range m.examine(c, cofre.LevelStructure) {
			return fmt.Errorf("publish %s: %s: %w", p.ID, f.What, cofre.ErrCorrupt)
		}
	}
	b, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("publish %s: %w", p.ID, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.points[p.ID] != nil {
		return fmt.Errorf("publish %s: %w", p.ID, cofre.ErrExists)
	}
	m.points[p.ID] = b
	return nil
}

// Expire takes components, or points, out of the catalog.
func (m *Memory) Expire(ctx context.Context, what ...cofre.Expiry) ([]cofre.Expired, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	points := maps.Clone(m.points)
	var expired []cofre.Expired
	for _, e := range what {
		var p cofre.RecoveryPoint
		if points[e.Point] == nil {
			return nil, fmt.Errorf("expire %s: %w", e.Point, cofre.ErrNotFound)
		}
		if err := json.Unmarshal(points[e.Point], &p); err != nil {
			return nil, fmt.Errorf("expire %s: %w", e.Point, err)
		}
		left, gone, err := e.From(p, time.Now())
		if err != nil {
			return nil, fmt.Errorf("expire %s: %w", e.Point, err)
		}
		b, err := json.Marshal(left)
		if err != nil {
			return nil, fmt.Errorf("expire %s: %w", e.Point, err)
		}
		if points[e.Point] = b; gone.Whole {
			delete(points, e.Point)
		}
		expired = append(expired, gone)
	}
	m.points = points
	return expired, nil
}

// Verify checks that what the points refer to is there and, at LevelContent, that it still has its hash.
func (m *Memory) Verify(ctx context.Context, points []cofre.RecoveryPoint, how cofre.Verification) iter.Seq2[cofre.Finding, error] {
	if how.Observer == nil {
		how.Observer = cofre.Discard
	}
	return func(yield func(cofre.Finding, error) bool) {
		for _, p := range points {
			for _, c := range p.Components {
				if err := ctx.Err(); err != nil {
					yield(cofre.Finding{}, err)
					return
				}
				for _, f := range m.examine(c, how.Level) {
					if !yield(f, nil) {
						return
					}
				}
			}
			how.Observer.Observe(cofre.Event{Type: cofre.TypeTaskProgress, Point: p.ID, Unit: cofre.UnitItems}.Doing(cofre.Say("repository.task_verify", "verify repository")))
		}
	}
}

// Damage changes one byte of the stored bytes of an object, so that content verification and reads notice.
// An object without bytes cannot be damaged.
func (m *Memory) Damage(id cofre.ObjectID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := bytes.Clone(m.blobs[id])
	b[0] ^= 1
	m.blobs[id] = b
}

// Lose removes an object, so that structure verification notices.
func (m *Memory) Lose(id cofre.ObjectID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.blobs, id)
	delete(m.dirs, id)
}

// Stats counts what is stored.
func (m *Memory) Stats(context.Context) (cofre.RepositoryStats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := cofre.RepositoryStats{
		URL: "memory:", UniqueID: "memory", Encryption: "none", Hash: "SHA-256", Compression: "none",
		Points: len(m.points), StoredBlobs: int64(len(m.blobs) + len(m.dirs)),
	}
	for _, b := range m.blobs {
		s.StoredBytes += int64(len(b))
	}
	return s, nil
}

// Close does nothing: what is in memory stays for other handles.
func (m *Memory) Close(context.Context) error { return nil }

// examine returns what is wrong with the tree of c.
func (m *Memory) examine(c cofre.Component, level cofre.Level) []cofre.Finding {
	var found []cofre.Finding
	report := func(path, wrong string) {
		found = append(found, cofre.Finding{Check: string(level), Kind: c.Kind, Object: path}.Saying(cofre.Verbatim(wrong)))
	}
	var walk func(dir string, id cofre.ObjectID)
	walk = func(dir string, id cofre.ObjectID) {
		l, err := m.listing(id)
		if err != nil {
			report(dir, fmt.Sprintf("directory %q of %s %s is missing", dir, c.Kind, c.Name))
			return
		}
		for _, e := range l.children {
			path := join(dir, e.Path)
			if e.IsDir() {
				walk(path, e.Object)
				continue
			}
			if e.IsLink() {
				continue
			}
			m.mu.Lock()
			b, ok := m.blobs[e.Object]
			m.mu.Unlock()
			switch {
			case !ok:
				report(path, fmt.Sprintf("content of %q of %s %s is missing", path, c.Kind, c.Name))
			case level != cofre.LevelStructure && hashOf(b) != e.Object:
				report(path, fmt.Sprintf("content of %q of %s %s does not match its hash", path, c.Kind, c.Name))
			}
		}
	}
	walk("", c.Root)
	return found
}

func (m *Memory) listing(id cofre.ObjectID) (*listing, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, ok := m.dirs[id]
	if !ok {
		return nil, fmt.Errorf("open directory object %q: %w", id, cofre.ErrNotFound)
	}
	return l, nil
}

// put stores b and returns its id and how many bytes were new.
func (m *Memory) put(b []byte) (cofre.ObjectID, int64) {
	id := hashOf(b)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.blobs[id]; ok {
		return id, 0
	}
	m.blobs[id] = b
	return id, int64(len(b))
}

func hashOf(b []byte) cofre.ObjectID {
	sum := sha256.Sum256(b)
	return cofre.ObjectID(hex.EncodeToString(sum[:16]))
}

type memorySession struct {
	repo *Memory

	mu      sync.Mutex
	entries map[string]cofre.Entry // by path
	parents map[string]bool        // paths that have entries below them
	stored  int64
	ended   bool
}

func (s *memorySession) Put(ctx context.Context, e cofre.Entry, r io.Reader) (cofre.Entry, error) {
	if !e.Mode.IsRegular() {
		return e, fmt.Errorf("put %q: only a regular file has bytes", e.Path)
	}
	if err := s.usable(ctx, e.Path); err != nil {
		return e, fmt.Errorf("put %q: %w", e.Path, err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return e, fmt.Errorf("put %q: %w", e.Path, err)
	}
	if e.Size >= 0 && e.Size != int64(len(b)) {
		return e, fmt.Errorf("put %q: %d bytes were promised and %d came", e.Path, e.Size, len(b))
	}
	id, stored := s.repo.put(b)
	e.Object, e.Size = id, int64(len(b))
	if err := s.add(e, stored); err != nil {
		return e, fmt.Errorf("put %q: %w", e.Path, err)
	}
	return e, nil
}

func (s *memorySession) Add(ctx context.Context, e cofre.Entry) error {
	if !e.IsDir() && !e.IsLink() {
		return fmt.Errorf("add %q: only a directory or a symbolic link has no bytes", e.Path)
	}
	if err := s.usable(ctx, e.Path); err != nil {
		return fmt.Errorf("add %q: %w", e.Path, err)
	}
	e.Object, e.Size = "", 0
	if e.IsLink() {
		e.Size = int64(len(e.Link))
	}
	if err := s.add(e, 0); err != nil {
		return fmt.Errorf("add %q: %w", e.Path, err)
	}
	return nil
}

func (s *memorySession) Reuse(ctx context.Context, e cofre.Entry) error {
	// The empty path with a directory is the whole tree of another capture.
	if err := s.usable(ctx, e.Path); err != nil && !(e.Path == "" && e.IsDir()) {
		return fmt.Errorf("reuse %q: %w", e.Path, err)
	}
	if e.IsDir() {
		if _, err := s.repo.listing(e.Object); err != nil {
			return fmt.Errorf("reuse %q: %w", e.Path, err)
		}
	} else if !e.IsLink() {
		s.repo.mu.Lock()
		b, ok := s.repo.blobs[e.Object]
		s.repo.mu.Unlock()
		if !ok {
			return fmt.Errorf("reuse %q: object %q: %w", e.Path, e.Object, cofre.ErrNotFound)
		}
		e.Size = int64(len(b))
	}
	if err := s.add(e, 0); err != nil {
		return fmt.Errorf("reuse %q: %w", e.Path, err)
	}
	return nil
}

func (s *memorySession) Store(ctx context.Context, _ cofre.Layout, r io.Reader) (cofre.ObjectID, int64, error) {
	if err := ctx.Err(); err != nil {
		return "", 0, err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return "", 0, fmt.Errorf("store: %w", err)
	}
	id, stored := s.repo.put(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return "", 0, errEnded
	}
	s.stored += stored
	return id, int64(len(b)), nil
}

func (s *memorySession) Concat(ctx context.Context, e cofre.Entry, parts []cofre.ObjectID) (cofre.Entry, error) {
	var all []byte
	for _, p := range parts {
		s.repo.mu.Lock()
		b, ok := s.repo.blobs[p]
		s.repo.mu.Unlock()
		if !ok {
			return e, fmt.Errorf("concatenate %q: part %q: %w", e.Path, p, cofre.ErrNotFound)
		}
		all = append(all, b...)
	}
	return s.Put(ctx, e, bytes.NewReader(all))
}

func (s *memorySession) Finish(ctx context.Context) (cofre.Content, error) {
	if err := ctx.Err(); err != nil {
		return cofre.Content{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return cofre.Content{}, errEnded
	}
	s.ended = true
	children := map[string][]cofre.Entry{}
	for path := range s.entries {
		for path != "" {
			path = parent(path)
			if _, ok := s.entries[path]; !ok {
				s.entries[path] = cofre.Entry{Path: path, Mode: 0o755 | fs.ModeDir}
			}
		}
	}
	if _, ok := s.entries[""]; !ok {
		s.entries[""] = cofre.Entry{Mode: 0o755 | fs.ModeDir}
	}
	for path, e := range s.entries {
		if path != "" {
			children[parent(path)] = append(children[parent(path)], e)
		}
	}
	root, err := s.seal("", children)
	if err != nil {
		return cofre.Content{}, fmt.Errorf("finish: %w", err)
	}
	l, err := s.repo.listing(root)
	if err != nil {
		return cofre.Content{}, err
	}
	return cofre.Content{Root: root, Entries: l.entries, Bytes: l.bytes, Stored: s.stored}, nil
}

// seal stores the directory at path, and before it everything below.
func (s *memorySession) seal(path string, children map[string][]cofre.Entry) (cofre.ObjectID, error) {
	e := s.entries[path]
	if e.Object != "" { // reused whole
		return e.Object, nil
	}
	l := &listing{}
	for _, c := range children[path] {
		l.entries++
		if c.IsDir() {
			id, err := s.seal(c.Path, children)
			if err != nil {
				return "", err
			}
			below, err := s.repo.listing(id)
			if err != nil {
				return "", err
			}
			c.Object = id
			l.entries += below.entries
			l.bytes += below.bytes
		} else if c.Mode.IsRegular() {
			l.bytes += c.Size
		}
		c.Path = name(c.Path)
		c.ModTime = c.ModTime.UTC().Round(0)
		c.Layout = 0
		l.children = append(l.children, c)
	}
	slices.SortFunc(l.children, func(a, b cofre.Entry) int { return cmp.Compare(a.Path, b.Path) })
	b, err := json.Marshal(l.children)
	if err != nil {
		return "", err
	}
	id := "d" + hashOf(b)
	s.repo.mu.Lock()
	defer s.repo.mu.Unlock()
	s.repo.dirs[id] = l
	return id, nil
}

func (s *memorySession) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return nil
}

func (s *memorySession) usable(ctx context.Context, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for segment := range strings.SplitSeq(path, "/") {
		if segment == "" || segment == "." || segment == ".." || strings.Contains(segment, "\x00") {
			return errPath
		}
	}
	return nil
}

// add takes e into the tree. A path is taken once; a directory that is only implied may still be added.
func (s *memorySession) add(e cofre.Entry, stored int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return errEnded
	}
	if _, ok := s.entries[e.Path]; ok {
		return cofre.ErrExists
	}
	for p := e.Path; p != ""; {
		p = parent(p)
		if above, ok := s.entries[p]; ok && (!above.IsDir() || above.Object != "") {
			return fmt.Errorf("%q is not a directory of this capture: %w", p, cofre.ErrExists)
		}
	}
	if !e.IsDir() || e.Object != "" {
		if s.parents[e.Path] {
			return fmt.Errorf("there are entries below it: %w", cofre.ErrExists)
		}
	}
	for p := e.Path; p != ""; {
		p = parent(p)
		s.parents[p] = true
	}
	s.entries[e.Path] = e
	s.stored += stored
	return nil
}

type memoryTree struct {
	repo *Memory
	root cofre.ObjectID
}

// rowKey is that of each repository in memory.
func rowKey() (cofre.RowKey, error) {
	return cofre.NewRowKey([]byte("the rows of repositories in mem."))
}

func (t *memoryTree) RowKey() (cofre.RowKey, error) { return rowKey() }

func (s *memorySession) RowKey() (cofre.RowKey, error) { return rowKey() }

func (t *memoryTree) Stat(ctx context.Context, path string) (cofre.Entry, error) {
	if err := ctx.Err(); err != nil {
		return cofre.Entry{}, err
	}
	e := cofre.Entry{Mode: 0o755 | fs.ModeDir, Object: t.root}
	if path == "" {
		return e, nil
	}
	for segment := range strings.SplitSeq(path, "/") {
		if !e.IsDir() {
			return cofre.Entry{}, fmt.Errorf("stat %q: %w", path, cofre.ErrNotFound)
		}
		l, err := t.repo.listing(e.Object)
		if err != nil {
			return cofre.Entry{}, fmt.Errorf("stat %q: %w", path, err)
		}
		i, ok := slices.BinarySearchFunc(l.children, segment, func(c cofre.Entry, n string) int { return cmp.Compare(c.Path, n) })
		if !ok {
			return cofre.Entry{}, fmt.Errorf("stat %q: %w", path, cofre.ErrNotFound)
		}
		e = l.children[i]
	}
	e.Path = path
	return e, nil
}

func (t *memoryTree) List(ctx context.Context, dir string) iter.Seq2[cofre.Entry, error] {
	return func(yield func(cofre.Entry, error) bool) {
		e, err := t.Stat(ctx, dir)
		if err == nil && !e.IsDir() {
			err = fmt.Errorf("list %q: not a directory: %w", dir, cofre.ErrNotFound)
		}
		if err != nil {
			yield(cofre.Entry{}, err)
			return
		}
		l, err := t.repo.listing(e.Object)
		if err != nil {
			yield(cofre.Entry{}, err)
			return
		}
		for _, c := range l.children {
			c.Path = join(dir, c.Path)
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (t *memoryTree) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	e, err := t.Stat(ctx, path)
	if err != nil {
		return nil, err
	}
	if !e.Mode.IsRegular() {
		return nil, fmt.Errorf("open %q: not a regular file: %w", path, cofre.ErrNotFound)
	}
	t.repo.mu.Lock()
	b, ok := t.repo.blobs[e.Object]
	t.repo.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("open %q: content is missing: %w", path, cofre.ErrCorrupt)
	}
	return &memoryFile{Reader: bytes.NewReader(b), path: path, intact: hashOf(b) == e.Object}, nil
}

// memoryFile reads bytes, or refuses them all if they changed since they were stored.
type memoryFile struct {
	*bytes.Reader
	path   string
	intact bool
}

func (f *memoryFile) Read(p []byte) (int, error) {
	if !f.intact {
		return 0, fmt.Errorf("read %q: %w", f.path, cofre.ErrCorrupt)
	}
	return f.Reader.Read(p)
}

// WriteTo keeps io.Copy from going around the check in Read.
func (f *memoryFile) WriteTo(w io.Writer) (int64, error) {
	if !f.intact {
		return 0, fmt.Errorf("read %q: %w", f.path, cofre.ErrCorrupt)
	}
	return f.Reader.WriteTo(w)
}

func (f *memoryFile) Close() error { return nil }

var (
	errEnded = errors.New("the session has ended")
	errPath  = errors.New("a path is relative, without empty, . or .. segments")
)

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

func parent(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}

func name(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
