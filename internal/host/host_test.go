package host_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"testing"

	"github.com/trustlayer/cofre/internal/host"
)

func TestErrorsOfTheMachine(t *testing.T) {
	for err, want := range map[error][2]bool{
		fmt.Errorf("open: %w", &fs.PathError{Op: "open", Path: "p", Err: syscall.EMFILE}): {true, true},
		syscall.ENOSPC:                     {true, true},
		&os.SyscallError{Err: syscall.EIO}: {false, true},
		syscall.EACCES:                     {false, true},
		fs.ErrNotExist:                     {false, false},
		errors.New("invalid checksum"):     {false, false},
	} {
		if got := [2]bool{host.Exhausted(err), host.Failed(err)}; got != want {
			t.Errorf("%v: exhausted, failed: %v, want %v", err, got, want)
		}
	}
}
