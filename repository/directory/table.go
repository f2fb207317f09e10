package directory

import (
	"cmp"
	"encoding/binary"
	"io/fs"
	"slices"
	"strings"
	"time"

	kopiafs "github.com/kopia/kopia/fs"
	"github.com/kopia/kopia/repo/object"
	"github.com/kopia/kopia/snapshot"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/rawtext"
)

// Child is an entry of one directory.
type Child struct {
	Name    string
	Kind    snapshot.EntryType
	Mode    uint32 // permissions and the set-id and sticky bits, as Unix numbers them
	modTime int64  // nanoseconds since 1970
	uid     uint32
	gid     uint32
	size    int64
	Object  string // as Kopia prints it
}

// Table holds the entries of one directory in about as many bytes as their names and object ids have: a bucket
// may have a million objects in one folder, and Kopia's own structures would take half a gigabyte.
type Table struct {
	data    []byte
	offsets []uint32
	sorted  bool
}

func (t *Table) add(c Child) {
	t.offsets = append(t.offsets, uint32(len(t.data)))
	t.sorted = false
	t.data = appendText(t.data, c.Name)
	t.data = append(t.data, c.Kind[0])
	t.data = binary.AppendUvarint(t.data, uint64(c.Mode))
	t.data = binary.AppendVarint(t.data, c.modTime)
	t.data = binary.AppendUvarint(t.data, uint64(c.uid))
	t.data = binary.AppendUvarint(t.data, uint64(c.gid))
	t.data = binary.AppendUvarint(t.data, uint64(c.size))
	t.data = appendText(t.data, c.Object)
}

// Len is how many entries there are.
func (t *Table) Len() int { return len(t.offsets) }

// At is the entry with a number below Len, in the order of the names after Find or a sort.
func (t *Table) At(i int) Child {
	b := t.data[t.offsets[i]:]
	var c Child
	c.Name, b = cutText(b)
	c.Kind, b = snapshot.EntryType(b[:1]), b[1:]
	c.Mode, b = cutUint32(b)
	modTime, n := binary.Varint(b)
	c.modTime, b = modTime, b[n:]
	c.uid, b = cutUint32(b)
	c.gid, b = cutUint32(b)
	size, n := binary.Uvarint(b)
	c.size, b = int64(size), b[n:]
	c.Object, _ = cutText(b)
	return c
}

func (t *Table) name(offset uint32) []byte {
	b := t.data[offset:]
	n, used := binary.Uvarint(b)
	return b[used : used+int(n)]
}

// sort puts the entries into byte order of their names.
func (t *Table) sort() {
	if t.sorted {
		return
	}
	slices.SortFunc(t.offsets, func(a, b uint32) int { return slices.Compare(t.name(a), t.name(b)) })
	t.sorted = true
}

// Find looks an entry up in a sorted table.
func (t *Table) Find(name string) (Child, bool) {
	i, ok := slices.BinarySearchFunc(t.offsets, name, func(offset uint32, name string) int {
		return cmp.Compare(string(t.name(offset)), name)
	})
	if !ok {
		return Child{}, false
	}
	return t.At(i), true
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func cutText(b []byte) (string, []byte) {
	n, used := binary.Uvarint(b)
	end := used + int(n)
	return string(b[used:end]), b[end:]
}

func cutUint32(b []byte) (uint32, []byte) {
	n, used := binary.Uvarint(b)
	return uint32(n), b[used:]
}

// Unix's numbers of the bits that package fs keeps elsewhere. Kopia stores permissions as a number and ignores
// these three when it restores; cofre does not.
const (
	setUID = 0o4000
	setGID = 0o2000
	sticky = 0o1000
)

// UnixMode is a mode as Unix numbers it, set-id and sticky bits included.
func UnixMode(m fs.FileMode) uint32 {
	mode := uint32(m.Perm())
	for bit, unix := range map[fs.FileMode]uint32{fs.ModeSetuid: setUID, fs.ModeSetgid: setGID, fs.ModeSticky: sticky} {
		if m&bit != 0 {
			mode |= unix
		}
	}
	return mode
}

func fileMode(mode uint32, kind snapshot.EntryType) fs.FileMode {
	m := fs.FileMode(mode).Perm()
	for bit, unix := range map[fs.FileMode]uint32{fs.ModeSetuid: setUID, fs.ModeSetgid: setGID, fs.ModeSticky: sticky} {
		if mode&unix != 0 {
			m |= bit
		}
	}
	switch kind {
	case snapshot.EntryTypeDirectory:
		m |= fs.ModeDir
	case snapshot.EntryTypeSymlink:
		m |= fs.ModeSymlink
	}
	return m
}

// nanoseconds keeps instants that the format cannot hold (before 1678, after 2262) at its edges; the zero time
// is what a source says that knows none.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() < 1678:
		return -1 << 63
	case t.Year() > 2261:
		return 1<<63 - 1
	}
	return t.UnixNano()
}

func childOf(e cofre.Entry, name string) Child {
	c := Child{
		Name: name, Kind: snapshot.EntryTypeFile, Mode: UnixMode(e.Mode), modTime: nanoseconds(e.ModTime),
		uid: e.UID, gid: e.GID, size: e.Size, Object: string(e.Object),
	}
	switch {
	case e.IsDir():
		c.Kind = snapshot.EntryTypeDirectory
	case e.IsLink():
		c.Kind = snapshot.EntryTypeSymlink
	}
	return c
}

// Entry is the child as an entry of a component, at a path.
func (c Child) Entry(path string) cofre.Entry {
	e := cofre.Entry{
		Path: path, Mode: fileMode(c.Mode, c.Kind), ModTime: time.Unix(0, c.modTime).UTC(),
		UID: c.uid, GID: c.gid, Size: c.size, Object: cofre.ObjectID(c.Object),
	}
	if c.Kind == snapshot.EntryTypeDirectory {
		e.Size = 0
	}
	return e
}

func (c Child) dirEntry() (*snapshot.DirEntry, error) {
	id, err := object.ParseID(c.Object)
	if err != nil {
		return nil, err
	}
	return &snapshot.DirEntry{
		Name: rawtext.Encode(c.Name), Type: c.Kind, Permissions: snapshot.Permissions(c.Mode), FileSize: c.size,
		ModTime: kopiafs.UTCTimestamp(c.modTime), UserID: c.uid, GroupID: c.gid, ObjectID: id,
	}, nil
}

func childOfDirEntry(d *snapshot.DirEntry) Child {
	return Child{
		Name: rawtext.Decode(d.Name), Kind: d.Type, Mode: uint32(d.Permissions), modTime: int64(d.ModTime),
		uid: d.UserID, gid: d.GroupID, size: d.FileSize, Object: d.ObjectID.String(),
	}
}

func parentOf(path string) (dir, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

// JoinPath is the path of a name in a directory, whose own path is empty for the root.
func JoinPath(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// Weight is how many bytes of memory the table takes.
func (t *Table) Weight() int { return cap(t.data) + 4*cap(t.offsets) + 64 }
