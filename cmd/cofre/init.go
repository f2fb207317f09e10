package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/cmd/internal/screen"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
)

type initCommand struct {
	writeConfig bool
}

func newInitCommand(a *app) *cobra.Command {
	var c initCommand
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make the repository, or with --write-config a configuration to begin with",
		Long: `Make the configured repository, and those of its copies that do not exist, and print the recovery kit of each, once:
where it is, where its password is, and how to read it without cofre. Print it or keep it elsewhere; it holds no secret.

With --write-config, write a commented cofre.yaml and stop.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.writeConfig {
				return c.write(a)
			}
			return c.run(cmd.Context(), a)
		},
	}
	cmd.Flags().BoolVar(&c.writeConfig, "write-config", false, "write a commented configuration (./cofre.yaml, or what --config names)")
	return cmd
}

func (c *initCommand) run(ctx context.Context, a *app) error {
	if _, err := a.Settings(); err != nil {
		return c.offer(ctx, a, err)
	}
	return a.open(ctx, func(ctx context.Context, in *installation.Installation) error {
		made, err := in.Init(ctx)
		if len(made.Kits) == 0 {
			return err
		}
		if made.There > 0 {
			a.Line(a.Err, cofre.SayN("init.there", made.There, "1 of {{.all}} repositories was there, and is left as it is", "{{.n}} of {{.all}} repositories were there, and are left as they are", "all", made.Of))
		}
		err = errors.Join(err, a.ShowKits(made.Kits))
		if err == nil && !a.JSON && !a.Quiet {
			edge.Say(a.Err, a.Word(screen.NextWord()), "cofre doctor")
		}
		return err
	})
}

// offer writes a configuration if there is none at all and somebody is there to say yes.
func (c *initCommand) offer(ctx context.Context, a *app, reason error) error {
	path, err := a.ConfigPath()
	if err != nil || path != "" || config.HasEnvironment(a.Getenv) || !edge.IsTerminal(a.In) {
		return reason
	}
	if err := a.Confirm(ctx, false, cofre.Say("init.question", "there is no configuration: write a commented {{.file}} here", "file", edge.ConfigName)); err != nil {
		return errors.Join(err, reason)
	}
	return c.write(a)
}

func (c *initCommand) write(a *app) error {
	path := a.ConfigFile
	if path == "" {
		path = edge.ConfigName
	}
	if err := config.WriteExample(path); err != nil {
		return err
	}
	if a.JSON {
		return a.Document(map[string]string{"written": path})
	}
	a.Line(a.Out, cofre.Say("init.written", "wrote {{.path}}", "path", path))
	edge.Say(a.Err, a.Word(screen.NextWord()), a.Text(cofre.Say("init.then", "edit it, then: cofre init")))
	return nil
}
