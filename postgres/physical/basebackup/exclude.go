package basebackup

import (
	"strconv"
	"strings"

	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
)

// emptied are the directories of the data directory whose content is of no use to another server, or harmful:
// they are captured empty.
//
// Source: PostgreSQL, src/backend/backup/basebackup.c, excludeDirContents; and pg_wal, which comes from the
// archive, or from this package if there is none.
var emptied = map[string]bool{
	"pg_stat_tmp": true, "pg_replslot": true, "pg_dynshmem": true, "pg_notify": true,
	"pg_serial": true, "pg_snapshots": true, "pg_subtrans": true, "pg_wal": true,
}

// omitted are files and folders of the top of the data directory that are of the running server, of an earlier backup or of
// an earlier recovery.
//
// Source: PostgreSQL, src/backend/backup/basebackup.c, excludeFiles. The signal files are ours to add: the
// restore decides what the restored cluster does; and recovery.conf of versions up to 11, with which no later one starts.
var omitted = map[string]bool{
	"postmaster.pid": true, "postmaster.opts": true, "postgresql.auto.conf.tmp": true, "current_logfiles.tmp": true,
	"standby.signal": true, "recovery.signal": true, "recovery.conf": true, "lost+found": true,
	pgdata.BackupLabelFile: true, pgdata.TablespaceMapFile: true, pgdata.BackupManifestFile: true,
	datadir.RecoveryFile: true, datadir.MarkerFile: true, datadir.AdoptFile: true, datadir.AdoptLog: true, datadir.PIDFile: true, datadir.SpoolDir: true,
}

// isOmitted reports whether a path in the data directory is one of these, or lies in one.
func isOmitted(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	return omitted[top]
}

// omit reports whether a file or directory is left out wherever it is.
//
// Source: PostgreSQL, src/include/storage/fd.h, PG_TEMP_FILE_PREFIX; src/include/utils/relcache.h,
// RELCACHE_INIT_FILENAME.
func omit(name string) bool {
	// Sockets, and their locks, which name the process of the running server: a copy would take it for its own.
	//
	// Source: PostgreSQL, src/include/libpq/pqcomm.h, UNIXSOCK_PATH.
	if strings.HasPrefix(name, ".s.PGSQL.") {
		return true
	}
	return strings.HasPrefix(name, "pgsql_tmp") || strings.HasPrefix(name, "pg_internal.init") || name == ".DS_Store"
}

// relationFile is the name of a file of a relation, taken apart: 16384, 16384_fsm, 16384.1, 16384_init.
type relationFile struct {
	node    string
	fork    string // "", fsm, vm, init
	segment int64
}

// parseRelationFile takes the name of a relation's file apart; ok is false for any other name, those of
// temporary relations among them.
//
// Source: PostgreSQL, src/common/relpath.c, forkNames; src/backend/storage/file/reinit.c.
func parseRelationFile(name string) (r relationFile, ok bool) {
	rest, segment, split := strings.Cut(name, ".")
	if split {
		n, err := strconv.ParseInt(segment, 10, 32)
		if err != nil || n <= 0 || segment[0] == '+' {
			return r, false
		}
		r.segment = n
	}
	r.node, r.fork, split = strings.Cut(rest, "_")
	if split && r.fork != "fsm" && r.fork != "vm" && r.fork != "init" {
		return r, false
	}
	return r, isNumber(r.node)
}

// isTemporary reports whether name is of a temporary relation: t3_16384, with fork and segment.
//
// Source: PostgreSQL, src/backend/storage/file/fd.c, looks_like_temp_rel_name.
func isTemporary(name string) bool {
	rest, ok := strings.CutPrefix(name, "t")
	if !ok {
		return false
	}
	backend, file, ok := strings.Cut(rest, "_")
	if !ok || !isNumber(backend) {
		return false
	}
	_, ok = parseRelationFile(file)
	return ok
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
