package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
	"github.com/trustlayer/cofre/internal/durable"
	"github.com/trustlayer/cofre/internal/inside"
)

// Modes of what is made in a folder that is its owner's alone, and in one that its group may write: several users of one
// machine then share the repository, whoever of them made a file.
const (
	fileMode   = 0o600
	dirMode    = 0o700
	sharedFile = 0o660
	sharedDir  = 0o770 | fs.ModeSetgid
)

// folder keeps objects as files. A write goes to a temporary file beside its destination, is synced, takes its
// name, and the directory is synced; a crash at any moment leaves either the whole object or none, and perhaps
// a temporary file, which the next listing removes.
type folder struct {
	root   string
	shared bool // its group may write
	gid    int
}

func (f *folder) prepare(create bool) error {
	info, err := os.Stat(f.root)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is not a folder: %w", f.root, cofre.ErrConfig)
	case err == nil:
		st, ok := info.Sys().(*syscall.Stat_t)
		f.shared = ok && info.Mode().Perm()&0o070 == 0o070
		if f.shared {
			f.gid = int(st.Gid)
		}
		return nil
	case errors.Is(err, fs.ErrNotExist) && create:
		made, err := inside.MakeAs(f.root, dirMode)
		if err == nil {
			err = made.Close()
		}
		return f.explain("create", f.root, err)
	case errors.Is(err, fs.ErrNotExist):
		return cofre.WithHint(fmt.Errorf("folder %s does not exist: %w", f.root, cofre.ErrNoRepo),
			cofre.Say("store.mount", "mount the disk it is on, or create a repository there with cofre init"))
	}
	return f.explain("open", f.root, err)
}

func (f *folder) Create(ctx context.Context, name string, r io.Reader, size int64) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("create in %s: %w", f.root, err)
	}
	if _, err := os.Lstat(f.path(name)); err == nil {
		return fmt.Errorf("create %s: %w", f.path(name), cofre.ErrExists)
	}
	return f.write(ctx, "create", name, r, size, (*durable.File).PublishNew)
}

func (f *folder) Replace(ctx context.Context, name string, r io.Reader, size int64) error {
	return f.write(ctx, "replace", name, r, size, (*durable.File).Publish)
}

func (f *folder) write(ctx context.Context, verb, name string, r io.Reader, size int64, publish func(*durable.File) error) (err error) {
	if err := checkName(name); err != nil {
		return fmt.Errorf("%s in %s: %w", verb, f.root, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	path := f.path(name)
	in, err := f.below(filepath.Dir(path), true)
	if err != nil {
		return f.explain(verb, path, err)
	}
	defer in.Close() // only named in
	temp, err := f.createTemp(in, filepath.Base(path))
	if err != nil {
		return f.explain(verb, path, err)
	}
	defer func() {
		if discardErr := temp.Discard(); discardErr != nil {
			err = errors.Join(err, f.explain(verb, path, discardErr))
		}
	}()
	n, err := io.Copy(temp, &contextReader{ctx, r})
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes were promised and %d came", size, n)
	}
	if err == nil {
		err = publish(temp)
	}
	return f.explain(verb, path, err)
}

// below opens a directory of the folder, and makes it if it is missing and to be made. Others may write into the folder, too: a link that one
// of them has put there is followed only to what is theirs.
//
// Errors: cofre.ErrRefused for another link; fs.ErrNotExist if it is missing, or if the folder itself is: that is not made again, as a disk
// that was unmounted meanwhile is an error.
func (f *folder) below(dir string, missing bool) (*inside.Dir, error) {
	root, err := inside.Open(f.root)
	if err != nil {
		return nil, err
	}
	rel, err := filepath.Rel(f.root, dir)
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	in, err := inside.OpenAs(root.At(rel))
	err = errors.Join(err, root.Close())
	if errors.Is(err, fs.ErrNotExist) && missing && dir != f.root {
		if err := f.makeDir(dir); err != nil {
			return nil, err
		}
		return f.below(dir, missing)
	}
	return in, err
}

// createTemp begins the file of a name in an open directory.
func (f *folder) createTemp(in *inside.Dir, name string) (*durable.File, error) {
	temp, err := durable.CreateAs(in.At(tempName()), in.At(name), fileMode)
	if err == nil && f.shared {
		// The mode given when it was made is less the umask. It is best effort: a network mount may take neither, and let everybody
		// write all the same. By the open file: somebody else of the group may put a link in the place of its name.
		_ = temp.Chown(-1, f.gid)
		_ = temp.Chmod(sharedFile)
	}
	return temp, err
}

// makeDir makes a directory and its missing parents, each durable before anything is put into it.
func (f *folder) makeDir(dir string) error {
	in, err := f.below(filepath.Dir(dir), true)
	if err != nil {
		return err
	}
	defer in.Close() // only named in
	name := filepath.Base(dir)
	if err := in.Mkdir(name); errors.Is(err, fs.ErrExist) {
		return nil // another writer was faster, and syncs it
	} else if err != nil {
		return err
	}
	if f.shared {
		if err := f.shareDir(in, name); err != nil {
			return err
		}
	}
	return in.Sync()
}

// shareDir gives a directory that was made to the group of the folder, as createTemp does a file.
func (f *folder) shareDir(in *inside.Dir, name string) error {
	made, err := in.Sub(name)
	if err != nil {
		return err
	}
	_ = os.Chown(made.At("."), -1, f.gid)
	_ = os.Chmod(made.At("."), sharedDir)
	return made.Close()
}

// contextReader ends a copy when the context does.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

func (f *folder) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if err := checkName(name); err != nil {
		return nil, fmt.Errorf("open in %s: %w", f.root, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Somebody else of those who write here may have put a pipe in its place, which would be waited for.
	file, err := os.OpenFile(f.path(name), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, f.explain("open", f.path(name), err)
	}
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		return nil, errors.Join(f.explain("open", f.path(name), cmp.Or(err, errNoFile)), file.Close())
	}
	if length < 0 && offset == 0 {
		return &folderReader{folder: f, Reader: file, File: file}, nil
	}
	if length < 0 {
		length = 1<<63 - 1 - offset
	}
	return &folderReader{folder: f, Reader: io.NewSectionReader(file, offset, length), File: file}, nil
}

type folderReader struct {
	folder *folder
	io.Reader
	*os.File
}

func (r *folderReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = r.folder.explain("read", r.Name(), err)
	}
	return n, err
}

