package repository

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
)

// child is an entry of one directory.
type child struct {
	name    string
	kind    snapshot.EntryType
	mode    uint32 // permissions and the set-id and sticky bits, as Unix numbers them
	modTime int64  // nanoseconds since 1970
	uid     uint32
	gid     uint32
	size    int64
	object  string // as Kopia prints it
}

// table holds the entries of one directory in about as many bytes as their names and object ids have: a bucket
// may have a million objects in one folder, and Kopia's own structures would take half a gigabyte.
type table struct {
	data    []byte
	offsets []uint32
	sorted  bool
}

func (t *table) add(c child) {
	t.offsets = append(t.offsets, uint32(len(t.data)))
	t.sorted = false
	t.data = appendText(t.data, c.name)
	t.data = append(t.data, c.kind[0])
	t.data = binary.AppendUvarint(t.data, uint64(c.mode))
	t.data = binary.AppendVarint(t.data, c.modTime)
	t.data = binary.AppendUvarint(t.data, uint64(c.uid))
	t.data = binary.AppendUvarint(t.data, uint64(c.gid))
	t.data = binary.AppendUvarint(t.data, uint64(c.size))
	t.data = appendText(t.data, c.object)
}

func (t *table) len() int { return len(t.offsets) }

func (t *table) at(i int) child {
	b := t.data[t.offsets[i]:]
	var c child
	c.name, b = cutText(b)
	c.kind, b = snapshot.EntryType(b[:1]), b[1:]
	c.mode, b = cutUint32(b)
	modTime, n := binary.Varint(b)
	c.modTime, b = modTime, b[n:]
	c.uid, b = cutUint32(b)
	c.gid, b = cutUint32(b)
	size, n := binary.Uvarint(b)
	c.size, b = int64(size), b[n:]
	c.object, _ = cutText(b)
	return c
}

func (t *table) name(offset uint32) []byte {
	b := t.data[offset:]
	n, used := binary.Uvarint(b)
	return b[used : used+int(n)]
}

// sort puts the entries into byte order of their names.
func (t *table) sort() {
	if t.sorted {
		return
	}
	slices.SortFunc(t.offsets, func(a, b uint32) int { return slices.Compare(t.name(a), t.name(b)) })
	t.sorted = true
}

// find looks an entry up in a sorted table.
func (t *table) find(name string) (child, bool) {
	i, ok := slices.BinarySearchFunc(t.offsets, name, func(offset uint32, name string) int {
		return cmp.Compare(string(t.name(offset)), name)
	})
	if !ok {
		return child{}, false
	}
	return t.at(i), true
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

func unixMode(m fs.FileMode) uint32 {
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

func childOf(e cofre.Entry, name string) child {
	c := child{
		name: name, kind: snapshot.EntryTypeFile, mode: unixMode(e.Mode), modTime: nanoseconds(e.ModTime),
		uid: e.UID, gid: e.GID, size: e.Size, object: string(e.Object),
	}
	switch {
	case e.IsDir():
		c.kind = snapshot.EntryTypeDirectory
	case e.IsLink():
		c.kind = snapshot.EntryTypeSymlink
	}
	return c
}

func (c child) entry(path string) cofre.Entry {
	e := cofre.Entry{
		Path: path, Mode: fileMode(c.mode, c.kind), ModTime: time.Unix(0, c.modTime).UTC(),
		UID: c.uid, GID: c.gid, Size: c.size, Object: cofre.ObjectID(c.object),
	}
	if c.kind == snapshot.EntryTypeDirectory {
		e.Size = 0
	}
	return e
}

func (c child) dirEntry() (*snapshot.DirEntry, error) {
	id, err := object.ParseID(c.object)
	if err != nil {
		return nil, err
	}
	return &snapshot.DirEntry{
		Name: encodeName(c.name), Type: c.kind, Permissions: snapshot.Permissions(c.mode), FileSize: c.size,
		ModTime: kopiafs.UTCTimestamp(c.modTime), UserID: c.uid, GroupID: c.gid, ObjectID: id,
	}, nil
}

func childOfDirEntry(d *snapshot.DirEntry) child {
	return child{
		name: decodeName(d.Name), kind: d.Type, mode: uint32(d.Permissions), modTime: int64(d.ModTime),
		uid: d.UserID, gid: d.GroupID, size: d.FileSize, object: d.ObjectID.String(),
	}
}

func parentOf(path string) (dir, name string) {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

func joinPath(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
