package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/internal/language"
	"github.com/trustlayer/cofre/internal/systemd"
	"github.com/trustlayer/cofre/notify"
)

// Options say what an agent needs of its process. Load must be set.
type Options struct {
	// Load reads the configuration: once when the agent starts, and at each Reload.
	Load func() (*config.Config, error)
	// Reload has the configuration read again at each value; nil never.
	Reload <-chan struct{}
	// Listen is the address of /metrics, /livez and /readyz; empty listens nowhere.
	Listen string
	// Listening is told the address that is listened at; nil is told nothing.
	Listening func(net.Addr)
	// For ends the agent after that time; 0 never.
	For time.Duration
	// Version is written into recovery points as the program that made them.
	Version string
	// Observer is told what the agent does, and every event of what it has done; nil is told nothing.
	Observer cofre.Observer
	// Manager is the service manager; the zero Manager is none.
	Manager systemd.Manager

	// Language is that of those who are told, if the configuration names none.
	Language language.Language
	// Recipient makes the service of one who is told; nil is notify.Recipient.Open.
	Recipient func(notify.Recipient) (notify.Service, error)

	// Now is the clock on the wall; nil is the machine's.
	Now func() time.Time
	// With makes what does the work of a configuration; nil is an installation of it.
	With func(*config.Config, cofre.Observer) Hands
}

// Bounds that an agent keeps.
const (
	// StopBound is how long what runs may take to end cleanly once the agent is to stop.
	StopBound = time.Minute
	// Limit is how long a run may take if the configuration does not say.
	Limit = 24 * time.Hour
	// tick is how long the agent looks at nothing, at most: after a clock was set, it notices that by then.
	tick = 30 * time.Second
	// again is when what another holds, or what could not be read, is looked at again.
	again = 30 * time.Second
	// hung is how long after its limit a run may take to end before it is said that it does not.
	hung = time.Minute
	// silent is how long the loop may say nothing before the agent is not alive.
	silent = 5 * time.Minute
)

// errLimit ends a run that takes too long.
var errLimit = cofre.Fail(cofre.Say("agent.limit", "it took longer than serve.limit lets a run take, and was ended"))

// Run does what the configuration says until ctx ends, or Options.For has passed; then it ends what runs, and returns. What was ended so is
// in the journal as interrupted, and is begun again by the next agent.
//
// Errors: those of the first Load and of listening; one that says what did not end within StopBound. To be told to stop is none.
func Run(ctx context.Context, o Options) error {
	a := &agent{o: o, jobs: map[string]*job{}, events: make(chan func(), 16), wake: make(chan struct{}, 1)}
	if a.o.Now == nil {
		a.o.Now = time.Now
	}
	if a.o.Observer == nil {
		a.o.Observer = cofre.Discard
	}
	if a.o.With == nil {
		a.o.With = func(cfg *config.Config, _ cofre.Observer) Hands { return &product{cfg: cfg, version: o.Version} }
	}
	cfg, err := o.Load()
	if err != nil {
		return err
	}
	stopListening, err := a.listen(ctx)
	if err != nil {
		return err
	}
	defer stopListening()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if o.For > 0 {
		over := time.AfterFunc(o.For, func() { cancel(cofre.ErrInterrupted) })
		defer over.Stop()
	}
	a.take(ctx, cfg)
	a.o.Manager.Ready(a.status())
	a.tell(cofre.Event{}, cofre.Say("agent.started", "the agent of {{.installation}} has started: {{.jobs}}", "installation", cfg.Name, "jobs", a.names()))
	a.loop(ctx)
	a.o.Manager.Stopping()
	return a.stop(cancel)
}

// agent is one that runs. What is not said to be guarded belongs to the loop.
type agent struct {
	o    Options
	cfg  *config.Config
	with Hands
	jobs map[string]*job
	// events are what the loop is to do: goroutines change nothing by themselves.
	events chan func()
	wake   chan struct{}
	run    sync.WaitGroup // of jobs, streams and readings
	alone  context.CancelFunc
	known  bool      // what ran was read once
	reads  bool      // it is read right now
	readAt time.Time // not before

	scraped scraped
	tells   *notify.Notifier // nil: nobody is told
	told    chan struct{}    // closed when the notifier has ended; nil if there is none

	mu    sync.Mutex
	ready error // why the agent is not ready; nil if it is
	beat  atomic.Int64
}

// stop ends everything, within StopBound.
func (a *agent) stop(cancel context.CancelCauseFunc) error {
	cancel(cofre.ErrInterrupted)
	ended := make(chan struct{})
	go func() { a.run.Wait(); close(ended) }()
	bound := time.NewTimer(StopBound)
	defer bound.Stop()
	for {
		select {
		case do := <-a.events: // or those that end would wait for the loop
			do()
		case <-ended:
			a.tell(cofre.Event{}, cofre.Say("agent.stopped", "the agent has stopped"))
			return nil
		case <-bound.C:
			return cofre.Fail(cofre.Say("agent.not_ended", "stop the agent: this did not end within {{.bound}}, and is abandoned: {{.jobs}}", "bound", StopBound, "jobs", a.running()))
		}
	}
}

// post has the loop do something.
func (a *agent) post(do func()) { a.events <- do }

// tell tells the observer what a person who reads the log is to know.
func (a *agent) tell(e cofre.Event, what cofre.Message) {
	if e.Source.Installation == "" && a.cfg != nil {
		e.Source.Installation = a.cfg.Name
	}
	a.tellBeside(e, what)
}

// warned is what a person is to look at.
var warned = cofre.Event{Type: cofre.TypeWarning}

// listen answers whether the agent lives, and whether it is ready.
func (a *agent) listen(ctx context.Context) (stop func(), err error) {
	a.unready(errors.New("what ran was not read yet"))
	a.beaten()
	if a.o.Listen == "" {
		return func() {}, nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", a.o.Listen)
	if err != nil {
		return nil, cofre.WithHint(cofre.Fail(cofre.Say("agent.listen", "listen at {{.address}}", "address", a.o.Listen), err),
			cofre.Say("agent.listen_elsewhere", "see who listens there: ss -ltnp; or choose another address: cofre serve --listen 127.0.0.1:9809"))
	}
	if a.o.Listening != nil {
		a.o.Listening(l.Addr())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.lives()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, a.isReady()) })
	mux.HandleFunc("GET /metrics", a.scrape)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: time.Minute, MaxHeaderBytes: 64 << 10}
	a.scraped.lasting, a.scraped.stop = context.WithCancel(ctx)
	go func() { _ = server.Serve(l) }() // it ends with Close
	return func() { _ = server.Close(); a.scraped.end() }, nil
}

func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, cofre.OneLine(err))
		return
	}
	fmt.Fprintln(w, "ok")
}

func (a *agent) beaten() { a.beat.Store(time.Now().UnixNano()) }

// lives reports why the agent does nothing any more.
func (a *agent) lives() error {
	if since := time.Since(time.Unix(0, a.beat.Load())); since > silent {
		return fmt.Errorf("the agent has done nothing for %s", since.Round(time.Second))
	}
	return nil
}

func (a *agent) unready(why error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ready = why
}

// isReady reports why the agent cannot say yet what is due. That a backup is late, or fails, is no reason.
func (a *agent) isReady() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ready
}
