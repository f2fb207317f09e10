// Package process runs a child program so that nothing of it outlives its user: own process group, ended with
// its group when the context ends, and ended by the kernel when this process dies, even by kill -9.
//
// It is not a shell: a program gets exactly the arguments and the environment it is given. Secrets go through
// the environment or standard input, never through arguments, which every user of the machine can read.
//
// Linux only, for Pdeathsig.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/secret"
)

// stderrTail is how much of a program's last words an error carries, in bytes.
const stderrTail = 8 << 10

// defaultGrace is how long a program may take to end itself once it was asked to.
const defaultGrace = 3 * time.Second

// Command is a program to run. The zero values mean: no input, output discarded, nothing in the environment.
type Command struct {
	Path string   // absolute, or found in the PATH of this process
	Args []string // without the program itself
	Env  []string // all of it: nothing is inherited. BaseEnv is a beginning
	Dir  string

	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer // told everything; the error's tail is kept besides
	// PipeStdout makes Process.Stdout the read end of a pipe instead; its reader closes it.
	PipeStdout bool

	Name       string              // for errors: "pg_dump 15.18"; empty takes the base name of Path
	Secrets    []secret.Value      // taken out of what errors repeat
	Credential *syscall.Credential // run as another user; nil is this one
	// Pdeathsig is what the kernel sends when this process dies; 0 is SIGKILL.
	Pdeathsig syscall.Signal
	// Grace is how long the group has between SIGTERM and SIGKILL when the context ends; 0 is 3 s.
	Grace time.Duration
	// Detached lets the program go on when this process ends, in a session of its own. Stdout and Stderr must then
	// be files or nil, since nothing would read a pipe any more; errors carry nothing of what it said.
	Detached bool
}

// Process is a program that was started. Wait must be called.
type Process struct {
	Stdout io.ReadCloser // with Command.PipeStdout

	command Command
	cmd     *exec.Cmd
	tail    Tail
	done    chan struct{}
	err     error
}

// BaseEnv is what programs commonly need of this process's environment: where programs, the home and temporary
// files are. Messages are in English whatever the locale, because errors are read by code too.
func BaseEnv() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "TZ"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// Run starts c and waits for it.
//
// Errors: as of Start and Process.Wait.
func Run(ctx context.Context, c Command) error {
	p, err := Start(ctx, c)
	if err != nil {
		return err
	}
	return p.Wait()
}

// Output runs c and returns what it wrote to standard output.
//
// Errors: as of Run; the output comes with them.
func Output(ctx context.Context, c Command) ([]byte, error) {
	var out bytes.Buffer
	c.Stdout = &out
	err := Run(ctx, c)
	return out.Bytes(), err
}

// Start starts c. When ctx ends, the program and everything in its process group is asked to end and then
// killed.
//
// Errors: cofre.ErrNotFound if there is no such program; ctx's error if it has ended already.
func Start(ctx context.Context, c Command) (*Process, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if c.Name == "" {
		c.Name = filepath.Base(c.Path)
	}
	if c.Pdeathsig == 0 {
		c.Pdeathsig = syscall.SIGKILL
	}
	if c.Grace == 0 {
		c.Grace = defaultGrace
	}
	p := &Process{command: c, done: make(chan struct{})}
	p.cmd = exec.Command(c.Path, c.Args...)
	p.cmd.Dir, p.cmd.Stdin = c.Dir, c.Stdin
	p.cmd.Env = append([]string{}, c.Env...) // never nil: exec takes nil for "inherit"
	p.cmd.Stderr = &p.tail
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: c.Pdeathsig, Credential: c.Credential}
	switch {
	case c.Detached:
		p.cmd.Stderr = c.Stderr
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: c.Credential}
	case c.Stderr != nil:
		p.cmd.Stderr = io.MultiWriter(&p.tail, c.Stderr)
	}
	// A grandchild that left the group may hold the pipes open: Wait does not wait for it for ever.
	p.cmd.WaitDelay = c.Grace + defaultGrace

	var writeEnd *os.File
	if c.PipeStdout {
		r, w, err := os.Pipe()
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", c.Name, err)
		}
		p.Stdout, p.cmd.Stdout, writeEnd = r, w, w
	} else {
		p.cmd.Stdout = c.Stdout
	}

	err := Stay(p.cmd.Start, func() { p.live(ctx) })
	if writeEnd != nil {
		writeEnd.Close() // the child has its own; the reader's end of file needs this one gone
	}
	if err != nil {
		if p.Stdout != nil {
			p.Stdout.Close()
		}
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("start %s: program %s: %w", c.Name, c.Path, cofre.ErrNotFound)
		}
		return nil, fmt.Errorf("start %s: %w", c.Name, err)
	}
	return p, nil
}

