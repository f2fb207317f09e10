package testkit

import (
	"errors"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// Start starts a program that the kernel kills when this process has ended, in whatever way. The kernel does so when the thread has ended that started it, and
// threads of a Go program do end: so does each one that had the rights of another user for a while (package inside), whoever started a program from it before.
// Each program has a thread of its own therefore, which stays until it has ended. Wait must be called.
func Start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		pid := 0
		if err == nil {
			pid = cmd.Process.Pid
		}
		started <- err
		// Its end is left to be seen by Wait.
		for err == nil || errors.Is(err, unix.EINTR) {
			if err = unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err == nil {
				return
			}
		}
	}()
	return <-started
}

// Run is Start, and waits for the end.
func Run(cmd *exec.Cmd) error {
	if err := Start(cmd); err != nil {
		return err
	}
	return cmd.Wait()
}
