// Command cofre-wal is the part of cofre that PostgreSQL itself calls: archive_command and restore_command run a
// process for each segment of WAL, and this one starts in about half the time of cofre, which brings the whole
// repository along (docs/decisions/0010). Its commands are those of cofre wal, of the same code. It is one static
// file of a few megabytes, to be put beside a PostgreSQL that runs in a container.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/cmd/internal/edge"
)

func main() {
	a := edge.System()
	os.Exit(a.Run(context.Background(), newRootCommand(&a), os.Args[1:]))
}

func newRootCommand(a *edge.App) *cobra.Command {
	return a.Root(&cobra.Command{
		Use:   "cofre-wal",
		Short: "Archive and fetch WAL, for PostgreSQL",
		Long: `cofre-wal is what PostgreSQL calls for each segment of WAL: the commands archive and fetch of cofre wal, in a
program that starts quicker. Everything else is in cofre.

  archive_command = 'cofre-wal archive --config /etc/cofre/cofre.yaml %p'
  restore_command = 'cofre-wal fetch --config /etc/cofre/cofre.yaml --spool cofre-wal-spool %f %p'`,
	}, edge.NewWALArchiveCommand(a), edge.NewWALFetchCommand(a), edge.NewVersionCommand(a))
}
