package repositorytest

import (
	"context"
	"io"
	"iter"
	"sync"
	"testing"

	"github.com/trustlayer/cofre"
)

// Operation is a call that can be made to fail.
type Operation string

// The operations. OpRead is one Read of a file that Tree.Open returned.
const (
	OpBegin   Operation = "Begin"
	OpTree    Operation = "Tree"
	OpPoints  Operation = "Points"
	OpPublish Operation = "Publish"
	OpExpire  Operation = "Expire"
	OpVerify  Operation = "Verify"
	OpStats   Operation = "Stats"
	OpPut     Operation = "Put"
	OpAdd     Operation = "Add"
	OpReuse   Operation = "Reuse"
	OpStore   Operation = "Store"
	OpConcat  Operation = "Concat"
	OpFinish  Operation = "Finish"
	OpClose   Operation = "Close" // of a session
	OpStat    Operation = "Stat"
	OpList    Operation = "List"
	OpOpen    Operation = "Open"
	OpRead    Operation = "Read"
)

// Fault makes an operation fail with Err instead of being carried out.
type Fault struct {
	Op     Operation
	Path   string // of the entry; empty means any
	After  int    // how many calls succeed first
	Repeat int    // how many calls fail after the first failure; -1 means all of them
	Err    error
}

// Faulty returns repo with faults built into it. The test fails at its end if a fault never happened: what it
// was to show has then not been shown.
func Faulty(t testing.TB, repo cofre.Repository, faults ...Fault) cofre.Repository {
	t.Helper()
	f := &faultyRepository{Repository: repo, set: &faultSet{faults: faults, calls: make([]int, len(faults))}}
	t.Cleanup(func() {
		f.set.mu.Lock()
		defer f.set.mu.Unlock()
		for i, fault := range faults {
			if f.set.calls[i] <= fault.After {
				t.Errorf("the fault of %s %q never happened: %d calls, and it was to happen after %d", fault.Op, fault.Path, f.set.calls[i], fault.After)
			}
		}
	})
	return f
}

// Watched returns repo with check asked before each operation on it, its sessions, trees and files. What check returns is the answer, and
// the operation is then not carried out.
func Watched(repo cofre.Repository, check func(op Operation, path string) error) cofre.Repository {
	return &faultyRepository{Repository: repo, set: &faultSet{watch: check}}
}

// WatchedSession is Watched for one session.
func WatchedSession(s cofre.Session, check func(op Operation, path string) error) cofre.Session {
	return &faultySession{s, &faultSet{watch: check}}
}

type faultSet struct {
	watch  func(Operation, string) error
	mu     sync.Mutex
	faults []Fault
	calls  []int
}

