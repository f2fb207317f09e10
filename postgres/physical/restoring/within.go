package restoring

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
	"github.com/trustlayer/cofre/internal/shell"
	"github.com/trustlayer/cofre/postgres/physical"
)

// rooms are the open directories in which a stage works: the data directory and those of the tablespaces, by their paths. Who owns the
// cluster may write there, and a restore that runs as root must not be led by a link of his to what is not his.
type rooms struct {
	mu   sync.Mutex
	open map[string]*inside.Dir
}

func (r *rooms) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.open {
		_ = d.Close() // only searched
	}
	r.open = nil
}

// room is the open directory at a path, made if it is missing.
func (s *stage) room(at string) (*inside.Dir, error) {
	s.rooms.mu.Lock()
	defer s.rooms.mu.Unlock()
	if d := s.rooms.open[at]; d != nil {
		return d, nil
	}
	d, err := inside.MakeAs(at, 0o700)
	if err != nil {
		return nil, err
	}
	if s.rooms.open == nil {
		s.rooms.open = map[string]*inside.Dir{}
	}
	s.rooms.open[at] = d
	return d, nil
}

// data is the open data directory.
func (s *stage) data() (*inside.Dir, error) { return s.room(s.built) }

// in opens the directory that holds an entry of the component, and has the entry's name in it; "." for a directory that has a room. A link
// on the way, such as that of pg_wal to a disk of its own, is followed if what it leads to is the owner's of the cluster.
func (s *stage) in(entry string) (*inside.Dir, string, error) {
	base := s.base(entry)
	room, err := s.room(base)
	if err != nil {
		return nil, "", err
	}
	rel, err := filepath.Rel(base, s.path(entry))
	if err != nil {
		return nil, "", err
	}
	d, err := room.DescendAs(filepath.Dir(rel), s.maker())
	return d, filepath.Base(rel), err
}

// within calls do with the directory that holds an entry of the component.
func (s *stage) within(entry string, do func(in *inside.Dir, name string) error) error {
	in, name, err := s.in(entry)
	if err != nil {
		return err
	}
	return errors.Join(do(in, name), in.Close())
}

// maker is the user whose links in the directory are followed to what is the same user's.
func (p *plan) maker() int {
	if p.owner == nil {
		return inside.Anyone
	}
	return p.owner.uid
}

// give gives a name in a directory to the owner.
func (p *plan) give(in *inside.Dir, name string) error {
	if p.owner == nil {
		return nil
	}
	return in.Chown(name, p.owner.uid, p.owner.gid)
}

// own gives an open file to the owner.
func (p *plan) own(f *os.File) error {
	if p.owner == nil {
		return nil
	}
	return f.Chown(p.owner.uid, p.owner.gid)
}

// ours reports whether what is at a name is a file that may be written as it is: it has no other name, and is the owner's. A file of
// somebody else's may have been moved or linked there, and is made anew.
func (p *plan) ours(st *unix.Stat_t) bool {
	return st.Mode&unix.S_IFMT == unix.S_IFREG && (p.owner == nil || int(st.Uid) == p.owner.uid && st.Nlink == 1)
}

