package pgdata

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/trustlayer/cofre"
)

// BackupLabelFile and TablespaceMapFile are the paths, inside a base backup, of what pg_backup_stop returns.
const (
	BackupLabelFile   = "backup_label"
	TablespaceMapFile = "tablespace_map"
)

// BackupLabel is the content of backup_label, and of a backup history file, which repeats it and adds where the
// backup stopped.
type BackupLabel struct {
	Start         cofre.LSN // where recovery has to begin to read WAL: the redo point
	StartSegment  string    // the name of the segment that holds Start
	Checkpoint    cofre.LSN // of the checkpoint record that the backup began with
	Method        string    // streamed; pg_start_backup for the exclusive backups of 13 and 14
	From          string    // primary or standby; 13 writes master for the first, which reads as primary here
	StartTime     string    // as written, in the server's log_timezone
	Label         string
	StartTimeline cofre.Timeline

	// IncrementalFrom is where the backup begins that this one is incremental to; 0 in a full backup. Since 17.
	IncrementalFrom         cofre.LSN
	IncrementalFromTimeline cofre.Timeline

	// The rest is in backup history files only.
	Stop         cofre.LSN
	StopSegment  string
	StopTime     string
	StopTimeline cofre.Timeline
}

// StartedAt is StartTime as an instant, if its zone says which: UTC, GMT or a numeric offset. An
// abbreviation such as BRT is not an offset, and ok is false.
func (l *BackupLabel) StartedAt() (at time.Time, ok bool) { return parseLogTime(l.StartTime) }

// StoppedAt is StopTime as an instant, as StartedAt.
func (l *BackupLabel) StoppedAt() (at time.Time, ok bool) { return parseLogTime(l.StopTime) }

func parseLogTime(s string) (time.Time, bool) {
	for _, layout := range []string{"2006-01-02 15:04:05 UTC", "2006-01-02 15:04:05 GMT", "2006-01-02 15:04:05 -07", "2006-01-02 15:04:05 -0700"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// ParseBackupLabel reads backup_label or a backup history file. Lines that are not known are left alone, as
// PostgreSQL does, for a later version may add some.
//
// Errors: cofre.ErrCorrupt if a line that recovery needs is missing or not readable.
//
// Source: PostgreSQL, src/backend/access/transam/xlogbackup.c, build_backup_content.
func ParseBackupLabel(b []byte) (*BackupLabel, error) {
	l := &BackupLabel{}
	bad := func(line string) error {
		return fmt.Errorf("read backup_label: line %q: %w", line, cofre.ErrCorrupt)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		key, value, ok := strings.Cut(line, ": ")
		if !ok {
			continue
		}
		var err error
		switch key {
		case "START WAL LOCATION":
			l.Start, l.StartSegment, err = parseLocation(value)
		case "STOP WAL LOCATION":
			l.Stop, l.StopSegment, err = parseLocation(value)
		case "CHECKPOINT LOCATION":
			l.Checkpoint, err = cofre.ParseLSN(value)
		case "BACKUP METHOD":
			l.Method = value
		case "BACKUP FROM":
			if l.From = value; value == "master" {
				l.From = "primary"
			}
		case "START TIME":
			l.StartTime = value
		case "STOP TIME":
			l.StopTime = value
		case "LABEL":
			l.Label = value
		case "START TIMELINE":
			l.StartTimeline, err = parseTimeline(value)
		case "STOP TIMELINE":
			l.StopTimeline, err = parseTimeline(value)
		case "INCREMENTAL FROM LSN":
			l.IncrementalFrom, err = cofre.ParseLSN(value)
		case "INCREMENTAL FROM TLI":
			l.IncrementalFromTimeline, err = parseTimeline(value)
		}
		if err != nil {
			return nil, bad(line)
		}
		seen[key] = true
	}
	for _, key := range []string{"START WAL LOCATION", "CHECKPOINT LOCATION", "START TIMELINE"} {
		if !seen[key] {
			return nil, fmt.Errorf("read backup_label: no line %q: %w", key, cofre.ErrCorrupt)
		}
	}
	return l, nil
}

// parseLocation reads "0/2000028 (file 000000010000000000000002)".
func parseLocation(s string) (cofre.LSN, string, error) {
	at, rest, ok := strings.Cut(s, " (file ")
	name, tail, ok2 := strings.Cut(rest, ")")
	if !ok || !ok2 || tail != "" || !IsSegmentName(name) {
		return 0, "", fmt.Errorf("location %q", s)
	}
	lsn, err := cofre.ParseLSN(at)
	return lsn, name, err
}

func parseTimeline(s string) (cofre.Timeline, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil && n == 0 {
		err = fmt.Errorf("timeline 0")
	}
	return cofre.Timeline(n), err
}

// Tablespace is one line of tablespace_map: where the symbolic link pg_tblspc/OID points.
type Tablespace struct {
	OID  uint32
	Path string
}

// ParseTablespaceMap reads tablespace_map. An empty one is valid: a cluster without tablespaces.
//
// Errors: cofre.ErrCorrupt if a line is not an OID and a path, or the last one ends in a backslash.
//
// Source: PostgreSQL, src/backend/access/transam/xlogrecovery.c, read_tablespace_map: a backslash makes the
// next byte part of the path, line ends too.
func ParseTablespaceMap(b []byte) ([]Tablespace, error) {
	var (
		spaces  []Tablespace
		line    []byte
		escaped bool
	)
	end := func() error {
		if len(line) == 0 {
			return nil
		}
		oid, path, ok := strings.Cut(string(line), " ")
		n, err := strconv.ParseUint(oid, 10, 32)
		if !ok || err != nil || n == 0 || path == "" {
			return fmt.Errorf("read tablespace_map: line %q: %w", line, cofre.ErrCorrupt)
		}
		spaces = append(spaces, Tablespace{uint32(n), path})
		line = line[:0]
		return nil
	}
	for _, c := range b {
		switch {
		case !escaped && (c == '\n' || c == '\r'):
			if err := end(); err != nil {
				return nil, err
			}
		case !escaped && c == '\\':
			escaped = true
		default:
			line = append(line, c)
			escaped = false
		}
	}
	if escaped {
		return nil, fmt.Errorf("read tablespace_map: it ends in a backslash: %w", cofre.ErrCorrupt)
	}
	return spaces, end()
}

// EncodeTablespaceMap writes what ParseTablespaceMap reads.
func EncodeTablespaceMap(spaces []Tablespace) []byte {
	var b []byte
	for _, s := range spaces {
		b = strconv.AppendUint(b, uint64(s.OID), 10)
		b = append(b, ' ')
		for i := range len(s.Path) {
			switch c := s.Path[i]; c {
			case '\n', '\r', '\\':
				b = append(b, '\\', c)
			default:
				b = append(b, c)
			}
		}
		b = append(b, '\n')
	}
	return b
}
