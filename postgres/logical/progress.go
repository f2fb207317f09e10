package logical

import (
	"io"
	"sync/atomic"

	"github.com/trustlayer/cofre"
)

// Progress tells an observer how far a task is, not more often than a person can see.
type Progress struct {
	Observer cofre.Observer
	Task     cofre.Message
	Total    int64
	done     atomic.Int64
	told     atomic.Int64
}

// Begin says that the task has begun.
func (p *Progress) Begin() {
	p.Observer.Observe(cofre.Event{Type: cofre.TypeTaskBegan, Total: p.Total, Unit: cofre.UnitBytes}.Doing(p.Task))
}

// End says that it has ended, and how.
func (p *Progress) End(err error) {
	p.Observer.Observe(cofre.Event{Type: cofre.TypeTaskEnded, Done: p.done.Load(), Total: p.Total, Unit: cofre.UnitBytes, Err: err}.Doing(p.Task))
}

// step is how many bytes pass between two events.
const step = 4 << 20

// Add counts n more bytes, of item. It may be called by several goroutines.
func (p *Progress) Add(n int64, item string) {
	done := p.done.Add(n)
	if told := p.told.Load(); done-told >= step && p.told.CompareAndSwap(told, done) {
		p.Observer.Observe(cofre.Event{Type: cofre.TypeTaskProgress, Item: item, Done: done, Total: p.Total, Unit: cofre.UnitBytes}.Doing(p.Task))
	}
}

// Reader counts what is read through it.
func (p *Progress) Reader(r io.Reader, item string) io.Reader { return &progressReader{r, p, item} }

type progressReader struct {
	r    io.Reader
	p    *Progress
	item string
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.p.Add(int64(n), r.item)
	return n, err
}
