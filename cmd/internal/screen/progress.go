package screen

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/internal/words"
)

// Follow returns an observer that shows events on stderr, until EndProgress.
func (s *Screen) Follow(ctx context.Context) cofre.Observer {
	s.drawn = &progress{
		context: context.WithoutCancel(ctx), stderr: s.Err, draws: !s.Quiet && edge.IsTerminal(s.Err),
		lines: &lines{w: s.Err, width: edge.TerminalWidth(s.Err), quiet: s.Quiet, began: map[task]time.Time{}, screen: s},
	}
	return s.drawn
}

// EndProgress takes the bars off the screen, so that a result can be printed.
func (s *Screen) EndProgress() {
	if s.drawn != nil {
		s.drawn.end()
	}
}

// progress shows events. On a terminal it draws bars from the first task on; in a pipe it says a line for each stretch of work
// that ended; with --quiet only warnings are left.
type progress struct {
	context context.Context //nolint:containedctx // of the bars, which live as long as the screen
	stderr  io.Writer
	draws   bool
	lines   *lines

	mu   sync.Mutex
	bars *bars // nil before the first task
}

func (s *progress) Observe(e cofre.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars == nil && s.draws && e.Type == cofre.TypeTaskBegan {
		p := mpb.NewWithContext(s.context, mpb.WithOutput(edge.Raw(s.stderr)), mpb.WithWidth(40))
		s.bars = &bars{lines: s.lines, progress: p, running: map[task]*bar{}, fit: fitting(edge.Width(s.stderr))}
		s.lines.to(edge.Printable(p)) // what is said appears above the bars
	}
	if s.bars != nil {
		s.bars.Observe(e)
		return
	}
	s.lines.Observe(e)
}

// end takes the bars off the screen.
func (s *progress) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars == nil {
		return
	}
	s.bars.end()
	s.bars = nil
	s.lines.to(s.stderr)
}

// task is one stretch of work of one source.
type task struct {
	source cofre.SourceID
	name   string
}

func taskOf(e cofre.Event) task { return task{e.Source, e.Task} }

// task is the name of a stretch of work for a person.
func (s *Screen) task(t task, e cofre.Event) string {
	name := s.Beside(t.name, e.Messages)
	switch {
	case t.source.Kind == "":
		return name
	case t.source.Name == "" || t.source.Name == string(t.source.Kind):
		return fmt.Sprintf("%s: %s", t.source.Kind, name)
	}
	return t.source.Label() + ": " + name
}

// told remembers the warnings of a call: an adapter tells of one when it happens, and the point or the plan has it again.
type told struct {
	mu   sync.Mutex
	seen map[string]bool
}

// first reports whether a text is told for the first time.
func (t *told) first(text string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen[text] {
		return false
	}
	if t.seen == nil {
		t.seen = map[string]bool{}
	}
	t.seen[text] = true
	return true
}

// lines is the observer of a pipe or a log.
type lines struct {
	mu     sync.Mutex
	w      io.Writer
	width  int // of the terminal, also behind the bars; 0 if it is none
	quiet  bool
	began  map[task]time.Time
	screen *Screen
}

func (l *lines) to(w io.Writer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w = w
}

func (l *lines) Observe(e cofre.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := taskOf(e)
	switch e.Type {
	case cofre.TypeTaskBegan:
		l.began[t] = time.Now()
	case cofre.TypeTaskEnded:
		if e.Err == nil && !l.quiet {
			fmt.Fprintf(l.w, "%s%s%s\n", l.screen.task(t, e), l.amount(e), l.since(t))
		}
		delete(l.began, t)
	case cofre.TypeWarning:
		if l.screen.told.first(about(e, e.Text)) {
			edge.SayWithin(l.w, l.width, l.screen.Word(warning()), about(e, l.screen.Beside(e.Text, e.Messages)))
		}
	case cofre.TypeNote:
		if !l.quiet {
			edge.SayWithin(l.w, l.width, l.screen.Word(note()), about(e, l.screen.Beside(e.Text, e.Messages)))
		}
	}
	if !l.quiet {
		l.tell(e.Fact)
	}
}

// tell says those facts that a person follows as they happen.
func (l *lines) tell(fact cofre.Fact) {
	switch f := fact.(type) {
	case cofre.InstallationAssumed:
		l.screen.Line(l.w, cofre.Say("progress.only_installation", "installation {{.name}}: the only one in the repository (the configuration has no name)", "name", f.Name))
	case cofre.RecoveryChosen:
		if l.screen.JSON {
			return
		}
		l.screen.Line(l.w, cofre.Say("recovery.target", "recovery target: {{.target}}{{.local}}", "target", f.Target, "local", l.screen.Echo(f.Target.At)))
		if f.Stop != 0 {
			l.screen.Line(l.w, cofre.SayN("recovery.reached", f.Segments, "reached at LSN {{.lsn}} on timeline {{.timeline}}, with {{.n}} WAL segment", "reached at LSN {{.lsn}} on timeline {{.timeline}}, with {{.n}} WAL segments", "lsn", f.Stop, "timeline", f.Timeline))
		}
	case cofre.HookBegan:
		fmt.Fprintf(l.w, "hooks.%s[%d]\n", f.When, f.N)
	}
}

