package agent

import (
	"bytes"
	"context"
	"io"
	"runtime/debug"
	"sync"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/drilling"
	"github.com/trustlayer/cofre/installation/runs"
	"github.com/trustlayer/cofre/installation/standing"
	"github.com/trustlayer/cofre/installation/turn"
	"github.com/trustlayer/cofre/status"
)

// Hands is what an agent works with: an installation, or what a test has in its place. Its methods may be called by several goroutines.
type Hands interface {
	// Runs lists what ran. With an error it lists what could be read.
	Runs(ctx context.Context) ([]runs.Run, error)
	// Alone gives the right to do a job, across machines, until giveBack or until held ends.
	//
	// Errors: cofre.ErrLocked if another has it.
	Alone(ctx context.Context, j Job) (held context.Context, giveBack func(), err error)
	// Do does a job once.
	Do(ctx context.Context, j Job, o cofre.Observer) error
	// Stream receives WAL until ctx ends.
	Stream(ctx context.Context, o cofre.Observer) error
	// Heartbeat has the server commit something, so that its WAL goes on.
	Heartbeat(ctx context.Context) error
	// Status says how the installation stands.
	Status(ctx context.Context) (*status.Status, error)
}

// product is an installation, opened anew for everything that is done: what is idle holds nothing but what it saw last.
type product struct {
	cfg     *config.Config
	version string
	seen    standing.Memory
}

func (p *product) with(ctx context.Context, o cofre.Observer, do func(*installation.Installation) error) (err error) {
	in, err := installation.Open(ctx, p.cfg, o)
	if err != nil {
		return err
	}
	said := &lines{to: o}
	in.Version, in.HookOutput = p.version, said
	defer func() {
		said.flush()
		if cerr := in.Close(ctx); cerr != nil && err == nil {
			err = cerr
		}
	}()
	return do(in)
}

// atRest gives back to the system what was needed to derive a key (64 MiB) and to do the work: the runtime alone keeps it for minutes.
func atRest() { debug.FreeOSMemory() }

func (p *product) Runs(ctx context.Context) (all []runs.Run, err error) {
	defer atRest()
	err = p.with(ctx, nil, func(in *installation.Installation) (err error) {
		all, err = in.Runs(ctx, runs.Want{})
		return err
	})
	return all, err
}

func (p *product) Alone(ctx context.Context, j Job) (held context.Context, giveBack func(), err error) {
	return turn.Take(ctx, p.cfg, j.Name, j.Label())
}

func (p *product) Do(ctx context.Context, j Job, o cofre.Observer) error {
	defer atRest()
	return p.with(ctx, o, func(in *installation.Installation) (err error) {
		switch j.Kind {
		case cofre.RunBackup:
			_, err = in.Backup(ctx, installation.BackupOptions{Kinds: []cofre.Kind{j.Of.Kind}})
		case cofre.RunExpire:
			_, err = in.Expire(ctx, installation.ExpireOptions{})
		case cofre.RunPrune:
			_, err = in.Prune(ctx, false)
		case cofre.RunDrill:
			_, err = in.Drill(ctx, j.Of.Kind, drilling.Options{})
		case cofre.RunVerify:
			_, err = in.Verify(ctx, installation.VerifyOptions{Level: cofre.LevelContent})
		}
		return err
	})
}

func (p *product) Stream(ctx context.Context, o cofre.Observer) error {
	return p.with(ctx, o, func(in *installation.Installation) error { return in.WAL().Stream(ctx, installation.StreamOptions{}) })
}

func (p *product) Heartbeat(ctx context.Context) error {
	return p.with(ctx, nil, func(in *installation.Installation) error { return in.WAL().Heartbeat(ctx) })
}

func (p *product) Status(ctx context.Context) (s *status.Status, err error) {
	defer atRest()
	err = p.with(ctx, nil, func(in *installation.Installation) (err error) {
		in.Seen = &p.seen
		s, err = in.Status(ctx)
		return err
	})
	return s, err
}

// lines tells what hooks say, line by line, as notes of the run.
type lines struct {
	to cofre.Observer

	mu   sync.Mutex
	rest []byte
}

var _ io.Writer = (*lines)(nil)

// longestLine bounds a line of the log.
const longestLine = 8 << 10

// Write takes what a hook says.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		at := bytes.IndexByte(l.rest, '\n')
		if at < 0 && len(l.rest) < longestLine {
			return len(b), nil
		}
		if at < 0 {
			at = longestLine
		}
		l.say(string(l.rest[:at]))
		l.rest = bytes.TrimPrefix(l.rest[at:], []byte("\n"))
	}
}

func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.rest) > 0 {
		l.say(string(l.rest))
	}
	l.rest = nil
}

func (l *lines) say(line string) {
	e := cofre.Event{At: time.Now(), Type: cofre.TypeNote}
	if of, ok := l.to.(doingObserver); ok {
		e.Run = of.doing.id()
	}
	if l.to != nil {
		l.to.Observe(e.Saying(cofre.Say("agent.hook_said", "a hook said: {{.line}}", "line", cofre.Verbatim(line))))
	}
}
