package settings

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// includeLine is the last line of postgresql.auto.conf, which otherwise stays as it was: what ALTER SYSTEM wrote is
// kept, and cannot override archive_mode = off, as it would if postgresql.conf included the file. It also works
// where postgresql.conf is outside the data directory.
const includeLine = "include_if_exists = '" + datadir.RecoveryFile + "' # added by cofre restore"

// Action says what the server does when it has reached the recovery target.
type Action string

// The actions, as recovery_target_action has them. The zero value is ActionPause: one can look before the
// timeline forks.
const (
	ActionPause    Action = "pause"
	ActionPromote  Action = "promote"
	ActionShutdown Action = "shutdown"
)

// setting is one line of a configuration file.
type setting struct{ name, value string }

// String writes the line so that PostgreSQL reads back the value.
//
// Source: PostgreSQL, src/backend/utils/misc/guc-file.l: quotes are doubled, a backslash escapes.
func (s setting) String() string {
	return s.name + " = '" + strings.NewReplacer("'", "''", `\`, `\\`).Replace(s.value) + "'"
}

// Recovery is what a restored cluster is told.
type Recovery struct {
	Target         cofre.RecoveryTarget // as it was asked for
	Plan           *recovery.Recovery   // how it is reached; nil leaves that to the server
	InPlace        bool                 // tablespaces in pg_tblspc itself are expected
	Action         Action
	RestoreCommand string
	EndCommand     string
	KeepArchiving  bool // it is the original: no quarantine
	KeepLibraries  []string
	// InvalidPages has the recovery go on if WAL is about pages that are not there: they are lost.
	InvalidPages bool
}

// Signals reports whether the cluster is to read WAL from the archive. Without it, it replays what is in pg_wal
// and goes on where that ends, on the timeline it was on.
func (r Recovery) Signals() bool {
	return r.RestoreCommand != "" || r.Target != cofre.RecoveryTarget{}
}

// Then says what the server does when it is there. At the end of the WAL it takes writes, whatever the action, unless a
// plan says where that is: recovery_target_action needs a target.
func (r Recovery) Then() string {
	if r.Plan != nil {
		return string(r.Action)
	}
	end := r.Target
	end.Timeline, end.Exclusive = 0, false
	if end == (cofre.RecoveryTarget{}) {
		return string(ActionPromote)
	}
	return string(r.Action)
}

// settings returns what goes into recoveryFile. Every recovery setting is there, the unused ones empty, because
// one left over in postgresql.auto.conf would be a second target, or a command that deletes from an archive.
func (r Recovery) settings(s physical.Summary, c *pgdata.Control) []setting {
	out := []setting{}
	add := func(name, value string) { out = append(out, setting{name, value}) }
	if r.Signals() {
		// Without an archive: a command that never has a segment, so that pg_wal is read.
		add("restore_command", cmp.Or(r.RestoreCommand, "false"))
		target := map[string]string{}
		stop := pinned(r.Target, r.Plan)
		switch t := stop; {
		case !t.At.IsZero():
			target["recovery_target_time"] = t.At.UTC().Format("2006-01-02 15:04:05.999999") + "+00"
		case t.LSN != 0:
			target["recovery_target_lsn"] = t.LSN.String()
		case t.XID != 0:
			target["recovery_target_xid"] = strconv.FormatUint(t.XID, 10)
		case t.Name != "":
			target["recovery_target_name"] = t.Name
		case t.Immediate:
			target["recovery_target"] = "immediate"
		}
		// The one that is used comes last: PostgreSQL refuses a second target, an empty one too, once it has one.
		names := []string{"recovery_target", "recovery_target_time", "recovery_target_lsn", "recovery_target_xid", "recovery_target_name"}
		slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(target[a], target[b]) })
		for _, name := range names {
			add(name, target[name])
		}
		add("recovery_target_inclusive", onOff(!stop.Exclusive))
		timeline := "latest"
		if stop.Timeline != 0 {
			timeline = strconv.FormatUint(uint64(stop.Timeline), 10)
		}
		add("recovery_target_timeline", timeline)
		add("recovery_target_action", string(cmp.Or(r.Action, ActionPause)))
		add("hot_standby", "on")
		switch {
		case r.Plan == nil || s.Major < 15:
		case r.Plan.Cautious:
			// A server that reads ahead dies of a segment that cannot be fetched, before it has replayed what it needs.
			add("recovery_prefetch", "off")
		default:
			// The plan has looked at as much behind the target as a server reads ahead by default; the original may have raised that.
			//
			// Source: PostgreSQL, src/backend/access/transam/xlogprefetcher.c; xlogreader.c, XLogReadRecordAlloc.
			add("wal_decode_buffer_size", "512kB")
		}
	}
	if r.InPlace {
		add("allow_in_place_tablespaces", "on")
	}
	if r.InvalidPages {
		add("ignore_invalid_pages", "on")
	}
	add("archive_cleanup_command", "")
	add("recovery_end_command", r.EndCommand)
	add("recovery_min_apply_delay", "0")
	add("primary_conninfo", "")
	add("primary_slot_name", "")
	// A commit would wait for standbys that follow the original.
	add("synchronous_standby_names", "")
	// A hot standby refuses to start, or stops replaying, with less than the primary had.
	for _, demand := range []struct {
		name  string
		least int
	}{
		{"max_connections", c.MaxConnections},
		{"max_worker_processes", c.MaxWorkerProcesses},
		{"max_wal_senders", c.MaxWALSenders},
		{"max_prepared_transactions", c.MaxPreparedXacts},
		{"max_locks_per_transaction", c.MaxLocksPerXact},
	} {
		had, err := strconv.Atoi(s.Settings[demand.name])
		if err != nil {
			had = 0 // the role could not read it
		}
		add(demand.name, strconv.Itoa(max(demand.least, had)))
	}
	return out
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

// Libraries are those of the original, and whether they are known.
func (r Recovery) Libraries(s physical.Summary) (all []library, known bool) {
	text, known := s.Settings["shared_preload_libraries"]
	if !known {
		text = strings.Join(r.KeepLibraries, ",")
	}
	return libraries(text, r.KeepLibraries), known
}

// Write writes the settings, includes them, and asks for recovery. A crash in between leaves a directory
// without pg_control, which cannot be started.
//
// Errors: of reading and replacing the files.
func (r Recovery) Write(dir string, s physical.Summary, c *pgdata.Control, own func(*os.File) error) error {
	var b strings.Builder
	b.WriteString("# Written by cofre restore. The settings of the recovery end with it.\n")
	for _, line := range r.settings(s, c) {
		b.WriteString(line.String() + "\n")
	}
	if !r.KeepArchiving {
		b.WriteString(quarantineLine + "\n")
		all, _ := r.Libraries(s)
		for _, line := range quarantine(s.Major, all) {
			b.WriteString(line.String() + "\n")
		}
	}
	if err := datadir.Replace(filepath.Join(dir, datadir.RecoveryFile), []byte(b.String()), own); err != nil {
		return err
	}
	auto, err := datadir.Read(filepath.Join(dir, datadir.AutoConf))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := datadir.Replace(filepath.Join(dir, datadir.AutoConf), withInclude(auto), own); err != nil {
		return err
	}
	if !r.Signals() {
		return nil
	}
	return datadir.Replace(filepath.Join(dir, datadir.SignalFile), nil, own)
}

// EndRecovery takes the recovery settings away from a cluster that has been recovered. The quarantine stays: the
// cluster is on a new timeline, and whether it takes the original's place a person decides.
//
// Errors: of reading and replacing the files; it may be done again.
func EndRecovery(dir string, own func(*os.File) error) error {
	b, err := datadir.Read(filepath.Join(dir, datadir.RecoveryFile))
	if err != nil {
		return err
	}
	_, kept, quarantined := strings.Cut(string(b), quarantineLine+"\n")
	if !quarantined {
		return End(dir, own)
	}
	if err := flatten(dir, b, own, withInclude); err != nil {
		return err
	}
	return datadir.Replace(filepath.Join(dir, datadir.RecoveryFile), []byte("# Written by cofre restore.\n"+quarantineLine+"\n"+kept), own)
}

// End takes everything away that a restore has set. It may be done again wherever it was interrupted: what ALTER
// SYSTEM has copied is gone before the file is that says what it was, and the line that includes nothing goes last.
//
// Errors: of reading, replacing and removing the files.
func End(dir string, own func(*os.File) error) error {
	path := filepath.Join(dir, datadir.RecoveryFile)
	b, err := datadir.Read(path)
	if err == nil {
		if err = flatten(dir, b, own, withInclude); err == nil {
			err = durable.Remove(path)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return flatten(dir, nil, own, withoutInclude)
}

// flatten rewrites postgresql.auto.conf: without the lines that ALTER SYSTEM has made of the included file, and with what
// then does to the rest.
func flatten(dir string, included []byte, own func(*os.File) error, then func([]byte) []byte) error {
	auto, err := datadir.Read(filepath.Join(dir, datadir.AutoConf))
	if err != nil {
		return err
	}
	return datadir.Replace(filepath.Join(dir, datadir.AutoConf), then(withoutCopied(auto, included)), own)
}

// withoutCopied takes the settings of the included file out of postgresql.auto.conf, into which ALTER SYSTEM copies them
// when it writes that file anew, includes resolved. Of lines that are equal the last is ours: the include was the last line.
//
// Source: PostgreSQL, src/backend/utils/misc/guc.c, AlterSystemSetConfigFile and write_auto_conf_file.
func withoutCopied(auto, included []byte) []byte {
	if strings.Contains(string(auto), includeLine+"\n") {
		return auto
	}
	lines := strings.SplitAfter(string(auto), "\n")
	for ours := range strings.Lines(string(included)) {
		if strings.HasPrefix(ours, "#") {
			continue
		}
		for i, line := range slices.Backward(lines) {
			if line == ours {
				lines = slices.Delete(lines, i, i+1)
				break
			}
		}
	}
	return []byte(strings.Join(lines, ""))
}

func withInclude(auto []byte) []byte {
	text := string(withoutInclude(auto))
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	return []byte(text + includeLine + "\n")
}

func withoutInclude(auto []byte) []byte {
	return []byte(strings.ReplaceAll(string(auto), includeLine+"\n", ""))
}

// Raise sets one setting of recoveryFile higher.
//
// Errors: of reading and replacing the file.
func Raise(dir, name string, value int, own func(*os.File) error) error {
	path := filepath.Join(dir, datadir.RecoveryFile)
	b, err := datadir.Read(path)
	if err != nil {
		return err
	}
	// The last line of a setting counts, and what is raised for the recovery ends with it.
	line := setting{name, strconv.Itoa(value)}.String() + "\n"
	before, after, quarantined := strings.Cut(string(b), quarantineLine+"\n")
	if before += line; quarantined {
		before += quarantineLine + "\n"
	}
	return datadir.Replace(path, []byte(before+after), own)
}
