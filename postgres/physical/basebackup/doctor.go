package basebackup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/words"
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
		return []cofre.Diagnosis{cofre.NewDiagnosis(cofre.Say("doctor.connection", "connection for base backups"), false, cofre.SayError(err), cofre.HintOf(err))}, nil
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
		d.say(cofre.Say("doctor.copy", "restored copy"), false, cofre.Verbatim("cofre adopt "+shellDir(server.DataDir)), cofre.Say("doctor.copy_idle", "the server is a copy that nobody has adopted: it does not archive, and acts on nothing"))
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

func (d *doctor) say(subject cofre.Message, ok bool, hint, detail cofre.Message) {
	if ok {
		hint = cofre.Message{}
	}
	d.found = append(d.found, cofre.NewDiagnosis(subject, ok, detail, hint))
}

// setting says that a setting of the server is as it is; its hint is the SQL that changes it.
func (d *doctor) setting(name string, ok bool, hint cofre.Message) {
	d.say(cofre.Verbatim(name), ok, hint, cofre.Verbatim(name+" = "+d.server.Settings[name]))
}

// restarted is a hint for a setting that counts after a restart.
func restarted(sql string) cofre.Message {
	return cofre.Say("doctor.then_restart", "{{.sql}}; then restart PostgreSQL", "sql", sql)
}

var nothing cofre.Message

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
	d.say(cofre.Say("doctor.server_version", "version"), major >= 13 && major <= 18, cofre.Say("postgres.supported", "PostgreSQL 13 to 18 are supported"), cofre.Verbatim("PostgreSQL "+d.server.VersionText))
	d.setting("wal_level", set["wal_level"] != "minimal", restarted("ALTER SYSTEM SET wal_level = 'replica'"))
	d.setting("full_page_writes", set["full_page_writes"] == "on", cofre.Verbatim("ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()"))
	d.setting("fsync", set["fsync"] == "on", cofre.Verbatim("ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()"))
	checksums := cofre.Say("doctor.checksums", "data checksums")
	if set["data_checksums"] == "on" {
		d.say(checksums, true, nothing, cofre.Say("doctor.checksums_on", "damaged pages are noticed"))
	} else {
		// A backup works without them, so that it is for the operator to know, not to be stopped by.
		d.say(checksums, true, nothing, cofre.Say("doctor.checksums_off", "off: damaged pages are backed up unnoticed (stop PostgreSQL, then: pg_checksums --enable -D {{.dir}})", "dir", shellDir(d.server.DataDir)))
	}
	d.setting("max_wal_senders", d.number("max_wal_senders") >= 2 || !d.replicates(), restarted("ALTER SYSTEM SET max_wal_senders = 10"))
	d.setting("max_replication_slots", d.number("max_replication_slots") >= 1 || !d.replicates(), restarted("ALTER SYSTEM SET max_replication_slots = 10"))
	if limit := set["max_slot_wal_keep_size"]; limit != "" && limit != "-1" {
		d.say(cofre.Verbatim("max_slot_wal_keep_size"), true, nothing, cofre.Say("doctor.slot_limit", "the server drops a slot that is {{.limit}} MB behind: an outage of the repository longer than that much WAL ends streaming", "limit", limit))
	}
}

