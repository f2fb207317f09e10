package edge

import (
	"context"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation/walstore"
	"github.com/trustlayer/cofre/postgres/recovery"
)

type walArchiveCommand struct {
	spool string
}

// NewWALArchiveCommand makes the command that archive_command calls.
func NewWALArchiveCommand(a *App) *cobra.Command {
	var c walArchiveCommand
	cmd := &cobra.Command{
		Use:   "archive PATH",
		Short: "Store one file of pg_wal, for archive_command",
		Long: `Store one file of pg_wal, compressed and encrypted. When it exits with 0 the file is durable in the repository and
in every copy; the same file may be handed over again, another one under the same name is refused. Segments that wait behind it are stored
with it, several at once, and the server's next calls find them done.

  archive_command = 'cofre wal archive --config /etc/cofre/cofre.yaml %p'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.run(cmd.Context(), a, args[0]) },
	}
	cmd.Flags().StringVar(&c.spool, "spool", "", "`DIR` of this machine for what is known of segments archived ahead (default: in state_dir)")
	return cmd
}

// archiveMemory is how much one call may hold before garbage is collected: it is over before that, or archives ahead
// with buffers that are soon used again.
const archiveMemory = 128 << 20

func (c *walArchiveCommand) run(ctx context.Context, a *App, path string) error {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(archiveMemory)
	cfg, err := a.Settings()
	if err != nil {
		return err
	}
	done, err := walstore.Archive(ctx, cfg, path, walstore.ArchiveOptions{Spool: c.spool, Version: Version(), Observer: a.Events(), Warn: a.warn})
	if err != nil {
		return err
	}
	for _, what := range done.Healed {
		a.warn(cofre.Say("wal.stored_afresh", "stored afresh: {{.what}}; what was there is kept next to it", "what", recovery.Told(what)))
	}
	if done.Damaged != 0 {
		a.warn(cofre.Say("archive.ends_early", "the records of {{.segment}} end at {{.lsn}}, before the segment does: recovery cannot read past it; take a base backup with: cofre backup cluster", "segment", done.Name, "lsn", done.Damaged))
	}
	if done.Unrelated != "" {
		a.warn(cofre.Say("archive.unrelated", "{{.segment}}: {{.why}}: recovery cannot get past it; take a base backup with: cofre backup cluster", "segment", done.Name, "why", recovery.Told(done.Unrelated)))
	}
	if a.JSON {
		return a.Document(done)
	}
	return nil
}
