package dir

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
)

// hold is a folder that is open. What is made, replaced or removed by a path of at is in that folder, whatever somebody puts
// in the place of its path meanwhile: a restore may run as root in a folder into which others write.
type hold struct{ *os.File }

func (h hold) at(name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", h.Fd(), name) }

// within opens the folder of a path below the store's, making it if told, and returns the last step of the path. Symbolic
// links may lead somewhere else in the same bucket, and never out of it: os.Root sees to that. A bucket's own link is
// followed as bucketRoot says.
func (s *Store) within(path string, mk bool) (hold, string, error) {
	rel, err := filepath.Rel(s.root, path)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return hold{}, "", fmt.Errorf("%s is not below %s: %w", path, s.root, cofre.ErrRefused)
	}
	id, rest, inBucket := strings.Cut(rel, "/")
	var root *os.Root
	if inBucket && id != reserved {
		root, err = s.bucketRoot(id)
	} else {
		root, err = s.open()
		rest = rel
	}
	if err != nil {
		return hold{}, "", err
	}
	defer root.Close()
	h, err := holdIn(root, filepath.Dir(rest), mk)
	return h, filepath.Base(rest), err
}

// open opens the store's folder to write into it. A link that somebody else has put in its path is followed only to what is theirs.
func (s *Store) open() (*os.Root, error) {
	d, err := inside.OpenAs(s.root)
	if err != nil {
		return nil, err
	}
	defer d.Close() // only searched
	return os.OpenRoot(d.At("."))
}

func holdIn(root *os.Root, rel string, mk bool) (hold, error) {
	f, err := root.OpenFile(rel, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if mk && errors.Is(err, fs.ErrNotExist) {
		if err := makeIn(root, rel, 0o755); err != nil {
			return hold{}, err
		}
		f, err = root.OpenFile(rel, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	}
	return hold{f}, err
}

// makeIn makes a folder and those above it that are missing, each by a name that is durable before anything is put into it.
func makeIn(root *os.Root, rel string, mode fs.FileMode) error {
	above := "."
	for step := range strings.SplitSeq(rel, "/") {
		dir := filepath.Join(above, step)
		err := root.Mkdir(dir, mode)
		if err == nil {
			err = syncIn(root, above)
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		above = dir
	}
	return nil
}

func syncIn(root *os.Root, rel string) error {
	h, err := holdIn(root, rel, false)
	if err != nil {
		return err
	}
	return errors.Join(durable.SyncDir(h.at(".")), h.Close())
}

// bucketRoot opens the folder of a bucket to write into it: a sub-folder, a link to one, or the folder outside that the
// bucket's link led to when it was captured, if it leads there still (see FollowLink).
func (s *Store) bucketRoot(id string) (*os.Root, error) {
	root, err := s.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	fi, err := root.Lstat(id)
	if err != nil || fi.Mode()&fs.ModeSymlink == 0 {
		if err != nil {
			return nil, err
		}
		return root.OpenRoot(id)
	}
	to, err := filepath.EvalSymlinks(s.bucketDir(id))
	if err != nil {
		return nil, err
	}
	if s.leadsOut(to) && s.followed(id) != to {
		return nil, cofre.WithHint(
			cofre.Fail(cofre.Say("bucket.link_out", "bucket {{.bucket}} is a symbolic link that leads out of {{.folder}}, to {{.to}}", "bucket", id, "folder", s.root, "to", to), cofre.ErrRefused),
			cofre.Say("bucket.mount", "if the bucket is to be on another disk, mount that in its place (mount --bind), or restore with --replace, which moves the link aside"))
	}
	d, err := s.enter(id)
	if err != nil {
		return nil, err
	}
	defer d.Close() // only searched
	if real, err := d.Real(); err != nil || real != to {
		return nil, fmt.Errorf("bucket %s leads elsewhere than a moment ago: %w", id, cmp.Or(err, cofre.ErrRefused))
	}
	return os.OpenRoot(d.At("."))
}

// enter opens the folder of a bucket. Its own link leads only to what belongs to whoever made it: others may write into the folder, and
// this process may be root's. Links of root and of this process's user lead anywhere.
//
// Errors: cofre.ErrRefused; those of the operating system.
func (s *Store) enter(id string) (*inside.Dir, error) {
	root, err := inside.Open(s.root)
	if err != nil {
		return nil, err
	}
	defer root.Close() // only searched
	link, err := root.Stat(id)
	if err != nil {
		return nil, err
	}
	uid := int(link.Uid)
	if uid == 0 || uid == os.Geteuid() {
		uid = inside.Anyone
	}
	return root.Follow(id, uid)
}

// leadsOut reports whether a path without symbolic links is outside of the store's folder.
func (s *Store) leadsOut(to string) bool {
	real, err := filepath.EvalSymlinks(s.root)
	return err != nil || to != real && !strings.HasPrefix(to, real+"/")
}

// FollowLink has what is written to a bucket follow the bucket's symbolic link, as long as it leads to where it led when the
// bucket was captured.
func (s *Store) FollowLink(b bucket.Bucket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.links == nil {
		s.links = map[string]string{}
	}
	s.links[b.ID] = b.Link
}

func (s *Store) followed(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.links[id]
}

// bare takes the numbers of open folders out of an error: whoever returns it names the object.
func bare(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p) && strings.HasPrefix(p.Path, "/proc/self/fd/"):
		return fmt.Errorf("%s %s: %w", p.Op, filepath.Base(p.Path), p.Err)
	case errors.As(err, &l) && strings.HasPrefix(l.New, "/proc/self/fd/"):
		return fmt.Errorf("%s %s: %w", l.Op, filepath.Base(l.New), l.Err)
	}
	return err
}
