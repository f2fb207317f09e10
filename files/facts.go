package files

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/trustlayer/cofre"
)

// The tree of a config component.
const (
	TreeDir    = "files"      // every file at its absolute path: files/etc/nginx/nginx.conf
	VirtualDir = "virtual"    // what no file of this machine holds, such as settings read over SQL
	FactsFile  = "facts.json" // Facts
)

// Summary is what a config component carries in the catalog: small, whatever the number of files.
type Summary struct {
	Files       int   `json:"files"`
	Directories int   `json:"directories"`
	Links       int   `json:"links"`
	Virtual     int   `json:"virtual,omitempty"`
	Bytes       int64 `json:"bytes"`
	// Unreadable counts what should be here and is not, Skipped what is no file; the findings of the point name them, and
	// Missing the first of them.
	Unreadable int           `json:"unreadable,omitempty"`
	Skipped    int           `json:"skipped,omitempty"`
	Missing    []MissingFact `json:"missing,omitempty"`
	// Excluded counts what the configured exclusions left out, a folder as one. Unmatched are the configured patterns that
	// matched nothing.
	Excluded  int      `json:"excluded,omitempty"`
	Unmatched []string `json:"unmatched_patterns,omitempty"`
}

// MissingFact is something that is not in the component, and why.
type MissingFact struct {
	Path Name          `json:"path"`
	Why  string        `json:"why"`
	Said cofre.Message `json:"said,omitzero"` // the message of Why; points of before have none
}

func (m MissingFact) why() cofre.Message {
	if m.Said.IsZero() {
		return cofre.Verbatim(m.Why)
	}
	return m.Said
}

// Facts is what was recorded while the files were read, stored as FactsFile.
type Facts struct {
	Summary
	Format  int    `json:"format"` // 1
	Entries []Fact `json:"entries"`

	// Unlisted are directories of which nobody knows any more what is in them.
	Unlisted []string `json:"-"`
}

// The types of a Fact.
const (
	TypeFile      = "file"
	TypeDirectory = "directory"
	TypeLink      = "link"
)

// Fact is what is known about one file, directory or link.
type Fact struct {
	// Path is absolute and clean; of a virtual entry it is relative to VirtualDir.
	Path Name   `json:"path"`
	Type string `json:"type"`
	// Parent marks a directory that is here only because something below it was captured. A restore makes it
	// if it is missing and leaves one that exists as it is.
	Parent  bool      `json:"parent,omitempty"`
	Virtual bool      `json:"virtual,omitempty"`
	Mode    UnixMode  `json:"mode"` // permissions, set-id and sticky bits
	UID     uint32    `json:"uid"`
	GID     uint32    `json:"gid"`
	User    string    `json:"user,omitempty"` // the name of UID where it was captured
	Group   string    `json:"group,omitempty"`
	ModTime time.Time `json:"mtime"`
	Size    int64     `json:"size,omitempty"`
	SHA256  string    `json:"sha256,omitempty"` // of a file's bytes, hexadecimal
	Sparse  bool      `json:"sparse,omitempty"` // had holes
	Link    Name      `json:"link,omitempty"`   // the target of a link, as read
	// Xattrs are the extended attributes, POSIX access lists and capabilities among them. Not kept of links.
	Xattrs map[string][]byte `json:"xattrs,omitempty"`
	// Changed is true if the file still changed while it was read for the last time.
	Changed bool `json:"changed,omitempty"`
}

// tree is the path of the entry in the component.
func (f Fact) tree() string {
	if f.Virtual {
		return VirtualDir + "/" + string(f.Path)
	}
	return TreeDir + string(f.Path)
}

// relative is where the entry is below the folder of a restore.
func (f Fact) relative() string {
	if f.Virtual {
		return VirtualDir + "/" + string(f.Path)
	}
	return strings.TrimPrefix(string(f.Path), "/")
}

