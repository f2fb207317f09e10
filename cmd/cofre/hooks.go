package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/process"
)

// hookBound is how long one hook may take: stopping an application may drain connections.
const hookBound = 10 * time.Minute

// runHooks runs the commands of the configuration one after another through sh, with the environment of cofre,
// and stops at the first that fails. What they say goes to stderr.
func (a *app) runHooks(ctx context.Context, when string, commands []string) error {
	ctx, cancel := context.WithTimeout(ctx, hookBound)
	defer cancel()
	for i, command := range commands {
		if !a.Quiet {
			fmt.Fprintf(a.Err, "%s: %s\n", when, command)
		}
		err := process.Run(ctx, process.Command{
			Path: "sh", Args: []string{"-c", command}, Env: process.BaseEnv(), Stdout: a.Err, Stderr: a.Err,
			Name: fmt.Sprintf("hook %s[%d]", when, i),
		})
		if err != nil {
			return cofre.WithHint(fmt.Errorf("run hooks.%s[%d]: %w", when, i, err), "the command is: %s", command)
		}
	}
	return nil
}

// hooksAfter runs hooks whatever happened before them, an interruption included: an application that was stopped
// must come back. It returns the work's own error where there is one, and says that of the hooks.
func (a *app) hooksAfter(ctx context.Context, when string, commands []string, err error) error {
	herr := a.runHooks(context.WithoutCancel(ctx), when, commands)
	if err == nil || herr == nil {
		return cmp.Or(err, herr)
	}
	fmt.Fprintf(a.Err, "cofre: %s\n", cofre.OneLine(herr))
	return err
}
