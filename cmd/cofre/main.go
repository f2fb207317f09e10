// Command cofre backs up, keeps, proves and restores one installation.
//
// This package is the edge: flags, output, exit codes, and wire.go, where configuration becomes adapters and
// adapters meet use cases. It decides nothing about backups. Read main.go, then app.go, then one command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	std := stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(run(context.Background(), os.Args[1:], std, os.Getenv))
}

// stdio is the terminal or the pipes of one call. Data goes to Out; talk, questions and bars go to Err.
type stdio struct {
	In       io.Reader
	Out, Err io.Writer
}

// errInterrupted is why a command's context ended when a signal ended it.
var errInterrupted = errors.New("interrupted")

// run carries out one command line and returns the exit code.
func run(ctx context.Context, args []string, std stdio, getenv func(string) string) int {
	ctx, stop := interruptible(ctx, std.Err)
	defer stop()
	a := &app{stdio: std, getenv: getenv}
	root := newRootCommand(a)
	root.SetArgs(args)
	root.SetIn(std.In)
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	called, err := root.ExecuteContextC(ctx)
	return a.finish(ctx, forServer(called, err))
}

// interruptible cancels ctx at the first SIGINT or SIGTERM, so that the command cleans up, and ends the process
// at the second: what that leaves is invisible in the repository and is found again by the next run.
func interruptible(ctx context.Context, stderr io.Writer) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		select {
		case <-signals:
			fmt.Fprintln(stderr, "\ncofre: interrupted, cleaning up (once more ends at once)")
			cancel(errInterrupted)
		case <-done:
			return
		}
		select {
		case <-signals:
			os.Exit(exitInterrupted)
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}