// WriteTo keeps io.Copy from using the file's, which would read past the section.
func (r *folderReader) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{r})
}

func (f *folder) Stat(ctx context.Context, name string) (cofre.StoredObject, error) {
	if err := checkName(name); err != nil {
		return cofre.StoredObject{}, fmt.Errorf("stat in %s: %w", f.root, err)
	}
	if err := ctx.Err(); err != nil {
		return cofre.StoredObject{}, err
	}
	info, err := os.Stat(f.path(name))
	if err == nil && info.IsDir() {
		err = fs.ErrNotExist
	}
	if err != nil {
		return cofre.StoredObject{}, f.explain("stat", f.path(name), err)
	}
	return described(name, info), nil
}

// described is a file as an object.
func described(name string, info fs.FileInfo) cofre.StoredObject {
	o := cofre.StoredObject{Name: name, Size: info.Size(), ModifiedAt: info.ModTime().UTC()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		o.ChangedAt = time.Unix(st.Ctim.Unix()).UTC()
		o.Version = strconv.FormatInt(st.Ctim.Nano(), 36)
	}
	return o
}

func (f *folder) Delete(ctx context.Context, name string) error {
	if err := checkName(name); err != nil {
		return fmt.Errorf("delete in %s: %w", f.root, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	path := f.path(name)
	in, err := f.below(filepath.Dir(path), false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.Join(durable.Remove(in.At(filepath.Base(path))), in.Close())
	}
	return f.explain("delete", path, err)
}

// errNoFile is of what lies where an object is to be, and is none.
var errNoFile = fmt.Errorf("is no file: %w", cofre.ErrRefused)

func (f *folder) Free(context.Context) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(f.root, &s); err != nil {
		return 0, f.explain("ask the free space of", f.root, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}

func (f *folder) URL() string { return f.root }

func (f *folder) path(name string) string { return filepath.Join(f.root, filepath.FromSlash(name)) }

// explain gives an error of the file system its condition.
func (f *folder) explain(verb, path string, err error) error {
	var condition error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.Is(err, fs.ErrNotExist):
		condition = cofre.ErrNotFound
		if _, statErr := os.Stat(f.root); errors.Is(statErr, fs.ErrNotExist) {
			condition = cofre.ErrNoRepo
		}
	case errors.Is(err, fs.ErrExist):
		condition = cofre.ErrExists
	case errors.Is(durable.Full(err), cofre.ErrDiskFull):
		condition = cofre.ErrDiskFull
	case errors.Is(durable.Full(err), cofre.ErrReadOnly):
		condition = cofre.ErrReadOnly
	case errors.Is(err, fs.ErrPermission):
		condition = cofre.ErrDenied
	case errors.Is(err, syscall.ESTALE), errors.Is(err, syscall.ENOTCONN), errors.Is(err, syscall.EHOSTDOWN), errors.Is(err, syscall.ETIMEDOUT):
		condition = cofre.ErrUnreachable // a network file system that lost its server
	default:
		return fmt.Errorf("%s %s: %w", verb, path, err)
	}
	// The path is in the error of package os already, and is not said twice.
	var pathErr *fs.PathError
	var linkErr *os.LinkError
	if errors.As(err, &pathErr) {
		err = pathErr.Err
	} else if errors.As(err, &linkErr) {
		err = linkErr.Err
	}
	explained := fmt.Errorf("%s %s: %w: %w", verb, path, condition, err)
	if err.Error() == condition.Error() {
		explained = fmt.Errorf("%s %s: %w", verb, path, &same{condition, err})
	}
	switch condition {
	case cofre.ErrDiskFull:
		return cofre.WithHint(explained, cofre.Say("store.space", "delete nothing in {{.path}} by hand: give back what is not kept with: cofre expire && cofre prune; if that is not enough, free space on its disk: df -h {{.path}}", "path", f.root))
	case cofre.ErrReadOnly:
		return cofre.WithHint(explained, cofre.Say("store.remount", "mount the disk of {{.path}} for writing: mount -o remount,rw MOUNTPOINT", "path", f.root))
	case cofre.ErrDenied:
		return cofre.WithHint(explained, cofre.Say("store.owner", "run cofre as the user that owns the repository (with archive_command that is the server's user), or share it by a group that both are in: chgrp -R GROUP {{.path}} && chmod -R g+rwX {{.path}} && find {{.path}} -type d -exec chmod g+s {} +", "path", f.root))
	}
	return explained
}

// same is a condition whose cause has the same words.
type same struct{ condition, cause error }

func (s *same) Error() string   { return s.condition.Error() }
func (s *same) Unwrap() []error { return []error{s.condition, s.cause} }
