package basebackup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/postgres"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/archiving"
	"github.com/trustlayer/cofre/postgres/physical/conffile"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/view"
)

// clockSkew is how far the server's clock may be from ours before times of recovery targets mislead.
const clockSkew = 5 * time.Second

// Doctor says what stands between the server and base backups, WAL archiving and recovery to a moment, each with
// the SQL or the line that changes it.
//
// Errors: of the connection; that the server cannot be reached is a diagnosis.
func (s *Source) Doctor(ctx context.Context) ([]cofre.Diagnosis, error) {
	conn, err := postgres.Connect(ctx, s.cfg.Server)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return []cofre.Diagnosis{{Subject: "connection for base backups", Detail: err.Error(), Hint: cofre.Hint(err)}}, nil
	}
	defer func() { _ = postgres.Close(ctx, conn) }()
	server, err := postgres.ReadServer(ctx, conn)
	if err != nil {
		return nil, err
	}
	d := &doctor{s: s, conn: conn, server: server}
	if err := d.access(ctx); err != nil {
		return nil, err
	}
	if d.server.Settings["cluster_name"] == datadir.CopyName {
		d.say("restored copy", false, "cofre adopt "+shellDir(server.DataDir), "the server is a copy that nobody has adopted: it does not archive, and acts on nothing")
	}
	d.settings()
	for _, look := range []func(context.Context) error{d.archiving, d.privileges, d.slots, d.history, d.clock, d.space, d.strays, d.configuration} {
		if err := look(ctx); err != nil {
			return nil, err
		}
	}
	return d.found, nil
}

type doctor struct {
	s      *Source
	conn   *pgx.Conn
	server postgres.Server
	found  []cofre.Diagnosis
	sees   bool // the data directory is visible
	seen   view.View
	unsure bool // where it is could not be found out
}

// inPlace reports whether a backup reads the data directory, as far as is known.
func (d *doctor) inPlace() bool {
	return d.sees || d.unsure && d.s.cfg.Method != physical.MethodProtocol
}

// replicates reports whether a backup, or what keeps WAL for it, needs a replication slot or connection.
func (d *doctor) replicates() bool { return !d.sees || d.s.cfg.Archive == nil }

func (d *doctor) say(subject string, ok bool, hint, detail string, args ...any) {
	if ok {
		hint = ""
	}
	d.found = append(d.found, cofre.Diagnosis{Subject: subject, OK: ok, Detail: fmt.Sprintf(detail, args...), Hint: hint})
}

