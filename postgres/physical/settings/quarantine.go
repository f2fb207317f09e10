package settings

import (
	"path"
	"slices"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
)

// A restored cluster is a copy: what it does to others it would do a second time, or in the place of the original. Until
// a person says that it is the original (Adopt), everything is off that reaches out of its data directory by itself, or
// that lets others in. Settings that PostgreSQL lets a role or a database have of its own cannot be held so: none of those
// below that matter is one of these.
//
// What no setting can prevent is what a session does: a query through postgres_fdw or dblink, COPY TO PROGRAM, DROP
// SUBSCRIPTION, which drops the slot on the publisher.

// quarantineLine parts the settings that end with the recovery from those that stay until Adopt.
const quarantineLine = "# What follows keeps the copy from acting on others. It ends with: cofre adopt DIR"

// acting are libraries of shared_preload_libraries that start work by themselves and that no table and no WAL needs.
var acting = map[string]cofre.Message{
	"bdr":               cofre.Say("library.replicates", "it replicates"),
	"citus":             cofre.Say("library.connects", "it connects to the other nodes"),
	"pg_cron":           cofre.Say("library.jobs", "it runs scheduled jobs"),
	"pg_dbms_job":       cofre.Say("library.jobs", "it runs scheduled jobs"),
	"pg_failover_slots": cofre.Say("library.slots", "it keeps the slots of a standby"),
	"pg_later":          cofre.Say("library.queued", "it runs queued statements"),
	"pg_net":            cofre.Say("library.http", "it sends HTTP requests"),
	"pg_partman_bgw":    cofre.Say("library.partitions", "it makes and drops partitions"),
	"pg_squeeze":        cofre.Say("library.rewrites", "it rewrites tables"),
	"pg_task":           cofre.Say("library.jobs", "it runs scheduled jobs"),
	"pgactive":          cofre.Say("library.replicates", "it replicates"),
	"pgautofailover":    cofre.Say("library.nodes", "it decides about the nodes of the original"),
	"pglogical":         cofre.Say("library.replicates", "it replicates"),
	"pgmemento":         cofre.Say("library.acts", "it acts on its own"),
	"powa":              cofre.Say("library.collects", "it collects from other servers"),
	"repmgr":            cofre.Say("library.failover", "it takes part in the failover of the original"),
	"spock":             cofre.Say("library.replicates", "it replicates"),
	"vectorize":         cofre.Say("library.http", "it sends HTTP requests"),
}

// passive are libraries that act on nothing outside of the sessions that call them, or that the cluster cannot be read
// without: its WAL, its pages, or its tables are theirs.
var passive = []string{
	"anon", "auth_delay", "auto_explain", "basebackup_to_shell", "basic_archive", "citus_columnar", "columnar", "credcheck", "decoderbufs",
	"hypopg", "insert_username", "orioledb", "passwordcheck", "pg_hint_plan", "pg_prewarm", "pg_qualstats", "pg_search", "pg_show_plans",
	"pg_stat_kcache", "pg_stat_monitor", "pg_stat_statements", "pg_store_plans", "pg_tde", "pg_textsearch", "pg_tle", "pg_wait_sampling", "pgaudit",
	"pgauditlogtofile", "pgextwlist", "pgoutput", "pgrowlocks", "pgsodium", "plan_filter", "plpgsql", "plpgsql_check", "plprofiler", "plrust",
	"postgis", "safeupdate", "sepgsql", "set_user", "supabase_vault", "supautils", "timescaledb", "vchord", "wal2json",
}

// library is one element of shared_preload_libraries, and what becomes of it on a restored copy.
type library struct {
	name string
	left cofre.Message // why it is left out; empty if it is loaded
}

// libraries decides about each library of the original's shared_preload_libraries. One that is not known is left out:
// what it does nobody here can say, and one that the WAL needs makes the server say so by name.
func libraries(setting string, keep []string) []library {
	var all []library
	for _, element := range strings.Split(setting, ",") {
		element = strings.Trim(strings.TrimSpace(element), `"`)
		if element == "" {
			continue
		}
		l := library{name: element}
		base := strings.TrimSuffix(path.Base(element), ".so")
		switch why := acting[base]; {
		case slices.Contains(keep, base) || slices.Contains(keep, element) || slices.Contains(passive, base):
		case !why.IsZero():
			l.left = why
		default:
			l.left = cofre.Say("library.unknown", "it is not known here")
		}
		all = append(all, l)
	}
	return all
}

// loaded is shared_preload_libraries without what is left out.
func loaded(all []library) string {
	var names []string
	for _, l := range all {
		if l.left.IsZero() {
			names = append(names, `"`+l.name+`"`)
		}
	}
	return strings.Join(names, ", ")
}

// quarantine returns the settings that keep a copy from acting. Each counts over the configuration files of the original
// and over ALTER SYSTEM: see recoveryFile.
//
// Source: PostgreSQL 13 to 18, postgres --describe-config: every setting that runs a command, opens a socket or a
// connection, starts a worker, or names a file outside of the data directory.
func quarantine(major int, all []library) []setting {
	out := []setting{
		{"archive_mode", "off"},
		{"archive_cleanup_command", ""},
		// Subscriptions: the launcher is not even registered, so that no worker takes the slot of the original.
		{"max_logical_replication_workers", "0"},
		{"shared_preload_libraries", loaded(all)},
		{"session_preload_libraries", ""},
		{"local_preload_libraries", ""},
		{"primary_conninfo", ""},
		{"primary_slot_name", ""},
		// A commit would wait for standbys that follow the original.
		{"synchronous_standby_names", ""},
		// Who connects to the original's address, or to its socket, must not find the copy. The server's working directory is
		// the data directory, which no other user can enter.
		{"listen_addresses", ""},
		{"unix_socket_directories", "."},
		{"unix_socket_group", ""},
		{"unix_socket_permissions", "0700"},
		{"bonjour", "off"},
		// The key is outside of the data directory, or asks for its pass phrase; on a socket nobody needs it.
		{"ssl", "off"},
		// Files that the original writes, too.
		{"external_pid_file", datadir.PIDFile},
		{"log_destination", "stderr"},
		{"log_directory", "log"},
		// It would take the memory that was set aside for the original.
		{"huge_pages", "off"},
		{"cluster_name", datadir.CopyName},
		// Its tables cannot be read without the library, and its jobs need none of these.
		{"timescaledb.max_background_workers", "0"},
	}
	if major < 15 {
		out = append(out, setting{"stats_temp_directory", "pg_stat_tmp"})
	}
	if major >= 17 {
		out = append(out,
			setting{"event_triggers", "off"},
			setting{"sync_replication_slots", "off"},
			setting{"synchronized_standby_slots", ""})
	}
	return out
}

// DescribeQuarantine says what stays off, for a plan.
func DescribeQuarantine(all []library, known bool) []cofre.Message {
	notes := []cofre.Message{cofre.Say("library.quarantine", "until cofre adopt the copy acts on nothing: no archiving, no logical replication, and connections only through the socket in its directory; "+
		"no setting prevents what a session does through foreign servers or DROP SUBSCRIPTION")}
	for _, l := range all {
		if !l.left.IsZero() {
			notes = append(notes, cofre.Say("library.left", "shared_preload_libraries: {{.name}} is left out, {{.why}}; --keep-library {{.name}} keeps it", "name", l.name, "why", l.left))
		}
	}
	if !known {
		notes = append(notes, cofre.Say("library.not_known", "shared_preload_libraries of the original is not known, because the role that backed up may not read it: no library is loaded; --keep-library NAME loads one"))
	}
	return notes
}
