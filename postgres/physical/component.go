package physical

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/bounded"
	"github.com/trustlayer/cofre/postgres/recovery"
)

// The tree of a cluster component. docs/formats/cluster-component.md describes it.
const (
	DataDir        = "data"         // the data directory, as a restore puts it down
	TablespacesDir = "tablespaces"  // one directory per tablespace, named by its OID
	FactsFile      = "facts.json"   // Facts
	HashesFile     = "block-hashes" // of every block of every file of Facts.Files, in that order
)

// BlockSize is how many bytes one entry of HashesFile covers. It equals the piece that the repository's page
// layout cuts, so that one block that differs costs one piece to fetch.
const BlockSize = 128 << 10

// Method is the way in which a base backup was taken.
type Method string

// The methods. Files: the data directory was read in place. Protocol: the server sent it (BASE_BACKUP).
const (
	MethodFiles    Method = "files"
	MethodProtocol Method = "protocol"
)

// Summary is what a cluster component carries in the catalog: small, whatever the size of the cluster.
type Summary struct {
	SystemID       cofre.SystemID `json:"system_identifier"`
	ServerVersion  string         `json:"server_version"` // as the server prints it
	Major          int            `json:"major"`
	Timeline       cofre.Timeline `json:"timeline"` // that the backup started on
	StopTimeline   cofre.Timeline `json:"stop_timeline"`
	StartLSN       cofre.LSN      `json:"start_lsn"` // recovery reads WAL from here
	StopLSN        cofre.LSN      `json:"stop_lsn"`  // and is not consistent before it has reached this
	StartedAt      time.Time      `json:"started_at"`
	StoppedAt      time.Time      `json:"stopped_at"` // by the server's clock
	WALSegmentSize int64          `json:"wal_segment_size"`
	Host           string         `json:"host"` // that read the files
	DataDirectory  string         `json:"data_directory,omitempty"`
	DataChecksums  bool           `json:"data_checksums"`
	FromStandby    bool           `json:"from_standby,omitempty"`
	Method         Method         `json:"method"`
	WALIncluded    bool           `json:"wal_included"` // data/pg_wal holds everything from StartLSN to StopLSN
	// OwnWALOnly says that the archive has WAL of another cluster under the names of this one's: the component restores with
	// what it carries, to the end of the backup, and never with the archive.
	OwnWALOnly bool `json:"own_wal_only,omitempty"`
	// ForeignWAL is the first segment that the server had written and of which the archive holds another, of another
	// server: nothing in the archive continues this base backup. Empty if there is none.
	ForeignWAL string `json:"foreign_wal,omitempty"`
	// WALSigned says that the archive believed nothing but what an admitted key had signed: who keeps the archive cannot take that back.
	WALSigned bool `json:"wal_signed,omitempty"`
	// WALRevoked are the IDs of the keys that the archive did not believe any more; as above.
	WALRevoked  []string            `json:"wal_revoked,omitempty"`
	Tablespaces []Tablespace        `json:"tablespaces,omitempty"`
	Dropping    []recovery.Dropping `json:"dropping,omitempty"`  // databases, just after the backup had begun
	Superuser   string              `json:"superuser,omitempty"` // the bootstrap superuser, which every restored cluster has
	Settings    map[string]string   `json:"settings"`            // those that recovery depends on
	// Configuration names the files of data that lay outside of the data directory, or took something from there: see configuration.go.
	Configuration []string  `json:"configuration,omitempty"`
	FileCount     int       `json:"files"`
	ReusedCount   int       `json:"reused"` // files taken over from the previous component unread
	BadPageCount  int       `json:"bad_page_count,omitempty"`
	BadPages      []BadPage `json:"bad_pages,omitempty"` // the first maxBadPages
}

// Tablespace is one beside pg_default and pg_global.
type Tablespace struct {
	OID  uint32 `json:"oid"`
	Path string `json:"path"` // where pg_tblspc/OID points
}

// BadPage is a page whose checksum did not match its content when it was read, and that no WAL will replace.
type BadPage struct {
	File  string `json:"file"`  // relative to the data directory: base/5/16384
	Block int64  `json:"block"` // within the relation
}

// Facts is what was recorded about a base backup, stored as FactsFile.
type Facts struct {
	Format int `json:"format"` // 1
	Summary
	// CapturedAt is the clock of Host just before the first file was looked at. A file modified later, or
	// shortly before, is read again next time whatever its modification time says.
	CapturedAt time.Time   `json:"captured_at"`
	Files      []FileFacts `json:"file_list"`
}

