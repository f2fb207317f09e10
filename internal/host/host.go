// Package host tells errors of this machine from what is wrong with what is stored.
package host

import (
	"errors"
	"slices"
	"syscall"
)

// exhausted are errors of a machine that has no more of something: they say nothing of any file.
var exhausted = []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.ENOSPC, syscall.EDQUOT, syscall.EAGAIN, syscall.ENOBUFS}

// failed are errors of a machine, or of a device, on the way to a file: that it cannot be read does not say that it is not as it was written.
var failed = append(slices.Clone(exhausted), syscall.EIO, syscall.EACCES, syscall.EPERM, syscall.EROFS, syscall.ESTALE, syscall.ENXIO, syscall.ENODEV, syscall.EINTR)

// Exhausted reports whether the machine has no more files, memory or space.
func Exhausted(err error) bool { return is(err, exhausted) }

// Failed reports whether an error is of the machine, and says nothing of the bytes.
func Failed(err error) bool { return is(err, failed) }

func is(err error, any []syscall.Errno) bool {
	return slices.ContainsFunc(any, func(n syscall.Errno) bool { return errors.Is(err, n) })
}
