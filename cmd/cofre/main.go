// Command cofre backs up, keeps, proves and restores one installation.
//
// This package is the edge: flags, output, and wire.go, where configuration becomes adapters and adapters meet use
// cases. It decides nothing about backups. Read main.go, then cmd/internal/edge, then one command.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/cmd/internal/edge"
)

func main() {
	a := &app{App: edge.System()}
	os.Exit(a.Run(context.Background(), newRootCommand(a), os.Args[1:]))
}

// app is what every command may ask for.
type app struct{ edge.App }

func newRootCommand(a *app) *cobra.Command {
	root := a.Root(&cobra.Command{
		Use:   "cofre",
		Short: "Back up, keep, prove and restore an installation",
		Long: `cofre backs up an installation made of a PostgreSQL database, object buckets and configuration files, keeps
the backups encrypted and deduplicated, proves that they restore, and brings everything back.

A first time:
  cofre init --write-config      a commented cofre.yaml to fill in
  cofre init                     make the repository
  cofre doctor                   what stands in the way, and the line that changes it
  cofre backup                   one recovery point of everything configured
  cofre restore database latest --dry-run`,
	}, commands(a)...)
	completing(a, root)
	return root
}
