package logical

import (
	"io"
	"sync/atomic"

	"github.com/trustlayer/cofre"
)

// progress tells an observer how far a task is, not more often than a person can see.
type progress struct {
	obs   cofre.Observer
	task  string
	total int64
	done  atomic.Int64
	told  atomic.Int64
}

func (p *progress) begin() {
	p.obs.Observe(cofre.Event{Type: cofre.TypeTaskBegan, Task: p.task, Total: p.total, Unit: cofre.UnitBytes})
}

func (p *progress) end(err error) {
	p.obs.Observe(cofre.Event{Type: cofre.TypeTaskEnded, Task: p.task, Done: p.done.Load(), Total: p.total, Unit: cofre.UnitBytes, Err: err})
}

// step is how many bytes pass between two events.
const step = 4 << 20

func (p *progress) add(n int64, item string) {
	done := p.done.Add(n)
	if told := p.told.Load(); done-told >= step && p.told.CompareAndSwap(told, done) {
		p.obs.Observe(cofre.Event{Type: cofre.TypeTaskProgress, Task: p.task, Item: item, Done: done, Total: p.total, Unit: cofre.UnitBytes})
	}
}

func (p *progress) reader(r io.Reader, item string) io.Reader { return &progressReader{r, p, item} }

type progressReader struct {
	r    io.Reader
	p    *progress
	item string
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.p.add(int64(n), r.item)
	return n, err
}
