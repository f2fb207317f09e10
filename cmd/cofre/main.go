// Command cofre backs up, keeps, proves and restores one installation.
//
// This package has the commands: each reads flags, calls one method of the installation, and has the screen show what it
// returns. It decides nothing about backups. Read main.go, then cmd/internal/edge and cmd/internal/screen, then one command.
package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/cmd/internal/screen"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/tracing"
)

func main() {
	a := &app{Screen: screen.Screen{App: edge.System()}}
	code := a.Run(context.Background(), newRootCommand(a), os.Args[1:])
	if a.traces != nil {
		a.traces.Close(context.Background())
	}
	os.Exit(code)
}

// app is what every command may ask for.
type app struct {
	screen.Screen
	expected expected
	traces   *tracing.Tracer // nil if nobody collects them
}

// Settings reads the configuration, and takes its time zone for the screen if the person has not typed one.
//
// Errors: those of edge.App.Settings.
func (a *app) Settings() (*config.Config, error) {
	cfg, err := a.App.Settings()
	if err == nil && a.Zone == nil {
		a.Zone = cfg.Location()
	}
	return cfg, err
}

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