// FileFacts is one file below DataDir or TablespacesDir, WAL among them.
type FileFacts struct {
	Path       string `json:"path,omitempty"`
	PathBytes  []byte `json:"path_bytes,omitempty"` // instead of Path if that is not UTF-8
	Size       int64  `json:"size"`
	ModifiedNS int64  `json:"mtime_ns,omitempty"` // of the file read, before its first byte was
	Inode      uint64 `json:"inode,omitempty"`
	CRC32C     uint32 `json:"crc32c"`
	Bad        bool   `json:"bad,omitempty"`        // has bad pages: never taken over unread
	PieceSize  int64  `json:"piece_size,omitempty"` // that it is to be stored in next time; 0 is BlockSize

	// Hashes are of its blocks, and stored apart: in HashesFile.
	Hashes []uint64 `json:"-"`
}

// Blocks is how many blocks a file of size bytes has.
func Blocks(size int64) int { return int((size + BlockSize - 1) / BlockSize) }

// ParseSummary reads what a cluster component carries in the catalog.
//
// Errors: one that says that the facts are not of a cluster component.
func ParseSummary(facts json.RawMessage) (Summary, error) {
	var s Summary
	if err := json.Unmarshal(facts, &s); err != nil {
		return s, fmt.Errorf("read the facts of a cluster component: %w", err)
	}
	if s.SystemID == 0 || s.StartLSN == 0 {
		return s, fmt.Errorf("read the facts of a cluster component: no system identifier or start: %w", cofre.ErrCorrupt)
	}
	return s, nil
}

// Encode writes FactsFile. A path that is not UTF-8 is kept as bytes.
//
// Errors: none that facts of a capture cause.
func (f *Facts) Encode() ([]byte, error) {
	for i := range f.Files {
		if p := f.Files[i].Path; !utf8.ValidString(p) {
			f.Files[i].Path, f.Files[i].PathBytes = "", []byte(p)
		}
	}
	return json.Marshal(f)
}

// EncodeHashes writes the hashes of all files one after another, 8 bytes each, little-endian.
func (f *Facts) EncodeHashes() []byte {
	n := 0
	for i := range f.Files {
		n += len(f.Files[i].Hashes)
	}
	b := make([]byte, 0, 8*n)
	for i := range f.Files {
		for _, h := range f.Files[i].Hashes {
			b = binary.LittleEndian.AppendUint64(b, h)
		}
	}
	return b
}

// ReadFacts reads the facts of a cluster component and, beside them, the hashes of its blocks.
//
// Errors: cofre.ErrNotFound, cofre.ErrCorrupt; another if the format is of a later cofre.
func ReadFacts(ctx context.Context, t cofre.Tree) (*Facts, error) {
	b, err := ReadAll(ctx, t, FactsFile)
	if err != nil {
		return nil, err
	}
	var f Facts
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("read %s: %v: %w", FactsFile, err, cofre.ErrCorrupt)
	}
	if f.Format != 1 {
		return nil, cofre.WithHint(fmt.Errorf("read %s: format %d is not known", FactsFile, f.Format), cofre.Say("format.later", "use the cofre that wrote it, or a later one"))
	}
	if b, err = ReadAll(ctx, t, HashesFile); err != nil {
		return nil, err
	}
	for i := range f.Files {
		file := &f.Files[i]
		if file.PathBytes != nil {
			file.Path, file.PathBytes = string(file.PathBytes), nil
		}
		n := Blocks(file.Size)
		if file.Size < 0 || len(b) < 8*n {
			return nil, fmt.Errorf("read %s: it ends before the blocks of %s: %w", HashesFile, file.Path, cofre.ErrCorrupt)
		}
		file.Hashes = make([]uint64, n)
		for j := range n {
			file.Hashes[j] = binary.LittleEndian.Uint64(b[8*j:])
		}
		b = b[8*n:]
	}
	if len(b) > 0 {
		return nil, fmt.Errorf("read %s: %d bytes belong to no file: %w", HashesFile, len(b), cofre.ErrCorrupt)
	}
	return &f, nil
}

// ReadAll reads a small file of a component whole.
//
// Errors: cofre.ErrNotFound; those of reading.
func ReadAll(ctx context.Context, t cofre.Tree, path string) ([]byte, error) {
	r, err := t.Open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open %s of the component: %w", path, err)
	}
	defer r.Close()
	b, err := bounded.All(r, bounded.List)
	if err != nil {
		return nil, fmt.Errorf("read %s of the component: %w", path, err)
	}
	return b, nil
}

// ServerPath is the path of a file of the component as the server and its manifest name it: relative to the
// data directory, through pg_tblspc for tablespaces.
func ServerPath(path string) string {
	if rest, ok := strings.CutPrefix(path, TablespacesDir+"/"); ok {
		return "pg_tblspc/" + rest
	}
	return strings.TrimPrefix(path, DataDir+"/")
}

func Block(b []byte, i int) []byte { return b[i*BlockSize : min((i+1)*BlockSize, len(b))] }
