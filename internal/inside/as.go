package inside

import (
	"os"
	"os/user"
	"runtime"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// As makes a call with what a user may do on file systems, and no more, if this process is root's: what that user had root read is what
// it could have read itself. Another process's call is made as it is. call must not start a goroutine, whose rights would be this
// process's.
//
// Errors: those of call; of finding the user's groups, where it has a name; of the system, if it lets nobody change users.
func As(uid int, call func() error) error {
	if os.Geteuid() != 0 || uid == 0 || uid == Anyone {
		return call()
	}
	gid, groups := uid, []uint32(nil)
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		ids, err := u.GroupIds()
		if err != nil {
			return err
		}
		for _, id := range ids {
			if n, err := strconv.ParseUint(id, 10, 32); err == nil {
				groups = append(groups, uint32(n))
			}
		}
		if gid, err = strconv.Atoi(u.Gid); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never let go: the thread ends with its rights
		err := become(uid, gid, groups)
		if err == nil {
			err = call()
		}
		done <- err
	}()
	return <-done
}

// become gives this thread alone what a user may do on file systems.
//
// Source: setfsuid(2), which says nothing of an error but by being asked again; setgroups(2) of the kernel, which unlike that of libraries is of one thread.
func become(uid, gid int, groups []uint32) error {
	var first unsafe.Pointer
	if len(groups) > 0 {
		first = unsafe.Pointer(&groups[0])
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(first), 0); errno != 0 {
		return os.NewSyscallError("setgroups", errno)
	}
	if _, err := unix.SetfsgidRetGid(gid); err != nil {
		return os.NewSyscallError("setfsgid", err)
	}
	if _, err := unix.SetfsuidRetUid(uid); err != nil {
		return os.NewSyscallError("setfsuid", err)
	}
	now, err := unix.SetfsuidRetUid(-1)
	if err == nil && now != uid {
		err = unix.EPERM
	}
	return os.NewSyscallError("setfsuid", err)
}
