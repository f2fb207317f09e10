package basebackup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/postgres/pgdata"
	"github.com/trustlayer/cofre/postgres/physical"
	"github.com/trustlayer/cofre/postgres/physical/datadir"
	"github.com/trustlayer/cofre/postgres/physical/view"
)

// found is one file, directory or link of a cluster on disk.
type found struct {
	entry    cofre.Entry // its path in the component
	abs      string
	inode    uint64
	own      bool  // PostgreSQL's, without which there is no cluster; not a file that somebody left here
	relation bool  // consists of pages
	block    int64 // the relation's number of the file's first page
	as       int   // with whose rights root reads it
}

// scanner lists what belongs into a base backup. Files that vanish meanwhile are no error: what PostgreSQL
// removes after the backup has begun it removes again when it replays the WAL.
type scanner struct {
	seen             view.View
	blocksPerSegment int64
	files            []found
	others           []found // directories and links, parents first
	spaces           []physical.Tablespace
	as               int // whose link led here, to what is not theirs; inside.Anyone if none did
	bytes            int64
	left             []cofre.Message // what is no part of the cluster and left out, with the reason
	unreadable       []cofre.Finding // what somebody left here and cannot be read
}

// scan lists the cluster whose data directory is seen. Files come largest first, so that the last to be read are small and no worker
// is left alone with a large one.
//
// What is taken is what pg_basebackup takes, and symbolic links of names that PostgreSQL knows (base, pg_wal, …), or that
// lead from the top of the data directory to a file, as those of configuration files and keys do. Other links, which may lead
// in circles or to anything, are left out and named.
//
// Errors: of reading a directory of PostgreSQL's, if it has not vanished. Any other that cannot be read is named.
func scan(ctx context.Context, seen view.View, blocksPerSegment int64) (*scanner, error) {
	s := &scanner{seen: seen, blocksPerSegment: blocksPerSegment, as: inside.Anyone}
	dir := seen.Here
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	s.others = append(s.others, found{entry: entryOf(physical.DataDir, info), abs: dir})
	if err := s.dir(ctx, dir, physical.DataDir, ""); err != nil {
		return nil, err
	}
	slices.SortStableFunc(s.files, func(a, b found) int { return cmp.Compare(b.entry.Size, a.entry.Size) })
	return s, nil
}

