package main

import (
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/cmd/internal/edge"
	"github.com/trustlayer/cofre/installation"
	"github.com/trustlayer/cofre/postgres/physical/settings"
)

type restoreClusterCommand struct {
	restoreOptions
	installation.Cluster
	until       recoveryFlags
	action      string
	tablespaces []string
}

func newRestoreClusterCommand(a *app) *cobra.Command {
	var c restoreClusterCommand
	cmd := &cobra.Command{
		Use:   "cluster [POINT] --to DIR",
		Short: "Bring back a whole PostgreSQL cluster, to any moment its WAL reaches",
		Long: `Bring back the data directory of a cluster, ready to recover to a moment: --at, --lsn, --xid, --name, --immediate,
or without one of them to the end of the WAL. The base backup is chosen by the target, or is that of POINT.

A target that cannot be reached exactly is refused, with the moments nearest to it that can. The restored cluster
pauses at the target until it is promoted, unless --action says otherwise. Until cofre adopt it is a copy that acts on nothing:
archiving, subscriptions, jobs and connections from elsewhere are off, by settings in a file of its own.

If the repository has lost some of a base backup, another that is whole and leads to the same moment is named. If there is none,
--without-lost brings back all that can be read: pages that are lost are empty, until WAL brings back those that it holds whole.
What comes of it is no moment of the original, and not adopted: take out of it what can be read, with pg_dump.

With --start cofre runs the server on a private socket until the target is reached, carries the action out, and says
where the recovery has stopped. Paused at the target, the server goes on running, to be read, and cofre says how to
reach it, how to promote it and how to move on; otherwise it is shut down, to be started as any other cluster.

  cofre restore cluster --to /var/lib/postgresql/15/restored --at 2026-11-24T14:05:00-03:00 --dry-run
  cofre restore cluster --to /srv/copy --at '2026-11-24 14:05:00' --tz America/Sao_Paulo --start --action promote
  cofre restore cluster latest --to /srv/copy --immediate`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if c.Dir == "" {
				return cofre.WithHint(edge.UsageError(cmd, cofre.Fail(cofre.Say("restore.no_dir", "a restore of a cluster needs a place"))), cofre.Say("restore.to_dir", "give --to DIR"))
			}
			for _, name := range []string{"at", "lsn", "xid", "name"} {
				// --at "$TIME" with nothing in the variable would recover to the end of the WAL, disaster and all.
				if f := cmd.Flags().Lookup(name); f.Changed && (f.Value.String() == "" || f.Value.String() == "0") {
					return edge.UsageError(cmd, cofre.Fail(cofre.Say("usage.empty", "--{{.flag}} is empty", "flag", name)))
				}
			}
			zone, err := c.read(cmd)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				c.Point = args[0]
			}
			a.Zone = zone
			return a.restore(cmd.Context(), untilMoment(c.Cluster), c.restoreOptions)
		},
	}
	c.addFlags(cmd)
	f := cmd.Flags()
	c.until.addFlags(cmd)
	f.StringVar(&c.Dir, "to", "", "the data `DIR` to make")
	f.StringVar(&c.action, "action", "", "`ACTION` at the target: pause, promote or shutdown (default: pause, and promote at the end of the WAL)")
	f.BoolVar(&c.Start, "start", false, "run the server until the target is reached, and carry out the action")
	f.StringVar(&c.Superuser, "superuser", "postgres", "with --start, the `ROLE` of the restored cluster to connect with")
	f.StringArrayVar(&c.tablespaces, "tablespace", nil, "`OLD=NEW`: another directory for a tablespace, may be repeated")
	f.BoolVar(&c.Delta, "delta", false, "DIR holds an older copy: rewrite what differs in place, and delete what is not in the point")
	f.BoolVar(&c.MoveAside, "move-aside", false, "DIR is in use: restore next to it, then give it another name")
	f.IntVarP(&c.Jobs, "jobs", "j", 0, "`N` files at once (default: the number of CPUs up to 4)")
	f.StringVar(&c.Owner, "owner", "", "`USER` to own the files, if cofre runs as root (default: found out)")
	f.BoolVar(&c.KeepArchiving, "keep-archiving", false, "it is the original at once, archiving and all; only if the other one is gone for good")
	f.StringArrayVar(&c.KeepLibraries, "keep-library", nil, "`NAME` in shared_preload_libraries to load although it acts, or is not known; may be repeated")
	f.BoolVar(&c.VerifyBackup, "pg-verifybackup", false, "have pg_verifybackup read everything back once more")
	f.BoolVar(&c.Loss.Without, "without-lost", false, "restore all that can be read: pages that the repository has lost are empty, and named; the outcome is then incomplete (3)")
	f.BoolVar(&c.KeepPartial, "keep-partial", false, "leave what was brought when the restore fails, for the next one to go on with")
	return cmd
}

// read makes what the flags say of a recovery, and returns the zone in which its time was typed.
func (c *restoreClusterCommand) read(cmd *cobra.Command) (zone *time.Location, err error) {
	if c.Recovery, zone, err = c.until.parse(); err != nil {
		return nil, edge.UsageError(cmd, err)
	}
	c.Action = settings.Action(c.action)
	if !slices.Contains([]settings.Action{"", settings.ActionPause, settings.ActionPromote, settings.ActionShutdown}, c.Action) {
		return nil, cofre.WithHint(edge.Usage(cofre.Fail(cofre.Say("target.unknown_action", "unknown action \"{{.action}}\"", "action", c.action))), cofre.Say("target.actions", "use pause, promote or shutdown"))
	}
	c.Tablespaces, err = pairs(c.tablespaces)
	return zone, err
}

// pairs reads OLD=NEW words.
func pairs(words []string) (map[string]string, error) {
	m := map[string]string{}
	for _, w := range words {
		from, to, ok := strings.Cut(w, "=")
		if !ok || from == "" || to == "" {
			return nil, edge.Usage(cofre.Fail(cofre.Say("usage.pair", "\"{{.word}}\" is not of the form OLD=NEW", "word", w)))
		}
		m[from] = to
	}
	return m, nil
}