func (s *faultSet) check(op Operation, path string) error {
	if s.watch != nil {
		return s.watch(op, path)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var failed error
	for i, f := range s.faults {
		if f.Op != op || f.Path != "" && f.Path != path {
			continue
		}
		s.calls[i]++
		n := s.calls[i] - f.After // 1 is the first that fails
		if n >= 1 && (f.Repeat < 0 || n <= 1+f.Repeat) && failed == nil {
			failed = f.Err
		}
	}
	return failed
}

type faultyRepository struct {
	cofre.Repository
	set *faultSet
}

func (r *faultyRepository) Begin(ctx context.Context, id cofre.SourceID) (cofre.Session, error) {
	if err := r.set.check(OpBegin, ""); err != nil {
		return nil, err
	}
	s, err := r.Repository.Begin(ctx, id)
	if err != nil {
		return nil, err
	}
	return &faultySession{s, r.set}, nil
}

func (r *faultyRepository) Tree(ctx context.Context, root cofre.ObjectID) (cofre.Tree, error) {
	if err := r.set.check(OpTree, ""); err != nil {
		return nil, err
	}
	t, err := r.Repository.Tree(ctx, root)
	if err != nil {
		return nil, err
	}
	return &faultyTree{t, r.set}, nil
}

func (r *faultyRepository) Points(ctx context.Context) iter.Seq2[cofre.RecoveryPoint, error] {
	if err := r.set.check(OpPoints, ""); err != nil {
		return func(yield func(cofre.RecoveryPoint, error) bool) { yield(cofre.RecoveryPoint{}, err) }
	}
	return r.Repository.Points(ctx)
}

func (r *faultyRepository) Publish(ctx context.Context, p cofre.RecoveryPoint) error {
	if err := r.set.check(OpPublish, ""); err != nil {
		return err
	}
	return r.Repository.Publish(ctx, p)
}

func (r *faultyRepository) Expire(ctx context.Context, what ...cofre.Expiry) ([]cofre.Expired, error) {
	if err := r.set.check(OpExpire, ""); err != nil {
		return nil, err
	}
	return r.Repository.Expire(ctx, what...)
}

func (r *faultyRepository) Verify(ctx context.Context, points []cofre.RecoveryPoint, how cofre.Verification) iter.Seq2[cofre.Finding, error] {
	if err := r.set.check(OpVerify, ""); err != nil {
		return func(yield func(cofre.Finding, error) bool) { yield(cofre.Finding{}, err) }
	}
	return r.Repository.Verify(ctx, points, how)
}

func (r *faultyRepository) Stats(ctx context.Context) (cofre.RepositoryStats, error) {
	if err := r.set.check(OpStats, ""); err != nil {
		return cofre.RepositoryStats{}, err
	}
	return r.Repository.Stats(ctx)
}

type faultySession struct {
	cofre.Session
	set *faultSet
}

func (s *faultySession) Put(ctx context.Context, e cofre.Entry, r io.Reader) (cofre.Entry, error) {
	if err := s.set.check(OpPut, e.Path); err != nil {
		return e, err
	}
	return s.Session.Put(ctx, e, r)
}

func (s *faultySession) Add(ctx context.Context, e cofre.Entry) error {
	if err := s.set.check(OpAdd, e.Path); err != nil {
		return err
	}
	return s.Session.Add(ctx, e)
}

func (s *faultySession) Reuse(ctx context.Context, e cofre.Entry) error {
	if err := s.set.check(OpReuse, e.Path); err != nil {
		return err
	}
	return s.Session.Reuse(ctx, e)
}

func (s *faultySession) Store(ctx context.Context, l cofre.Layout, r io.Reader) (cofre.ObjectID, int64, error) {
	if err := s.set.check(OpStore, ""); err != nil {
		return "", 0, err
	}
	return s.Session.Store(ctx, l, r)
}

func (s *faultySession) Concat(ctx context.Context, e cofre.Entry, parts []cofre.ObjectID) (cofre.Entry, error) {
	if err := s.set.check(OpConcat, e.Path); err != nil {
		return e, err
	}
	return s.Session.Concat(ctx, e, parts)
}

func (s *faultySession) Finish(ctx context.Context) (cofre.Content, error) {
	if err := s.set.check(OpFinish, ""); err != nil {
		return cofre.Content{}, err
	}
	return s.Session.Finish(ctx)
}

func (s *faultySession) Close(ctx context.Context) error {
	// The session itself is closed whatever the fault says: the fault is in the answer.
	err := s.Session.Close(ctx)
	if fault := s.set.check(OpClose, ""); fault != nil {
		return fault
	}
	return err
}

type faultyTree struct {
	cofre.Tree
	set *faultSet
}

func (t *faultyTree) Stat(ctx context.Context, path string) (cofre.Entry, error) {
	if err := t.set.check(OpStat, path); err != nil {
		return cofre.Entry{}, err
	}
	return t.Tree.Stat(ctx, path)
}

func (t *faultyTree) List(ctx context.Context, dir string) iter.Seq2[cofre.Entry, error] {
	if err := t.set.check(OpList, dir); err != nil {
		return func(yield func(cofre.Entry, error) bool) { yield(cofre.Entry{}, err) }
	}
	return t.Tree.List(ctx, dir)
}

func (t *faultyTree) Open(ctx context.Context, path string) (io.ReadSeekCloser, error) {
	if err := t.set.check(OpOpen, path); err != nil {
		return nil, err
	}
	f, err := t.Tree.Open(ctx, path)
	if err != nil {
		return nil, err
	}
	return &faultyFile{f, path, t.set}, nil
}

type faultyFile struct {
	io.ReadSeekCloser
	path string
	set  *faultSet
}

func (f *faultyFile) Read(p []byte) (int, error) {
	if err := f.set.check(OpRead, f.path); err != nil {
		return 0, err
	}
	return f.ReadSeekCloser.Read(p)
}