func (l *lines) since(t task) string {
	began, ok := l.began[t]
	if !ok {
		return ""
	}
	return " " + l.screen.Text(cofre.Say("progress.in", "in {{.time}}", "time", words.Took(time.Since(began))))
}

func about(e cofre.Event, text string) string {
	if e.Source.Kind == "" {
		return text
	}
	return e.Source.Label() + ": " + text
}

func (l *lines) amount(e cofre.Event) string {
	switch {
	case e.Done == 0:
		return ""
	case e.Unit == cofre.UnitBytes:
		return ", " + l.screen.Size(e.Done)
	}
	return ", " + l.screen.Count(e.Done)
}

// bars is the observer of a terminal: one bar for each task under way.
type bars struct {
	*lines
	progress *mpb.Progress
	fit      fit
	barsMu   sync.Mutex
	running  map[task]*bar
}

// fit is how many columns of a line the name of a task, its bar and the item at hand may have. What else is on the line, the part
// that is done and the counters, takes 30.
type fit struct{ name, bar, item int }

func fitting(columns int) fit {
	left := max(columns-30, 8)
	switch {
	case left < 30: // a narrow terminal: the numbers say it
		return fit{name: left}
	case left < 60:
		return fit{name: left / 2, bar: left - left/2 - 2}
	}
	return fit{name: 30, bar: 20, item: min(left-54, 40)}
}

type bar struct {
	*mpb.Bar
	mu   sync.Mutex
	item string
	at   cofre.Event // the newest
}

// counted is how much is done, of how much if that is known.
func (d *bar) counted(s *Screen) string {
	count := s.Count
	if d.at.Unit == cofre.UnitBytes {
		count = s.Size
	}
	switch {
	case d.at.Total > 0:
		return " " + count(d.at.Done) + " / " + count(d.at.Total)
	case d.at.Done > 0:
		return " " + count(d.at.Done)
	}
	return ""
}

func (b *bars) Observe(e cofre.Event) {
	t := taskOf(e)
	b.barsMu.Lock()
	current := b.running[t]
	switch e.Type {
	case cofre.TypeTaskBegan:
		if current == nil {
			b.running[t] = b.draw(t, e)
		}
	case cofre.TypeTaskEnded:
		delete(b.running, t)
	}
	b.barsMu.Unlock()
	if current != nil {
		current.observe(e)
	}
	b.lines.Observe(e)
}

func (b *bars) draw(t task, e cofre.Event) *bar {
	drawn := &bar{item: e.Item, at: e}
	options := []mpb.BarOption{
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(head(b.screen.task(t, e), b.fit.name)+" "), decor.Percentage(decor.WC{W: 5})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			drawn.mu.Lock()
			defer drawn.mu.Unlock()
			return drawn.counted(b.screen) + " " + tail(drawn.item, b.fit.item)
		})),
	}
	if b.fit.bar == 0 {
		drawn.Bar = b.progress.New(e.Total, mpb.NopStyle(), options...)
		return drawn
	}
	drawn.Bar = b.progress.AddBar(e.Total, append(options, mpb.BarWidth(b.fit.bar))...)
	return drawn
}

// head is the beginning of a name that is too long.
func head(name string, longest int) string {
	runes := []rune(name)
	if len(runes) <= longest {
		return name
	}
	return string(runes[:longest-1]) + "…"
}

// tail is the end of an item that is too long for a line: of a path, the end says more.
func tail(item string, longest int) string {
	runes := []rune(item)
	switch {
	case len(runes) <= longest:
		return item
	case longest < 8:
		return ""
	}
	return "…" + string(runes[len(runes)-longest+1:])
}

func (d *bar) observe(e cofre.Event) {
	switch e.Type {
	case cofre.TypeTaskProgress:
		d.mu.Lock()
		d.item, d.at = e.Item, e
		d.mu.Unlock()
		if e.Total > 0 {
			d.SetTotal(max(e.Total, e.Done+1), false) // a bar that reaches its total is taken for finished
		}
		d.SetCurrent(e.Done)
	case cofre.TypeTaskEnded:
		if e.Err != nil {
			d.Abort(true)
			return
		}
		d.SetCurrent(e.Done)
		d.SetTotal(-1, true) // it is drawn once more, as whole
	}
}

// end takes the bars of tasks that never ended off the screen, and waits until the last line is drawn.
func (b *bars) end() {
	b.barsMu.Lock()
	for _, d := range b.running {
		d.Abort(true)
	}
	clear(b.running)
	b.barsMu.Unlock()
	b.progress.Wait()
}
