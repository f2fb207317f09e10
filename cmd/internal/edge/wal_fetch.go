package edge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/wal/fetch"
)

// fetchName is the command whose every failure PostgreSQL reads.
const fetchName = "fetch"

type walFetchCommand struct {
	walstore.FetchOptions
	standby bool
	claim   uint32 // the timeline recovered to
	used    uint32
	ahead   string // hidden: a process of its own that fills the spool
}

// NewWALFetchCommand makes the command that restore_command calls.
func NewWALFetchCommand(a *App) *cobra.Command {
	var c walFetchCommand
	cmd := &cobra.Command{
		Use:   fetchName + " NAME PATH",
		Short: "Bring one file of pg_wal back, for restore_command",
		Long: `Bring one archived file back to PATH.

  restore_command = 'cofre wal fetch --config /etc/cofre/cofre.yaml --spool cofre-wal-spool %f %p'

With --spool it fetches ahead while the server replays, and keeps there the key that reads WAL, which takes half a second
to derive from the password: remove the folder when the recovery has ended. cofre restore cluster does all of this.

It exits as PostgreSQL needs it: 0 delivered, 1 the repository was reached and does not have the file, and 126 or
above for everything else, which stops the recovery. PostgreSQL takes 1 to 125 for the end of WAL, and would promote.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args[0], args[1]) },
	}
	cmd.Flags().StringVar(&c.Spool, "spool", "", "`DIR` on the data directory's file system for fetching ahead")
	cmd.Flags().BoolVar(&c.standby, "standby", false, "every failure exits with 1, for a standby, which asks again")
	cmd.Flags().Uint32Var(&c.claim, "claim", 0, "the `TIMELINE` recovered to: the number of the one that begins is reserved in the repository")
	cmd.Flags().Uint32Var(&c.used, "used", 0, "with --claim, the highest `TIMELINE` that is known to be used")
	cmd.Flags().StringVar(&c.ahead, "after", "", "")
	cmd.Flags().StringVar(&c.Edits, "edits", "", "")
	for _, hidden := range []string{"after", "edits"} {
		if err := cmd.Flags().MarkHidden(hidden); err != nil {
			panic("cofre: internal error: " + err.Error())
		}
	}
	return cmd
}

// fetchFailure carries the exit code that PostgreSQL needs.
type fetchFailure struct {
	error
	code int
}

func (f *fetchFailure) Unwrap() error { return f.error }

// forServer gives every error of wal fetch that run did not see, of its command line above all, a code that stops
// the recovery: 2 would be taken for the end of WAL.
func forServer(called *cobra.Command, err error) error {
	if err == nil || called.Name() != fetchName {
		return err
	}
	if _, ok := errors.AsType[*fetchFailure](err); ok {
		return err
	}
	return &fetchFailure{err, fetch.Unknown.Exit()}
}

func (c *walFetchCommand) run(ctx context.Context, a *App, name, path string) (err error) {
	answer := fetch.Unknown
	defer func() {
		// A panic would end the process with 2, which PostgreSQL takes for the end of WAL.
		if p := recover(); p != nil {
			answer, err = fetch.Unknown, fmt.Errorf("fetch %s: internal error: %v", name, p)
		}
		switch {
		case err == nil:
		case c.standby:
			err = &fetchFailure{err, answer.ExitOfStandby()}
		default:
			err = &fetchFailure{err, answer.Exit()}
		}
	}()
	if fetch.ServerHas(cofre.Timeline(c.claim), name, path) {
		answer = fetch.Absent
		return fmt.Errorf("fetch %s: the server has it, or there is none: %w", name, fetch.ErrAbsent)
	}
	cfg, err := a.Settings()
	if err != nil {
		return err
	}
	c.Claim, c.Used, c.Ahead = cofre.Timeline(c.claim), cofre.Timeline(c.used), c.ahead != ""
	f, err := walstore.Fetcher(ctx, cfg, c.FetchOptions)
	if err != nil {
		return err
	}
	f.Warn = a.warn
	if c.ahead != "" {
		return f.PrefetchAfter(ctx, c.ahead)
	}
	if c.Spool != "" {
		f.Background = func(after string) error { return c.background(name, path, after) }
	}
	answer, err = f.Fetch(ctx, name, path)
	return err
}

// background starts a process that fetches what comes after a segment, while PostgreSQL replays it. It belongs to
// nobody who could wait for it; of several, one works.
func (c *walFetchCommand) background(name, path, after string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := slices.DeleteFunc(slices.Clone(os.Args[1:]), func(s string) bool { return s == name || s == path })
	cmd := exec.Command(self, append(args, "--after", after, name, path)...)
	cmd.Args[0] = os.Args[0]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	return cmd.Process.Release()
}
