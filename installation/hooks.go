package installation

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/journaling"
	"github.com/trustlayer/cofre/internal/process"
	"github.com/trustlayer/cofre/observe"
)

// hookBound is how long one hook may take: stopping an application may drain connections.
const hookBound = 10 * time.Minute

// begin begins a run, to which everything belongs that the installation does until its end: hooks, what is chosen, warnings, and the use case
// itself. The outermost one is written into the journal. end returns the error that the run ends with.
func (in *Installation) begin(ctx context.Context, kind cofre.RunKind, about observe.About) (end func(error) error) {
	before, outermost := in.observer, in.recording == nil
	outer := before
	if outermost {
		in.recording = journaling.NewRecording(in.marks())
		outer = observe.Tee(before, in.recording)
	}
	about.Of.Installation, about.By, about.Configuration = in.cfg.Name, observe.Here(in.Version), in.cfg.Digest
	run := observe.Begin(outer, kind, about)
	in.observer = run
	return func(err error) error {
		in.observer = before
		err = in.journaled(kind, err)
		run.End(ctx, err)
		if outermost {
			in.noteEnd(ctx)
			in.recording.Close()
			in.recording = nil
		}
		return err
	}
}

// runHooks runs the commands of the configuration one after another through sh, with the environment of this process,
// and stops at the first that fails, which it says in ran. What they say goes to HookOutput. env is added to their environment.
func (in *Installation) runHooks(ctx context.Context, when string, commands []string, env ...string) (ran int, err error) {
	ctx, cancel := context.WithTimeout(ctx, hookBound)
	defer cancel()
	out := in.HookOutput
	if out == nil {
		out = io.Discard
	}
	for i, command := range commands {
		cofre.Tell(in.observer, cofre.HookBegan{When: when, N: i, Command: command})
		began := time.Now()
		err := process.Run(ctx, process.Command{
			Path: "sh", Args: []string{"-c", command}, Env: append(process.BaseEnv(), env...), Stdout: out, Stderr: out,
			Name: fmt.Sprintf("hook %s[%d]", when, i),
		})
		cofre.Tell(in.observer, cofre.HookRan{When: when, N: i, Code: cofre.CodeOf(err), Took: time.Since(began)})
		if err != nil {
			return i, cofre.WithHint(cofre.Fail(cofre.Say("hooks.failed", "hook {{.hook}} failed", "hook", fmt.Sprintf("hooks.%s[%d]", when, i)), err), cofre.Say("hooks.command", "the command is: {{.command}}", "command", command))
		}
	}
	return len(commands), nil
}

// hooksAfter runs hooks whatever happened before them, an interruption included: an application that was stopped
// must come back. COFRE_OUTCOME tells them how the work ended. It returns the work's own error if there is one, and tells the observer that of the hooks.
func (in *Installation) hooksAfter(ctx context.Context, when string, commands []string, err error) error {
	_, herr := in.runHooks(context.WithoutCancel(ctx), when, commands, "COFRE_OUTCOME="+string(cofre.CodeOf(err)))
	if err == nil || herr == nil {
		return cmp.Or(err, herr)
	}
	in.observer.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeWarning, Err: herr}.Saying(cofre.SayError(herr)))
	return err
}
