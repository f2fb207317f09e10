package pgdata

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"time"

	"github.com/trustlayer/cofre"
)

// ControlFile is the path of pg_control inside the data directory.
const ControlFile = "global/pg_control"

// ControlSize is the size of pg_control in bytes. Only the first 300 or so carry data.
//
// Source: PostgreSQL, src/include/catalog/pg_control.h, PG_CONTROL_FILE_SIZE.
const ControlSize = 8192

// State is what the cluster was doing when pg_control was written.
//
// Source: PostgreSQL, src/include/catalog/pg_control.h, DBState.
type State int

// The states, in PostgreSQL's order.
const (
	StateStartup State = iota
	StateShutDown
	StateShutDownInRecovery
	StateShuttingDown
	StateInCrashRecovery
	StateInArchiveRecovery
	StateInProduction
)

// String says the state as pg_controldata does.
func (s State) String() string {
	names := []string{
		"starting up", "shut down", "shut down in recovery", "shutting down",
		"in crash recovery", "in archive recovery", "in production",
	}
	if s < 0 || int(s) >= len(names) {
		return "unrecognized status code"
	}
	return names[s]
}

// WALLevel is wal_level as pg_control and WAL records hold it.
type WALLevel int

// The levels of wal_level.
const (
	WALMinimal WALLevel = iota
	WALReplica
	WALLogical
)

// String says the level as the setting does.
func (l WALLevel) String() string {
	names := []string{"minimal", "replica", "logical"}
	if l < 0 || int(l) >= len(names) {
		return "unrecognized wal_level"
	}
	return names[l]
}

// Control is what pg_control says about a cluster.
type Control struct {
	SystemID       cofre.SystemID
	Version        uint32 // PG_CONTROL_VERSION: 1300 for 13 to 16, 1700, 1800
	CatalogVersion uint32
	Major          int // of PostgreSQL, from CatalogVersion; 0 if that is of no release known here
	State          State
	ModifiedAt     time.Time

	Checkpoint          cofre.LSN // of the record of the latest checkpoint
	Redo                cofre.LSN // where recovery from that checkpoint begins
	Timeline            cofre.Timeline
	PreviousTimeline    cofre.Timeline
	FullPageWrites      bool
	NextXID             uint64 // with its epoch in the upper half
	CheckpointAt        time.Time
	MinRecovery         cofre.LSN // recovery is not consistent before it; 0 outside recovery
	MinRecoveryTimeline cofre.Timeline
	BackupStart         cofre.LSN // set while a restored base backup is not consistent yet
	BackupEnd           cofre.LSN
	BackupEndRequired   bool

	WALLevel            WALLevel
	WALLogHints         bool
	MaxConnections      int // a hot standby needs at least these five
	MaxWorkerProcesses  int
	MaxWALSenders       int
	MaxPreparedXacts    int
	MaxLocksPerXact     int
	TrackCommitTime     bool
	BlockSize           int64 // of data files
	BlocksPerSegment    int64 // of a relation's file: 131072 blocks are 1 GiB
	WALBlockSize        int64
	WALSegmentSize      int64
	DataChecksumVersion uint32 // 0: pages carry no checksums
}

// majors maps the catalog version of every release to its major. A catalog version never changes within a major.
//
// Source: PostgreSQL, src/include/catalog/catversion.h of each stable branch.
var majors = map[uint32]int{
	202007201: 13, 202107181: 14, 202209061: 15, 202307071: 16, 202406281: 17, 202506291: 18,
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// controlCRC is where each format of pg_control ends in its CRC-32C. Version 1800 added a byte before the
// 32 bytes of the nonce that precede it.
var controlCRC = map[uint32]int{1300: 288, 1700: 288, 1800: 292}

// ParseControl reads the content of pg_control: at least the part that carries data.
//
// Errors: cofre.ErrCorrupt if the bytes contradict themselves; another if the format is not known.
//
// Source: PostgreSQL 13 to 18, src/include/catalog/pg_control.h, ControlFileData. The offsets are those of the
// 64-bit ABI; wal_level of version 1700 lies in what was padding of the checkpoint, so nothing else moved.
func ParseControl(b []byte) (*Control, error) {
	if len(b) < 16 {
		return nil, fmt.Errorf("read pg_control: %d bytes are too few: %w", len(b), cofre.ErrCorrupt)
	}
	le := binary.LittleEndian
	version := le.Uint32(b[8:])
	end, ok := controlCRC[version]
	if !ok {
		if version%65536 == 0 && version != 0 {
			return nil, fmt.Errorf("read pg_control: version %d is of a cluster with another byte order", version)
		}
		return nil, cofre.WithHint(fmt.Errorf("read pg_control: format version %d is not known", version), cofre.Say("postgres.supported", "PostgreSQL 13 to 18 are supported"))
	}
	if len(b) < end+4 {
		return nil, fmt.Errorf("read pg_control: %d bytes are too few: %w", len(b), cofre.ErrCorrupt)
	}
	if got, want := crc32.Checksum(b[:end], castagnoli), le.Uint32(b[end:]); got != want {
		return nil, fmt.Errorf("read pg_control: its checksum is %08x and its content's %08x: %w", want, got, cofre.ErrCorrupt)
	}
	if f := math.Float64frombits(le.Uint64(b[208:])); f != 1234567.0 {
		return nil, fmt.Errorf("read pg_control: floating-point format of another machine: %w", cofre.ErrCorrupt)
	}
	num := func(at int) int { return int(int32(le.Uint32(b[at:]))) }
	lsn := func(at int) cofre.LSN { return cofre.LSN(le.Uint64(b[at:])) }
	tli := func(at int) cofre.Timeline { return cofre.Timeline(le.Uint32(b[at:])) }
	at := func(i int) time.Time { return time.Unix(int64(le.Uint64(b[i:])), 0).UTC() }
	c := &Control{
		SystemID:       cofre.SystemID(le.Uint64(b)),
		Version:        version,
		CatalogVersion: le.Uint32(b[12:]),
		State:          State(le.Uint32(b[16:])),
		ModifiedAt:     at(24),

		Checkpoint:          lsn(32),
		Redo:                lsn(40),
		Timeline:            tli(48),
		PreviousTimeline:    tli(52),
		FullPageWrites:      b[56] != 0,
		NextXID:             le.Uint64(b[64:]),
		CheckpointAt:        at(104),
		MinRecovery:         lsn(136),
		MinRecoveryTimeline: tli(144),
		BackupStart:         lsn(152),
		BackupEnd:           lsn(160),
		BackupEndRequired:   b[168] != 0,

		WALLevel:            WALLevel(num(172)),
		WALLogHints:         b[176] != 0,
		MaxConnections:      num(180),
		MaxWorkerProcesses:  num(184),
		MaxWALSenders:       num(188),
		MaxPreparedXacts:    num(192),
		MaxLocksPerXact:     num(196),
		TrackCommitTime:     b[200] != 0,
		BlockSize:           int64(le.Uint32(b[216:])),
		BlocksPerSegment:    int64(le.Uint32(b[220:])),
		WALBlockSize:        int64(le.Uint32(b[224:])),
		WALSegmentSize:      int64(le.Uint32(b[228:])),
		DataChecksumVersion: le.Uint32(b[252:]),
	}
	c.Major = majors[c.CatalogVersion]
	if !ValidSegmentSize(c.WALSegmentSize) {
		return nil, fmt.Errorf("read pg_control: WAL segment size %d: %w", c.WALSegmentSize, cofre.ErrCorrupt)
	}
	return c, nil
}
