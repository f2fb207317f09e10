package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/config"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/policy"
)

func newPolicyCommand(a *app) *cobra.Command {
	var preset string
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Write the backup policy from the configuration, and compare it with what was signed",
		Long: `Write the backup policy of the installation from its configuration, as Markdown: what is backed up, how often, for how long it is
kept, where, how it is protected and tested, what may be lost, and who answers for it. --lang writes it in the other language.

What the configuration says otherwise than the policy that was signed last is a finding, and so is where it falls short of policy.class.`,
		Example: `  cofre policy
  cofre policy --lang pt-BR > politica.md
  cofre policy --preset critical
  cofre policy sign --by "Maria Souza, CISO" --note "annual review"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if preset != "" {
				text := policy.Preset(preset)
				if text == "" {
					return edge.Usage(cofre.WithHint(cofre.Fail(cofre.Say("policy.unknown_class", `unknown class "{{.class}}"`, "class", preset)),
						cofre.Say("kind.use", "use one of {{.kinds}}", "kinds", strings.Join([]string{config.ClassCritical, config.ClassImportant, config.ClassOrdinary}, ", "))))
				}
				return a.ShowPreset(preset, text)
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error {
				p, err := in.Policy(ctx)
				if p == nil {
					return err
				}
				return a.ShowPolicy(p, err)
			})
		},
	}
	cmd.Flags().StringVar(&preset, "preset", "", "print keys for the configuration that fulfil a `CLASS`: critical, important or ordinary")
	cmd.AddCommand(newPolicySignCommand(a))
	return cmd
}

func newPolicySignCommand(a *app) *cobra.Command {
	var by, note string
	cmd := &cobra.Command{
		Use:   "sign",
		Short: "Sign the backup policy as the configuration has it now",
		Long: `Sign the backup policy as the configuration has it now: its terms, who signs it and why become an entry of the journal, where nothing is
rewritten. The name and the terms are encrypted there. From then on, what differs from it is a finding of cofre policy.`,
		Example: `  cofre policy sign --by "Maria Souza, CISO" --note "annual review"`,
		Args:    cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error {
			signed, err := in.SignPolicy(ctx, by, note)
			if err != nil {
				return err
			}
			return a.ShowSigned(signed, in.Checkpoint())
		}),
	}
	cmd.Flags().StringVar(&by, "by", "", "`NAME` of who signs (default: the user of this host)")
	cmd.Flags().StringVar(&note, "note", "", "what is said with it, for whoever asks later")
	return cmd
}