// Name is a file name, which may hold any byte but NUL. In JSON a name that is not UTF-8 is base64 behind a mark.
type Name string

const base64Mark = "base64:"

// MarshalText writes the name so that UnmarshalText gives back the same bytes.
func (n Name) MarshalText() ([]byte, error) {
	if s := string(n); !utf8.ValidString(s) || strings.HasPrefix(s, base64Mark) {
		return []byte(base64Mark + base64.StdEncoding.EncodeToString([]byte(s))), nil
	}
	return []byte(n), nil
}

// UnmarshalText reads what MarshalText wrote.
//
// Errors: one if what follows the mark is not base64.
func (n *Name) UnmarshalText(b []byte) error {
	rest, marked := strings.CutPrefix(string(b), base64Mark)
	if !marked {
		*n = Name(b)
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(rest)
	*n = Name(raw)
	return err
}

// UnixMode is the mode of stat(2) without the type: permissions, set-id and sticky bits. Written in octal.
type UnixMode uint32

// MarshalText writes the mode as chmod takes it.
func (m UnixMode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

func (m UnixMode) String() string { return fmt.Sprintf("%04o", uint32(m)) }

// UnmarshalText reads what MarshalText wrote.
//
// Errors: one if b is no octal number up to 7777.
func (m *UnixMode) UnmarshalText(b []byte) error {
	var v uint32
	if _, err := fmt.Sscanf(string(b), "%o", &v); err != nil || v > 0o7777 {
		return fmt.Errorf("mode %q is not octal", b)
	}
	*m = UnixMode(v)
	return nil
}

// parseFacts reads FactsFile and refuses what a capture never writes: a restore follows these paths.
//
// Errors: ones that name the entry.
func parseFacts(text []byte) (*Facts, error) {
	var f Facts
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, err
	}
	if f.Format != 1 {
		return nil, fmt.Errorf("format %d is not known to this version", f.Format)
	}
	types := map[string]string{}
	for _, e := range f.Entries {
		if err := e.wrong(); err != nil {
			return nil, fmt.Errorf("entry %q: %w", string(e.Path), err)
		}
		if _, twice := types[e.tree()]; twice {
			return nil, fmt.Errorf("entry %q: stands twice", string(e.Path))
		}
		types[e.tree()] = e.Type
	}
	for _, e := range f.Entries {
		for dir := path.Dir(e.tree()); dir != "."; dir = path.Dir(dir) {
			if t, ok := types[dir]; ok && t != TypeDirectory {
				return nil, fmt.Errorf("entry %q: lies below a %s", string(e.Path), t)
			}
		}
	}
	// A directory comes before what it holds.
	slices.SortFunc(f.Entries, func(a, b Fact) int { return strings.Compare(a.tree(), b.tree()) })
	return &f, nil
}

func (f Fact) wrong() error {
	p := string(f.Path)
	if strings.ContainsRune(p, 0) || strings.ContainsRune(string(f.Link), 0) {
		return errors.New("holds a NUL")
	}
	if f.Virtual {
		if p == "" || strings.HasPrefix(p, "/") {
			return errors.New("is not a relative path")
		}
		p = "/" + p
	}
	if len(p) < 2 || p[0] != '/' || path.Clean(p) != p {
		return errors.New("is not a clean path")
	}
	switch f.Type {
	case TypeFile, TypeDirectory:
		if f.Link != "" {
			return errors.New("has a link's target")
		}
	case TypeLink:
		if f.Link == "" {
			return errors.New("leads nowhere")
		}
	default:
		return fmt.Errorf("is of the unknown type %q", f.Type)
	}
	return nil
}

// timeOf keeps a file's time within what JSON can say: a damaged clock has written the year 20000 before.
func timeOf(t syscall.Timespec) time.Time { return sane(time.Unix(t.Unix()).UTC()) }

func sane(t time.Time) time.Time {
	switch {
	case t.Year() > 9999:
		return time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
	case t.Year() < 1:
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return t
}
