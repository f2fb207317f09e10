package edge

import "github.com/spf13/cobra"

// NewWALRoot makes the root of cofre-wal.
func NewWALRoot(a *App) *cobra.Command {
	return a.Root(&cobra.Command{
		Use:   "cofre-wal",
		Short: "Archive and fetch WAL, for PostgreSQL",
		Long: `cofre-wal is what PostgreSQL calls for each segment of WAL: the commands archive and fetch of cofre wal, in a
program that starts quicker. Everything else is in cofre.

  archive_command = 'cofre-wal archive --config /etc/cofre/cofre.yaml %p'
  restore_command = 'cofre-wal fetch --config /etc/cofre/cofre.yaml --spool cofre-wal-spool %f %p'`,
	}, NewWALArchiveCommand(a), NewWALFetchCommand(a), NewVersionCommand(a))
}