// Stay starts a program, and returns what start does. The kernel sends Pdeathsig when the thread that started the child ends, not the process, and threads of a Go
// program do end: so does each one that had the rights of another user for a while (package inside). A thread is kept for this child alone therefore, until
// wait returns, which is to be when the child is gone.
func Stay(start func() error, wait func()) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := start()
		started <- err
		if err == nil {
			wait()
		}
	}()
	return <-started
}

// live stays with the program until it is gone.
func (p *Process) live(ctx context.Context) {
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch(ctx, ended)
	}()
	err := p.cmd.Wait()
	close(ended)
	<-watched
	// Whatever the program left running in its group ends with it.
	_ = p.signal(syscall.SIGKILL)
	p.err = p.explain(ctx, err)
	close(p.done)
}

func (p *Process) watch(ctx context.Context, ended <-chan struct{}) {
	select {
	case <-ended:
		return
	case <-ctx.Done():
	}
	_ = p.signal(syscall.SIGTERM)
	grace := time.NewTimer(p.command.Grace)
	defer grace.Stop()
	select {
	case <-ended:
	case <-grace.C:
		_ = p.signal(syscall.SIGKILL)
	}
}

func (p *Process) signal(sig syscall.Signal) error { return syscall.Kill(-p.cmd.Process.Pid, sig) }

func (p *Process) explain(ctx context.Context, err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("run %s: %w", p.command.Name, context.Cause(ctx))
	case errors.As(err, &exit):
		return &cofre.ToolError{Program: p.command.Name, Exit: exit.ExitCode(), Stderr: p.StderrTail()}
	}
	return fmt.Errorf("run %s: %w", p.command.Name, err)
}

// PID is the process id, which is the id of its group too.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Signal sends sig to the program alone, not to its group.
//
// Errors: os.ErrProcessDone if it has ended.
func (p *Process) Signal(sig os.Signal) error { return p.cmd.Process.Signal(sig) }

// Kill ends the program and its group at once. Wait still has to be called.
func (p *Process) Kill() {
	select {
	case <-p.done: // its group id may be somebody else's by now
	default:
		_ = p.signal(syscall.SIGKILL)
	}
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the program. It may be called more than once.
//
// Errors: *cofre.ToolError if the program failed; the cause of the context's end if that ended it.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// StderrTail is the end of what the program has said so far, secrets removed.
func (p *Process) StderrTail() string {
	s := p.tail.String()
	for _, v := range p.command.Secrets {
		if !v.IsZero() {
			s = strings.ReplaceAll(s, v.Reveal(), v.String())
		}
	}
	return s
}

// Tail keeps the last bytes written to it, stderrTail of them or a few more. The zero Tail has none. It may be used by several at once.
type Tail struct {
	mu  sync.Mutex
	buf []byte
	cut bool
}

func (t *Tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if n := len(t.buf) - stderrTail; n > stderrTail { // cut seldom, not at every write
		t.buf, t.cut = append(t.buf[:0], t.buf[n:]...), true
	}
	return len(b), nil
}

// String is what it keeps; if that is not all, it begins with a whole line behind one of "…".
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, cut := t.buf, t.cut
	if n := len(b) - stderrTail; n > 0 {
		b, cut = b[n:], true
	}
	if cut { // begin with a whole line
		_, b, _ = bytes.Cut(b, []byte("\n"))
		return "…\n" + string(b)
	}
	return string(b)
}
