package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/installation"
)

func newSealCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "seal",
		Short: "Prove what is stored by decrypting it, and seal it under the password",
		Long: `Seals say of each stored file what was written. Those of older versions could be written by anybody who holds the storage. Decrypt every
piece of the repository that has no seal under its password, seal it, and refuse all other seals from then on, on every machine.

A repository that this version has made is sealed already, and stays so. What is not what was encrypted is named, exits with 20, and nothing is
sealed then. It reads all of the repository once, and can be run again: also after an older version has written to it.`,
		Args: cobra.NoArgs,
		RunE: a.with(func(ctx context.Context, in *installation.Installation, _ []string) error {
			done, err := in.Seal(ctx)
			a.EndProgress()
			if done == nil {
				return err
			}
			return a.ShowSealed(done, err)
		}),
	}
}
