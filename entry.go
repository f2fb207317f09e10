package cofre

import (
	"io/fs"
	"time"
)

// ObjectID names a stored object inside one repository. Opaque: only the repository that made it reads it.
type ObjectID string

// Layout says how the bytes of an entry are cut into the pieces that deduplicate.
type Layout int

// The layouts. Stream finds equal stretches wherever they have moved to: dumps, objects, files. The others cut at fixed
// offsets and suit data files, whose pages change in place: every 128 KiB; WidePages every 1 MiB, which compresses
// better and costs more if one page changes; FinePages every 64 KiB, the other way round. Facts are what a source wrote
// itself about its capture: cut as a stream, and kept twice, because no source can give them again.
const (
	LayoutStream Layout = iota
	LayoutPages
	LayoutWidePages
	LayoutFinePages
	LayoutFacts
)

// Entry is one named file, directory or symbolic link of a component.
type Entry struct {
	// Path is relative to the component, slash-separated, without empty, "." or ".." segments. It may hold any
	// other byte; two entries that differ only in case are two entries.
	Path    string
	Mode    fs.FileMode // type bits (none, ModeDir, ModeSymlink) and permissions
	ModTime time.Time
	UID     uint32
	GID     uint32
	Size    int64  // bytes; -1 if a source does not know it before it has read
	Link    string // the target of a symbolic link, as read
	Layout  Layout
	// Object is set on entries read from a Tree. Session.Reuse takes such an entry without reading its bytes.
	Object ObjectID
}

// IsDir reports whether the entry is a directory.
func (e Entry) IsDir() bool { return e.Mode.IsDir() }

// IsLink reports whether the entry is a symbolic link.
func (e Entry) IsLink() bool { return e.Mode&fs.ModeSymlink != 0 }