// openOurs opens a file of the directory for writing, if it is one that may be written.
//
// Errors: cofre.ErrRefused if somebody has put another in its place.
func (s *stage) openOurs(entry string) (f *os.File, err error) {
	err = s.within(entry, func(in *inside.Dir, name string) error {
		f, err = in.OpenFile(name, unix.O_RDWR|unix.O_NONBLOCK, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err = unix.Fstat(int(f.Fd()), &st); err == nil && !s.ours(&st) {
		err = fmt.Errorf("%s is not the file that was made: somebody else writes into the directory: %w", f.Name(), cofre.ErrRefused)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// makeDir makes the directory of an entry, or takes the one that is there.
func (s *stage) makeDir(e cofre.Entry) error {
	outside := path.Dir(e.Path) == physical.TablespacesDir
	return s.within(e.Path, func(in *inside.Dir, name string) error {
		st, err := in.Stat(name)
		if kind := st.Mode & unix.S_IFMT; err == nil && kind != unix.S_IFDIR && kind != unix.S_IFLNK {
			if err := in.Remove(name); err != nil {
				return err
			}
		}
		if err := in.Mkdir(name); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		at, err := in.Follow(name, s.maker())
		if err != nil {
			return err
		}
		// What a tablespace is in may have been made by the administrator, with a mode that has a reason.
		if !outside {
			err = at.Wrap("chmod", ".", unix.Fchmodat(at.FD(), ".", uint32(e.Mode.Perm()), 0))
		}
		if err == nil {
			err = s.give(at, ".")
		}
		return errors.Join(err, at.Close())
	})
}

// makeLink puts a link in the place of whatever is there.
func (s *stage) makeLink(in *inside.Dir, name, to string) error {
	if err := in.RemoveAll(name); err != nil {
		return err
	}
	if err := in.Symlink(to, name); err != nil {
		return err
	}
	return s.give(in, name)
}

// removeBelow deletes what is in a directory and not wanted. at is its path.
func (s *stage) removeBelow(d *inside.Dir, at string, wanted map[string]bool) error {
	names, err := d.ReadDir()
	if err != nil {
		return err
	}
	for _, n := range names {
		here := filepath.Join(at, n.Name())
		switch {
		case n.Name() == "lost+found", strings.HasPrefix(n.Name(), keptInside) && at == filepath.Join(s.built, "pg_wal"):
		case !wanted[here]:
			err = d.RemoveAll(n.Name())
		case n.IsDir():
			var sub *inside.Dir
			if sub, err = d.Sub(n.Name()); err == nil {
				err = errors.Join(s.removeBelow(sub, here, wanted), sub.Close())
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// move is a rename of a name in a directory.
type move struct{ from, to string }

// do renames in the directory that both names are in, opened without being led by others' links.
func (m move) do() error {
	above, err := inside.OpenAs(filepath.Dir(m.from))
	if err != nil {
		return err
	}
	return errors.Join(durable.Rename(above.At(filepath.Base(m.from)), above.At(filepath.Base(m.to))), above.Close())
}

// planLinks refuses what a restore as root would stop at: a link in the place of a directory that leads to what is not the owner's.
func (p *plan) planLinks(out *cofre.Plan) {
	if p.owner == nil {
		return
	}
	refuse := func(err error) {
		if errors.Is(err, cofre.ErrRefused) {
			out.Refuse(cofre.SayError(err), cofre.HintOf(err))
		}
	}
	data, err := inside.OpenAs(p.built)
	if err != nil {
		refuse(err)
		return
	}
	defer data.Close() // only searched
	if !p.inPlace {
		return
	}
	for _, d := range p.dirs {
		rel, below := strings.CutPrefix(d.Path, physical.DataDir+"/")
		if !below {
			continue
		}
		at, err := data.DescendAs(rel, p.maker())
		if err == nil {
			err = at.Close()
		}
		refuse(err)
	}
}

// planGiven refuses to give a directory to the owner of the cluster that is somebody else's, and in use.
func (p *plan) planGiven(out *cofre.Plan) {
	if p.owner == nil {
		return
	}
	dirs := []string{}
	for _, to := range p.spaces {
		dirs = append(dirs, to)
	}
	for _, m := range p.made {
		if m.to != "" {
			dirs = append(dirs, m.to)
		}
	}
	slices.Sort(dirs)
	for _, dir := range slices.Compact(dirs) {
		p.givable(out, dir)
	}
}

func (p *plan) givable(out *cofre.Plan, dir string) {
	d, err := inside.OpenAs(dir)
	if err != nil {
		if errors.Is(err, cofre.ErrRefused) {
			out.Refuse(cofre.SayError(err), cofre.HintOf(err))
		}
		return
	}
	defer d.Close() // only looked at
	st, err := d.Stat(".")
	if err != nil || int(st.Uid) == p.owner.uid {
		return
	}
	names, err := d.ReadDir()
	names = slices.DeleteFunc(names, func(n os.DirEntry) bool { return n.Name() == "lost+found" })
	if err == nil && len(names) > 0 {
		out.Refuse(cofre.Say("cluster.not_givable", "{{.dir}} belongs to user {{.uid}} and is in use: it is not given to the owner of the cluster", "dir", dir, "uid", st.Uid),
			cofre.Say("cluster.give_yourself", "name another directory with --tablespace, or give it yourself: chown {{.owner}} {{.shell}}", "owner", p.owner.uid, "shell", shell.Quote(dir)))
	}
}