// dir lists one directory. in is its path in the component, under is its path below the data directory or the
// tablespace.
func (s *scanner) dir(ctx context.Context, abs, in, under string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	children, err := os.ReadDir(abs)
	if gone(err) {
		return nil
	}
	if err != nil && under != "" && !ownDirectory(in, under) {
		s.unreadable = append(s.unreadable, unreadable(in, err))
		// Nor is the directory itself captured: with its mode a restore could not write to it either.
		s.others = slices.DeleteFunc(s.others, func(f found) bool { return f.entry.Path == in })
		return nil
	}
	if err != nil {
		return fmt.Errorf("list %s: %w", abs, err)
	}
	pages := hasRelations(in, under)
	unlogged := map[string]bool{}
	if pages {
		for _, c := range children {
			if r, ok := parseRelationFile(c.Name()); ok && r.fork == "init" {
				unlogged[r.node] = true
			}
		}
	}
	for _, c := range children {
		name := c.Name()
		if omit(name) || under == "" && in == physical.DataDir && omitted[name] {
			continue
		}
		rel, isRelation := relationFile{}, false
		if pages {
			if rel, isRelation = parseRelationFile(name); isRelation && unlogged[rel.node] && rel.fork != "init" {
				continue // made anew from its init fork when recovery ends
			}
			if isTemporary(name) {
				continue
			}
		}
		if err := s.child(ctx, filepath.Join(abs, name), path.Join(in, name), path.Join(under, name), func(f *found) {
			f.relation, f.block = isRelation, rel.segment*s.blocksPerSegment
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) child(ctx context.Context, abs, in, under string, mark func(*found)) error {
	info, err := os.Lstat(abs)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	top := strings.HasPrefix(in, physical.DataDir+"/")
	if info.Mode()&fs.ModeSymlink != 0 {
		if top && path.Dir(under) == "pg_tblspc" {
			return s.tablespace(ctx, abs, in, path.Base(under), info)
		}
		// pg_wal on another disk, a configuration file kept elsewhere: what they lead to is what the cluster
		// consists of.
		at, to, err := s.seen.Follow(abs)
		directory := err == nil && to.IsDir()
		known := ownFile(in, under) && !directory || ownDirectory(in, under)
		switch {
		case known && err != nil && !gone(err):
			return err
		case err == nil && (known || top && !strings.Contains(under, "/") && to.Mode().IsRegular()):
			defer s.reading(s.as)
			s.as = s.led(uidOf(info), to)
			info, abs = to, at
		default:
			if _, again := os.Lstat(abs); !gone(again) {
				target, _ := os.Readlink(abs) // for people
				s.left = append(s.left, cofre.Say("cluster.link_left", "{{.file}} is a symbolic link to {{.target}}, which is no part of the cluster: it is left out, as pg_basebackup does", "file", physical.ServerPath(in), "target", target))
			}
			return nil
		}
	}
	f := found{entry: entryOf(in, info), abs: abs, inode: inodeOf(info), own: ownFile(in, under), as: s.as}
	switch {
	case info.IsDir():
		s.others = append(s.others, f)
		if top && under == "pg_wal" {
			status := entryOf(path.Join(in, "archive_status"), info)
			s.others = append(s.others, found{entry: status})
		}
		if top && emptied[under] {
			return nil
		}
		return s.dir(ctx, abs, in, under)
	case !info.Mode().IsRegular():
		s.left = append(s.left, cofre.Say("cluster.special_left", "{{.file}} is no file: it is left out, as pg_basebackup does", "file", physical.ServerPath(in)))
		return nil
	case in == path.Join(physical.DataDir, pgdata.ControlFile):
		return nil // read when everything else has been
	}
	mark(&f)
	s.files = append(s.files, f)
	s.bytes += f.entry.Size
	return nil
}

func (s *scanner) tablespace(ctx context.Context, abs, in, name string, info fs.FileInfo) error {
	target, err := os.Readlink(abs)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	oid, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		return nil // no tablespace: PostgreSQL skips it too
	}
	link := entryOf(in, info)
	link.Link = target
	s.others = append(s.others, found{entry: link, abs: abs})
	s.spaces = append(s.spaces, physical.Tablespace{OID: uint32(oid), Path: target})
	abs, to, err := s.seen.Follow(abs)
	if err != nil {
		return fmt.Errorf("tablespace %s: %w", name, err)
	}
	root := path.Join(physical.TablespacesDir, name)
	s.others = append(s.others, found{entry: entryOf(root, to), abs: abs})
	children, err := os.ReadDir(abs)
	if err != nil {
		return fmt.Errorf("tablespace %s: %w", name, err)
	}
	for _, c := range children {
		// One directory per major version and catalog; a cluster that was upgraded left others there.
		if strings.HasPrefix(c.Name(), "PG_") {
			if err := s.spaceVersion(ctx, uidOf(info), filepath.Join(abs, c.Name()), path.Join(root, c.Name()), c.Name()); err != nil {
				return err
			}
		}
	}
	return nil
}

// spaceVersion lists what one version of PostgreSQL has in a tablespace to which a link of the user maker led. The directory above may be a disk's.
func (s *scanner) spaceVersion(ctx context.Context, maker int, abs, in, name string) error {
	defer s.reading(s.as)
	if info, err := os.Lstat(abs); err == nil && info.IsDir() {
		s.as = s.led(maker, info)
	}
	return s.child(ctx, abs, in, name, func(*found) {})
}

// led is with whose rights that is read to which a link of the user maker leads: whoever may write into a data directory could lead a backup of
// root's to what only root may read, and find it in what is restored. What belongs to the maker of the link is theirs already.
func (s *scanner) led(maker int, to fs.FileInfo) int {
	if maker == 0 || to.IsDir() && uidOf(to) == maker {
		return s.as
	}
	return maker
}

// reading puts back with whose rights is read.
func (s *scanner) reading(as int) { s.as = as }

func unreadable(in string, err error) cofre.Finding {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return cofre.Finding{Object: strings.ToValidUTF8(physical.ServerPath(in), "\uFFFD")}.Saying(cofre.Say("cluster.unreadable", "not PostgreSQL's, and cannot be read: {{.error}}", "error", err))
}

// ownDirectories are the directories of the data directory that PostgreSQL makes and needs.
//
// Source: PostgreSQL, src/bin/initdb/initdb.c, subdirs.
var ownDirectories = []string{
	"base", "global", "pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_logical/mappings", "pg_logical/snapshots",
	"pg_multixact", "pg_multixact/members", "pg_multixact/offsets", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat",
	"pg_stat_tmp", "pg_subtrans", "pg_tblspc", "pg_twophase", "pg_wal", "pg_xact",
}

// ownDirectory reports whether a directory is PostgreSQL's: one that initdb makes, a database's, a tablespace's.
func ownDirectory(in, under string) bool {
	parent, name := path.Split(under)
	switch {
	case strings.HasPrefix(in, physical.TablespacesDir+"/"):
		return parent == "" || hasRelations(in, under)
	case slices.Contains(ownDirectories, under), hasRelations(in, under):
		return true
	}
	return parent == "pg_tblspc/" && isNumber(name) || strings.HasPrefix(parent, "pg_tblspc/") && strings.HasPrefix(name, "PG_")
}

// ownFile reports whether a file is PostgreSQL's: its control and configuration files at the top, relations and their maps
// in the directories of databases, and everything in the other directories that it makes.
func ownFile(in, under string) bool {
	dir, name := path.Split(under)
	dir = strings.TrimSuffix(dir, "/")
	switch {
	case hasRelations(in, dir):
		_, relation := parseRelationFile(name)
		return relation || slices.Contains([]string{"PG_VERSION", "pg_filenode.map", "pg_control"}, name)
	case dir == "" && strings.HasPrefix(in, physical.DataDir+"/"):
		return slices.Contains([]string{"PG_VERSION", "postgresql.conf", datadir.AutoConf, "pg_hba.conf", "pg_ident.conf"}, name)
	}
	return dir != "base" && ownDirectory(in, dir)
}

// hasRelations reports whether a directory holds files of relations: base/5, global, and PG_15_202209061/5 of a
// tablespace.
func hasRelations(in, under string) bool {
	parent, name := path.Split(under)
	switch {
	case strings.HasPrefix(in, physical.TablespacesDir+"/"):
		return strings.HasPrefix(parent, "PG_") && isNumber(name)
	case under == "global":
		return true
	case strings.HasPrefix(under, "pg_tblspc/"): // an in-place tablespace, a directory instead of a link
		return isNumber(name)
	}
	return parent == "base/" && isNumber(name)
}

func entryOf(in string, info fs.FileInfo) cofre.Entry {
	e := cofre.Entry{
		Path: in, Mode: info.Mode() & (fs.ModePerm | fs.ModeDir | fs.ModeSymlink), ModTime: info.ModTime(),
		Size: info.Size(), Layout: cofre.LayoutPages,
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.UID, e.GID = st.Uid, st.Gid
	}
	if !info.Mode().IsRegular() {
		e.Size = 0
	}
	return e
}

func uidOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return inside.Anyone
}

func inodeOf(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// trust is how much older than the previous capture a modification time must be to be believed: two writes
// within one tick of the file system's clock leave the same time, and a kernel's tick is at most 10 ms, that of
// some network file systems two seconds.
const trust = 2 * time.Second

// unchanged reports whether a file is, by its size, modification time and inode, the one that was captured
// before, with nothing written since.
func unchanged(f found, was physical.FileFacts, capturedAt time.Time) bool {
	return !was.Bad && f.inode != 0 && f.inode == was.Inode && f.entry.Size == was.Size &&
		f.entry.ModTime.UnixNano() == was.ModifiedNS && f.entry.ModTime.Before(capturedAt.Add(-trust))
}
