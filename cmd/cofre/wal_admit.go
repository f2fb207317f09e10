package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/installation/walorigin"
)

type walAdmitCommand struct {
	revoke, require bool
}

func newWALAdmitCommand(a *app) *cobra.Command {
	var c walAdmitCommand
	cmd := &cobra.Command{
		Use:   "admit [FINGERPRINT]...",
		Short: "Believe the WAL that a host signs, or list the keys",
		Long: `Believe what the key of a host signs, in the repository and in every copy. Without a fingerprint, list the keys: which host asks, since
when, and what became of it. A host that archives makes its key itself, and says the fingerprint in the log of the server when it has archived its
first file: compare the two before you admit it, because anybody who may write to the repository can ask.

With --require nothing is believed any more but what an admitted key has signed, and what is there now: wal fetch, restore cluster, wal status and verify
refuse everything else by name. There is no way back. It is refused as long as the newest WAL is not signed.

With --revoke, what a key signs from now on is not believed; what it has signed and is there stays believed, as it is: another file in its
place is refused. A key that a version of before has revoked can be revoked once more for that.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.revoke && len(args) == 0 || c.require && (c.revoke || len(args) > 0) {
				return edge.UsageError(cmd, cofre.Fail(cofre.Say("origin.usage", "--revoke needs a fingerprint, and --require stands alone")))
			}
			return a.open(cmd.Context(), func(ctx context.Context, in *installation.Installation) error { return c.run(ctx, a, in, args) })
		},
	}
	cmd.Flags().BoolVar(&c.revoke, "revoke", false, "what the key signs from now on is not believed")
	cmd.Flags().BoolVar(&c.require, "require", false, "believe nothing but what an admitted key has signed, for ever")
	return cmd
}

func (c *walAdmitCommand) run(ctx context.Context, a *app, in *installation.Installation, fingerprints []string) error {
	all, err := in.WAL().Admit(ctx, installation.AdmitOptions{Fingerprints: fingerprints, Revoke: c.revoke, Require: c.require})
	if err != nil && len(all) == 0 {
		return err
	}
	if a.JSON {
		return cmp.Or(a.Document(struct {
			Repositories []walorigin.Keys `json:"repositories"`
		}{all}), err)
	}
	if !a.Quiet {
		a.ShowOrigins(all)
	}
	return err
}
