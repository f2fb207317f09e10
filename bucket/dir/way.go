package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/bucket"
	"github.com/trustlayer/cofre/internal/across"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/shell"
)

// InTheWay looks along the path of an object, or of a folder: every step must be a folder, and the last one what is
// asked about, or nothing at all. The bucket itself may be a symbolic link to a folder: within this one, or to where it led when it
// was captured.
func (s *Store) InTheWay(id, name string, folder bool) (at string, what cofre.Message) {
	if checkBucket(id) != nil || !folder && !s.plain(id, name) {
		return "", cofre.Message{}
	}
	fi, err := os.Stat(s.bucketDir(id))
	if err != nil {
		if _, err := os.Lstat(s.bucketDir(id)); err == nil {
			return "", cofre.Say("bucket.dangling", "a symbolic link that leads to no folder")
		}
		return "", cofre.Message{}
	}
	if !fi.IsDir() {
		return "", kindOf(fi)
	}
	if to := s.linkOf(id); to != "" && to != s.followed(id) {
		return "", cofre.Say("bucket.leads_out", "a symbolic link that leads out of the folder, to {{.to}}, and did not when it was captured,", "to", to)
	}
	if name == "" {
		return "", cofre.Message{}
	}
	steps := strings.Split(name, "/")
	for i := range steps {
		at = strings.Join(steps[:i+1], "/")
		fi, err := os.Lstat(s.plainFile(id, at))
		if err != nil {
			return "", cofre.Message{} // nothing is there, or what is done with it says why not
		}
		object := i == len(steps)-1 && !folder
		if object && fi.IsDir() && across.Mounted(s.plainFile(id, at)) {
			return at, cofre.Say("bucket.a_mount", "a mount point")
		}
		if object && !fi.Mode().IsRegular() || !object && !fi.IsDir() {
			return at, kindOf(fi)
		}
	}
	return "", cofre.Message{}
}

func kindOf(fi fs.FileInfo) cofre.Message {
	switch m := fi.Mode(); {
	case m.IsDir():
		return bucket.AFolder()
	case m.IsRegular():
		return bucket.AFile()
	case m&fs.ModeSymlink != 0:
		return cofre.Say("bucket.way_link", "a symbolic link")
	}
	return cofre.Say("bucket.way_neither", "something that is neither a file nor a folder")
}

// MoveAside gives what is at a path of a bucket the same path below KeptAt, by a rename, or, if that is on another file system, by a copy
// that is compared and synced before anything is removed.
//
// Errors: cofre.ErrNotFound if nothing is there; cofre.ErrRefused if a symbolic link stands where it would be kept, or if something is mounted
// there; cofre.ErrDenied, cofre.ErrDiskFull, cofre.ErrReadOnly.
func (s *Store) MoveAside(ctx context.Context, id, at, mark string) (string, error) {
	kept, err := s.keptRoot(mark)
	if err != nil {
		return "", translate(err)
	}
	defer kept.Close()
	path := filepath.Join(s.bucketDir(id), filepath.FromSlash(at))
	from, base, err := s.within(path, false)
	if err != nil {
		return "", translate(err)
	}
	defer from.Close()
	rel := filepath.Join(id, filepath.FromSlash(at))
	to, err := holdIn(kept, filepath.Dir(rel), true)
	if err != nil {
		return "", translate(err)
	}
	defer to.Close()
	if across.Mounted(from.at(base)) {
		return "", isMounted(path)
	}
	err = durable.Rename(from.at(base), to.at(base))
	if errors.Is(err, syscall.EXDEV) {
		err = across.Move(ctx, from.at(base), to.at(base))
	}
	var below *across.MountedError
	if errors.As(err, &below) {
		return "", isMounted(filepath.Join(filepath.Dir(path), below.Path))
	}
	if err != nil {
		return "", fmt.Errorf("move %s aside: %w", path, translate(err))
	}
	return filepath.Join(s.KeptAt(mark), rel), nil
}

// isMounted refuses to move what is mounted.
func isMounted(path string) error {
	command := "umount " + shell.Quote(path)
	return cofre.WithHint(cofre.Fail(cofre.Say("bucket.mounted", "{{.path}} is a mount point: it can be moved after {{.command}}", "path", path, "command", command), cofre.ErrRefused), cofre.Verbatim(command))
}

// unlinked refuses a path in which a step below the folder is a symbolic link: whoever may write into the folder could
// lead what is written, and what is removed, anywhere.
func (s *Store) unlinked(path string) error {
	rel, err := filepath.Rel(s.root, path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return err // beside the folder
	}
	at := s.root
	for _, step := range strings.Split(rel, string(filepath.Separator)) {
		at = filepath.Join(at, step)
		fi, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && fi.Mode()&fs.ModeSymlink != 0 {
			return cofre.WithHint(fmt.Errorf("%s is a symbolic link, where cofre keeps what is its own: %w", at, cofre.ErrRefused), cofre.Say("bucket.link", "look who made it, and remove it"))
		}
	}
	return nil
}
