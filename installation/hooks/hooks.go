// Package hooks runs the commands that a configuration has run around backups and restores. Read Hooks.Run.
package hooks

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
)

// bound is how long one hook may take: stopping an application may drain connections.
const bound = 10 * time.Minute

// Hooks says who is told, and where the output of commands goes.
type Hooks struct {
	Observer cofre.Observer
	Output   io.Writer // nil discards it
}

// Run runs the commands of the configuration one after another through sh, with the environment of this process,
// and stops at the first that fails, which it says in ran. What they say goes to Output, and the last of it to the observer. env is added to their environment.
func (h Hooks) Run(ctx context.Context, when string, commands []string, env ...string) (ran int, err error) {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	out := h.Output
	if out == nil {
		out = io.Discard
	}
	for i, command := range commands {
		cofre.Tell(h.Observer, cofre.HookBegan{When: when, N: i})
		began, said := time.Now(), &process.Tail{}
		to := io.MultiWriter(out, said)
		err := process.Run(ctx, process.Command{
			Path: "sh", Args: []string{"-c", command}, Env: append(process.BaseEnv(), env...), Stdout: to, Stderr: to,
			Name: fmt.Sprintf("hook %s[%d]", when, i),
		})
		cofre.Tell(h.Observer, cofre.HookRan{When: when, N: i, Code: cofre.CodeOf(err), Took: time.Since(began), Said: strings.ToValidUTF8(said.String(), "\ufffd")})
		if err != nil {
			return i, cofre.WithHint(cofre.Fail(cofre.Say("hooks.failed", "hook {{.hook}} failed", "hook", fmt.Sprintf("hooks.%s[%d]", when, i)), err), cofre.Say("hooks.look", "look at that key of the configuration, and at what the command has said; the command itself may hold secrets and is not repeated"))
		}
	}
	return len(commands), nil
}

// After runs hooks whatever happened before them, an interruption included: an application that was stopped
// must come back. COFRE_OUTCOME tells them how the work ended. It returns the work's own error if there is one, and tells the observer that of the hooks.
func (h Hooks) After(ctx context.Context, when string, commands []string, err error) error {
	_, herr := h.Run(context.WithoutCancel(ctx), when, commands, "COFRE_OUTCOME="+string(cofre.CodeOf(err)))
	if err == nil || herr == nil {
		return cmp.Or(err, herr)
	}
	h.Observer.Observe(cofre.Event{At: time.Now(), Type: cofre.TypeWarning, Err: herr}.Saying(cofre.SayError(herr)))
	return err
}
