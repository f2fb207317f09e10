package durable

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
)

// LockDir makes a directory this process's own, among those that lock it by this function, until unlock is called or the process
// ends. On a file system that knows no locks it holds nobody out.
//
// Errors: cofre.ErrLocked, also if whoever had it has removed the directory meanwhile; those of opening it.
func LockDir(dir string) (unlock func() error, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(fmt.Errorf("directory %s: %w", dir, cofre.ErrLocked), f.Close())
	case errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EBADF): // no locks here
	case err != nil:
		return nil, errors.Join(err, f.Close())
	}
	// What was locked may have lost its name to whoever had the lock before.
	held, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if named, err := os.Stat(dir); err != nil || !os.SameFile(held, named) {
		return nil, errors.Join(fmt.Errorf("directory %s: %w", dir, cofre.ErrLocked), f.Close())
	}
	return f.Close, nil
}
