package main

import (
	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/notify"
)

func newNotifyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Try whether those who are to be told can be told",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newNotifyTestCommand(a))
	return cmd
}

func newNotifyTestCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Send a test to everybody in notify.to",
		Long: `Send a test to everybody in notify.to of the configuration, and say of each, by its number and the kind of its service, whether the service has taken it. Addresses are
secrets, and are not shown. Whether a message that was taken is read, only its reader can say.

Exit 1 says that somebody could not be told, exit 2 that nobody is configured.`,
		Example: `  cofre notify test`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := a.Settings()
			if err != nil {
				return err
			}
			tried, err := notify.Try(cmd.Context(), cfg, a.Spoken())
			return a.ShowDiagnoses(tried, err)
		},
	}
}
