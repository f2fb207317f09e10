package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres/logical"
	"github.com/trustlayer/cofre/postgres/logical/restoring"
)

type restoreDatabaseCommand struct {
	restoreOptions
	installation.Database
	server string
	check  string
}

func newRestoreDatabaseCommand(a *app) *cobra.Command {
	var c restoreDatabaseCommand
	cmd := &cobra.Command{
		Use:   "database POINT",
		Short: "Bring back a database",
		Long: `Bring back the database of a recovery point: into a new database, compared there with what was captured, and
then renamed. With --replace the database that has the name now is kept under another; without it the name must be free.

A copy that differs from what was captured does not take the name, and is kept: the message names each difference, the
command that takes the copy as it is (--accept) and the one that drops it. What the repository is known to have lost is
named before anything is done; --without-lost restores everything else.

Functions of the captured database run while it is restored, with the rights of the role that restores; the plan names
them. With --safe that role must be an ordinary one, such as the owner, and CHECK constraints are made when every row
was compared; rows are then compared once more.

  cofre restore database latest --dry-run
  cofre restore database latest --to trustlayer_yesterday
  cofre restore database latest --replace
  cofre restore database latest --safe --server postgres://owner@localhost/postgres --to copy`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c.Loss.Command = withoutLost(cmd, args, c.Loss.Without)
			c.again = func(accept []string) string { return commandLine(cmd, args, "accept", accept) }
			if c.Check = restoring.CheckLevel(c.check); c.Check != restoring.CheckCounts && c.Check != restoring.CheckChecksum {
				return cofre.WithHint(edge.Usage(cofre.Fail(cofre.Say("restore.unknown_check", "unknown check \"{{.check}}\"", "check", c.check))), cofre.Say("restore.checks", "use checksum or counts"))
			}
			c.Point, c.Server.URL, c.Database.Accept = args[0], c.server, c.restoreOptions.Accept
			return a.restore(cmd.Context(), restored(c.Database), c.restoreOptions)
		},
	}
	c.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&c.Name, "to", "", "`NAME` of the database in the end (default: the captured one's)")
	f.StringVar(&c.server, "server", "", "`URL` of the server to restore to (default: the configured database's)")
	f.BoolVar(&c.Replace, "replace", false, "replace the database of that name; it is kept under another name")
	f.BoolVar(&c.Roles, "roles", false, "make the roles of the database's users that are missing, with their memberships")
	f.IntVarP(&c.Jobs, "jobs", "j", 0, "`N` sessions at once (default: the number of CPUs up to 4)")
	f.StringVar(&c.check, "check", string(restoring.CheckChecksum), "`HOW` the copy is compared: checksum (every row) or counts (how many rows each table has)")
	f.BoolVar(&c.Safe, "safe", false, "the restoring role is an ordinary one, and CHECK constraints are made when every row was compared")
	addFilterFlags(cmd, &c.Filter)
	f.BoolVar(&c.NoOwner, "no-owner", false, "everything belongs to the role that restores")
	f.BoolVar(&c.NoPrivileges, "no-privileges", false, "no GRANT and no REVOKE")
	f.StringArrayVar(&c.restoreOptions.Accept, "accept", nil, "take the difference of this `NAME` as it is, may be repeated; the outcome is then incomplete (3)")
	f.BoolVar(&c.Loss.Without, "without-lost", false, "leave the rows that the repository has lost out, and name them; the outcome is then incomplete (3)")
	f.StringVar(&c.SearchPath, "search-path", "", "`SCHEMAS` in which functions look for names without a schema while they are restored (default: none)")
	return cmd
}

// addFilterFlags adds the flags that take a part of a database.
func addFilterFlags(cmd *cobra.Command, filter *logical.Filter) {
	f := cmd.Flags()
	f.BoolVar(&filter.SchemaOnly, "schema-only", false, "definitions, no rows")
	f.BoolVar(&filter.DataOnly, "data-only", false, "rows, no definitions")
	f.StringVar(&filter.Section, "section", "", "one `SECTION`: pre-data, data or post-data")
	f.StringArrayVar(&filter.Schemas, "schema", nil, "only this `SCHEMA`, may be repeated")
	f.StringArrayVar(&filter.ExcludeTables, "exclude-table", nil, "without this `SCHEMA.TABLE`, may be repeated")
}

// commandLine writes the command that was given, with more values of one flag, so that it can be pasted into a shell.
func commandLine(cmd *cobra.Command, args []string, flag string, values []string) string {
	words := strings.Fields(cmd.CommandPath())
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if f.Name == "config" {
			return // edge.App.Pasted gives it to every command that is shown
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				words = append(words, typedFlag(f, v)...)
			}
			return
		}
		words = append(words, typedFlag(f, shell.WithoutPassword(f.Value.String()))...)
	})
	for _, a := range args {
		words = append(words, shell.Quote(a))
	}
	for _, v := range values {
		words = append(words, "--"+flag, shell.Quote(v))
	}
	return strings.Join(words, " ")
}

// withoutLost is the command that was given, going on without what is lost.
func withoutLost(cmd *cobra.Command, args []string, given bool) string {
	if given {
		return commandLine(cmd, args, "", nil)
	}
	return commandLine(cmd, args, "", nil) + " --without-lost"
}

// typedFlag is a flag as people type it: --quiet, --to NAME.
func typedFlag(f *pflag.Flag, value string) []string {
	switch {
	case f.NoOptDefVal != "" && value == f.NoOptDefVal:
		return []string{"--" + f.Name}
	case f.NoOptDefVal != "" || strings.HasPrefix(value, "-"):
		return []string{"--" + f.Name + "=" + shell.Quote(value)}
	}
	return []string{"--" + f.Name, shell.Quote(value)}
}
