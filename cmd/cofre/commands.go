package main

import (
	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre/cmd/internal/edge"
)

// commands lists what cofre can do, in the order of its help: what is done every day, on the bad day, to look, and once.
func commands(a *app) []*cobra.Command {
	var all []*cobra.Command
	for _, g := range groups(a) {
		for _, c := range g.commands {
			c.GroupID = g.title
			all = append(all, c)
		}
	}
	return append(all, newDemoCommand(a), edge.NewVersionCommand(&a.App))
}

type group struct {
	title    string
	commands []*cobra.Command
}

func groups(a *app) []group {
	return []group{
		{"Back up", []*cobra.Command{newBackupCommand(a), newServeCommand(a), newWALCommand(a), newNotifyCommand(a)}},
		{"Restore", []*cobra.Command{a.expecting(newRestoreCommand(a)), newAdoptCommand(a), a.expecting(newExportCommand(a))}},
		{"Look", []*cobra.Command{a.expecting(newStatusCommand(a)), a.expecting(newListCommand(a)), newShowCommand(a), a.expecting(newVerifyCommand(a)), a.expecting(newDrillCommand(a)), newRunsCommand(a), newJournalCommand(a), newDoctorCommand(a), newCheckCommand(a), newPolicyCommand(a)}},
		{"Keep", []*cobra.Command{newExpireCommand(a), newHoldCommand(a), newPruneCommand(a), newSealCommand(a)}},
		{"Set up", []*cobra.Command{newInitCommand(a), newKitCommand(a), newCheckProviderCommand(a)}},
	}
}