// archiving looks at how WAL leaves the server. Without a WAL archive configured here, nothing is amiss.
func (d *doctor) archiving(ctx context.Context) error {
	set := d.server.Settings
	if d.s.cfg.Archive == nil {
		if set["archive_mode"] != "off" && strings.Contains(set["archive_command"], "cofre wal archive") {
			d.say(cofre.Say("doctor.wal_archive", "WAL archive"), false, cofre.Say("doctor.configure_archive", "add to the section cluster of the configuration: wal: archive"), cofre.Say("doctor.archive_unsaid", "archive_command calls cofre, and the configuration does not say so: base backups carry WAL that is archived already"))
			return nil
		}
		d.say(cofre.Say("doctor.wal_archive", "WAL archive"), true, nothing, cofre.Say("doctor.no_archive", "none is configured: each base backup carries its own WAL, and recovery reaches the backup's end"))
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

// streaming looks at the slot by which WAL is streamed. Nobody is told to drop it: it keeps what has not been streamed yet.
func (d *doctor) streaming(ctx context.Context) error {
	slot := d.s.cfg.Slot
	var status string
	var active bool
	err := d.conn.QueryRow(ctx, `SELECT coalesce(wal_status, ''), active FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`, slot).Scan(&status, &active)
	detail := cofre.Say("doctor.slot_there", "replication slot {{.slot}} is there", "slot", slot)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		detail = cofre.Say("doctor.slot_missing", "replication slot {{.slot}} is not there: nothing streams the WAL", "slot", slot)
	case err != nil:
		return postgres.Explain(fmt.Errorf("look at the replication slot: %w", err))
	case !active:
		detail = cofre.Say("doctor.slot_unused", "nothing streams from replication slot {{.slot}}, its WAL is {{.status}}", "slot", slot, "status", status)
	}
	d.say(cofre.Say("doctor.wal_stream", "WAL stream"), err == nil && active, cofre.Say("doctor.start_stream", "start it, and keep it running: cofre wal stream"), detail)
	return nil
}

// archiver says how archive_command is set, and how it fares.
func (d *doctor) archiver(a archiving.Archiver) {
	const set = "ALTER SYSTEM SET archive_command = 'cofre wal archive %p'"
	reload := cofre.Verbatim(set + "; SELECT pg_reload_conf()")
	switch {
	case a.Mode == "off":
		detail := cofre.Say("doctor.archive_off", "archive_mode = off: nothing archives the WAL")
		if d.s.cfg.Slot != "" {
			detail = cofre.Say("doctor.archive_streamed", "archive_mode = off: WAL is streamed")
		}
		d.say(cofre.Verbatim("archive_mode"), d.s.cfg.Slot != "", cofre.Say("doctor.archive_or_stream", "{{.sql}}; then restart PostgreSQL. Or stream the WAL: set wal: stream in the section cluster, and run cofre wal stream", "sql", "ALTER SYSTEM SET archive_mode = on; "+set), detail)
		return
	case a.Library != "":
		d.say(cofre.Verbatim("archive_library"), true, nothing, cofre.Verbatim("archive_library = "+a.Library))
	case a.Command == "":
		d.say(cofre.Verbatim("archive_command"), false, reload, cofre.Say("doctor.no_archive_command", "archive_mode = {{.mode}}, and there is no archive_command", "mode", a.Mode))
		return
	default:
		d.say(cofre.Verbatim("archive_command"), d.s.cfg.Slot != "" || strings.Contains(a.Command, "cofre"), reload, cofre.Verbatim("archive_command = "+a.Command))
	}
	d.say(archives(a))
}

// archives says how the archiving goes.
func archives(a archiving.Archiver) (subject cofre.Message, ok bool, hint, detail cofre.Message) {
	subject = cofre.Say("doctor.archiving", "archiving")
	a.Slot = "" // which is looked at by itself
	what, hint := a.Trouble()
	switch {
	case !what.IsZero():
		return subject, false, hint, what
	case !a.Archives():
		return subject, true, nothing, cofre.Say("doctor.primary_archives", "this is a standby, and archive_mode = {{.mode}}: its primary archives", "mode", a.Mode)
	case a.Archived == "" && a.Waiting < 0:
		return subject, true, nothing, cofre.Say("doctor.nothing_archived", "nothing was archived since the statistics were reset")
	case a.Archived == "":
		return subject, true, nothing, cofre.SayN("doctor.nothing_archived_waits", a.Waiting, "nothing was archived since the statistics were reset, 1 file waits", "nothing was archived since the statistics were reset, {{.n}} files wait")
	case a.Waiting < 0:
		return subject, true, nothing, cofre.Say("doctor.archived_last", "{{.file}} was archived last, at {{.at}}", "file", a.Archived, "at", a.ArchiveAt)
	}
	return subject, true, nothing, cofre.SayN("doctor.archived_last_waits", a.Waiting, "{{.file}} was archived last, at {{.at}}, 1 file waits", "{{.file}} was archived last, at {{.at}}, {{.n}} files wait", "file", a.Archived, "at", a.ArchiveAt)
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
		d.say(dataDirectory(), false, cofre.Say("doctor.as_server", "run cofre as the user that PostgreSQL runs as, or as root"), cofre.SayError(err))
		return nil
	}
	for _, f := range s.files {
		if f.own {
			continue
		}
		in, err := d.seen.Open(f.abs, f.as)
		if err == nil {
			err = in.Close() // only opened
		}
		if err != nil && !gone(err) {
			s.unreadable = append(s.unreadable, unreadable(f.entry.Path, err))
		}
	}
	for _, f := range s.unreadable {
		d.say(dataDirectory(), false, cofre.Say("doctor.let_read", "take it away, or let the user that cofre runs as read it"), cofre.Say("doctor.unreadable", "{{.file}}: {{.what}}", "file", f.Object, "what", f.Messages.Of(f.What)))
	}
	for _, left := range s.left {
		d.say(dataDirectory(), true, nothing, left)
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
		d.say(configurationFiles(), false, cofre.Say("doctor.read_configuration", "let the role read them: GRANT pg_read_server_files TO {{.role}}; GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean), pg_catalog.pg_ls_dir(text) TO {{.role}}",
			"role", pgx.Identifier{d.server.Role.Name}.Sanitize()), cofre.Say("doctor.unreadable", "{{.file}}: {{.what}}", "file", f.Object, "what", f.Messages.Of(f.What)))
	}
	for _, c := range conffile.Files {
		if _, ok := k.configuration[c.Name]; ok {
			d.say(configurationFiles(), true, nothing, cofre.Say("doctor.brought_along", "{{.file}}, outside of the data directory, is captured, too", "file", d.server.Settings[c.Setting]))
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
	said := cofre.Say("object.role", "role {{.name}}", "name", d.server.Role.Name)
	for _, f := range []struct {
		name string
		may  bool
	}{{start, mayStart}, {stop, mayStop}} {
		d.say(cofre.Verbatim("EXECUTE ON "+f.name), f.may || !d.inPlace(), cofre.Verbatim("GRANT EXECUTE ON FUNCTION "+f.name+" TO "+role), said)
	}
	d.say(cofre.Verbatim("pg_read_all_settings"), readsSettings || !d.unsure, cofre.Verbatim("GRANT pg_read_all_settings TO "+role), said)
	replication := d.server.Role.Superuser || d.server.Role.Replication
	d.say(cofre.Verbatim("REPLICATION"), replication || !d.replicates(), cofre.Verbatim("ALTER ROLE "+role+" REPLICATION"), said)
	return nil
}

// slots looks at replication slots that keep WAL for nobody.
func (d *doctor) slots(ctx context.Context) error {
	rows, err := d.conn.Query(ctx, `
SELECT slot_name, coalesce(wal_status, ''), active FROM pg_catalog.pg_replication_slots
WHERE NOT temporary AND (slot_name <> $1 OR active) AND (wal_status IN ('lost', 'unreserved') OR NOT active)`, d.s.cfg.Slot)
	if err != nil {
		return postgres.Explain(fmt.Errorf("look at the replication slots: %w", err))
	}
	var name, status string
	var active bool
	amiss := 0
	_, err = pgx.ForEachRow(rows, []any{&name, &status, &active}, func() error {
		amiss++
		detail := cofre.Say("doctor.slot_idle", "not in use, its WAL is {{.status}}", "status", status)
		if active {
			detail = cofre.Say("doctor.slot_in_use", "in use, its WAL is {{.status}}", "status", status)
		}
		d.say(cofre.Say("doctor.slot", "replication slot {{.name}}", "name", name), false, cofre.Say("doctor.drop_slot", "start what uses it, or: SELECT pg_drop_replication_slot('{{.name}}')", "name", name), detail)
		return nil
	})
	if err == nil && amiss == 0 {
		d.say(cofre.Say("doctor.slots", "replication slots"), true, nothing, cofre.Say("doctor.slots_used", "each one that keeps WAL is in use"))
	}
	return postgres.Explain(err)
}

// access looks at the two ways in: the data directory, and the replication protocol.
func (d *doctor) access(ctx context.Context) error {
	seen, dir, _, why := view.FindInPlace(ctx, d.conn, d.server, d.s.cfg.DataDirectory)
	d.sees, d.unsure, d.seen = why == nil, dir == "", seen
	if d.sees {
		d.say(dataDirectory(), true, nothing, cofre.Say("doctor.in_place", "{{.dir}} is read in place", "dir", dir))
		return nil
	}
	d.say(dataDirectory(), d.s.cfg.Method != physical.MethodFiles, cofre.Say("doctor.on_server", "run cofre on the server's machine, as the user postgres or root"), cofre.Say("doctor.not_visible", "not visible: {{.error}}", "error", why))
	conn, err := postgres.Connect(ctx, d.s.cfg.Server.WithSettings(map[string]string{"replication": "true"}))
	if err != nil {
		d.say(cofre.Say("doctor.replication", "replication connection"), false, cofre.Say("doctor.replication_hba", "add to pg_hba.conf: host replication {{.role}} ADDRESS scram-sha-256; then SELECT pg_reload_conf()", "role", d.server.Role.Name), cofre.SayError(err))
		return nil
	}
	d.say(cofre.Say("doctor.replication", "replication connection"), true, nothing, cofre.Say("doctor.sends", "the server sends the data directory"))
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
	d.say(cofre.Say("doctor.clock", "clock"), skew < clockSkew, cofre.Say("doctor.time_service", "let a time service (chrony, systemd-timesyncd) set both clocks"), cofre.Say("doctor.clock_apart", "{{.time}} apart", "time", skew.Round(time.Millisecond)))
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
	d.say(cofre.Say("doctor.wal_disk", "disk of pg_wal"), free > least, cofre.Say("doctor.wal_disk_free", "free some space, or move pg_wal to a larger disk"), cofre.Say("doctor.free", "{{.size}} free", "size", words.Size(free)))
	return nil
}

func dataDirectory() cofre.Message { return cofre.Say("doctor.data_directory", "data directory") }

func configurationFiles() cofre.Message {
	return cofre.Say("doctor.configuration_files", "configuration files")
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
	subject := cofre.Say("doctor.history", "timeline history")
	name := pgdata.HistoryName(tli)
	content, err := k.historyContent(ctx, tli)
	if err != nil {
		d.say(subject, false, cofre.Verbatim("ALTER ROLE "+pgx.Identifier{d.server.Role.Name}.Sanitize()+" REPLICATION"), cofre.Say("doctor.history_unread", "{{.file}} cannot be read: {{.error}}", "file", name, "error", err))
		return nil
	}
	switch own, err := d.s.cfg.Archive.Holds(ctx, d.server.SystemID, name, content); {
	case errors.Is(err, cofre.ErrNotFound):
		d.say(subject, false, cofre.Say("doctor.archive_history", "cofre backup cluster archives it; or, as the server's user: cofre wal archive {{.path}}", "path", shellDir(d.server.DataDir)+"/pg_wal/"+name),
			cofre.Say("doctor.history_missing", "{{.file}} is not archived: nothing can be recovered along timeline {{.timeline}}", "file", name, "timeline", tli))
	case err != nil:
		d.say(subject, false, cofre.HintOf(err), cofre.SayError(err))
	case !own:
		d.say(subject, false, cofre.Say("doctor.history_own", "recover this cluster once more with cofre restore cluster, which takes a timeline of its own, or give it a repository of its own"),
			cofre.Say("doctor.history_foreign", "{{.file}} in the archive is of another cluster, which took timeline {{.timeline}} too: the WAL of this one is refused", "file", name, "timeline", tli))
	default:
		d.say(subject, true, nothing, cofre.Say("doctor.history_there", "{{.file}} is archived", "file", name))
	}
	return nil
}
