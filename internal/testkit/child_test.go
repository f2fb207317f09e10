package testkit_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trustlayer/cofre/internal/testkit"
)

// TestAProgramOutlivesTheThreadThatAskedForIt starts one from a goroutine that takes its thread with it when it ends. Whether the kernel has killed the
// program is known once the thread is gone: the signal is sent by its end.
func TestAProgramOutlivesTheThreadThatAskedForIt(t *testing.T) {
	cmd := exec.Command("cat") // until its input ends
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	thread, started := make(chan int), make(chan error, 1)
	var ask func()
	ask = func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() { // which is the one that ends with the process
			go ask()
			<-t.Context().Done()
			return
		}
		started <- testkit.Start(cmd)
		thread <- unix.Gettid()
	}
	go ask()
	id := <-thread
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	testkit.Await(t, "the end of the thread", 0, func() bool { return errors.Is(unix.Tgkill(os.Getpid(), id, 0), syscall.ESRCH) })
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the program: %v", err)
	}
}