func (d *doctor) number(name string) int64 {
	n, err := strconv.ParseInt(d.server.Settings[name], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// settings looks at what needs a restart to change, first.
func (d *doctor) settings() {
	set := d.server.Settings
	major := d.server.Version.Major()
	d.say("version", major >= 13 && major <= 18, "PostgreSQL 13 to 18 are supported", "PostgreSQL %s", d.server.VersionText)
	d.say("wal_level", set["wal_level"] != "minimal", "ALTER SYSTEM SET wal_level = 'replica'; then restart PostgreSQL",
		"wal_level = %s", set["wal_level"])
	d.say("full_page_writes", set["full_page_writes"] == "on", "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()",
		"full_page_writes = %s", set["full_page_writes"])
	d.say("fsync", set["fsync"] == "on", "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()", "fsync = %s", set["fsync"])
	if set["data_checksums"] == "on" {
		d.say("data checksums", true, "", "damaged pages are noticed")
	} else {
		// A backup works without them, so that it is for the operator to know, not to be stopped by.
		d.say("data checksums", true, "", "off: damaged pages are backed up unnoticed (stop PostgreSQL, then: pg_checksums --enable -D %s)", shellDir(d.server.DataDir))
	}
	restart := "; then restart PostgreSQL"
	d.say("max_wal_senders", d.number("max_wal_senders") >= 2 || !d.replicates(), "ALTER SYSTEM SET max_wal_senders = 10"+restart,
		"max_wal_senders = %s", set["max_wal_senders"])
	d.say("max_replication_slots", d.number("max_replication_slots") >= 1 || !d.replicates(), "ALTER SYSTEM SET max_replication_slots = 10"+restart,
		"max_replication_slots = %s", set["max_replication_slots"])
	if limit := set["max_slot_wal_keep_size"]; limit != "" && limit != "-1" {
		d.say("max_slot_wal_keep_size", true, "", "the server drops a slot that is %s MB behind: an outage of the repository longer than that much WAL ends streaming", limit)
	}
}

// archiving looks at how WAL leaves the server. Without a WAL archive configured here, nothing is amiss.
func (d *doctor) archiving(ctx context.Context) error {
	set := d.server.Settings
	if d.s.cfg.Archive == nil {
		if set["archive_mode"] != "off" && strings.Contains(set["archive_command"], "cofre wal archive") {
			d.say("WAL archive", false, "add to the section cluster of the configuration: wal: archive", "archive_command calls cofre, and the configuration does not say so: base backups carry WAL that is archived already")
			return nil
		}
		d.say("WAL archive", true, "", "none is configured: each base backup carries its own WAL, and recovery reaches the backup's end")
		return nil
	}
	if d.s.cfg.Slot != "" {
		if err := d.streaming(ctx); err != nil {
			return err
		}
	}
	a, err := d.s.cfg.archiver(ctx, d.conn, d.server)
	if err != nil {
		return err
	}
	d.archiver(a)
	return nil
}

// streaming looks at the slot by which WAL is streamed. One that is there and idle is told of with the other slots.
func (d *doctor) streaming(ctx context.Context) error {
	var there bool
	err := d.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = $1)`, d.s.cfg.Slot).Scan(&there)
	if err != nil {
		return postgres.Explain(fmt.Errorf("look at the replication slot: %w", err))
	}
	d.say("WAL stream", there, "start it, and keep it running: cofre wal stream", "replication slot %s", existence(there, d.s.cfg.Slot))
	return nil
}

func existence(there bool, name string) string {
	if there {
		return name + " is there"
	}
	return name + " is not there: nothing streams the WAL"
}

// archiver says how archive_command is set, and how it fares.
func (d *doctor) archiver(a archiving.Archiver) {
	const set = "ALTER SYSTEM SET archive_command = 'cofre wal archive %p'"
	switch {
	case a.Mode == "off":
		d.say("archive_mode", d.s.cfg.Slot != "", "ALTER SYSTEM SET archive_mode = on; "+set+"; then restart PostgreSQL. Or stream the WAL: set wal: stream in the section cluster, and run cofre wal stream",
			"archive_mode = off: %s", off(d.s.cfg.Slot))
		return
	case a.Library != "":
		d.say("archive_library", true, "", "archive_library = %s archives", a.Library)
	case a.Command == "":
		d.say("archive_command", false, set+"; SELECT pg_reload_conf()", "archive_mode = %s and no archive_command", a.Mode)
		return
	case !strings.Contains(a.Command, "cofre"):
		d.say("archive_command", d.s.cfg.Slot != "", set+"; SELECT pg_reload_conf()", "archive_command = %s", a.Command)
	default:
		d.say("archive_command", true, "", "archive_command = %s", a.Command)
	}
	what, hint := a.Trouble()
	switch {
	case what != "":
		d.say("archiving", false, hint, "%s", what)
	case !a.Archives():
		d.say("archiving", true, "", "this is a standby, and archive_mode = %s: its primary archives", a.Mode)
	case a.Archived == "":
		d.say("archiving", true, "", "nothing was archived since the statistics were reset%s", waits(a.Waiting))
	default:
		d.say("archiving", true, "", "%s was archived last, at %s%s", a.Archived, a.ArchiveAt.Format(time.RFC3339), waits(a.Waiting))
	}
}

func off(slot string) string {
	if slot != "" {
		return "WAL is streamed"
	}
	return "nothing archives the WAL"
}

func waits(n int) string {
	if n < 0 {
		return ""
	}
	return fmt.Sprintf(", %d wait", n)
}

// strays looks for what a backup would leave out of the data directory, or could not read.
func (d *doctor) strays(ctx context.Context) error {
	if !d.sees {
		return nil
	}
	const any = 1 // of no matter here
	s, err := scan(ctx, d.seen, any)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		d.say("data directory", false, "run cofre as the user that PostgreSQL runs as, or as root", "%v", err)
		return nil
	}
	for _, f := range s.files {
		if f.own {
			continue
		}
		in, err := os.Open(f.abs)
		if err == nil {
			err = in.Close() // only opened
		}
		if err != nil && !gone(err) {
			s.unreadable = append(s.unreadable, unreadable(f.entry.Path, err))
		}
	}
	for _, f := range s.unreadable {
		d.say("data directory", false, "take it away, or let the user read it that cofre runs as", "%s: %s", f.Object, f.What)
	}
	for _, text := range s.left {
		d.say("data directory", true, "", "%s", text)
	}
	return nil
}

// configuration looks at the configuration files that lie outside of the data directory, which a backup brings along.
func (d *doctor) configuration(ctx context.Context) error {
	k := &capture{conn: d.conn, server: d.server, facts: physical.Facts{Summary: physical.Summary{Settings: d.server.Settings}}}
	if d.inPlace() {
		k.seen = d.seen
	}
	if err := k.readConfiguration(ctx); err != nil {
		return err
	}
	for _, f := range k.findings {
		d.say("configuration files", false, fmt.Sprintf("let the role read them: GRANT pg_read_server_files TO %[1]s; GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean), pg_catalog.pg_ls_dir(text) TO %[1]s",
			pgx.Identifier{d.server.Role.Name}.Sanitize()), "%s %s", f.Object, f.What)
	}
	for _, c := range conffile.Files {
		if _, ok := k.configuration[c.Name]; ok {
			d.say("configuration files", true, "", "%s, outside of the data directory, is brought along", d.server.Settings[c.Setting])
		}
	}
	return nil
}

func (d *doctor) privileges(ctx context.Context) error {
	role := pgx.Identifier{d.server.Role.Name}.Sanitize()
	start, stop := "pg_backup_start(text,boolean)", "pg_backup_stop(boolean)"
	if d.server.Version.Major() < 15 {
		start, stop = "pg_start_backup(text,boolean,boolean)", "pg_stop_backup(boolean,boolean)"
	}
	var mayStart, mayStop, readsSettings bool
	err := d.conn.QueryRow(ctx, `
SELECT has_function_privilege('pg_catalog.' || $1, 'EXECUTE'), has_function_privilege('pg_catalog.' || $2, 'EXECUTE'),
       pg_has_role('pg_read_all_settings', 'USAGE')`, start, stop).Scan(&mayStart, &mayStop, &readsSettings)
	if err != nil {
		return postgres.Explain(fmt.Errorf("look at the privileges of the role: %w", err))
	}
	d.say("EXECUTE on "+start, mayStart || !d.inPlace(), fmt.Sprintf("GRANT EXECUTE ON FUNCTION %s TO %s", start, role), "role %s", d.server.Role.Name)
	d.say("EXECUTE on "+stop, mayStop || !d.inPlace(), fmt.Sprintf("GRANT EXECUTE ON FUNCTION %s TO %s", stop, role), "role %s", d.server.Role.Name)
	d.say("pg_read_all_settings", readsSettings || !d.unsure, fmt.Sprintf("GRANT pg_read_all_settings TO %s", role), "role %s", d.server.Role.Name)
	replication := d.server.Role.Superuser || d.server.Role.Replication
	d.say("REPLICATION", replication || !d.replicates(), fmt.Sprintf("ALTER ROLE %s REPLICATION", role), "role %s", d.server.Role.Name)
	return nil
}

// slots looks at replication slots that keep WAL for nobody.
func (d *doctor) slots(ctx context.Context) error {
	rows, err := d.conn.Query(ctx, `
SELECT slot_name, coalesce(wal_status, ''), active FROM pg_catalog.pg_replication_slots
WHERE NOT temporary AND (wal_status IN ('lost', 'unreserved') OR NOT active)`)
	if err != nil {
		return postgres.Explain(fmt.Errorf("look at the replication slots: %w", err))
	}
	var name, status string
	var active bool
	amiss := 0
	_, err = pgx.ForEachRow(rows, []any{&name, &status, &active}, func() error {
		amiss++
		d.say("replication slot "+name, false, fmt.Sprintf("start what uses it, or: SELECT pg_drop_replication_slot('%s')", name), "active %t, its WAL is %s", active, status)
		return nil
	})
	if err == nil && amiss == 0 {
		d.say("replication slots", true, "", "none keeps WAL for nobody")
	}
	return postgres.Explain(err)
}

// access looks at the two ways in: the data directory, and the replication protocol.
func (d *doctor) access(ctx context.Context) error {
	seen, dir, _, why := view.FindInPlace(ctx, d.conn, d.server, d.s.cfg.DataDirectory)
	d.sees, d.unsure, d.seen = why == nil, dir == "", seen
	if d.sees {
		d.say("data directory", true, "", "%s is read in place", dir)
		return nil
	}
	d.say("data directory", d.s.cfg.Method != physical.MethodFiles, "run cofre on the server's machine, as the user postgres or root", "not visible: %v", why)
	conn, err := postgres.Connect(ctx, d.s.cfg.Server.WithSettings(map[string]string{"replication": "true"}))
	if err != nil {
		d.say("replication connection", false, fmt.Sprintf("add to pg_hba.conf: host replication %s ADDRESS scram-sha-256; then SELECT pg_reload_conf()", d.server.Role.Name), "%v", err)
		return nil
	}
	d.say("replication connection", true, "", "the server sends the data directory")
	return conn.Close(ctx)
}

// clock compares the server's clock with ours, allowing for the time that the question takes.
func (d *doctor) clock(ctx context.Context) error {
	before := time.Now()
	var there time.Time
	if err := d.conn.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&there); err != nil {
		return postgres.Explain(fmt.Errorf("read the server's clock: %w", err))
	}
	here := before.Add(time.Since(before) / 2)
	skew := there.Sub(here).Abs()
	d.say("clock", skew < clockSkew, "let a time service (chrony, systemd-timesyncd) set both clocks", "%s apart", skew.Round(time.Millisecond))
	return nil
}

// space looks at the disk that pg_wal fills when archiving does not keep up.
func (d *doctor) space(ctx context.Context) error {
	if !d.sees {
		return nil
	}
	free, _, err := datadir.Free(d.seen.At(path.Join(d.seen.There, "pg_wal")))
	if gone(err) {
		return nil // visible just now: the server is being taken away, which other diagnoses say
	}
	if err != nil {
		return err
	}
	least := 2 * d.number("max_wal_size") << 20 // of MB
	d.say("disk of pg_wal", free > least, "free some space, or move pg_wal to a larger disk", "%d MB free", free>>20)
	return nil
}

func shellDir(dir string) string {
	if dir == "" {
		return "DATA_DIRECTORY"
	}
	return dir
}

// history looks for the history of the server's timeline in the archive: without it nothing is recovered along that, and a
// server that was promoted while it archived nothing has not handed it over.
func (d *doctor) history(ctx context.Context) error {
	if d.s.cfg.Archive == nil {
		return nil
	}
	k := &capture{cfg: d.s.cfg, conn: d.conn, server: d.server, given: &cofre.Capture{Observer: cofre.Discard}}
	tli, err := k.timelineNow(ctx)
	if err != nil || tli <= 1 {
		return err
	}
	if d.sees {
		k.walDir = d.seen.At(path.Join(d.seen.There, "pg_wal"))
	}
	const subject = "timeline history"
	name := pgdata.HistoryName(tli)
	content, err := k.historyContent(ctx, tli)
	if err != nil {
		d.say(subject, false, "give the role the attribute REPLICATION", "%s cannot be read: %v", name, err)
		return nil
	}
	switch own, err := d.s.cfg.Archive.Holds(ctx, d.server.SystemID, name, content); {
	case errors.Is(err, cofre.ErrNotFound):
		d.say(subject, false, fmt.Sprintf("cofre backup cluster archives it; or, as the server's user: cofre wal archive %s/pg_wal/%s", shellDir(d.server.DataDir), name),
			"%s is not archived: nothing can be recovered along timeline %d", name, tli)
	case err != nil:
		d.say(subject, false, cofre.Hint(err), "%v", err)
	case !own:
		d.say(subject, false, "recover this cluster once more with cofre restore cluster, which takes a timeline of its own, or give it a repository of its own",
			"%s in the archive is of another cluster, which took timeline %d too: the WAL of this one is refused", name, tli)
	default:
		d.say(subject, true, "", "%s is archived", name)
	}
	return nil
}
