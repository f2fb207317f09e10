package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
)

// InTheWay looks along the path of an object, or of a folder: every step must be a folder, and the last one what is
// asked about, or nothing at all. The bucket itself may be a symbolic link to a folder.
func (s *Store) InTheWay(id, name string, folder bool) (at, what string) {
	if checkBucket(id) != nil || !folder && !plain(name) {
		return "", ""
	}
	fi, err := os.Stat(s.bucketDir(id))
	if err != nil {
		if _, err := os.Lstat(s.bucketDir(id)); err == nil {
			return "", "a symbolic link that leads to no folder"
		}
		return "", ""
	}
	if !fi.IsDir() {
		return "", kindOf(fi)
	}
	if name == "" {
		return "", ""
	}
	steps := strings.Split(name, "/")
	for i := range steps {
		at = strings.Join(steps[:i+1], "/")
		fi, err := os.Lstat(s.plainFile(id, at))
		if err != nil {
			return "", "" // nothing is there, or what is done with it says why not
		}
		object := i == len(steps)-1 && !folder
		if object && !fi.Mode().IsRegular() || !object && !fi.IsDir() {
			return at, kindOf(fi)
		}
	}
	return "", ""
}

func kindOf(fi fs.FileInfo) string {
	switch m := fi.Mode(); {
	case m.IsDir():
		return "a folder"
	case m.IsRegular():
		return "a file"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "neither a file nor a folder"
}

// MoveAside renames what is at a path of a bucket to the same path below KeptAt.
func (s *Store) MoveAside(_ context.Context, id, at, mark string) (string, error) {
	root := s.KeptAt(mark)
	if err := s.unlinked(root); err != nil {
		return "", err
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", translate(err)
	}
	from, to := filepath.Join(s.bucketDir(id), filepath.FromSlash(at)), filepath.Join(root, id, filepath.FromSlash(at))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return "", translate(err)
	}
	if err := durable.Rename(from, to); err != nil {
		return "", fmt.Errorf("move %s aside: %w", from, translate(err))
	}
	return to, nil
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
			return cofre.WithHint(fmt.Errorf("%s is a symbolic link, where cofre keeps what is its own: %w", at, cofre.ErrRefused), "look who made it, and remove it")
		}
	}
	return nil
}
