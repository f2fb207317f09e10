package main

import (
	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/cmd/internal/edge"
)

// commands lists what cofre can do, in the order of its help.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newInitCommand(a),
		newDoctorCommand(a),
		newCheckProviderCommand(a),
		newBackupCommand(a),
		newListCommand(a),
		newShowCommand(a),
		newRestoreCommand(a),
		newExportCommand(a),
		newVerifyCommand(a),
		newWALCommand(a),
		newDemoCommand(a),
		edge.NewVersionCommand(&a.App),
	}
}
