package pgdata

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trustlayer/cofre"
)

// BackupManifestFile is the path of the backup manifest inside a base backup.
const BackupManifestFile = "backup_manifest"

// Manifest is PostgreSQL's own list of what is in a base backup. pg_verifybackup and pg_combinebackup read it.
type Manifest struct {
	Version  int            // 1, or 2 since PostgreSQL 17
	SystemID cofre.SystemID // version 2 only
	Files    []ManifestFile
	Ranges   []ManifestRange
}

// ManifestFile is one file of a base backup. WAL is not listed.
type ManifestFile struct {
	Path       string // relative to the data directory; through pg_tblspc/OID for tablespaces. Any bytes
	Size       int64
	ModifiedAt time.Time // to the second
	Algorithm  string    // CRC32C, SHA224, SHA256, SHA384, SHA512, or empty: no checksum was made
	Checksum   []byte    // CRC-32C is stored in little-endian order
}

// ManifestRange is WAL that the backup needs to be consistent.
type ManifestRange struct {
	Timeline   cofre.Timeline
	Start, End cofre.LSN
}

type manifestJSON struct {
	Version  int             `json:"PostgreSQL-Backup-Manifest-Version"`
	SystemID json.RawMessage `json:"System-Identifier,omitempty"`
	Files    []struct {
		Path        *string
		EncodedPath *string `json:"Encoded-Path"`
		Size        int64
		Modified    string `json:"Last-Modified"`
		Algorithm   string `json:"Checksum-Algorithm"`
		Checksum    string
	}
	Ranges []struct {
		Timeline cofre.Timeline
		Start    cofre.LSN `json:"Start-LSN"`
		End      cofre.LSN `json:"End-LSN"`
	} `json:"WAL-Ranges"`
	Checksum string `json:"Manifest-Checksum"`
}

const manifestTime = "2006-01-02 15:04:05 MST"

// ParseManifest reads a backup manifest and compares it with its own checksum.
//
// Errors: cofre.ErrCorrupt if it is none, or its checksum is another; another if its version is not known.
//
// Source: PostgreSQL, documentation of the backup manifest format; src/common/parse_manifest.c.
func ParseManifest(b []byte) (*Manifest, error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("read backup manifest: %s: %w", fmt.Sprintf(format, args...), cofre.ErrCorrupt)
	}
	var j manifestJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return nil, bad("%v", err)
	}
	if j.Version != 1 && j.Version != 2 {
		return nil, fmt.Errorf("read backup manifest: version %d is not known", j.Version)
	}
	// The checksum covers everything up to the last line, which carries it.
	last := bytes.LastIndexByte(bytes.TrimRight(b, "\n"), '\n')
	if last < 0 || !strings.HasPrefix(string(b[last+1:]), `"Manifest-Checksum":`) {
		return nil, bad("its last line is not its checksum")
	}
	if sum := sha256.Sum256(b[:last+1]); !strings.EqualFold(hex.EncodeToString(sum[:]), j.Checksum) {
		return nil, bad("its content does not match its checksum")
	}
	m := &Manifest{Version: j.Version, Files: make([]ManifestFile, 0, len(j.Files))}
	if j.Version == 2 {
		// A JSON number, which would not survive a float64.
		if err := m.SystemID.UnmarshalText(bytes.Trim(j.SystemID, `"`)); err != nil {
			return nil, bad("%v", err)
		}
	}
	for _, f := range j.Files {
		out := ManifestFile{Size: f.Size, Algorithm: f.Algorithm}
		switch {
		case f.Path != nil && f.EncodedPath == nil:
			out.Path = *f.Path
		case f.EncodedPath != nil && f.Path == nil:
			p, err := hex.DecodeString(*f.EncodedPath)
			if err != nil {
				return nil, bad("encoded path %q", *f.EncodedPath)
			}
			out.Path = string(p)
		default:
			return nil, bad("a file without one path")
		}
		if out.Path == "" || f.Size < 0 {
			return nil, bad("file %q of %d bytes", out.Path, f.Size)
		}
		var err error
		if out.ModifiedAt, err = time.Parse(manifestTime, f.Modified); err != nil {
			return nil, bad("file %q: modified at %q", out.Path, f.Modified)
		}
		if out.Checksum, err = hex.DecodeString(f.Checksum); err != nil || (len(out.Checksum) == 0) != (f.Algorithm == "") {
			return nil, bad("file %q: checksum %q", out.Path, f.Checksum)
		}
		m.Files = append(m.Files, out)
	}
	for _, r := range j.Ranges {
		if r.Timeline == 0 || r.End < r.Start {
			return nil, bad("WAL range %s to %s of timeline %d", r.Start, r.End, r.Timeline)
		}
		m.Ranges = append(m.Ranges, ManifestRange{r.Timeline, r.Start, r.End})
	}
	return m, nil
}

// Encode writes what ParseManifest reads, in the form in which the server writes it: tools of PostgreSQL accept
// it.
//
// Source: PostgreSQL, src/backend/backup/backup_manifest.c, AddFileToBackupManifest.
func (m *Manifest) Encode() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "{ \"PostgreSQL-Backup-Manifest-Version\": %d,\n", m.Version)
	if m.Version >= 2 {
		fmt.Fprintf(&b, "\"System-Identifier\": %d,\n", uint64(m.SystemID))
	}
	b.WriteString("\"Files\": [")
	for i, f := range m.Files {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n{ ")
		if utf8.ValidString(f.Path) {
			b.WriteString(`"Path": `)
			b.Write(jsonString(f.Path))
		} else {
			fmt.Fprintf(&b, `"Encoded-Path": "%x"`, f.Path)
		}
		fmt.Fprintf(&b, `, "Size": %d, "Last-Modified": "%s GMT"`, f.Size, f.ModifiedAt.UTC().Format("2006-01-02 15:04:05"))
		if f.Algorithm != "" {
			fmt.Fprintf(&b, `, "Checksum-Algorithm": "%s", "Checksum": "%x"`, f.Algorithm, f.Checksum)
		}
		b.WriteString(" }")
	}
	b.WriteString("\n],\n\"WAL-Ranges\": [")
	for i, r := range m.Ranges {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n{ \"Timeline\": %d, \"Start-LSN\": \"%s\", \"End-LSN\": \"%s\" }", r.Timeline, r.Start, r.End)
	}
	b.WriteString("\n],\n")
	sum := sha256.Sum256(b.Bytes())
	fmt.Fprintf(&b, "\"Manifest-Checksum\": \"%x\"}\n", sum)
	return b.Bytes()
}

func jsonString(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // PostgreSQL leaves < and & as they are
	_ = e.Encode(s)        // a string cannot fail
	return bytes.TrimRight(b.Bytes(), "\n")
}
