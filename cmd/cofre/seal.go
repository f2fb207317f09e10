package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/installation"
)

func newSealCommand(a *app) *cobra.Command {
	var o installation.SealOptions
	var yes bool
	cmd := &cobra.Command{
		Use:   "seal",
		Short: "Prove what is stored by decrypting it, and seal it under the password",
		Long: `Seals say of each stored file what was written. Those of older versions could be written by anybody who holds the storage. Decrypt every
piece of the repository that has no seal under its password, seal it, and refuse all other seals from then on, on every machine.

A repository that this version has made is sealed already, and stays so. What is not what was encrypted is named, exits with 20, and nothing is
sealed then. It reads all of the repository once, and can be run again: also after an older version has written to it.

If a sealed index is lost in both copies, the repository refuses to prune until it is back. --without-lost goes on without it, for good: what only it
named is named again by the lists that the packs have of themselves, and what is lost all the same is shown. While a recovery point is gone that nobody has
acknowledged, nothing is given up. The journal says that it was.`,
		Example: "  cofre seal\n  cofre seal --without-lost --yes",
		Args:    cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error {
			o.Confirm = func(l *cofre.Lost) error { return a.ConfirmLost(ctx, l, yes) }
			done, err := in.Seal(ctx, o)
			a.EndProgress()
			if done == nil {
				return err
			}
			return a.ShowSealed(done, err)
		}),
	}
	cmd.Flags().BoolVar(&o.WithoutLost, "without-lost", false, "go on without indexes that are lost for good, after saying what is lost")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return cmd
}
