package durable

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre"
)

// LockDir makes a directory this process's own, among those that lock it by this function, until unlock is called or the process
// ends. On a file system that knows no locks it holds nobody out.
//
// Errors: cofre.ErrLocked, with the process that holds it if the system says which, also if whoever had it has removed the directory
// meanwhile; those of opening it.
func LockDir(dir string) (unlock func() error, err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return nil, errors.Join(Held(f), f.Close())
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
	return func() error { return Unlock(f) }, nil
}

// Unlock gives up the lock on a file or directory that this process has locked by flock, and closes it. To close it alone does not give it up while there is another
// descriptor of the same opening, as a program that another thread is about to start has one for a moment, between fork and exec: the next who wants the lock
// would be refused.
//
// Errors: those of closing.
//
// Source: flock(2), "Locks created by flock() are associated with an open file description".
func Unlock(f *os.File) error {
	_ = unix.Flock(int(f.Fd()), unix.LOCK_UN) // where there are no locks none is given up
	return f.Close()
}

// Held is the error of a file that another process has locked by flock, with that process if the system says which.
//
// Errors: cofre.ErrLocked.
func Held(f *os.File) error {
	if pid := holder(f); pid != 0 {
		return cofre.Fail(cofre.Say("lease.process", "process {{.pid}} of this machine holds {{.path}}", "pid", strconv.Itoa(pid), "path", f.Name()), cofre.ErrLocked)
	}
	return fmt.Errorf("%s: %w", f.Name(), cofre.ErrLocked)
}

// holder looks up who has locked a file, as proc_locks(5) has it; 0 if it is not there, as on a file system of a network.
func holder(f *os.File) int {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	file := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for line := range strings.Lines(string(locks)) {
		fields := strings.Fields(line) // 1: FLOCK ADVISORY WRITE 708 08:01:131 0 EOF
		if len(fields) < 6 || fields[1] != "FLOCK" || fields[5] != file {
			continue
		}
		if pid, err := strconv.Atoi(fields[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}
